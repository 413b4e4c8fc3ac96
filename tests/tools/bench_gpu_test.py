"""bench/gpu.py with a made-up gacer and a made-up PyTorch worker: what becomes of cells that fail."""

import argparse
import collections
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import numpy
import onnx
from onnx import TensorProto, helper

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "bench"))
import gpu  # noqa: E402

# A model's name says what goes wrong with it. `replay` leaves its process id.
GACER = f"""#!{sys.executable} -S
import json, os, pathlib, shutil, sys, time
here = pathlib.Path(__file__).parent
command, *rest = sys.argv[1:]
if command == "--version":
    sys.exit(print((here / "version").read_text()))
after = lambda option: rest[rest.index(option) + 1]
if command == "zoo":
    shutil.copy(here / "model.onnx", after("--out"))
elif command == "profile":
    (here / "profiled").open("a").write(after("--db").split("/")[-1] + "\\n")
    sys.exit("unprofiled@" in rest[0])
elif command == "compare":
    (here / "planned").open("a").write(after("--search-time") + "\\n")
    if any("unplanned@" in word for word in rest):
        sys.exit("no plan")
    if any("endless@" in word for word in rest):
        time.sleep(60)
    policies = [dict(name=name, round_ms=dict(median=1), outputs_match=True) for name in ("streams", "gacer")]
    pathlib.Path(after("--json")).write_text(json.dumps(dict(
        command="gacer compare", policies=policies, chosen="gacer", guard=None, commit="new", device=None)))
    out = pathlib.Path(after("--output"))
    out.mkdir(exist_ok=True)
    for model in (word[4:].split("@")[0] for word in rest if word.startswith("zoo:")):
        wrong = here / (model + ".npy")
        shutil.copy(wrong if wrong.exists() else here / "right.npy", out / (model + ".y.npy"))
elif command == "run":
    policy = pathlib.Path(after("--plan")).name.split(".")[0]
    rows = [dict(groups=[0, 0], units=132, expected_kernels=9, seen_kernels=9, busy_ms=1.0)]
    report = dict(command="gacer run", commit="new", device=dict(name="H200"), placement=rows)
    if policy == (here / "unseen").read_text():
        del report["placement"]
        print("warning: libcupti.so.13 cannot be loaded" if "--quiet" not in rest else "")
    pathlib.Path(after("--json")).write_text(json.dumps(report))
elif command == "replay":
    (here / "replays").open("a").write(str(os.getpid()) + "\\n")
    print(json.dumps(dict(device_bytes=1, start_s={{}})), flush=True)
    print(json.dumps(dict(plans=[dict(assemble_ms=1, launch_us=1)] * 2)), flush=True)
    for line in sys.stdin:
        if "sleeping" in rest[0]:
            time.sleep(60)
        print(" ".join(["1.0"] * int(line.split()[1])), flush=True)
"""

WORKER = """
import json, pathlib, shutil, subprocess, sys, time
here = pathlib.Path(sys.argv[1])
(here / "workers").open("a").write("started\\n")
print(json.dumps(dict(torch="2")), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    answer = {}
    if "load" in request:
        answer = dict(compile_s=1, reserved_bytes=1)
    elif "run" in request:
        if "deadly" in request["models"]:
            sys.exit("out of memory")
        if "hung" in request["models"]:  # a child holds the pipe open
            subprocess.Popen(["sleep", "60"])
            time.sleep(60)
        answer = dict(ms=[2.0] * request["rounds"])
    elif "output" in request:
        is_strange = request["output"] == "strange" and request["precision"] == "fp16"
        shutil.copy(here / ("nan.npy" if is_strange else "right.npy"), request["file"])
    print("garbage" if "garbled" in request.get("models", []) else json.dumps(answer), flush=True)
"""


def interrupt(*_):
    raise KeyboardInterrupt


class BenchGpu(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.out = self.root / "out"
        self.out.mkdir()
        (self.root / "gacer").write_text(GACER)
        (self.root / "gacer").chmod(0o755)
        (self.root / "version").write_text("1")
        (self.root / "unseen").write_text("")
        (self.root / "worker.py").write_text(WORKER)
        info = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [info("x")], [info("y")])
        onnx.save(helper.make_model(graph), self.root / "model.onnx")
        for name, values in (("right", [1, 2, 3]), ("nan", [1, numpy.nan, 3]), ("inf", [1, numpy.inf, 3]),
                             ("far", [1, 2, 3.1]), ("near", [1, 2, 3.01])):
            numpy.save(self.root / f"{name}.npy", numpy.array(values, numpy.float32))

    def make_bench(self, *cells, **options):
        bench = gpu.Bench(argparse.Namespace(**{
            **dict(cells=list(cells), gacer=str(self.root / "gacer"), out=str(self.out),
                   work=str(self.root / "work"), batch=8, turns=2, rounds=4, measurements=1, search_time="1s",
                   time="1s", plan_only=False, missing=False, max_autotune=False, autotune_limit=0, mps=False,
                   seconds=1e9, patience=60, placement=False),
            **options}))
        bench.mixes = {"mix": ["good", "far"]}
        bench.peers.warm = lambda *_: {}
        command = [sys.executable, "-S", str(self.root / "worker.py"), str(self.root)]
        bench.peers.start_worker = lambda log: gpu.Process(command, bench.file(log), patience_s=bench.args.patience)
        return bench

    def run_cells(self, *cells, plan_only=False, start_worker=None, **options):
        bench = self.make_bench(*cells, plan_only=plan_only, **options)
        bench.peers.start_worker = start_worker or bench.peers.start_worker
        for cell in cells:
            (self.out / f"{cell}_b8.json").write_text("old")
        with contextlib.redirect_stdout(io.StringIO()) as self.said:
            results = bench.run()
        self.assertIsNone(bench.peers.worker)
        measured = [] if plan_only else [cell for cell in cells if cell not in bench.failed]
        self.assertEqual([result["cell"] for result in results], measured)
        return bench

    def written(self):
        """Cells that have a result file, which must be strict JSON."""
        def refuse(word):
            self.fail(f"{word} is no JSON")

        files = {path.stem.removesuffix("_b8"): path.read_text() for path in self.out.iterdir()}
        for text in files.values():
            self.assertEqual(json.loads(text, parse_constant=refuse)["commit"], "new")
        return sorted(files)

    def assert_no_replay_is_left(self):
        for process in (self.root / "replays").read_text().split():
            with self.assertRaises(ProcessLookupError):
                os.kill(int(process), 0)

    def test_writes_every_cell(self):
        bench = self.run_cells("good", "near")
        self.assertEqual(bench.failed, {})
        self.assertEqual(self.written(), ["good", "near"])
        self.assert_no_replay_is_left()

    def test_a_cell_that_cannot_be_prepared_leaves_the_others(self):
        bench = self.run_cells("unprofiled", "unplanned", "good")
        self.assertEqual(list(bench.failed), ["unprofiled", "unplanned"])
        self.assertIn("no plan", bench.failed["unplanned"])
        self.assertEqual(self.written(), ["good"])

    def test_garbled_answers_fail_their_cell_alone(self):
        bench = self.run_cells("garbled", "good")
        self.assertEqual(list(bench.failed), ["garbled"])
        self.assertEqual(self.written(), ["good"])
        self.assert_no_replay_is_left()

    def test_the_worker_s_end_costs_its_cell_alone(self):
        bench = self.run_cells("good", "deadly", "near")
        self.assertEqual(list(bench.failed), ["deadly"])
        self.assertIn("out of memory", bench.failed["deadly"])
        self.assertEqual(self.written(), ["good", "near"])
        self.assertEqual((self.root / "workers").read_text().split(), ["started"] * 2)
        self.assert_no_replay_is_left()

    def test_programs_that_hang_are_killed_and_the_others_measured(self):
        begin = time.monotonic()
        bench = self.run_cells("endless", "hung", "sleeping", "near", patience=4)
        self.assertLess(time.monotonic() - begin, 50)
        self.assertEqual(sorted(bench.failed), ["endless", "hung", "sleeping"])
        self.assertIn("not done after 4 s and killed", bench.failed["endless"])
        for cell in ("hung", "sleeping"):
            self.assertIn("gave no answer within 4 s and was killed", bench.failed[cell])
        self.assertEqual(self.written(), ["near"])
        self.assert_no_replay_is_left()

    def test_says_where_kernels_ran(self):
        def place(**options):
            bench = self.make_bench("mix", placement=True, **options)
            with contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(bench.run(), [])
            return bench

        path = self.out / "placement_mix_b8.json"
        (self.root / "unseen").write_text("partition")
        bench = place()
        self.assertIn("could not see where partition's kernels ran: warning: libcupti", bench.failed["mix"])
        self.assertFalse(path.exists())
        (self.root / "unseen").write_text("")
        (self.root / "version").write_text("gacer 0.1.0 (new)")
        self.assertEqual(place().failed, {})
        self.assertEqual(list(json.loads(path.read_text())["plans"]), ["gacer", "partition"])
        planned = (self.root / "planned").read_text()
        place()
        self.assertEqual((self.root / "planned").read_text(), planned, "its plans are there")
        self.assertEqual(place(missing=True).cells, [])

    def test_mixes_may_be_named_as_such(self):
        def call(*arguments):
            command = [sys.executable, "-B", pathlib.Path(gpu.__file__), "--gacer", self.root / "gacer", "--out",
                       self.out, "--work", self.root / "work", "--batch", "8", "--plan-only", *arguments]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True)
            return done.returncode, done.stdout, done.stderr

        code, said, _ = call("near", "--mix", "A", "C")
        self.assertEqual(code, 0)
        for name in ("planned A_b8", "planned C_b8", "planned near_b8"):
            self.assertIn(name, said)
        code, _, complaint = call("--mix", "Z")
        self.assertEqual(code, 2)
        self.assertIn("no mix Z; it has A, B", complaint)
        self.assertIn("name a CELL", call()[2])

    def test_without_a_worker_all_cells_are_listed(self):
        def start_worker(log):
            raise FileNotFoundError("no PyTorch")

        bench = self.run_cells("good", "unplanned", "near", start_worker=start_worker)
        self.assertEqual(sorted(bench.failed), ["good", "near", "unplanned"])
        self.assertEqual(self.written(), [])

    def test_wrong_outputs_fail(self):
        bench = self.run_cells("nan", "inf", "far", "mix", "near")
        self.assertEqual(list(bench.failed), ["nan", "inf", "far", "mix"])
        for cell in bench.failed:
            self.assertIn("differs from PyTorch's", bench.failed[cell])
        self.assertEqual(self.written(), ["near"])

    def test_outputs_of_pytorch_without_numbers_are_null(self):
        self.assertEqual(self.run_cells("strange").failed, {})
        self.assertEqual(self.written(), ["strange"])
        errors = json.loads((self.out / "strange_b8.json").read_text())["output_errors"]
        self.assertEqual(errors, {"strange": {"gacer_fp16": 0, "torch_fp16": None}})

    def test_planning_alone_keeps_result_files(self):
        self.assertEqual(list(self.run_cells("unplanned", "good", plan_only=True).failed), ["unplanned"])
        self.assertEqual([path.read_text() for path in self.out.iterdir()], ["old", "old"])

    def test_plans_of_an_earlier_call_are_taken_if_nothing_has_changed(self):
        def planned():
            return (self.root / "planned").read_text().split()

        self.run_cells("good", "unplanned", plan_only=True)
        self.run_cells("good", "unplanned")
        self.assertEqual(planned(), ["1s"] * 3, "the cell that failed is tried again")
        self.assertEqual(self.written(), ["good"])
        self.run_cells("good", search_time="2s")
        (self.root / "version").write_text("2")
        self.run_cells("good", search_time="2s")
        self.run_cells("good", search_time="2s")
        self.assertEqual(planned(), ["1s"] * 3 + ["2s"] * 2)

    def test_what_this_program_has_measured_is_not_missing(self):
        (self.root / "version").write_text("gacer 0.1.0 (new)")
        self.run_cells("good", "far", "near")
        with contextlib.redirect_stdout(io.StringIO()):
            results = self.make_bench("good", "far", "near", missing=True).run()
        self.assertEqual(results, [], "far has failed again")
        self.assertEqual(self.written(), ["good", "near"])

        for expected, options in ((True, {"mps": True}), (False, {"max_autotune": True})):
            self.assertEqual(self.make_bench("good", **options).is_measured("good"), expected, options)
        (self.out / "mix_b8.json").write_text((self.out / "good_b8.json").read_text())
        self.assertTrue(self.make_bench("mix").is_measured("mix"))
        self.assertFalse(self.make_bench("mix", mps=True).is_measured("mix"), "mixes have it")
        (self.root / "version").write_text("gacer 0.1.0 (newer)")
        self.assertFalse(self.make_bench("good").is_measured("good"))
        (self.out / "good_b8.json").write_text('{"commit": "new')
        self.assertFalse(self.make_bench("good").is_measured("good"), "cut short")

    def test_nothing_is_begun_when_the_time_is_over(self):
        (self.root / "version").write_text("gacer 0.1.0 (new)")
        bench = self.make_bench("good", "near", missing=True)
        measure = bench.measure

        def measure_long(*args):
            bench.end = 0
            return measure(*args)

        bench.measure = measure_long
        with contextlib.redirect_stdout(io.StringIO()):
            with self.assertRaises(gpu.TimeIsOver):
                bench.run()
            self.assertIsNone(bench.peers.worker)
            self.assertEqual(self.written(), ["good"])
            with self.assertRaises(gpu.TimeIsOver):
                self.make_bench("mix", seconds=-1).run()
            self.assertEqual((self.root / "profiled").read_text().split(), ["profile_new.db"] * 2)
            results = self.make_bench("good", "near", missing=True).run()
        self.assertEqual([result["cell"] for result in results], ["near"])
        self.assertEqual(self.written(), ["good", "near"])

    def test_a_profile_is_made_once_by_each_program_and_has_no_time_when_it_was_cut_short(self):
        def seconds():
            return json.loads((self.out / "good_b8.json").read_text())["profile_s"]

        self.run_cells("good")
        self.assertEqual(list(seconds()), ["good"])
        self.run_cells("good")
        self.assertEqual(list(seconds()), ["good"])
        self.assertEqual((self.root / "profiled").read_text().split(), ["profile_1.db"])
        (self.root / "version").write_text("gacer 0.1.0 (new)")
        with self.assertRaises(KeyboardInterrupt):
            bench = self.make_bench("good")
            gpu.run_checked, original = interrupt, gpu.run_checked
            try:
                bench.profile("good")
            finally:
                gpu.run_checked = original
        self.run_cells("good")
        self.assertEqual(seconds(), {})
        self.assertEqual((self.root / "profiled").read_text().split(), ["profile_1.db", "profile_new.db"])

    def test_each_contender_follows_each_other_equally_often(self):
        for contenders in range(3, 13):
            turns = contenders * (1 if contenders % 2 == 0 else 2)
            pairs = collections.Counter()
            for turn in range(turns):
                order = gpu.turn_order(contenders, turn)
                self.assertEqual(sorted(order), list(range(contenders)))
                pairs.update(zip(order, order[1:]))
                self.assertNotEqual(gpu.turn_order(contenders, turn + 1)[0], order[-1])
            self.assertEqual(len(pairs), contenders * (contenders - 1))
            self.assertLessEqual(len(set(pairs.values())), 1)
        self.assertEqual([gpu.turn_order(2, turn) for turn in range(3)], [[0, 1]] * 3)
        self.assertEqual(gpu.turn_order(1, 3), [0])

    def test_turns_go_on_until_the_medians_are_known(self):
        def turns(**contenders):
            taken = self.make_bench(turns=4).take_turns(
                {name.replace("_", ":"): (lambda times=iter(times): [next(times)] * 2)
                 for name, times in contenders.items()})
            return {name: len(times["turn_medians_ms"]) for name, times in taken.items()}

        steady, restless, wild = [1.0] * 16, [1.0, 1.2] * 8, [1.0, 9.0] * 8
        one_far, settling = [1.0, 1.5, 1.0] + [1.01] * 13, [1.0, 1.05, 1.0, 1.05] + [1.02] * 12
        self.assertEqual(turns(gacer_a=steady, torch_b=steady), {"gacer:a": 4, "torch:b": 4})
        self.assertEqual(turns(gacer_a=steady, torch_eager=wild), {"gacer:a": 4, "torch:eager": 4})
        self.assertEqual(turns(gacer_a=steady, torch_b=restless), {"gacer:a": 16, "torch:b": 16})
        self.assertLess(turns(gacer_a=one_far)["gacer:a"], 8)
        self.assertTrue(4 < turns(gacer_a=settling)["gacer:a"] < 16)


if __name__ == "__main__":
    unittest.main()
