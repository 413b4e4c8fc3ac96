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

    def call(self, *arguments):
        command = [sys.executable, "-B", ROOT / "bench" / "summarize_gpu.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    def summarize(self, *options):
        """What it prints before the summary, and the summary."""
        done = self.call(self.folder, *options)
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

    def test_cells_of_two_devices_make_no_summary(self):
        self.take("[AB]_b8.json")
        shutil.copy(RESULTS.parent / "h200" / "C_b8.json", self.folder)
        done = self.call(self.folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn("  NVIDIA H100 80GB HBM3: A_b8.json, B_b8.json\n  NVIDIA H200: C_b8.json\n", done.stderr)
        self.assertFalse((self.folder / "summary.json").exists())

    def test_the_device_and_all_commits_are_named(self):
        self.take("*_b8.json")
        tables, summary = self.summarize("--markdown")
        (commit,) = summary["commits"]
        self.assertTrue(tables.startswith(f"Tables: NVIDIA H100 80GB HBM3, all cells at commit `{commit}`.\n"))
        self.take("*_b32.json")
        self.take("A_b1.json")
        path = self.folder / "A_b8.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "commit": "new"}))
        tables, summary = self.summarize("--markdown")
        self.assertEqual(summary["device"], "NVIDIA H100 80GB HBM3")
        self.assertEqual((summary["commits"]["new"], len(summary["commits"])), (["A_b8"], 4))
        self.assertIn("cells of 4 commits:\n", tables)
        for line in ("- `new`: A, 8", "- `5bebf7957003`: batch 32", "- `8098731be3e3`: batch 1", f"- `{commit}`: alexnet, 8; vgg16, 8"):
            self.assertIn(line, tables)

    def test_the_smallest_lead_over_eager_pytorch_has_its_range(self):
        self.take("*_b8.json")
        path = self.folder / "A_b8.json"
        cell = json.loads(path.read_text())
        cell["times"]["torch:eager_sequential"] = {"median_ms": 6, "turn_medians_ms": [5, 8]}
        cell["times"]["gacer:" + cell["chosen"]] = {"median_ms": 1, "turn_medians_ms": [1, 1.25]}
        path.write_text(json.dumps(cell))
        tables, summary = self.summarize("--markdown")
        self.assertEqual((summary["eager_speedup_min_b1_b8"], summary["eager_speedup_min_b1_b8_turns"]), (6, [5, 6.4]))
        self.assertIn("A, 8 from turn to turn 5.0x to 6.4x", self.aims(tables)["≥6x eager sequential at batch 1 and 8"][0])
        del cell["times"]["torch:eager_sequential"]["turn_medians_ms"]
        path.write_text(json.dumps(cell))
        self.assertIsNone(self.summarize()[1]["eager_speedup_min_b1_b8_turns"])

    def write_numbers_and_placement(self):
        found = lambda error, passed=True, rounding=None: {
            "error": error, "tolerance": 1e-4, "top1_agreement": 0.5, "passed": passed,
            "rounding": None if rounding is None else {"error": rounding}}  # fmt: skip
        (self.folder / "numbers.json").write_text(json.dumps({
            "commit": "abc", "device": "H100", "reference": "a reference", "not_measured": {"ocr_cls": "no file"},
            "models": {"alexnet": {"input": [2, 3], "precisions": {"fp16": found(0.1, rounding=0.2), "f32": found(1e-6)}},
                       "vgg16": {"input": [2], "precisions": {"f32": found(None, False), "fp16": found(0.4, False, 0.1)}}}}))
        row = lambda begin, end, expected, seen: {"groups": [begin, end], "units": 8 * (end - begin), "busy_ms": 0.25,
                                                  "expected_kernels": expected, "seen_kernels": seen}  # fmt: skip
        (self.folder / "placement_B_b8.json").write_text(json.dumps({
            "cell": "B", "batch": 8, "commit": "abc", "device": {"name": "H100"},
            "plans": {"gacer": [row(0, 0, 9, 9), row(0, 4, 8, 7), row(0, 0, 0, 1)]}}))

    def test_numbers_and_placement_are_tables_where_they_were_measured(self):
        tables, _ = self.summarize("--markdown")
        self.assertNotIn("| numbers of |", tables)
        self.write_numbers_and_placement()
        tables, _ = self.summarize("--markdown")
        for line in ("| alexnet | 2x3 | 1.0e-06 | 1.0e-01 (rounding: 2.0e-01) | 50.0 % |",
                     "| vgg16 | 2 | **no numbers** | **4.0e-01 (rounding: 1.0e-01)** | 50.0 % |",
                     "| tolerance | | 1e-04 | 1e-04 | |", "| B, 8 | gacer | all | 0 | 9 | 9 | .250 |",
                     "| B, 8 | gacer | 0 to 3 | 32 | 8 | **7** | .250 |", "| B, 8 | gacer | elsewhere | 0 | 0 | **1** | .250 |"):
            self.assertIn(line + "\n", tables)
        self.assertIn("not measured: ocr_cls", tables)

    def test_a_page_gets_them_between_its_comments(self):
        page = self.folder / "page.md"
        own = "\n\n".join(f"| {title} |\n|---|" for title in ("model, batch", "mix, batch", "cost", "aim"))
        page.write_text(own)
        self.summarize("--update", page)
        self.write_numbers_and_placement()
        done = self.call(self.folder, "--update", page)
        self.assertIn("no place for the numbers: write '<!-- generated: numbers -->'", done.stderr)
        page.write_text(own + "".join(f"\n<!-- generated: {name} -->\nstale\n<!-- end -->\nown\n" for name in ("numbers", "placement")))
        self.summarize("--update", page)
        text = page.read_text()
        self.assertNotIn("stale", text)
        self.assertEqual(text.count("\n<!-- end -->\nown\n"), 2)
        self.assertIn("| best class |", text)
        self.summarize("--update", page)
        self.assertEqual(page.read_text(), text)

    def test_says_how_it_is_called(self):
        for arguments, complaint in (((), "required: bench/results/<gpu>"),
                                     ((self.folder / "none",), "there is no folder"),
                                     ((self.folder, "--update", self.folder / "none.md"), "there is no file")):
            done = self.call(*arguments)
            self.assertEqual(done.returncode, 2)
            self.assertIn(complaint, done.stderr)
        self.assertIn("Usage: summarize_gpu.py", self.call("--help").stdout)


if __name__ == "__main__":
    unittest.main()
