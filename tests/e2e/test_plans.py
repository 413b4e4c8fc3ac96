"""Saved plans: replayed in another process as they were, refused when they are not what they claim to be."""

import copy
import json
import os
import pathlib
import re
import sqlite3

import pytest
from conftest import ROOT, make_dense_net

H200 = f"sim:{ROOT}/bench/results/h200/cnn_b8.rec.json"
QUICK = ("--time", "100ms", "--rounds", "3")
SEARCH = ("--evaluations", "200", "--measurements", "4")
USAGE, PLAN, UNSUPPORTED, DEVICE = 2, 3, 4, 6


@pytest.fixture
def plan(gacer, conv, dense, tmp_path):
    gacer("plan", f"{conv}@4", f"{dense}@4", "--policy", "gacer", "--save-plan", "plan.json", *SEARCH)
    return json.loads((tmp_path / "plan.json").read_text())


def refuse(gacer, plan, folder, *models):
    (folder / "edited.json").write_text(json.dumps(plan))
    said = gacer("run", "--plan", "edited.json", "--no-guard", *models, *QUICK, code=PLAN).stderr
    assert said.count(" error: ") == 1 and "plan error: " in said, said
    return said


def steps_of(plan):
    return [step for lane in plan["lanes"] for step in lane["steps"]]


def test_a_replay_runs_the_same_plan(gacer, conv, dense, tmp_path):
    models = (f"{conv}@4", f"{dense}@4")
    gacer("run", *models, "--policy", "gacer", "--save-plan", "plan.json", "--json", "first.json", *SEARCH, *QUICK)
    gacer("run", "--plan", "plan.json", *models, "--no-guard", "--save-plan", "again.json", "--json", "second.json", *QUICK)
    first, again = (json.loads((tmp_path / name).read_text()) for name in ("plan.json", "again.json"))
    assert first["lanes"] == again["lanes"] and first["sync_points"] == again["sync_points"]
    launches = [json.loads((tmp_path / name).read_text()) for name in ("first.json", "second.json")]
    of_plan = lambda report: [p["launches"] for p in report["policies"] if p["name"] == first["policy"]]
    assert of_plan(launches[0]) == of_plan(launches[1]) != []
    assert launches[1]["policies"][0]["outputs_match"] is True


def test_a_replay_needs_no_profile(gacer, conv, dense, plan, tmp_path):
    gacer("run", "--plan", "plan.json", f"{conv}@4", f"{dense}@4", "--no-guard", "--db", "fresh.db", *QUICK)


def test_rounds_of_saved_plans_on_request(gacer, conv, dense, tmp_path):
    gacer("compare", f"{conv}@4", f"{dense}@4", "--policies", "sequential,streams", "--save-plans", "plans", *SEARCH, *QUICK)
    files = [f"plans/{name}.plan.json" for name in ("sequential", "streams")]
    ready, costs, *answers = gacer("replay", *files, input="0 2\n1 3\n").stdout.splitlines()
    assert json.loads(ready)["ready"] is True
    start_s = json.loads(ready)["start_s"]
    assert list(start_s) == ["device", "models", "plan", "round"] and sum(start_s.values()) > 0
    assert [c["policy"] for c in json.loads(costs)["plans"]] == ["sequential", "streams"]
    assert all(c["assemble_ms"] > 0 for c in json.loads(costs)["plans"])
    assert [len(line.split()) for line in answers] == [2, 3]
    assert all(float(ms) > 0 for line in answers for ms in line.split())
    said = gacer("replay", files[0], input="1 1\n", code=2).stderr
    assert "there is no loaded plan 1" in said


def test_outputs_of_rounds_have_a_digest(gacer, conv, dense, plan):
    ask = lambda *options: gacer("replay", "plan.json", *options, input="0 1\ndigest\n0 4\ndigest\n").stdout.splitlines()[2:]
    _, first, _, again = ask()
    assert first == again and re.fullmatch("[0-9a-f]{16}", first)
    assert ask("--seed", "2")[1] != first, "other weights"
    said = gacer("replay", "plan.json", input="digests\n", code=2).stderr
    assert "'digests' is neither PLAN ROUNDS nor check PLAN ROUNDS nor digest" in said


def test_steps_of_rounds_are_compared_with_lone_ones(gacer, conv, dense, plan):
    answer, _ = gacer("replay", "plan.json", input="check 0 3\n0 1\n").stdout.splitlines()[2:]
    assert json.loads(answer) == {"rounds": 3, "differences": []}
    assert "there is no loaded plan 4" in gacer("replay", "plan.json", input="check 4 1\n", code=2).stderr
    assert "'check 0' is neither" in gacer("replay", "plan.json", input="check 0\n", code=2).stderr


def test_a_simulated_device_has_no_steps_to_compare(gacer, conv, tmp_path):
    gacer("profile", f"{conv}@2", "--record", "rec.json")
    sim = ("--device", "sim:rec.json")
    gacer("plan", f"{conv}@2", *sim, "--policy", "streams", "--save-plan", "sim.json", *SEARCH)
    assert "computes nothing" in gacer("replay", "sim.json", *sim, input="check 0 1\n", code=UNSUPPORTED).stderr


def test_plans_name_dimensions_and_priorities(gacer, tmp_path):
    net = make_dense_net(tmp_path / "rows.onnx", rows="R")
    gacer("plan", f"{net}@2?R=3,priority=high", "--policy", "sequential", "--save-plan", "plan.json", *SEARCH)
    (tenant,) = json.loads((tmp_path / "plan.json").read_text())["tenants"]
    assert tenant["dims"] == {"R": 3} and tenant["priority"] == 1
    assert "ms" in gacer("explain", "plan.json").stdout
    gacer("run", "--plan", "plan.json", "--no-guard", *QUICK)
    assert len(gacer("replay", "plan.json", input="0 2\n").stdout.splitlines()) == 3


def test_a_policys_name_is_no_path(gacer, conv, plan, tmp_path):
    plan["policy"] = '../escaped "'
    (tmp_path / "edited.json").write_text(json.dumps(plan))
    gacer("run", "--plan", "edited.json", "--no-guard", "--save-plans", "plans", *QUICK)
    assert not list(tmp_path.glob("escaped*"))
    _, costs = gacer("replay", "edited.json", input="").stdout.splitlines()
    assert json.loads(costs)["plans"][0]["policy"] == plan["policy"]


def test_explain_reads_well(gacer, conv, dense, plan, tmp_path):
    said = gacer("explain", "plan.json", f"{conv}@4", f"{dense}@4").stdout
    assert "conv" in said and "dense" in said
    assert re.search(r"\d ms", said)


def test_explain_measures_nothing(gacer, plan):
    said = gacer("explain", "plan.json", "--db", "fresh.db")
    assert "no times" in said.stdout and "gacer profile --plan" in said.stdout and "profile" not in said.stderr
    assert "lane 0" in said.stdout
    gacer("profile", "--plan", "plan.json", "--db", "fresh.db")
    assert "would take" in gacer("explain", "plan.json", "--db", "fresh.db").stdout


def test_a_plan_is_not_compared_with_what_the_profile_has_rejected(gacer, plan, tmp_path):
    gacer("profile", "--plan", "plan.json", "--db", "rows.db")
    with sqlite3.connect(tmp_path / "rows.db") as db:
        db.execute("UPDATE rows SET rejected = 'gives wrong numbers'")
    said = gacer("run", "--plan", "plan.json", "--no-guard", "--db", "rows.db", *QUICK, code=UNSUPPORTED).stderr
    assert "no variant of node" in said and "gives wrong numbers" in said


def test_explain_counts_the_sms_of_a_gpu(gacer, sim_plan, tmp_path):
    plan = json.loads((tmp_path / sim_plan).read_text())
    for step in steps_of(plan)[:2]:
        step["budget"] = [0, 8]
    (tmp_path / sim_plan).write_text(json.dumps(plan))
    said = gacer("explain", sim_plan, "--device", H200).stdout
    assert "64 SMs (groups [0, 8))" in said and "all 132 SMs" in said
    assert "0.000 ms" not in said


def test_explain_has_no_bounds_where_peaks_are_unknown(gacer, sim_plan, tmp_path):
    recording = json.loads(pathlib.Path(H200.removeprefix("sim:")).read_text())
    for peak, bound in ((0, "arithmetic -, memory -;"), (1e15, "ms, memory")):
        recording["device"] |= {"peak_flops": peak, "peak_bandwidth": peak}
        (tmp_path / "peaks.rec.json").write_text(json.dumps(recording))
        assert bound in gacer("explain", sim_plan, "--device", "sim:peaks.rec.json").stdout


def test_another_models_plan_is_refused(gacer, conv, dense, plan, tmp_path):
    said = refuse(gacer, plan, tmp_path, f"{dense}@4", f"{conv}@4")
    assert "conv" in said or "dense" in said
    refuse(gacer, plan, tmp_path, f"{conv}@4")
    refuse(gacer, plan, tmp_path, f"{conv}@2", f"{dense}@4")


def test_another_devices_plan_is_refused(gacer, conv, dense, plan, tmp_path):
    plan["device"] = "cuda/Some other device"
    assert "Some other device" in refuse(gacer, plan, tmp_path, f"{conv}@4", f"{dense}@4")


@pytest.fixture
def sim_plan(gacer):
    """A plan in fp16 of a recorded GPU."""
    gacer("plan", "zoo:alexnet@8", "--device", H200, "--precision", "fp16", "--policy", "gacer", "--save-plan", "sim.json", *SEARCH)
    return "sim.json"


def test_a_plan_brings_its_precision(gacer, sim_plan):
    assert "fp16" in gacer("explain", sim_plan, "--device", H200).stdout
    gacer("run", "--plan", sim_plan, "--device", H200, *QUICK)
    said = gacer("explain", sim_plan, "--device", H200, "--precision", "f32", code=PLAN).stderr
    assert "'fp16'" in said and "add --precision fp16" in said


def test_a_recorded_devices_plan_asks_for_the_recording(gacer, sim_plan):
    for command in (["explain", sim_plan], ["run", "--plan", sim_plan], ["replay", sim_plan], ["profile", "--plan", sim_plan]):
        assert "--device sim:FILE" in gacer(*command, code=USAGE, input="").stderr


def test_a_gpus_plan_goes_to_the_gpu(gacer, plan, tmp_path):
    plan["device"] = "cuda|NVIDIA Abacus|3x8|cudnn=1.2.3"
    (tmp_path / "gpu.json").write_text(json.dumps(plan))
    said = gacer("explain", "gpu.json", code=PLAN if os.path.exists("/dev/nvidia0") else DEVICE).stderr
    assert "NVIDIA Abacus" in said, said
    assert "add --device cuda" in gacer("explain", "gpu.json", "--device", "cpu", code=PLAN).stderr


def test_edited_plans_are_refused(gacer, conv, dense, plan, tmp_path):
    models = (f"{conv}@4", f"{dense}@4")

    def edited(change):
        other = copy.deepcopy(plan)
        change(other)
        return refuse(gacer, other, tmp_path, *models)

    def set_variant(other):
        steps_of(other)[0]["variant"] = "nobody/1.0/knows=this"

    assert "nobody/1.0/knows=this" in edited(set_variant)
    edited(lambda other: other["lanes"][0]["steps"].pop())
    edited(lambda other: other["lanes"][0]["steps"].append(other["lanes"][0]["steps"][0]))
    edited(lambda other: other["lanes"][0]["steps"].reverse())


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"policy": 7}', "null", '{"lanes": "many"}', "\x00\xff"])
def test_garbage_is_refused(gacer, conv, tmp_path, text):
    (tmp_path / "plan.json").write_text(text, encoding="latin-1")
    said = gacer("run", "--plan", "plan.json", conv, *QUICK, code=PLAN).stderr
    assert "plan.json" in said and said.count(" error: ") == 1, said
