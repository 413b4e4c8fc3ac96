"""Published figures are those of the result files beside them, and the published recording can be planned for."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("gpu, name", [("h200", "gpu.md"), ("h100", "gpu-h100.md")])
def test_tables_and_summary_are_those_of_the_results(tmp_path, gpu, name):
    published, page = ROOT / "bench/results" / gpu, ROOT / "docs" / name
    results = shutil.copytree(published, tmp_path / gpu)
    copy = pathlib.Path(shutil.copy(page, tmp_path))
    subprocess.run([sys.executable, ROOT / "bench/summarize_gpu.py", results, "--update", copy], check=True)
    assert copy.read_text() == page.read_text()
    assert (results / "summary.json").read_text() == (published / "summary.json").read_text()


def test_the_readme_says_what_the_summary_says():
    summary = json.loads((ROOT / "bench/results/h200/summary.json").read_text())
    readme = " ".join((ROOT / "README.md").read_text().split())
    for key, sentence in (("peer_mix_gacer_speedup_geomean", "finish {}x as fast as the best of compiled PyTorch's"),
                          ("peer_mix_gacer_speedup_min", "{}x at least"),
                          ("peer_mix_streams_speedup_geomean", "{}x of it is the engine's"),
                          ("gacer_over_streams_geomean", "{}x regulation's")):
        assert sentence.format(f"{summary[key]:.2f}") in readme


def test_the_recorded_gpu_can_be_planned_for(gacer):
    recording = ROOT / "bench/results/h200/cnn_b8.rec.json"
    mixes = json.loads((ROOT / "bench/mixes.json").read_text())["mixes"]
    for mix in "ABC":
        models = [f"zoo:{model}@8" for model in mixes[mix]]
        gacer("compare", *models, "--precision", "fp16", "--device", f"sim:{recording}", "--search-time", "1s",
              "--time", "10ms", "--json", "report.json")  # fmt: skip
        policies = json.loads((gacer.folder / "report.json").read_text())["policies"]
        times = {policy["name"]: policy["round_ms"]["median"] for policy in policies}
        assert times["gacer"] < times["streams"] < times["sequential"], mix
