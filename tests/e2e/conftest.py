"""What the end-to-end tests share: the tool, two small models, and a cache that no user's cache touches."""

import os
import pathlib
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT = 300


class Tool:
    """Runs gacer and keeps what it said."""

    def __init__(self, folder, cache):
        self.folder = folder
        self.path = os.environ.get("GACER", str(ROOT / "build/release/gacer"))
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "NO_COLOR": "1"}

    def __call__(self, *arguments, code=0, env=None, **options):
        result = subprocess.run(
            [self.path, *map(str, arguments)], capture_output=True, text=True, timeout=TIMEOUT, cwd=self.folder,
            env={**self.environment, **(env or {})}, **options,
        )  # fmt: skip
        assert result.returncode == code, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result


def save_model(path, nodes, inputs, outputs, weights):
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, [numpy_helper.from_array(v, k) for k, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def make_conv_net(path, seed=1):
    """Three convolutions with relu, a residual, pooling, a dense layer."""
    random = np.random.default_rng(seed)
    f32 = lambda *shape: (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)
    weights = {"w1": f32(16, 3, 3, 3), "w2": f32(16, 16, 3, 3), "w3": f32(32, 16, 3, 3), "wd": f32(32, 10), "bd": f32(10)}
    conv = lambda x, w, y, **more: helper.make_node("Conv", [x, w], [y], pads=[1, 1, 1, 1], **more)
    nodes = [
        conv("image", "w1", "a"), helper.make_node("Relu", ["a"], ["b"]), conv("b", "w2", "c"),
        helper.make_node("Add", ["b", "c"], ["d"]), helper.make_node("Relu", ["d"], ["e"]),
        conv("e", "w3", "f", strides=[2, 2]), helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("GlobalAveragePool", ["g"], ["h"]), helper.make_node("Flatten", ["h"], ["i"]),
        helper.make_node("Gemm", ["i", "wd", "bd"], ["scores"]),
    ]  # fmt: skip
    info = helper.make_tensor_value_info
    return save_model(path, nodes, [info("image", TensorProto.FLOAT, ["N", 3, 32, 32])], [info("scores", TensorProto.FLOAT, ["N", 10])], weights)


def make_dense_net(path, seed=2, rows=None):
    """Two dense layers with softmax; the input's name holds a colon, as some exporters make them."""
    random = np.random.default_rng(seed)
    f32 = lambda *shape: (random.standard_normal(shape) / 16).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x:0", "w1"], ["a"]), helper.make_node("Add", ["a", "b1"], ["b"]),
        helper.make_node("Tanh", ["b"], ["c"]), helper.make_node("MatMul", ["c", "w2"], ["d"]),
        helper.make_node("Softmax", ["d"], ["y:0"], axis=-1),
    ]  # fmt: skip
    info = helper.make_tensor_value_info
    shape = ["N"] if rows is None else ["N", rows]
    return save_model(path, nodes, [info("x:0", TensorProto.FLOAT, [*shape, 256])], [info("y:0", TensorProto.FLOAT, [*shape, 64])],
                      {"w1": f32(256, 256), "b1": f32(256), "w2": f32(256, 64)})  # fmt: skip


@pytest.fixture
def gacer(tmp_path):
    cache = pathlib.Path(os.environ.get("GACER_E2E_CACHE", tmp_path / "cache"))
    cache.mkdir(parents=True, exist_ok=True)
    return Tool(tmp_path, cache)


@pytest.fixture
def conv(tmp_path):
    return make_conv_net(tmp_path / "conv.onnx")


@pytest.fixture
def dense(tmp_path):
    return make_dense_net(tmp_path / "dense.onnx")
