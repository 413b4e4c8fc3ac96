"""Times what torch.compile chooses from as CUDA graphs: without the host's part of a call.

PyTorch 2.11 takes the time between two events around a call. What the host needs for the call counts where the
device waits for it: on a slow host each convolution of cuDNN's reads as 40 us and more, and Triton's kernels win
that are slower. Models run as CUDA graphs here, where the host has no part. Later versions of PyTorch have an
option for this (`torch._inductor.config.autotune_cudagraph_benchmarking`).
"""

import contextlib
import time

import torch
from torch._inductor.runtime import benchmarking

RUNS = 10  # in a graph
REPLAYS = 10  # of which the fastest counts: the first are still raising clocks


class GraphTimer:
    """Takes the place of torch.compile's own timing while in use.

    `alone()`: a context inside which a candidate runs, say a lock between processes. `spent`: the
    candidates, those that no graph can hold, and the seconds they waited for `alone` and had it.
    """

    def __init__(self, alone=contextlib.nullcontext):
        self.alone = alone
        self.spent = {"candidates": 0, "without_graph": 0, "waited_s": 0.0, "timed_s": 0.0}
        self.cache = None  # as many bytes as the L2 cache: filling it leaves nothing else there
        self.filling = None  # the graph that does only that; others share its memory

    @contextlib.contextmanager
    def in_use(self):
        """On a stream of its own: the default one cannot be captured."""
        owner = type(benchmarking.benchmarker)
        original = owner.benchmark_gpu

        def benchmark(benchmarker, run, *args, **kwargs):
            begin = time.time()
            with self.alone():
                entered = time.time()
                try:
                    run()  # a candidate is loaded, cuDNN times its own algorithms
                    torch.cuda.synchronize()
                    return self.milliseconds(run)
                except CaptureFailed:
                    self.spent["without_graph"] += 1
                    return original(benchmarker, run, *args, **kwargs)
                finally:
                    self.spent["candidates"] += 1
                    self.spent["waited_s"] += entered - begin
                    self.spent["timed_s"] += time.time() - entered

        before, stream = torch.cuda.current_stream(), torch.cuda.Stream()
        stream.wait_stream(before)
        owner.benchmark_gpu = benchmark
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            owner.benchmark_gpu = original
            before.wait_stream(stream)
            self.cache = self.filling = None

    def milliseconds(self, run):
        """Of a run whose operands are not in the cache."""
        if self.filling is None:
            size = torch.cuda.get_device_properties().L2_cache_size
            self.cache = torch.empty(size, dtype=torch.int8, device="cuda")
            self.filling = self.capture(lambda: None)
        graph = self.capture(run, self.filling.pool())
        torch.cuda.synchronize()
        times = [(replay(graph), replay(self.filling)) for _ in range(REPLAYS)]
        return max(0.0, min(t for t, _ in times) - min(t for _, t in times)) / RUNS

    def capture(self, run, pool=None):
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads load kernels at the same time.
            graph.capture_begin(pool, capture_error_mode="thread_local")
            try:
                for _ in range(RUNS):
                    self.cache.zero_()
                    run()
            finally:
                graph.capture_end()
        except RuntimeError as error:
            raise CaptureFailed from error
        return graph


class CaptureFailed(Exception):
    """A candidate does what no graph can hold."""


def replay(graph):
    """Milliseconds by events, which wait for nothing but the graph."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    graph.replay()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)
