"""Measuring in a process of its own: rows come from it, and a crash costs one variant."""

import os
import pathlib
import signal
import sqlite3
import subprocess
import time

import pytest

MODELS = ("zoo:resnet18@4", "zoo:mobilenet_v3_large@4")


def children(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def rows(path, where="1"):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
            return db.execute(f"SELECT variant, rejected FROM rows WHERE {where}").fetchall()
    except sqlite3.OperationalError:
        return []


def wait_until(process, condition, what):
    for _ in range(1200):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within a minute")


def test_rows_come_from_a_child_and_are_used(gacer, conv):
    gacer("profile", f"{conv}@2", "--measure-in", "child", "--db", "rows.db")
    measured = len(rows(gacer.folder / "rows.db"))
    assert measured > 3
    said = gacer("plan", f"{conv}@2", "--policy", "streams", "--db", "rows.db", "-v")
    assert "profile 0/" not in said.stderr
    assert len(rows(gacer.folder / "rows.db")) == measured


@pytest.mark.parametrize("command", ["run --no-guard", "run", "profile"])
def test_a_plans_tenants_are_measured_in_a_child_too(gacer, conv, dense, command):
    gacer("plan", f"{conv}@2", f"{dense}@2", "--policy", "streams", "--save-plan", "plan.json", "--db", "first.db")
    command = [*command.split(), "--plan", "plan.json", "--measure-in", "child", "--db", "fresh.db"]
    with subprocess.Popen([gacer.path, *command], cwd=gacer.folder, env=gacer.environment) as process:
        seen = False
        while process.poll() is None:
            seen = seen or children(process.pid) != []
    assert process.returncode == 0
    needs_rows = "--no-guard" not in command
    assert seen == needs_rows and (len(rows(gacer.folder / "fresh.db")) > 3) == needs_rows


def test_a_variant_that_kills_the_child_is_set_aside(gacer, tmp_path):
    path = tmp_path / "rows.db"
    process = subprocess.Popen([gacer.path, "profile", *MODELS, "--measure-in", "child", "--db", "rows.db"], cwd=tmp_path,
                               env=gacer.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    wait_until(process, lambda: len(rows(path)) > 2, "rows")
    # Between two variants there is nobody to blame, and it is just started again: until a shot hits.
    quarantined = []
    while not quarantined:
        shot = children(process.pid)
        os.kill(shot[0], signal.SIGKILL)
        wait_until(process, lambda: children(process.pid) not in ([], shot), "another child")
        quarantined = rows(path, "rejected LIKE 'quarantined: signal 9%'")
    assert len(quarantined) == 1
    before = len(rows(path))
    wait_until(process, lambda: len(rows(path)) > before, "more rows")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "kept" in said and "set aside" in said
    assert not children(process.pid)
