"""Published figures are those of the result files beside them."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_tables_and_summary_are_those_of_the_results(tmp_path):
    results = shutil.copytree(ROOT / "bench/results/h100", tmp_path / "h100")
    page = pathlib.Path(shutil.copy(ROOT / "docs/gpu.md", tmp_path))
    subprocess.run([sys.executable, ROOT / "bench/summarize_gpu.py", results, "--update", page], check=True)
    assert page.read_text() == (ROOT / "docs/gpu.md").read_text()
    assert (results / "summary.json").read_text() == (ROOT / "bench/results/h100/summary.json").read_text()
