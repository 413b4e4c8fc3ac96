"""tools/test_on_gpu with a made-up bundle: which runs become the record."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "test_on_gpu"

# Each process finds the outcomes of its tests in a file of its number; "dies" ends it without results.
PROGRAM = f"""#!{sys.executable} -S
import json, os, pathlib, sys
index = os.environ["GTEST_SHARD_INDEX"]
outcomes = (pathlib.Path(__file__).parent / index).read_text().split()
if "dies" in outcomes:
    sys.exit("out of memory")
tests = [dict(name=index + str(i), status="RUN", result="SKIPPED" if o == "skipped" else "COMPLETED",
              failures=[1] if o == "failed" else []) for i, o in enumerate(outcomes) if o != "ends_badly"]
option = next(word for word in sys.argv if word.startswith("--gtest_output=json:"))
pathlib.Path(option.split(":", 1)[1]).write_text(json.dumps(
    dict(testsuites=[dict(name="Suite", testsuite=tests)] if tests else [])))
sys.exit("failed" in outcomes or "ends_badly" in outcomes)
"""
GACER = """#!/bin/sh
case $1 in devices) echo 'cuda:0 cudnn 9.1' ;; *) echo 'gacer 1 (abc123)' ;; esac
"""
NVIDIA_SMI = "#!/bin/sh\necho 'H100, 580'\n"


class TestOnGpu(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.bundle = pathlib.Path(directory.name)
        for name, text in (("test_backend_cuda", PROGRAM), ("gacer", GACER), ("nvidia-smi", NVIDIA_SMI)):
            (self.bundle / name).write_text(text)
            (self.bundle / name).chmod(0o755)
        self.out = self.bundle / "tests.json"
        self.old = json.dumps({"commit": "old", "passed": 99, "memcheck_errors": 0})
        self.out.write_text(self.old)

    def run_with(self, *processes, arguments=()):
        """Whether it succeeded, the counts that it printed, what it complained of."""
        for index, outcomes in enumerate(processes):
            (self.bundle / str(index)).write_text(outcomes)
        done = subprocess.run(
            [sys.executable, "-B", SCRIPT, self.bundle, self.out, "--processes", str(len(processes)), *arguments],
            capture_output=True, text=True, env={**os.environ, "PATH": f"{self.bundle}:{os.environ['PATH']}"})
        self.assertIn(done.returncode, (0, 1), done.stderr)
        printed = json.loads(done.stdout)
        return done.returncode == 0, [printed[k] for k in ("passed", "failed", "skipped")], done.stderr

    def assert_nothing_is_written(self):
        self.assertEqual(self.out.read_text(), self.old)

    def test_a_whole_run_is_the_record(self):
        self.assertEqual(self.run_with("passed passed", "passed skipped", "")[:2], (True, [3, 0, 1]))
        self.assertEqual(json.loads(self.out.read_text()), {
            "commit": "abc123", "device": "H100", "driver": "580", "cudnn": "9.1", "program": "test_backend_cuda",
            "passed": 3, "failed": 0, "skipped": 1, "memcheck_errors": 0})

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


if __name__ == "__main__":
    unittest.main()
