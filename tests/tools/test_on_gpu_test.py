"""tools/test_on_gpu with a made-up bundle: which runs become the record."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "test_on_gpu"

# Each process finds the outcomes of its tests in a file of its number; "dies" ends it without results. Tests are
# skipped with the reason that stands behind a colon.
PROGRAM = f"""#!{sys.executable} -S
import json, os, pathlib, sys
index = os.environ["GTEST_SHARD_INDEX"]
outcomes = (pathlib.Path(__file__).parent / index).read_text().split()
if "dies" in outcomes:
    sys.exit("out of memory")
for i, o in enumerate(outcomes):
    print(f"[ RUN      ] Suite.{{index}}{{i}}")
    if o.startswith("skipped:"):
        print("a/file.cpp:28: Skipped\\n" + o.split(":")[1].replace("_", " ") + f"\\n[  SKIPPED ] Suite.{{index}}{{i}} (0 ms)")
tests = [dict(name=index + str(i), status="RUN", result="SKIPPED" if o.startswith("skipped") else "COMPLETED",
              failures=[1] if o == "failed" else []) for i, o in enumerate(outcomes) if o != "ends_badly"]
option = next(word for word in sys.argv if word.startswith("--gtest_output=json:"))
pathlib.Path(option.split(":", 1)[1]).write_text(json.dumps(
    dict(testsuites=[dict(name="Suite", testsuite=tests)] if tests else [])))
sys.exit("failed" in outcomes or "ends_badly" in outcomes)
"""
GACER = """#!/bin/sh
case $1 in
  devices) echo 'cuda:0 cudnn 9.1' ;;
  replay) read -r line; [ "$line" != "0 1" ] || grep -qs silent "$2" || echo 1.25000; cat "$2" ;;
  *) echo 'gacer 1 (abc123)' ;;
esac
"""
# Runs the program behind its options. Errors are what the file "errors" says.
SANITIZER = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/sanitized"
[ "$1 $2 $3 $4" = "--target-processes all --tool memcheck" ] || exit 1
shift 4
echo "========= COMPUTE-SANITIZER"
"$@"
code=$?
[ ! -e "$(dirname "$0")/errors" ] || echo "========= ERROR SUMMARY: $(cat "$(dirname "$0")/errors") errors"
exit $code
"""
NVIDIA_SMI = "#!/bin/sh\necho 'H100, 580'\n"


class TestOnGpu(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.bundle = pathlib.Path(directory.name)
        for name, text in (("test_backend_cuda", PROGRAM), ("gacer", GACER), ("nvidia-smi", NVIDIA_SMI),
                           ("compute-sanitizer", SANITIZER)):  # fmt: skip
            (self.bundle / name).write_text(text)
            (self.bundle / name).chmod(0o755)
        self.out = self.bundle / "tests.json"
        (self.bundle / "errors").write_text("0")
        self.old = json.dumps({"commit": "old", "passed": 99, "memcheck_errors": 0})
        self.out.write_text(self.old)

    def call(self, *arguments, path=None):
        path = f"{self.bundle}:{os.environ['PATH']}" if path is None else path
        return subprocess.run([sys.executable, "-B", SCRIPT, *arguments], capture_output=True, text=True,
                              env={**os.environ, "PATH": path})  # fmt: skip

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

    def test_memcheck_without_a_summary_is_no_record(self):
        (self.bundle / "errors").unlink()
        code, record, complaint, _ = self.memcheck("--memcheck", "--no-tests")
        self.assertEqual((code, record), (1, json.loads(self.old)))
        self.assertIn("gave no summary", complaint)

    def test_memcheck_replays_plans(self):
        self.out.write_text(json.dumps({"device": "H100", "memcheck_mix": "as it was typed"}))
        plans = self.bundle / "A_b8.plans"
        plans.mkdir()
        for name in ("gacer", "streams", "silent"):
            (plans / f"{name}.plan.json").write_text(f'{{"policy": "{name}"}}\n')
        gacer, streams, silent = (plans / f"{name}.plan.json" for name in ("gacer", "streams", "silent"))
        code, record, _, calls = self.memcheck("--no-tests", "--memcheck-plan", gacer, streams)
        self.assertEqual(code, 0)
        self.assertTrue(calls[0].endswith(f"gacer replay {gacer} --device cuda --precision fp16"), calls[0])
        self.assertEqual(record, {"device": "H100", "memcheck_plans_commit": "abc123", "memcheck_plans": {
            "A_b8.plans/gacer.plan.json": 0, "A_b8.plans/streams.plan.json": 0}})
        code, same, complaint, _ = self.memcheck("--no-tests", "--memcheck-plan", silent)
        self.assertEqual((code, same), (1, record))
        self.assertIn("no round of", complaint)
        (self.bundle / "errors").write_text("2")
        code, record, _, _ = self.memcheck("--no-tests", "--memcheck-plan", gacer)
        self.assertEqual((code, record["memcheck_plans"]), (1, {"A_b8.plans/gacer.plan.json": 2}))

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
        self.assertIn("compute-sanitizer is not on the PATH", self.call(self.bundle, self.out, "--memcheck", path="/usr/bin:/bin").stderr)


if __name__ == "__main__":
    unittest.main()
