"""bench/soak.py: rounds for as long as asked, and what goes wrong in them."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Answers as `gacer replay` does; the second plan's rounds take 2 ms. Then something happens to it.
REPLAY = """#!{python}
import itertools, json, sys, time
print('{{"ready": true}}')
print('{{"plans": [{{"policy": "streams"}}, {{"policy": "gacer"}}]}}', flush=True)
plan = 0
for count in itertools.count():
    line = sys.stdin.readline()
    if not line:
        break
    if line == "digest\\n":
        print("fa11" if {changes} and plan == 1 and count > 20 else f"{{plan:04}}", flush=True)
        continue
    if line.startswith("check"):
        step = {{"lane": 0, "tenant": "net", "node": 5, "chunk": [0, 2], "variant": "fast", "bytes": 64, "first": 128, "last": 191, "size": 512}}
        found = [step] if {differs} and line.startswith("check 1") else []
        print(json.dumps({{"rounds": 3, "differences": found}}), flush=True)
        continue
    plan, rounds = map(int, line.split())
    if {hangs} and count > 20:
        time.sleep(60)
    if {dies} and plan == 1 and count > 20:
        sys.exit("gacer: device error: unspecified launch failure")
    print(" ".join(["1.0", "2.0"][plan] for _ in range(rounds)), flush=True)
"""


@pytest.fixture
def soak(tmp_path):
    def run(*arguments, changes=False, differs=False, dies=False, hangs=False):
        replay = tmp_path / "replay"
        replay.write_text(REPLAY.format(python=sys.executable, changes=changes, differs=differs, dies=dies, hangs=hangs))
        replay.chmod(0o755)
        command = [sys.executable, str(ROOT / "bench/soak.py"), "--gacer", str(replay), "--turn", "0.01", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)

    return run


def test_says_how_rounds_behave(soak, tmp_path):
    result = soak("--seconds", "0.5", "--json", "soak.json", "a.plan.json", "b.plan.json")
    assert result.returncode == 0, result.stderr
    streams, gacer = json.loads((tmp_path / "soak.json").read_text())
    assert (streams["policy"], streams["median_ms"], gacer["p99_ms"]) == ("streams", 1, 2)
    assert streams["rounds"] == 2 * gacer["rounds"] > 0, "turns of equal time"
    assert result.stdout.count("the same") == 2


def test_a_changed_output_is_told(soak):
    result = soak("--seconds", "20", "a.plan.json", "b.plan.json", changes=True)
    assert result.returncode == 1 and "gave other outputs" in result.stderr
    assert "  changed" in result.stdout


def test_a_death_is_told_with_the_plan(soak):
    result = soak("--seconds", "20", "a.plan.json", "b.plan.json", dies=True)
    assert result.returncode == 1
    assert "died in a turn of gacer, after rounds of streams " in result.stderr
    assert "unspecified launch failure" in result.stderr


def test_a_program_that_hangs_is_killed(soak):
    result = soak("--seconds", "20", "--patience", "0.5", "a.plan.json", "b.plan.json", hangs=True)
    assert result.returncode == 1 and "hung in a turn of" in result.stderr


def test_a_step_that_differs_is_told(soak):
    result = soak("--seconds", "20", "--check-steps", "a.plan.json", "b.plan.json", differs=True)
    assert result.returncode == 1
    assert "gacer: within " in result.stderr and "net, node 5, items [0, 2], fast: 64 bytes in 128..191 of 512" in result.stderr


def test_runs_saved_plans(gacer, conv, tmp_path):
    gacer("plan", f"{conv}@2", "--policy", "streams", "--save-plan", "plan.json", "--measurements", "2")
    command = [sys.executable, str(ROOT / "bench/soak.py"), "--gacer", gacer.path, "--seconds", "0.3", "--check-steps", "plan.json", "--", "--seed", "3"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=gacer.environment)
    assert result.returncode == 0, result.stderr
    assert "streams" in result.stdout and "the same" in result.stdout
