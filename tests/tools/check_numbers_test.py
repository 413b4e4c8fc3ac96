"""bench/check_numbers.py: its arithmetic, what becomes of wrong outputs, and a run with the CPU in the GPU's place."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "bench" / "check_numbers.py"
sys.path.insert(0, str(ROOT / "bench"))
import check_numbers  # noqa: E402

# Answers x + 1, on the device with the error that the file "errors" has for the model and precision.
GACER = f"""#!{sys.executable}
import json, pathlib, shutil, sys
import numpy
here = pathlib.Path(__file__).parent
command, *rest = sys.argv[1:]
if command == "--version":
    sys.exit(print((here / "version").read_text()))
if command == "devices":
    name, second = (here / "device").read_text(), (here / "second").read_text()
    sys.exit(print("  device   name        units   groups     memory   libraries\\n"
                   "  cpu      Some CPU, 2 cores       2        2   25.28 GB   onednn 3.2.0\\n"
                   + ("  cuda:0   " + name + "     132       66   139.7 GB   cudnn 9\\n" if name else "")
                   + ("  cuda:1   " + second + "     132       66   139.7 GB   cudnn 9\\n" if second else "")
                   + "  cuda: none here: no driver\\n"))
after = lambda option: rest[rest.index(option) + 1]
if command == "zoo":
    sys.exit(shutil.copy(here / "model.onnx", after("--out")) and 0)
device, precision = after("--device"), after("--precision")
name = rest[0].split("name=")[1]
what = "reference" if device == "cpu" and after("--impl") == "plain" else precision
(here / "runs").open("a").write(name + ":" + what + "\\n")
(here / "places").open("a").write(name + ":" + device + "\\n")
wanted = json.loads((here / "errors").read_text()).get(name + ":" + what, 0)
if wanted == "crash":
    sys.exit("device error")
port, file = after("--input").split("=")
y = numpy.load(file).reshape(-1)[:1000].reshape(1, -1) + 1
y[0, 7] += numpy.abs(y).max() * float(wanted) if what != "reference" else 0
if "_fp16_rounded" in file and "_fp16.onnx" in rest[0]:
    y[0, 7] += 0.1 * numpy.abs(y).max()
out = pathlib.Path(after("--output"))
out.mkdir()
numpy.save(out / (name + ".y.npy"), y)
pathlib.Path(after("--json")).write_text(json.dumps(dict(command="gacer run", device=dict(
    name=(here / "device").read_text(), driver="13.0", libraries=dict(cudnn="9")))))
"""


class Arithmetic(unittest.TestCase):
    def test_rounds_to_the_nearest_number_of_a_precision(self):
        x = numpy.float32([[1, 1 + 2**-11, 1 + 3 * 2**-11, -1.0001, 0, 65504]])
        self.assertTrue((check_numbers.rounded(x, "fp16") == x.astype(numpy.float16)).all())
        self.assertEqual(check_numbers.rounded(x, "bf16").tolist(), [[1, 1, 1, -1, 0, 65536]])
        self.assertEqual(check_numbers.rounded(numpy.float32([1 + 2**-7]), "bf16").tolist(), [1 + 2**-7])
        self.assertEqual(check_numbers.rounded(numpy.float32([1 + 2**-19, 1 + 2**-20]), "f32").tolist(), [1 + 2**-19, 1])

    def test_an_error_is_a_share_of_the_scale(self):
        expected = numpy.float32([1, -4, numpy.inf])
        error, mean = check_numbers.errors_of(numpy.float32([1.5, -4, numpy.inf]), expected)
        self.assertEqual(error, 0.125)
        self.assertAlmostEqual(mean, 0.125 / 2**0.5)
        for wrong in ([numpy.nan, -4, numpy.inf], [1, -4, 4], [1, -4, -numpy.inf]):
            self.assertEqual(check_numbers.errors_of(numpy.float32(wrong), expected)[0], numpy.inf, wrong)
        with self.assertRaisesRegex(RuntimeError, r"the shape \[2\], expected \[3\]"):
            check_numbers.errors_of(expected[:2], expected)

    def test_rounds_weights_but_no_biases(self):
        value = numpy.float32([[1 + 2**-11]])
        graph = helper.make_graph(
            [helper.make_node("Gemm", ["x", "w", "b"], ["y"])], "g",
            *[[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1])] for name in "xy"],
            [numpy_helper.from_array(value, "w"), numpy_helper.from_array(value[0], "b")])  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            source, target = pathlib.Path(folder) / "a.onnx", pathlib.Path(folder) / "b.onnx"
            onnx.save(helper.make_model(graph), source)
            check_numbers.round_weights(source, "fp16", target)
            weights = {t.name: numpy_helper.to_array(t).item() for t in onnx.load(target).graph.initializer}
        self.assertEqual(weights, {"w": 1, "b": value.item()})

    def test_a_wide_error_must_be_that_of_rounding(self):
        def compared(**outputs):
            errors = {name: dict(zip(check_numbers.ERRORS, pair)) for name, pair in outputs.items()}
            worst = {key: None if any(output[key] is None for output in errors.values()) else
                     max(output[key] for output in errors.values()) for key in check_numbers.ERRORS}  # fmt: skip
            return {**worst, "outputs": errors}

        def judge(y, rounded, scores=(0.01, 0.01), rounded_scores=(0, 0)):
            found, rounding = compared(y=y, scores=scores), compared(y=rounded, scores=rounded_scores)
            return check_numbers.judge(found, "bf16", lambda: rounding)["passed"]

        self.assertTrue(judge((0.1, 0.01), (0.05, 0.005)))
        self.assertFalse(judge((0.1, 0.01), (0.02, 0.005)))
        self.assertFalse(judge((0.1, 0.01), (0.05, 0.002)))
        self.assertFalse(judge((0.1, 0.01), (None, None)))
        self.assertFalse(judge((None, None), (0.05, 0.005)))
        self.assertFalse(judge((0.1, 0.01), (0.05, 0.005), scores=(0.05, 0.01)), "each output has its own rounding")

    def test_finds_a_device_s_name(self):
        table = ("  device   name                    units   groups\n"
                 "  cpu      AMD EPYC, 2 cores           2        2\n"
                 "  cuda:0   NVIDIA H100 80GB HBM3     132       66\n"
                 "  cuda:1   NVIDIA H200               132       66\n"
                 "  sim: none here:  2\n")  # fmt: skip
        keys = ("cpu", "cuda", "cuda:0", "cuda:1", "cuda:2", "sim")
        names = [check_numbers.name_of_device(key, table) for key in keys]
        self.assertEqual(names, ["AMD EPYC, 2 cores", *2 * ["NVIDIA H100 80GB HBM3"], "NVIDIA H200", None, None])

    def test_pictures_hold_text(self):
        pictures = check_numbers.text_pictures(2, 3, 96, 320)
        self.assertEqual((pictures.shape, pictures.dtype), ((2, 3, 96, 320), numpy.float32))
        self.assertLess(pictures.min(), -0.7)
        self.assertGreater(pictures.max(), 0.9)
        self.assertFalse((pictures[0] == pictures[1]).all())


class Scores(unittest.TestCase):
    def outputs_of(self, *nodes):
        value = helper.make_tensor_value_info
        graph = helper.make_graph([helper.make_node(op, [a], [b]) for op, a, b in nodes], "g",
                                  [value("x", TensorProto.FLOAT, [1, 2])], [value("y", TensorProto.FLOAT, [1, 2])])  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            source, target = (pathlib.Path(folder) / name for name in ("a.onnx", "b.onnx"))
            onnx.save(helper.make_model(graph), source)
            check_numbers.expose_scores(source, target)
            model = onnx.load(target)
        self.assertEqual([node.op_type for node in model.graph.node], [op for op, _, _ in nodes])
        return [output.name for output in model.graph.output]

    def test_what_lies_before_a_last_softmax_or_sigmoid_is_an_output(self):
        self.assertEqual(self.outputs_of(("Relu", "x", "s"), ("Softmax", "s", "p"), ("Identity", "p", "y")), ["y", "s"])
        self.assertEqual(self.outputs_of(("Relu", "x", "s"), ("Sigmoid", "s", "y")), ["y", "s"])
        self.assertEqual(self.outputs_of(("Softmax", "x", "s"), ("Relu", "s", "y")), ["y"])


class CheckNumbers(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.out = self.root / "results" / "numbers.json"
        self.gacer = self.root / "gacer"
        self.gacer.write_text(GACER)
        self.gacer.chmod(0o755)
        self.write(version="gacer 0.1.0 (abc)", device="H200", second="", runs="", places="")
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", *[
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])] for name in "xy"])  # fmt: skip
        onnx.save(helper.make_model(graph), self.root / "model.onnx")

    def write(self, **files):
        for name, text in files.items():
            (self.root / name).write_text(text)

    def check(self, *options, errors={}, models="alexnet,resnet18"):
        """Exit code, what was complained of, the result file, the runs of gacer."""
        self.write(errors=json.dumps(errors), runs="")
        done = subprocess.run(
            [sys.executable, "-B", SCRIPT, "--gacer", self.gacer, "--out", self.out, "--work", self.root / "work",
             "--models", models, "--precisions", "fp16,f32", *options], capture_output=True, text=True)  # fmt: skip
        result = json.loads(self.out.read_text()) if self.out.exists() else None
        return done.returncode, done.stderr, result, sorted((self.root / "runs").read_text().split())

    def test_measures_each_model_in_each_precision(self):
        code, complaint, result, runs = self.check(errors={"resnet18:fp16": 1e-3})
        self.assertEqual((code, complaint), (0, ""))
        self.assertEqual((result["commit"], result["device"], result["not_measured"]), ("abc", "H200", {}))
        self.assertEqual([list(result["models"]), list(result["models"]["alexnet"]["precisions"])],
                         [["alexnet", "resnet18"], ["f32", "fp16"]])
        self.assertEqual(runs, [f"{m}:{p}" for m in ("alexnet", "resnet18") for p in ("f32", "fp16", "reference")])
        found = result["models"]["resnet18"]["precisions"]["fp16"]
        self.assertAlmostEqual(found["error"], 1e-3, places=6)
        self.assertEqual((found["tolerance"], found["rounding"], found["passed"]), (2e-2, None, True))
        self.assertEqual(result["models"]["alexnet"]["precisions"]["f32"]["top1_agreement"], 1)

    def test_an_error_that_rounding_does_not_explain_fails(self):
        code, complaint, result, _ = self.check(errors={"alexnet:fp16": 0.2, "resnet18:fp16": 0.5})
        self.assertEqual((code, complaint), (1, "the error is too large: resnet18 fp16\n"))
        steep = result["models"]["alexnet"]["precisions"]["fp16"]
        self.assertTrue(steep["passed"])
        self.assertAlmostEqual(steep["rounding"]["error"], 0.1, places=3)
        self.assertIn("alexnet f32", self.check(errors={"alexnet:f32": 2e-4})[1])
        code, complaint, result, _ = self.check(errors={"alexnet:fp16": "nan"})
        self.assertEqual((code, complaint), (1, "the error is too large: alexnet fp16\n"))
        self.assertIsNone(result["models"]["alexnet"]["precisions"]["fp16"]["error"])

    def test_what_cannot_be_measured_is_listed_and_tried_again(self):
        code, complaint, result, _ = self.check(errors={"alexnet:reference": "crash", "resnet18:fp16": "crash"})
        self.assertEqual(code, 1)
        self.assertEqual(sorted(result["not_measured"]), ["alexnet", "resnet18 fp16"])
        self.assertIn("device error", result["not_measured"]["resnet18 fp16"])
        others = self.check(models="vgg16")
        self.assertEqual((others[0], sorted(others[2]["not_measured"])), (1, ["alexnet", "resnet18 fp16"]))
        self.assertNotIn(str(self.root), json.dumps(result), "nothing of the machine's folders")
        code, _, result, runs = self.check("--missing")
        self.assertEqual((code, result["not_measured"]), (0, {}))
        self.assertNotIn("resnet18:f32", runs)
        self.assertEqual(self.check("--missing")[3], [])

    def test_results_of_another_program_or_device_go(self):
        self.check()
        self.write(device="H100")
        result = self.check(models="alexnet")[2]
        self.assertEqual((result["device"], list(result["models"])), ("H100", ["alexnet"]))
        self.write(version="gacer 0.1.0 (def)")
        result = self.check("--missing", models="resnet18")[2]
        self.assertEqual((result["commit"], list(result["models"])), ("def", ["resnet18"]))

    def test_what_is_missing_is_so_on_this_device(self):
        self.check(errors={"alexnet:fp16": "crash"}, models="alexnet,resnet18,vgg16")
        self.write(device="H100")
        code, _, result, runs = self.check("--missing")
        self.assertEqual((code, result["device"], list(result["models"])), (0, "H100", ["alexnet", "resnet18"]))
        self.assertEqual((result["not_measured"], len(runs)), ({}, 6))
        self.write(device="B200")
        code, _, result, runs = self.check("--missing", errors={"alexnet:reference": "crash"})
        self.assertEqual((code, result["device"], list(result["models"])), (1, "B200", ["resnet18"]))
        self.assertEqual(list(result["not_measured"]), ["alexnet"])

    def test_without_the_device_what_is_known_stays(self):
        known = self.check()[2]
        self.write(device="")
        code, complaint, result, runs = self.check("--missing")
        self.assertEqual((code, result, runs), (1, known, []))
        self.assertIn("there is no device 'cuda' here:\n  device", complaint)
        self.assertIn("cuda: none here: no driver", complaint)

    def test_models_are_spread_over_devices_that_are_alike(self):
        self.write(second="H200")
        code, complaint, result, _ = self.check("--device", "cuda:0,cuda:1", models="alexnet,vgg16,resnet18")
        self.assertEqual(complaint, "")
        self.assertEqual((code, result["device"], len(result["models"])), (0, "H200", 3))
        places = set((self.root / "places").read_text().split())
        self.assertEqual(places - {"alexnet:cpu", "vgg16:cpu", "resnet18:cpu"},
                         {"resnet18:cuda:0", "vgg16:cuda:1", "alexnet:cuda:0"})
        self.write(second="H100")
        code, complaint, _, runs = self.check("--device", "cuda:0,cuda:1")
        self.assertEqual((code, complaint, runs), (1, "these devices are not alike: cuda:0 (H200), cuda:1 (H100)\n", []))

    def test_nothing_is_begun_when_the_time_is_over(self):
        code, _, _, runs = self.check("--seconds", "0")
        self.assertEqual((code, runs), (3, []))

    def test_names_what_it_does_not_know(self):
        code, complaint, _, _ = self.check(models="alexnet,vgg")
        self.assertEqual(code, 2)
        self.assertIn("'vgg' is none of alexnet, vgg16", complaint)
        code, complaint, result, _ = self.check("--trained", self.root, models="ocr_cls")
        self.assertEqual(code, 1)
        self.assertIn("name its folder by --trained", result["not_measured"]["ocr_cls"])


class OnTheCpu(unittest.TestCase):
    def test_a_trained_model_is_right_in_the_cpu_s_precisions(self):
        gacer, models = os.environ.get("GACER"), pathlib.Path(os.environ.get("MODELS", ROOT / ".models"))
        if not gacer or not os.access(gacer, os.X_OK) or not (models / "ocr_cls.onnx").exists():
            self.skipTest("needs the built tool as GACER and .models/ocr_cls.onnx (make setup)")
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "numbers.json"
            done = subprocess.run(
                [sys.executable, "-B", SCRIPT, "--gacer", gacer, "--out", out, "--work", folder, "--device", "cpu",
                 "--models", "ocr_cls", "--precisions", "f32,bf16", "--trained", models],
                capture_output=True, text=True)  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            found = json.loads(out.read_text())["models"]["ocr_cls"]["precisions"]
            self.assertEqual((found["f32"]["passed"], found["bf16"]["passed"]), (True, True))
            self.assertGreater(found["bf16"]["error"], 10 * found["f32"]["error"], "bf16 is no f32")


if __name__ == "__main__":
    unittest.main()
