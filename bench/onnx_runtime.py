"""Times ONNX Runtime on some models in a process of its own.

  onnx_runtime.py MODE SECONDS MODEL.onnx[@BATCH][?DIM=N&...] ...

MODE: sequential (each model after the other, all cores; idle pools sleep), sequential-spin (idle pools spin, as
is the default), threads (each in its thread, all cores each) or threads1 (each in its thread, one core each).
Prints JSON: round times in ms, and peak memory.
"""

import json
import os
import re
import resource
import sys
import threading
import time

import numpy as np
import onnxruntime

NUMPY_TYPES = {
    "tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float16)": np.float16,
}  # fmt: skip


def parse(argument):
    path, batch, dims = re.fullmatch(r"([^@?]+)(?:@(\d+))?(?:\?(.*))?", argument).groups()
    sizes = dict(pair.split("=") for pair in dims.split("&")) if dims else {}
    return path, int(batch or 1), {name: int(size) for name, size in sizes.items()}


def shape_of(port, batch, sizes):
    """Free dimensions: by their name, H and W by their place in an image, else the batch."""
    shape = []
    for axis, size in enumerate(port.shape):
        if isinstance(size, int) and size > 0:
            shape.append(size)
        elif size in sizes:
            shape.append(sizes[size])
        elif len(port.shape) == 4 and axis >= 2 and "HW"[axis - 2] in sizes:
            shape.append(sizes["HW"[axis - 2]])
        else:
            shape.append(batch)
    return shape


def make_feed(session, batch, sizes):
    random = np.random.default_rng(1)
    feed = {}
    for port in session.get_inputs():
        dtype, shape = NUMPY_TYPES[port.type], shape_of(port, batch, sizes)
        is_float = np.issubdtype(dtype, np.floating)
        feed[port.name] = random.standard_normal(shape).astype(dtype) if is_float else np.ones(shape, dtype)
    return feed


def make_session(path, num_threads, is_spinning):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    # Sessions that spin while idle take the others' cores; those that sleep wake up late.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if is_spinning else "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_threads(sessions, feeds):
    threads = [threading.Thread(target=session.run, args=(None, feed)) for session, feed in zip(sessions, feeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    mode, seconds, models = sys.argv[1], float(sys.argv[2]), [parse(argument) for argument in sys.argv[3:]]
    start_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cores = len(os.sched_getaffinity(0))
    sessions = [make_session(path, 1 if mode == "threads1" else cores, mode == "sequential-spin") for path, _, _ in models]
    feeds = [make_feed(session, batch, sizes) for session, (_, batch, sizes) in zip(sessions, models)]
    times = []
    end = None
    while end is None or time.perf_counter() < end or len(times) < 2:
        begin = time.perf_counter()
        if mode.startswith("sequential"):
            for session, feed in zip(sessions, feeds):
                session.run(None, feed)
        else:
            run_threads(sessions, feeds)
        if end is None:  # the first round is not counted
            end = time.perf_counter() + seconds
        else:
            times.append((time.perf_counter() - begin) * 1000)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"ms": times, "peak_kb": peak_kb, "start_kb": start_kb}))


if __name__ == "__main__":
    main()
