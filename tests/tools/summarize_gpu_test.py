"""bench/summarize_gpu.py on some of the published cells, and on cells with outputs that are wrong."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "h100"


class SummarizeGpu(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = pathlib.Path(directory.name)

    def summarize(self, *options):
        """What it prints before the summary, and the summary."""
        command = [sys.executable, "-B", ROOT / "bench" / "summarize_gpu.py", self.folder, *options]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout, json.loads((self.folder / "summary.json").read_text())

    def take(self, pattern):
        for path in RESULTS.glob(pattern):
            shutil.copy(path, self.folder)

    def aims(self, tables):
        """Aim: (what was reached, whether it was met)."""
        lines = tables[tables.index("| aim | reached |"):].split("\n\n")[0].splitlines()[2:]
        rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.strip()]
        return {aim: (reached, judgement) for aim, reached, judgement in rows}

    def test_no_cells_need_no_tables(self):
        _, summary = self.summarize()
        self.assertIsNone(summary["outputs_match"])
        self.assertIsNone(summary["peer_mix_streams_speedup_min"])

    def test_what_no_cell_measured_is_a_dash(self):
        tables, _ = self.summarize("--markdown")
        self.assertEqual(set(self.aims(tables).values()), {("–", "–")})

    def test_a_mix_alone_says_nothing_of_models(self):
        self.take("A_b8.json")
        tables, summary = self.summarize("--markdown")
        self.assertIsNone(summary["compile_single_speedup_geomean"])
        aims = self.aims(tables)
        self.assertEqual(aims["cold profile ≤60 s a model"], ("–", "–"))
        self.assertEqual(aims["alone ≥1.3x compiled, geomean; none below 1.0x"], ("–", "–"))
        self.assertEqual(aims["warm start ≤2 s a mix"][1], "met")

    def test_one_batch_says_nothing_of_the_others(self):
        self.take("*_b32.json")
        aims = self.aims(self.summarize("--markdown")[0])
        self.assertEqual(aims["≥6x eager sequential at batch 1 and 8"], ("–", "–"))
        self.assertEqual(aims["≥50 measured candidates a second at batch 8"], ("–", "–"))

    def test_one_unknown_value_is_not_met(self):
        self.take("*_b8.json")
        path = self.folder / "vgg16_b8.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "profile_s": {}}))
        self.assertEqual(self.aims(self.summarize("--markdown")[0])["cold profile ≤60 s a model"][1], "–")

    def test_an_error_that_is_no_number_is_no_match(self):
        path = self.folder / "A_b8.json"
        for error in (float("nan"), float("inf"), None):
            for model in ("alexnet", "vgg16", "resnet18"):
                with self.subTest(error=error, model=model):
                    self.take("*_b8.json")
                    self.assertIs(self.summarize()[1]["outputs_match"], True)
                    cell = json.loads(path.read_text())
                    cell["output_errors"][model]["gacer_fp16"] = error
                    path.write_text(json.dumps(cell))
                    _, summary = self.summarize()
                    self.assertIs(summary["outputs_match"], False)
                    self.assertIs(summary["mixes"]["A_b8"]["outputs_match"], False)
                    self.assertIsNone(summary["mixes"]["A_b8"]["error"])
                    self.assertNotIn("NaN", (self.folder / "summary.json").read_text())

    def test_a_missing_error_is_no_match(self):
        self.take("A_b8.json")
        path = self.folder / "A_b8.json"
        cell = json.loads(path.read_text())
        del cell["output_errors"]["resnet18"]
        path.write_text(json.dumps(cell))
        self.assertIs(self.summarize()[1]["outputs_match"], False)


if __name__ == "__main__":
    unittest.main()
