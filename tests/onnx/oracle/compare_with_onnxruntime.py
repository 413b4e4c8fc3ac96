#!/usr/bin/env python3
"""Compares the reference evaluation of a model with ONNX Runtime, to 1e-4 of each output's scale.

Usage: compare_with_onnxruntime.py ONNX_EVALUATE MODEL|zoo:NAME BATCH [DIM=SIZE...]

A zoo model is written as ONNX first, checked, and ONNX Runtime reads that file: so the writer is tested too.
Exits 77 (skipped) where the model or ONNX Runtime is missing.
"""

import pathlib
import subprocess
import sys
import tempfile

SKIPPED = 77
DTYPES = {"f32": "float32", "i64": "int64", "i32": "int32", "bool": "bool"}


def read_ports(folder):
    ports = {"input": [], "output": []}
    for line in (folder / "ports.txt").read_text().splitlines():
        kind, name, dtype, dims = line.split("\t")
        ports[kind].append((name, DTYPES[dtype], [int(d) for d in dims.split()]))
    return ports


def make_page(numpy, dims):
    """Black text on white, from -1 to 1: a text detector answers noise with nothing but rounding errors."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("L", (dims[3], dims[2]), 255)
    font = ImageFont.load_default(size=max(10, dims[2] // 3))
    ImageDraw.Draw(page).text((dims[3] // 10, dims[2] // 3), "Text 123", fill=0, font=font)
    return numpy.broadcast_to(numpy.asarray(page, "float32") / 127.5 - 1, dims)


def make_input(numpy, random, name, dtype, dims):
    if dtype == "float32" and len(dims) == 4:
        return make_page(numpy, dims) + random.normal(0, 0.05, dims).astype(dtype)
    if dtype == "float32":
        return random.standard_normal(dims).astype(dtype)
    if "mask" in name:
        mask = numpy.ones(dims, dtype)
        mask[-1, dims[-1] // 2 :] = 0
        return mask
    return random.integers(0, 2 if "type" in name else 250, dims).astype(dtype)


def main():
    tool, model, batch, *dims = sys.argv[1:]
    try:
        import numpy
        import onnx
        import onnxruntime
    except ImportError as error:
        print(f"skipped: {error}")
        return SKIPPED
    is_zoo = model.startswith("zoo:")
    if not is_zoo and not pathlib.Path(model).exists():
        print(f"skipped: {model} is not here (make setup)")
        return SKIPPED
    random = numpy.random.default_rng(3)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        command = [tool, name, model, batch, *dims]
        subprocess.run(command, check=True)
        ports = read_ports(folder)
        feeds = {}
        for i, (port, dtype, shape) in enumerate(ports["input"]):
            feeds[port] = make_input(numpy, random, port, dtype, shape)
            feeds[port].tofile(folder / f"in{i}.bin")
        subprocess.run(command, check=True)
        path = folder / "model.onnx" if is_zoo else pathlib.Path(model)
        if is_zoo:
            onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        expected = session.run([port for port, _, _ in ports["output"]], feeds)
        failures = 0
        for i, (port, dtype, shape) in enumerate(ports["output"]):
            ours = numpy.fromfile(folder / f"out{i}.bin", dtype).reshape(shape)
            scale = max(float(numpy.abs(expected[i]).max()), 1e-30)
            error = float(numpy.abs(ours - expected[i]).max()) / scale
            is_good = ours.shape == expected[i].shape and error <= 1e-4
            failures += not is_good
            print(f"{model} {port} {list(expected[i].shape)}: {error:.2e} of {scale:.3g}{'' if is_good else ' FAILED'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
