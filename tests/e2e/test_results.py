"""What a run leaves behind: outputs, JSON, the page, the trace."""

import json
import re
import shutil
import subprocess

import numpy as np
import onnxruntime
import pytest

QUICK = ("--time", "100ms", "--rounds", "3", "--evaluations", "100", "--measurements", "4")


def test_outputs_are_those_of_onnx_runtime(gacer, conv, dense, tmp_path):
    random = np.random.default_rng(5)
    image = random.standard_normal((4, 3, 32, 32)).astype(np.float32)
    x = random.standard_normal((2, 256)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "x.npy", x)
    gacer("run", f"{conv}@4", f"{dense}@2,name=small", "--input", "conv:image=image.npy", "--input", "small:x:0=x.npy",
          "--output", "answers", *QUICK)  # fmt: skip
    for model, feed, file in ((conv, {"image": image}, "conv.scores"), (dense, {"x:0": x}, "small.y:0")):
        expected = onnxruntime.InferenceSession(str(model)).run(None, feed)[0]
        value = np.load(tmp_path / f"answers/{file}.npy")
        assert value.shape == expected.shape and value.dtype == expected.dtype
        assert np.abs(value - expected).max() <= 1e-4 * np.abs(expected).max()


def test_every_policy_is_checked_and_reported(gacer, conv, dense, tmp_path):
    said = gacer("compare", f"{conv}@4", f"{dense}@4", "--policies", "all", "--json", "report.json", *QUICK)
    report = json.loads((tmp_path / "report.json").read_text())
    names = {policy["name"] for policy in report["policies"]}
    assert {"sequential", "streams", "partition", "chunks", "budgets", "gacer"} <= names
    for policy in report["policies"]:
        assert policy["outputs_match"] is True, policy
        assert policy["round_ms"]["n"] >= 3
        assert 0 < policy["round_ms"]["min"] <= policy["round_ms"]["median"] <= policy["round_ms"]["p95"]
        assert [tenant["name"] for tenant in policy["tenants"]] == ["conv", "dense"]
        assert re.search(rf"^  {policy['name']} ", said.stdout, re.M)
    assert report["chosen"] in names
    assert report["guard"]["best_simple"] in ("sequential", "streams", "partition")
    assert report["command"].startswith("gacer compare ")
    assert "\x1b" not in said.stdout + said.stderr


def test_json_goes_to_standard_output_alone(gacer, conv):
    said = gacer("run", conv, "--policy", "sequential", "--json", "-", *QUICK)
    assert json.loads(said.stdout)["tenants"][0]["name"] == "conv"


def test_quiet_says_nothing(gacer, conv):
    said = gacer("run", conv, "--policy", "sequential", "--quiet", *QUICK)
    assert said.stdout == "" and said.stderr == ""


def test_trace_has_every_tenant_on_a_core(gacer, conv, dense, tmp_path):
    gacer("compare", conv, dense, "--policies", "sequential,streams", "--trace", "trace.json", *QUICK)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert {event["cat"] for event in spans} == {"conv", "dense"}
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in spans)


def test_page_shows_a_bar_for_each_tenant_in_a_browser(gacer, conv, dense, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    gacer("compare", f"{conv}@2", f"{dense}@2", "--html", "report.html", "--json", "report.json", *QUICK)
    page = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}/profile",
         "--virtual-time-budget=4000", "--dump-dom", f"file://{tmp_path}/report.html"],
        capture_output=True, text=True, timeout=120, check=True).stdout  # fmt: skip
    assert "[object " not in page
    timelines = re.findall(r'<svg class="tl".*?data-policy="([^"]+)".*?</svg>', page, re.S)
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(timelines) == {policy["name"] for policy in report["policies"]}
    for svg in re.findall(r'<svg class="tl".*?</svg>', page, re.S):
        assert set(re.findall(r'<rect class="bar"[^>]*data-tenant="([^"]+)"', svg)) == {"conv", "dense"}


def test_same_seed_gives_the_same_outputs(gacer, conv, tmp_path):
    for folder in ("one", "two"):
        gacer("run", conv, "--policy", "sequential", "--seed", "7", "--output", folder, *QUICK)
    assert (tmp_path / "one/conv.scores.npy").read_bytes() == (tmp_path / "two/conv.scores.npy").read_bytes()
