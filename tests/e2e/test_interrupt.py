"""Ctrl-C: exit code 130, what was measured is kept, a second one kills."""

import signal
import sqlite3
import subprocess
import time

MODELS = ("zoo:resnet18@4", "zoo:mobilenet_v3_large@4")


def count_rows(path):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
            return max((db.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in tables), default=0)
    except sqlite3.Error:
        return 0


def start_profile(gacer, folder):
    return subprocess.Popen([gacer.path, "profile", *MODELS, "--db", "rows.db"], cwd=folder, env=gacer.environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip


def wait_for_rows(process, path):
    for _ in range(600):
        if count_rows(path) > 2:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("no rows after a minute")


def test_rows_are_kept(gacer, tmp_path):
    process = start_profile(gacer, tmp_path)
    wait_for_rows(process, tmp_path / "rows.db")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted" in said and "kept" in said
    kept = count_rows(tmp_path / "rows.db")
    assert kept > 2
    # A second attempt goes on from there.
    process = start_profile(gacer, tmp_path)
    for _ in range(600):
        if count_rows(tmp_path / "rows.db") > kept or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert count_rows(tmp_path / "rows.db") >= kept


def test_the_second_signal_kills(gacer, tmp_path):
    process = start_profile(gacer, tmp_path)
    wait_for_rows(process, tmp_path / "rows.db")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130)


def test_a_replay_that_waits_for_requests_stops(gacer, conv, tmp_path):
    gacer("run", conv, "--policy", "sequential", "--time", "50ms", "--save-plan", "a.plan.json")
    process = subprocess.Popen([gacer.path, "replay", "a.plan.json"], cwd=tmp_path, env=gacer.environment, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert "ready" in process.stdout.readline() and "plans" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
