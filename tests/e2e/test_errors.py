"""Whatever goes wrong: one message that names it, the right exit code, no partial file."""

import json
import os
import re
import subprocess

import numpy as np
import onnx
import pytest
from conftest import ROOT
from onnx import TensorProto, helper

USAGE, MODEL, UNSUPPORTED, MEMORY, DEVICE, IO = 2, 3, 4, 5, 6, 1
QUICK = ("--policy", "sequential", "--time", "50ms", "--rounds", "3")


def message_of(result):
    """What follows the progress: one error, which is not ours."""
    said = re.findall(r"^gacer: (?:[a-z ]+ error: .*|interrupted.*)", result.stderr, re.M | re.S)
    assert len(said) == 1 and said[0].count(" error: ") == 1 and "internal error" not in said[0], result.stderr
    return said[0]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["frobnicate"], ["frobnicate", "compare"]),
        (["run"], ["MODEL"]),
        (["run", "--no-such-option", "x.onnx"], ["--no-such-option"]),
        (["run", "zoo:resnet18", "--policy", "fastest"], ["fastest", "streams"]),
        (["run", "zoo:resnet18", "--precision", "f31"], ["f31"]),
        (["run", "zoo:resnet18", "--time", "soon"], ["soon"]),
        (["run", "zoo:resnet18", "--seed", "-1"], ["--seed", "-1"]),
        (["run", "zoo:resnet18", "--impl", "fancy"], ["fancy", "plain"]),
        (["run", "zoo:resnet18@none"], ["none"]),
        (["run", "zoo:resnet19"], ["resnet19", "resnet18"]),
        (["run", "zoo:resnet18", "--device", "abacus"], ["abacus", "cpu"]),
        (["zoo", "resnet18"], ["--out"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_usage_is_exit_code_2(gacer, arguments, words):
    said = message_of(gacer(*arguments, code=USAGE))
    assert all(word in said for word in words), said


def test_wrong_inputs_say_what_is_expected(gacer, conv, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 32, 32), np.float32))
    assert "'image'" in message_of(gacer("run", conv, "--input", "conv:photo=x.npy", *QUICK, code=USAGE))
    assert "[1, 3, 32, 32]" in message_of(gacer("run", conv, "--input", "conv:image=x.npy", *QUICK, code=USAGE))
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 32, 32), np.float64))
    assert "f64" in message_of(gacer("run", conv, "--input", "conv:image=x.npy", *QUICK, code=USAGE))
    np.save(tmp_path / "x.npy", np.asfortranarray(np.ones((1, 3, 32, 32), np.float32)))
    assert "Fortran" in message_of(gacer("run", conv, "--input", "conv:image=x.npy", *QUICK, code=USAGE))
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00\xff\xff{")
    assert "x.npy" in message_of(gacer("run", conv, "--input", "conv:image=x.npy", *QUICK, code=USAGE))
    assert "gone.npy" in message_of(gacer("run", conv, "--input", "conv:image=gone.npy", *QUICK, code=IO))


def test_damaged_models_are_exit_code_3(gacer, conv, tmp_path):
    content = conv.read_bytes()
    for length in (1, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.onnx").write_bytes(content[:length])
        assert "cut.onnx" in message_of(gacer("run", "cut.onnx", *QUICK, code=MODEL))
    (tmp_path / "cut.onnx").write_bytes(b"")
    assert "cut.onnx" in message_of(gacer("check", "cut.onnx", code=MODEL))


def test_a_missing_model_is_named(gacer):
    assert "nowhere/gone.onnx" in message_of(gacer("run", "nowhere/gone.onnx", *QUICK, code=IO))


def test_unknown_operators_are_exit_code_4_and_all_listed(gacer, tmp_path):
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("Frobnicate", ["x"], ["a"], name="first"), helper.make_node("Wibble", ["a"], ["y"], name="second")]
    graph = helper.make_graph(nodes, "odd", [info("x", TensorProto.FLOAT, [1, 4])], [info("y", TensorProto.FLOAT, [1, 4])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "odd.onnx")
    said = message_of(gacer("run", "odd.onnx", *QUICK, code=UNSUPPORTED))
    assert "Frobnicate" in said and "Wibble" in said
    checked = gacer("check", "odd.onnx", code=UNSUPPORTED)
    assert "Frobnicate" in checked.stdout and "Wibble" in checked.stdout


def test_a_memory_limit_is_exit_code_5(gacer, conv):
    said = message_of(gacer("run", f"{conv}@64,memory=1000", *QUICK, code=MEMORY))
    assert "1000" in said or "1,000" in said


def test_a_missing_device_is_exit_code_6(gacer, conv):
    if os.path.exists("/dev/nvidia0"):
        pytest.skip("this machine has a GPU")
    message_of(gacer("run", conv, "--device", "cuda:7", *QUICK, code=DEVICE))


def test_a_cache_that_cannot_be_made_is_named(gacer, conv, tmp_path):
    (tmp_path / "file").write_text("no folder")
    said = message_of(gacer("profile", conv, env={"XDG_CACHE_HOME": str(tmp_path / "file/cache")}, code=IO))
    assert str(tmp_path / "file") in said
    said = message_of(gacer("profile", conv, "--db", tmp_path / "file/rows.db", code=IO))
    assert str(tmp_path / "file") in said and "--db" in said


def test_without_a_home_rows_go_with_the_run(gacer, conv, tmp_path):
    nowhere = {"XDG_CACHE_HOME": "", "HOME": "", "TMPDIR": str(tmp_path)}
    said = gacer("run", conv, *QUICK, env=nowhere).stderr
    assert "neither XDG_CACHE_HOME nor HOME is set" in said and "--db" in said
    assert not list(tmp_path.glob("gacer-profile-*"))
    said = message_of(gacer("profile", conv, env=nowhere, code=IO))
    assert "neither XDG_CACHE_HOME nor HOME is set" in said and "--db" in said
    said = message_of(gacer("run", conv, *QUICK, env={**nowhere, "TMPDIR": "/nowhere"}, code=IO))
    assert "TMPDIR" in said


@pytest.mark.parametrize("process", ["self", "child"])
def test_a_cache_that_cannot_be_made_keeps_nobody_from_running(gacer, conv, tmp_path, process):
    (tmp_path / "file").write_text("no folder")
    places = {"XDG_CACHE_HOME": str(tmp_path / "file/cache"), "TMPDIR": str(tmp_path)}
    said = gacer("run", conv, "--measure-in", process, *QUICK, env=places).stderr
    assert said.count("warning") == 1 and str(tmp_path / "file") in said and "--db" in said
    assert not list(tmp_path.glob("gacer-profile-*"))
    gacer("profile", conv, "--record", "device.rec.json", env=places)


def test_a_corrupt_cache_is_put_aside(gacer, conv, tmp_path):
    gacer("profile", conv, "--db", "rows.db")
    with open(tmp_path / "rows.db", "r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 4000)
    said = gacer("run", conv, "--db", "rows.db", "--quiet", *QUICK).stderr
    (aside,) = (path.name for path in tmp_path.iterdir() if "corrupt" in path.name)
    assert "warning" in said and aside in said


def test_a_file_that_is_no_profile_stays_as_it_is(gacer, conv, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes")
    said = message_of(gacer("run", conv, "--db", "notes.txt", *QUICK, code=IO))
    assert "notes.txt" in said and "--db" in said
    assert notes.read_text() == "my notes"


def test_a_full_disk_is_said(gacer, conv, tmp_path):
    said = message_of(gacer("run", conv, "--json", "/dev/full", *QUICK, code=IO))
    assert "/dev/full" in said and "space" in said
    for command in (["zoo"], ["ops"], ["run", conv, "--json", "-", *QUICK], ["run", conv, "--save-plan", "a.plan.json", *QUICK]):
        with open("/dev/full", "w") as full:
            result = subprocess.run([gacer.path, *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
                                    cwd=tmp_path, env=gacer.environment)  # fmt: skip
        assert result.returncode == IO and "standard output" in message_of(result)
    assert json.loads((tmp_path / "a.plan.json").read_text()), "the rest is written all the same"


def test_results_have_a_place_before_anything_is_measured(gacer, conv):
    said = message_of(gacer("run", conv, "--html", "nowhere/report.html", *QUICK, code=IO))
    assert "'nowhere'" in said


@pytest.mark.parametrize("command", ["run --json", "run --output", "run --save-plans", "profile --record", "plan --save-plan"])
def test_each_result_has_a_place_before_anything_is_measured(gacer, conv, tmp_path, command):
    (tmp_path / "file").write_text("no folder")
    for place in ("file/results", "file/results/deep") if command.endswith(("output", "plans")) else ("file/results", "."):
        result = gacer(*command.split(), place, conv, code=IO)
        assert place in message_of(result) and "profile" not in result.stderr


def test_folders_for_results_are_made(gacer, conv, tmp_path):
    gacer("run", conv, "--output", "deep/down/out", "--save-plans", "deep/plans/", *QUICK)
    assert list((tmp_path / "deep/down/out").iterdir()) and list((tmp_path / "deep/plans").iterdir())


def test_one_full_disk_does_not_keep_the_rest_from_being_written(gacer, conv, tmp_path):
    gacer("run", conv, "--json", "/dev/full", "--save-plan", "a.plan.json", "--trace", "a.trace.json", *QUICK, code=IO)
    assert json.loads((tmp_path / "a.plan.json").read_text()) and json.loads((tmp_path / "a.trace.json").read_text())


def test_check_refuses_what_run_refuses(gacer):
    assert "training" in message_of(gacer("check", "zoo:resnet18:train@2", code=UNSUPPORTED))


def test_a_simulated_device_gives_no_outputs(gacer, conv):
    gacer("profile", conv, "--record", "device.rec.json")
    assert "simulated" in message_of(gacer("run", conv, "--device", "sim:device.rec.json", "--output", "o", *QUICK, code=USAGE))
    assert "(simulated)" in gacer("run", conv, "--device", "sim:device.rec.json", *QUICK).stdout


def test_a_recording_without_rows_is_to_blame(gacer):
    recording = ROOT / "bench/results/h200/cnn_b8.rec.json"
    sim = ("--device", f"sim:{recording}", *QUICK)
    for model, precision in (("zoo:resnet50@1", "fp16"), ("zoo:resnet50@8", "f32")):
        said = message_of(gacer("run", model, "--precision", precision, *sim, code=USAGE))
        assert str(recording) in said and "no rows for tenant 'resnet50'" in said
        assert f"gacer profile '{model}' --device DEVICE --precision {precision} --record FILE" in said
    said = message_of(gacer("run", "zoo:lstm@8", "--precision", "fp16", *sim, code=UNSUPPORTED))
    assert str(recording) in said and "gacer profile 'zoo:lstm@8'" in said


def test_a_full_disk_leaves_no_partial_file(gacer, conv, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small], capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs more rights")
    try:
        (small / "report.html").write_text("old")
        message_of(gacer("run", conv, "--html", small / "report.html", *QUICK, code=IO))
        assert (small / "report.html").read_text() == "old"
        assert [path.name for path in small.iterdir()] == ["report.html"]
    finally:
        subprocess.run(["umount", small], check=True)


def test_results_replace_a_file_whole(gacer, conv, tmp_path):
    (tmp_path / "report.json").write_text("old")
    gacer("run", conv, "--json", "report.json", *QUICK)
    assert (tmp_path / "report.json").read_text().startswith("{")
    assert not [path for path in tmp_path.iterdir() if ".tmp" in path.name]
