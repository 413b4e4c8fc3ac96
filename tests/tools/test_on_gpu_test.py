"""tools/test_on_gpu with a made-up bundle: which runs become the record."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "test_on_gpu"

# Each process finds the outcomes of its tests in a file of its number; "dies" ends it without results, "hangs" with
# none and "hangs_late" with results leave it waiting for a child, whose id it keeps. Tests are skipped with the reason
# that stands behind a colon.
PROGRAM = f"""#!{sys.executable} -S
import json, os, pathlib, subprocess, sys
index = os.environ["GTEST_SHARD_INDEX"]
outcomes = (pathlib.Path(__file__).parent / index).read_text().split()
def hang():
    print("waits for ever", flush=True)
    child = subprocess.Popen(["sleep", "1000"])
    with (pathlib.Path(__file__).parent / "children").open("a") as file:
        file.write(str(child.pid) + "\\n")
    child.wait()
if "dies" in outcomes:
    sys.exit("out of memory")
if "hangs" in outcomes:
    hang()
for i, o in enumerate(outcomes):
    print(f"[ RUN      ] Suite.{{index}}{{i}}")
    if o.startswith("skipped:"):
        print("a/file.cpp:28: Skipped\\n" + o.split(":")[1].replace("_", " ") + f"\\n[  SKIPPED ] Suite.{{index}}{{i}} (0 ms)")
tests = [dict(name=index + str(i), status="RUN", result="SKIPPED" if o.startswith("skipped") else "COMPLETED",
              failures=[1] if o == "failed" else []) for i, o in enumerate(outcomes) if o != "ends_badly"]
option = next(word for word in sys.argv if word.startswith("--gtest_output=json:"))
pathlib.Path(option.split(":", 1)[1]).write_text(json.dumps(
    dict(testsuites=[dict(name="Suite", testsuite=tests)] if tests else [])))
if "hangs_late" in outcomes:
    hang()
sys.exit("failed" in outcomes or "ends_badly" in outcomes)
"""
# A replay answers a round, and ends with its input; what else it does stands in its plan.
GACER = """#!/bin/sh
here=$(dirname "$0")
replay() {
  cat "$1"
  read -r line
  case $(cat "$1") in
    *silent*) return 0 ;;
    *crashes*) exit 3 ;;
    *hangs*) sleep 1000 & echo $! >> "$here/children"; wait ;;
  esac
  [ "$line" != "0 1" ] || echo 1.25000
  cat >/dev/null
}
case $1 in
  devices) echo 'cuda:0 cudnn 9.1' ;;
  replay) replay "$2" ;;
  *) echo 'gacer 1 (abc123)' ;;
esac
"""
# Runs the program behind its options. Errors are what the file "errors" says. With a file "slow" it takes a while to
# start, and the end of the input ends it meanwhile.
SANITIZER = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/sanitized"
[ "$1 $2 $3 $4" = "--target-processes all --tool memcheck" ] || exit 1
shift 4
echo "========= COMPUTE-SANITIZER"
[ ! -e "$(dirname "$0")/slow" ] || PYTHON -S "$(dirname "$0")/slow" || exit 1
"$@"
code=$?
[ ! -e "$(dirname "$0")/errors" ] || echo "========= ERROR SUMMARY: $(cat "$(dirname "$0")/errors") errors"
exit $code
"""
SLOW = """import select, sys, time
time.sleep(1.5)
poll = select.poll()
poll.register(0, select.POLLHUP)
sys.exit("its input ended" if poll.poll(0) else 0)
"""
NVIDIA_SMI = "#!/bin/sh\necho 'H100, 580'\n"


def load_script():
    loader = importlib.machinery.SourceFileLoader("test_on_gpu", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("test_on_gpu", loader))
    loader.exec_module(module)
    return module


def is_running(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # of a killed one that nobody has waited for yet


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not happen")
        time.sleep(0.05)


class TestOnGpu(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.bundle = pathlib.Path(directory.name)
        for name, text in (("test_backend_cuda", PROGRAM), ("gacer", GACER), ("nvidia-smi", NVIDIA_SMI),
                           ("compute-sanitizer", SANITIZER.replace("PYTHON", sys.executable))):  # fmt: skip
            (self.bundle / name).write_text(text)
            (self.bundle / name).chmod(0o755)
        self.out = self.bundle / "tests.json"
        (self.bundle / "errors").write_text("0")
        self.old = json.dumps({"commit": "old", "passed": 99, "memcheck_errors": 0})
        self.out.write_text(self.old)

    def environment(self):
        return {**os.environ, "PATH": f"{self.bundle}:{os.environ['PATH']}"}

    def call(self, *arguments):
        return subprocess.run([sys.executable, "-B", SCRIPT, *arguments], capture_output=True, text=True,
                              env=self.environment())  # fmt: skip

    def give(self, *processes):
        for index, outcomes in enumerate(processes):
            (self.bundle / str(index)).write_text(outcomes)

    def run_with(self, *processes, arguments=()):
        """Whether it succeeded, the counts that it printed, what it complained of."""
        self.give(*processes)
        done = self.call(self.bundle, self.out, "--processes", str(len(processes)), *arguments)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        printed = json.loads(done.stdout)
        return done.returncode == 0, [printed[k] for k in ("passed", "failed", "skipped")], done.stderr

    def assert_nothing_is_written(self):
        self.assertEqual(self.out.read_text(), self.old)

    def test_a_whole_run_is_the_record(self):
        self.assertEqual(self.run_with("passed passed", "passed skipped:no_clusters", "")[:2], (True, [3, 0, 1]))
        self.assertEqual(json.loads(self.out.read_text()), {
            "commit": "abc123", "device": "H100", "driver": "580", "cudnn": "9.1", "program": "test_backend_cuda",
            "passed": 3, "failed": 0, "skipped": 1, "skipped_tests": {"no clusters": ["Suite.11"]}, "memcheck_errors": 0})

    def test_skipped_tests_are_kept_by_their_reason(self):
        self.run_with("skipped:one_type passed skipped:a_measurement", "skipped:one_type skipped")
        self.assertEqual(json.loads(self.out.read_text())["skipped_tests"], {
            "a measurement": ["Suite.02"], "no reason": ["Suite.11"], "one type": ["Suite.00", "Suite.10"]})

    def test_failed_tests_are_recorded_and_named(self):
        succeeded, counts, complaint = self.run_with("passed failed", "passed")
        self.assertEqual((succeeded, counts), (False, [2, 1, 0]))
        self.assertIn("failed: Suite.01", complaint)
        self.assertEqual(json.loads(self.out.read_text())["failed"], 1)

    def test_a_part_of_the_tests_is_no_record(self):
        done = self.run_with("passed", "passed", arguments=["--", "--gtest_filter=A*"])
        self.assertEqual(done[:2], (True, [2, 0, 0]))
        self.assert_nothing_is_written()
        self.assertFalse(self.run_with("passed", "failed", arguments=["--", "--gtest_filter=A*"])[0])
        self.assert_nothing_is_written()

    def test_nothing_passed_is_an_error(self):
        for processes in (("", ""), ("skipped", "skipped")):
            for arguments in ([], ["--", "--gtest_filter=A*"]):
                with self.subTest(processes=processes, arguments=arguments):
                    succeeded, _, complaint = self.run_with(*processes, arguments=arguments)
                    self.assertFalse(succeeded)
                    self.assertIn("no test passed", complaint)
                    self.assert_nothing_is_written()

    def test_a_process_without_results_leaves_no_record(self):
        for other in ("passed", "passed failed"):
            with self.subTest(other=other):
                succeeded, _, complaint = self.run_with(other, "passed dies")
                self.assertFalse(succeeded)
                self.assertIn("out of memory", complaint)
                self.assertIn("a process died", complaint)
                self.assert_nothing_is_written()

    def children(self):
        """Of hung processes, by id."""
        file = self.bundle / "children"
        return file.read_text().split() if file.exists() else []

    def assert_children_are_killed(self, count):
        self.assertEqual(len(self.children()), count)
        for pid in self.children():
            wait_for(lambda pid=pid: not is_running(pid))

    def test_a_process_that_hangs_is_killed_and_leaves_no_record(self):
        for count, hung in enumerate(("passed hangs", "passed failed hangs_late"), start=1):
            with self.subTest(hung=hung):
                succeeded, _, complaint = self.run_with("passed", hung, arguments=["--patience", "3"])
                self.assertFalse(succeeded)
                self.assertIn("not done within the patience and killed:", complaint)
                self.assertIn("waits for ever", complaint)
                self.assertIn("a process died", complaint)
                self.assert_nothing_is_written()
                self.assert_children_are_killed(count)

    def end_while_it_hangs(self, number, *arguments):
        """Exit code, once a process hung."""
        # Where tests run in the background Ctrl-C is ignored, also by what they start.
        heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        known = len(self.children())
        process = subprocess.Popen(
            [sys.executable, "-B", SCRIPT, self.bundle, self.out, *arguments], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=heed, env=self.environment())  # fmt: skip
        try:
            wait_for(lambda: len(self.children()) > known)
            process.send_signal(number)
            return process.wait(60)
        finally:
            process.kill()
            process.wait()

    def test_what_runs_is_killed_when_it_is_stopped(self):
        self.give("passed", "hangs")
        for count, number in enumerate((signal.SIGINT, signal.SIGTERM), start=1):
            with self.subTest(number=number):
                self.assertNotEqual(self.end_while_it_hangs(number, "--processes", "2"), 0)
                self.assert_children_are_killed(count)
                self.assert_nothing_is_written()

    def test_a_process_that_ends_badly_leaves_no_record(self):
        for other in ("passed", "passed failed"):
            with self.subTest(other=other):
                self.assertFalse(self.run_with(other, "passed ends_badly")[0])
                self.assert_nothing_is_written()

    def memcheck(self, *options):
        """Exit code, what was written, what was complained of, the sanitizer's calls."""
        (self.bundle / "sanitized").write_text("")
        self.give("passed", "passed skipped")
        done = self.call(self.bundle, self.out, "--processes", "2", *options)
        return (done.returncode, json.loads(self.out.read_text()), done.stderr,
                (self.bundle / "sanitized").read_text().splitlines())  # fmt: skip

    def test_memcheck_runs_own_kernels_and_programs(self):
        code, record, _, calls = self.memcheck("--memcheck", "--no-tests")
        self.assertEqual((code, len(calls)), (0, 2))
        self.assertIn("--gtest_filter=*/fp16*:CudaDevice.Program*:", calls[0])
        self.assertEqual({k: record[k] for k in ("commit", "memcheck_commit", "memcheck_errors", "memcheck_cases")},
                         {"commit": "old", "memcheck_commit": "abc123", "memcheck_errors": 0, "memcheck_cases": 2})
        (self.bundle / "errors").write_text("3")
        code, record, _, _ = self.memcheck("--memcheck")
        self.assertEqual((code, record["memcheck_errors"], record["commit"]), (1, 6, "abc123"))

    def test_memcheck_that_hangs_is_no_record(self):
        self.give("passed", "hangs")
        done = self.call(self.bundle, self.out, "--processes", "2", "--memcheck", "--no-tests", "--patience", "3")
        self.assertEqual(done.returncode, 1)
        self.assertIn("waits for ever", done.stderr)
        self.assert_children_are_killed(1)
        self.assert_nothing_is_written()

    def test_memcheck_without_a_summary_is_no_record(self):
        (self.bundle / "errors").unlink()
        code, record, complaint, _ = self.memcheck("--memcheck", "--no-tests")
        self.assertEqual((code, record), (1, json.loads(self.old)))
        self.assertIn("gave no summary", complaint)

    def plans(self, *names):
        """Files of plans that do what their names say."""
        folder = self.bundle / "A_b8.plans"
        folder.mkdir()
        paths = [folder / f"{name}.plan.json" for name in names]
        for name, path in zip(names, paths):
            path.write_text(f'{{"policy": "{name}"}}\n')
        return paths

    def test_memcheck_replays_plans(self):
        self.out.write_text(json.dumps({"device": "H100", "memcheck_mix": "as it was typed"}))
        gacer, streams, silent = self.plans("gacer", "streams", "silent")
        code, record, _, calls = self.memcheck("--no-tests", "--memcheck-plan", gacer, streams)
        self.assertEqual(code, 0)
        self.assertTrue(calls[0].endswith(f"gacer replay {gacer} --device cuda --precision fp16"), calls[0])
        self.assertEqual(record, {"device": "H100", "memcheck_plans_commit": "abc123", "memcheck_plans": {
            "A_b8.plans/gacer.plan.json": 0, "A_b8.plans/streams.plan.json": 0}})
        code, same, complaint, _ = self.memcheck("--no-tests", "--memcheck-plan", silent)
        self.assertEqual((code, same), (1, record))
        self.assertIn("no round was run", complaint)
        (self.bundle / "errors").write_text("2")
        code, record, _, _ = self.memcheck("--no-tests", "--memcheck-plan", gacer)
        self.assertEqual((code, record["memcheck_plans"]), (1, {"A_b8.plans/gacer.plan.json": 2}))

    def test_a_replay_that_crashes_is_not_written(self):
        (self.bundle / "errors").unlink()  # without a summary an exit code is one of the replay
        plans = self.plans("crashes")
        code, record, complaint, _ = self.memcheck("--no-tests", "--memcheck-plan", *plans)
        self.assertEqual((code, record), (1, json.loads(self.old)))
        self.assertIn(f"the replay of {plans[0]} is not written: exit code 3", complaint)

    def test_plans_around_one_that_hangs_are_written(self):
        gacer, hangs, streams = self.plans("gacer", "hangs", "streams")
        code, record, complaint, _ = self.memcheck("--no-tests", "--patience", "3", "--memcheck-plan", gacer, hangs,
                                                   streams)
        self.assertEqual((code, record["memcheck_plans"]),
                         (1, {"A_b8.plans/gacer.plan.json": 0, "A_b8.plans/streams.plan.json": 0}))
        self.assertIn(f"the replay of {hangs} is not written: not done within the patience and killed", complaint)
        self.assertIn('"policy": "hangs"', complaint)
        self.assert_children_are_killed(1)

    def test_a_plan_is_written_before_the_next_one_is_tried(self):
        gacer, hangs = self.plans("gacer", "hangs")
        self.end_while_it_hangs(signal.SIGINT, "--no-tests", "--memcheck-plan", gacer, hangs)
        self.assert_children_are_killed(1)
        self.assertEqual(json.loads(self.out.read_text())["memcheck_plans"], {"A_b8.plans/gacer.plan.json": 0})

    def test_a_replay_s_input_stays_open_while_the_sanitizer_starts(self):
        (self.bundle / "slow").write_text(SLOW)
        code, record, complaint, _ = self.memcheck("--no-tests", "--memcheck-plan", *self.plans("gacer"))
        self.assertEqual((code, complaint), (0, ""))
        self.assertEqual(record["memcheck_plans"], {"A_b8.plans/gacer.plan.json": 0})

    def test_the_sanitizer_is_sought_in_the_toolkit_too(self):
        script, complaint = load_script(), io.StringIO()
        toolkit, wanted = self.bundle / "toolkit", self.bundle / "toolkit" / "compute-sanitizer"
        toolkit.mkdir()
        wanted.write_text(SANITIZER)
        parse = lambda: script.parse([str(self.bundle), str(self.out), "--memcheck"])[0].sanitizer
        self.assertEqual(script.TOOLKIT, "/usr/local/cuda/bin")
        with mock.patch.object(script, "TOOLKIT", str(toolkit)):
            with mock.patch.dict(os.environ, PATH="/none"):
                with contextlib.redirect_stderr(complaint), self.assertRaises(SystemExit) as end:
                    parse()  # it is no program
                wanted.chmod(0o755)
                self.assertEqual(parse(), str(wanted))
            with mock.patch.dict(os.environ, PATH=str(self.bundle)):
                self.assertEqual(parse(), str(self.bundle / "compute-sanitizer"))
        self.assertEqual(end.exception.code, 2)
        self.assertIn(f"compute-sanitizer is neither on the PATH nor in {toolkit}", complaint.getvalue())

    def test_a_record_of_another_device_is_left_alone(self):
        self.old = json.dumps({"commit": "old", "device": "H200"})
        self.out.write_text(self.old)
        self.give("passed")
        done = self.call(self.bundle, self.out, "--processes", "1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is of 'H200', and this is 'H100'", done.stderr)
        self.assert_nothing_is_written()

    def test_says_what_is_missing(self):
        plan = self.bundle / "none.plan.json"
        for arguments, complaint in (
                ((self.bundle / "none", self.out), f"there is no program {self.bundle}/none/gacer"),
                ((self.bundle, self.bundle / "none" / "out.json"), "there is no folder"),
                ((self.bundle, self.out, "--memcheck-plan", plan), f"there is no plan '{plan}'"),
                ((self.bundle, self.out, "--no-tests"), "nothing to do"),
                ((self.bundle, self.out, "--memcheck", "--", "--gtest_filter=A"), "go to the tests alone"),
                ((self.bundle,), "required: out")):  # fmt: skip
            done = self.call(*arguments)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(complaint, done.stderr)


if __name__ == "__main__":
    unittest.main()
