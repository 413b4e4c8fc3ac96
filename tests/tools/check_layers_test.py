"""tools/check_layers on small made-up source trees."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "check_layers"


class CheckLayers(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        for header in ("base/error.h", "device/device.h", "graph/graph.h", "plan/verify.h", "backend/cpu/jit.h"):
            self.write(f"src/{header}", "#pragma once\n")
        self.write("include/gacer/error.h", "#pragma once\n")

    def write(self, name, text):
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def problems(self):
        """What the script prints, one entry a violation."""
        done = subprocess.run([sys.executable, SCRIPT, self.root], capture_output=True, text=True)
        lines = done.stdout.splitlines()
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertEqual(done.returncode, int(len(lines) > 1))
        return lines[:-1]

    def assert_rejected(self, name, text, message):
        self.write(name, text)
        problems = self.problems()
        self.assertEqual(len(problems), 1, problems)
        line = len(text.splitlines())
        self.assertTrue(problems[0].startswith(f"{name}:{line}: "), problems[0])
        self.assertIn(message, problems[0])

    def test_accepts_what_the_table_allows(self):
        self.write("src/graph/graph.cpp", '#include "graph/graph.h"\n#include <gacer/error.h>\n#include "base/error.h"\n')
        self.write("src/search/gacer.cpp", '#include "plan/verify.h"\n#include "graph/graph.h"\n')
        self.write("src/engine/run.cpp", '#include "device/device.h"\n#include "plan/verify.h"\n')
        self.write("src/backend/cpu/jit.cpp", '#include "backend/cpu/jit.h"\n#include "device/device.h"\n')
        self.write("src/backend/cuda/conv.cpp", "#include <cudnn.h>\n#include <cuda_runtime.h>\n")
        self.write("tests/backend/cpu/jit_test.cpp", '#include "backend/cpu/jit.h"\n')
        self.write("src/backend/cuda/stub/stub.cpp", 'const char* kReason = "built without CUDA (GACER_CUDA=OFF)";\n')
        self.write("tools/gacer/main.cpp", '#include "device/device.h"\n#include <CLI/CLI.hpp>\n')
        self.assertEqual(self.problems(), [])

    def test_rejects_an_upward_include(self):
        self.assert_rejected("src/base/error.cpp", '#include "base/error.h"\n#include "graph/graph.h"\n', "may include nothing")

    def test_search_plan_and_cost_see_nothing_of_a_device(self):
        for folder in ("search", "plan", "cost"):
            with self.subTest(folder=folder):
                self.assert_rejected(f"src/{folder}/x.cpp", '#include "device/device.h"\n', "sees nothing of a device")
                (self.root / f"src/{folder}/x.cpp").unlink()

    def test_cuda_headers_stay_in_their_backend(self):
        self.assert_rejected("src/engine/run.cpp", "#include <cuda_runtime.h>\n", "CUDA header")

    def test_nobody_includes_a_backend(self):
        for name in ("src/engine/x.cpp", "tools/gacer/x.cpp", "tests/engine/x.cpp", "src/backend/sim/x.cpp"):
            with self.subTest(name=name):
                self.assert_rejected(name, '#include "backend/cpu/jit.h"\n', "reached by name")
                (self.root / name).unlink()

    def test_public_headers_stand_alone(self):
        self.assert_rejected("include/gacer/plan.h", "#pragma once\n#include <fmt/core.h>\n", "public header")

    def test_examples_use_the_public_headers_only(self):
        self.assert_rejected("examples/one.cpp", '#include "base/error.h"\n', "examples use")

    def test_rejects_paths_that_are_not_relative_to_src(self):
        self.assert_rejected("src/graph/graph.cpp", '#include "graph.h"\n', "relative to src/")

    def test_rejects_a_header_that_does_not_exist(self):
        self.assert_rejected("src/graph/graph.cpp", '#include "graph/gone.h"\n', "does not exist")

    def test_rejects_a_header_without_pragma_once(self):
        self.assert_rejected("src/graph/value.h", "\n", "no #pragma once")

    def test_rejects_the_build_switch_in_a_source(self):
        self.assert_rejected("src/engine/x.cpp", "#ifdef GACER_CUDA\n", "GACER_CUDA")

    def test_rejects_an_unknown_folder(self):
        self.assert_rejected("src/misc/x.cpp", "\n", "does not know")


if __name__ == "__main__":
    unittest.main()
