"""Times what torch.compile chooses from on the device, without the host's part of a call.

PyTorch 2.11 takes the time between two events around a call. What the host needs for the call counts where the
device waits for it: on a slow host each convolution of cuDNN's reads as 40 us and more, and Triton's kernels win
that are slower. Models run as CUDA graphs here, where the host has no part; later versions of PyTorch time
candidates as such (`torch._inductor.config.autotune_cudagraph_benchmarking`). Here calls are queued behind a kernel
that keeps the device busy until the host is through, which needs no capture.
"""

import contextlib
import time

import torch
from torch._inductor.runtime import benchmarking

RUNS = 10  # queued at once
REPEATS = 5  # of which the fastest counts
FIRST_DELAY, MOST_DELAY = 1 << 20, 1 << 26  # cycles: half a millisecond, 33 of them
NOTHING_SPENT = {"candidates": 0, "waiting": 0, "waited_s": 0.0, "timed_s": 0.0}


class DeviceTimer:
    """Takes the place of torch.compile's own timing while in use.

    `alone()`: a context inside which a candidate runs, say a lock between processes. `spent`: the
    candidates, those of them that wait for the device (their times have the host's part), and the
    seconds they waited for `alone` and had it.
    """

    def __init__(self, alone=contextlib.nullcontext):
        self.alone = alone
        self.spent = dict(NOTHING_SPENT)
        self.cache = None  # as many bytes as the L2 cache: filling it leaves nothing else there

    @contextlib.contextmanager
    def in_use(self):
        owner = type(benchmarking.benchmarker)
        original = owner.benchmark_gpu

        def benchmark(_, run, *args, **kwargs):
            begin = time.time()
            with self.alone():
                entered = time.time()
                try:
                    run()  # a candidate is loaded, cuDNN times its own algorithms
                    torch.cuda.synchronize()
                    return self.milliseconds(run)
                finally:
                    self.spent["candidates"] += 1
                    self.spent["waited_s"] += entered - begin
                    self.spent["timed_s"] += time.time() - entered

        owner.benchmark_gpu = benchmark
        try:
            yield
        finally:
            owner.benchmark_gpu = original
            self.cache = None

    def milliseconds(self, run):
        """Of a run whose operands are not in the cache."""
        if self.cache is None:
            size = torch.cuda.get_device_properties().L2_cache_size
            with torch.inference_mode(False):  # compiling is outside of it, running inside
                self.cache = torch.empty(size, dtype=torch.int8, device="cuda")
        delay = FIRST_DELAY
        whole, rest = [], []
        while len(whole) < REPEATS:
            ms, was_ahead = self.queue(run, delay)
            if not was_ahead and delay < MOST_DELAY:
                delay *= 2
                continue
            whole.append(ms)
            rest.append(self.queue(None, delay)[0])
        self.spent["waiting"] += delay >= MOST_DELAY
        return max(0.0, min(whole) - min(rest)) / RUNS

    def queue(self, run, delay):
        """Milliseconds of RUNS runs, each after the cache was filled, and whether the device began
        them after the host had queued all."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(delay)
        begin.record()
        for _ in range(RUNS):
            self.cache.zero_()
            if run is not None:
                run()
        end.record()
        was_ahead = not begin.query()
        end.synchronize()
        return begin.elapsed_time(end), was_ahead
