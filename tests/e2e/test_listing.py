"""Commands that only tell."""

import onnx
import onnxruntime
import numpy as np


def test_help_of_every_command(gacer):
    top = gacer("--help").stdout
    for command in ("run", "compare", "profile", "plan", "replay", "explain", "check", "zoo", "devices", "ops"):
        assert command in top
        assert "--help" in gacer(command, "--help").stdout


def test_version_names_the_commit(gacer):
    assert gacer("--version").stdout.startswith("gacer ")


def test_devices_lists_the_cpu(gacer):
    assert "cpu" in gacer("devices").stdout


def test_ops_lists_operators_and_kernels(gacer):
    said = gacer("ops").stdout
    assert "Conv" in said and "LSTM" in said and "Kernels on" in said


def test_check_tells_of_kernels_and_splits(gacer, conv):
    said = gacer("check", f"{conv}@4", "-v").stdout
    assert "Conv" in said and "can be cut" in said


def test_zoo_models_are_valid_onnx(gacer, tmp_path):
    listed = gacer("zoo").stdout
    assert "resnet50" in listed and "bert_base" in listed
    gacer("zoo", "resnet18@2", "--out", "resnet18.onnx")
    onnx.checker.check_model(str(tmp_path / "resnet18.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "resnet18.onnx"))
    port = session.get_inputs()[0]
    assert session.run(None, {port.name: np.zeros((2, 3, 224, 224), np.float32)})[0].shape == (2, 1000)


def test_a_recording_can_be_planned_for_elsewhere(gacer, conv, dense, tmp_path):
    gacer("profile", f"{conv}@4", f"{dense}@4", "--record", "here.rec.json")
    said = gacer("compare", f"{conv}@4", f"{dense}@4", "--device", "sim:here.rec.json", "--time", "50ms", "--rounds", "3",
                 "--evaluations", "100", "--measurements", "4").stdout  # fmt: skip
    assert "not checked" in said
