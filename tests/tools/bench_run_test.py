"""bench/run and bench/gpu.sh with made-up programs: which benchmarks run, with what."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]


class BenchRun(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        (self.root / "bench").mkdir()
        (self.root / "bin").mkdir()
        shutil.copy(ROOT / "bench" / "run", self.root / "bench")
        for kind in ("cpu", "gpu"):
            self.write(f"bench/{kind}.sh", f'echo {kind} "$@"')
        self.write("bin/nvidia-smi", "exit 9")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run_it(self, *arguments):
        """The last line it prints, and what it complains of."""
        environment = {k: v for k, v in os.environ.items() if k != "BUNDLE"}
        done = subprocess.run([self.root / "bench" / "run", *arguments], capture_output=True, text=True, check=True,
                              env={**environment, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"})  # fmt: skip
        return done.stdout.splitlines()[-1], done.stderr

    def test_without_a_gpu_the_cpu_s_run(self):
        self.assertEqual(self.run_it(), ("cpu", ""))
        self.write("bin/nvidia-smi", "true")
        self.assertEqual(self.run_it()[0], "cpu")

    def test_a_gpu_without_a_bundle_is_told(self):
        self.write("bin/nvidia-smi", "echo NVIDIA H200")
        line, complaint = self.run_it()
        self.assertEqual(line, "cpu")
        self.assertIn("NVIDIA H200 is here but no build/cuda/gacer-device/gacer", complaint)

    def test_a_gpu_with_a_bundle_is_measured(self):
        self.write("bin/nvidia-smi", "echo NVIDIA H100 80GB HBM3")
        self.write("build/cuda/gacer-device/gacer", "true")
        self.assertEqual(self.run_it(), ("gpu build/cuda/gacer-device bench/results/h100", ""))
        self.assertEqual(self.run_it("--mix", "A")[0], "cpu --mix A")

    def test_a_gpu_without_a_number_has_results_too(self):
        self.write("bin/nvidia-smi", "echo NVIDIA TITAN RTX")
        self.write("build/cuda/gacer-device/gacer", "true")
        self.assertEqual(self.run_it(), ("gpu build/cuda/gacer-device bench/results/gpu", ""))

    def test_a_packed_bundle_is_unpacked(self):
        self.write("bin/nvidia-smi", "echo NVIDIA H200")
        self.write("packed/gacer-device/gacer", "true")
        (self.root / "build/cuda").mkdir(parents=True)
        subprocess.run(["tar", "-C", self.root / "packed", "-cJf", self.root / "build/cuda/gacer-device.tar.xz",
                        "gacer-device"], check=True)  # fmt: skip
        self.assertEqual(self.run_it()[0], "gpu build/cuda/gacer-device bench/results/h200")
        self.assertTrue((self.root / "build/cuda/gacer-device/gacer").exists())


PYTHON3 = """case $1 in
  -c) exec {python} "$@" ;;
  bench/gpu.py) case "$*" in *--placement*) what=placement ;; *) what=cells ;; esac ;;
  *) what=$(basename "$1" .py) ;;
esac
echo "$what $CUDA_VISIBLE_DEVICES $*" >> "{root}/calls"
! grep -qsx "$what" "{root}/failing"
"""


class BenchGpuShell(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.results = self.root / "results"
        self.results.mkdir()
        (self.results / "tests.json").write_text('{"commit": "abc",\n"failed": 0}')
        for name, text in (("gacer", "echo 'gacer 0.1.0 (abc)'"),
                           ("nvidia-smi", f"cat {self.root}/gpus"),
                           ("python3", PYTHON3.format(root=self.root, python=shutil.which("python3")))):  # fmt: skip
            (self.root / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.root / name).chmod(0o755)

    def call(self, failing="", *seconds, gpus=1):
        (self.root / "calls").write_text("")
        (self.root / "gpus").write_text("GPU\n" * gpus)
        (self.root / "failing").write_text(failing)
        environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        done = subprocess.run(
            [ROOT / "bench" / "gpu.sh", self.root, self.results, self.root / "work", *seconds], capture_output=True,
            text=True, env={**environment, "PATH": f"{self.root}:{os.environ['PATH']}"})  # fmt: skip
        return done.returncode, (self.root / "calls").read_text().splitlines()

    def test_placement_follows_batch_8_and_numbers_come_last(self):
        code, calls = self.call()
        self.assertEqual((code, [call.split()[0] for call in calls]),
                         (0, ["tune_blocks", "cells", "placement", "cells", "cells", "check_numbers"]))
        self.assertIn("--placement --mix B", calls[2])
        self.assertIn(f"--out {self.results}/numbers.json", calls[-1])
        self.assertIn("--trained .models --missing --seconds", calls[-1])
        self.assertTrue(calls[-1].endswith("--device cuda:0 --jobs 4"), calls[-1])

    def test_numbers_take_all_gpus_when_the_batches_are_done(self):
        code, calls = self.call(gpus=2)
        self.assertEqual((code, sorted(call.split()[1] for call in calls if call.startswith("cells "))), (0, ["0", "1", "1"]))
        self.assertTrue(calls[-1].startswith("check_numbers  bench"), "no GPU is hidden")
        self.assertTrue(calls[-1].endswith("--device cuda:0,cuda:1 --jobs 8"), calls[-1])

    def test_without_a_gpu_nothing_is_run(self):
        self.assertEqual(self.call(gpus=0), (1, []))

    def test_the_others_run_after_a_failure(self):
        code, calls = self.call("cells\nplacement")
        self.assertEqual((code, [call.split()[0] for call in calls][-5:]),
                         (1, ["cells", "placement", "cells", "cells", "check_numbers"]))
        self.assertEqual(self.call("check_numbers")[0], 1)

    def test_no_more_than_the_time_that_is_left_is_given(self):
        code, calls = self.call("", "0")
        self.assertEqual(code, 1, "PyTorch's candidates are not tuned")
        self.assertIn("--missing --seconds 0 --device ", calls[-1])


if __name__ == "__main__":
    unittest.main()
