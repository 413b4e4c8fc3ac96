"""Whole models on a device in every precision, against plain loops in f32: are their numbers right?

Usage: check_numbers.py --gacer PROGRAM --out FILE [--models NAME,...] [--trained FOLDER]

Each model runs once by plain loops on the CPU in f32 and once on the device in each precision, with the same weights
and the same input: seeded noise for the models of the zoo, pictures of text for the trained ones (NAME.onnx in
.models, which `make setup` makes, or in FOLDER). Only the plan `sequential` is made, as the numbers of
other plans are compared with its by every run of gacer. What lies before a last softmax or sigmoid is compared,
too: a model that is sure hides errors behind them. Several models run side by side, which spoils the
times of their profiles: these rows stay in the work folder, where a repeat finds them.

An error is the largest difference over the largest number of the reference, as in gacer's own check, and
so are the tolerances. A model that magnifies rounding exceeds its tolerance with any kernels: then the CPU
runs it once more in f32, with its input and weights rounded to that precision, and what that changes is
kept beside the error. Four times as much is allowed, of the largest difference and of the quadratic mean, for
each output: a device rounds what lies between the layers, too, more often than there are weights.

Results of the same program on the same device stay in FILE, those of another one go. With --missing what
is there is left out, so a call that was cut short can be repeated. --seconds ends a call by itself, before
a next run, with exit code 3. Exit code 1: an error is too large, or something could not be measured, which
FILE lists with the reason.
"""

import argparse
import concurrent.futures
import dataclasses
import itertools
import json
import os
import pathlib
import re
import shutil
import sys
import threading
import time

import numpy
import onnx
from onnx import helper, numpy_helper

import reports
from process import PATIENCE_S, run_checked, say, version_of

ROOT = pathlib.Path(__file__).resolve().parents[1]
ZOO = ["alexnet", "vgg16", "resnet18", "resnet50", "resnet101", "densenet121", "mobilenet_v3_large"]
TRAINED = ["ocr_det", "ocr_rec", "ocr_cls"]
SIZES = json.loads((ROOT / "bench/mixes.json").read_text())["trained_models"]
BATCH = 2  # of the zoo's
SEED = 1
TOLERANCES = {"f32": 1e-4, "tf32": 5e-3, "fp16": 2e-2, "bf16": 4e-2}  # of gacer's check (src/engine/check.cpp)
ERRORS = ("error", "mean_error")  # of an output: the largest one, the quadratic mean
MARGIN = 4  # over what rounding inputs and weights alone does
# Of the 23 bits behind an f32's point: those that rounding takes; of f32 itself the last four, which the order of some
# hundred additions decides (a walk of n steps gets sqrt(n) far). What fp16 cannot hold at all is none of it.
DROPPED_BITS = {"f32": 4, "tf32": 13, "fp16": 13, "bf16": 16}
FAILURES = (RuntimeError, OSError, ValueError, ImportError)  # of one run
LINES = ["Several models, one device", "Regulated concurrency", "Pay 42.50 EUR by Friday", "Hello, tenants!"]


class TimeIsOver(Exception):
    """Nothing new is begun."""


@dataclasses.dataclass(frozen=True)
class Model:
    name: str
    path: pathlib.Path | None  # None: of the zoo
    sizes: str  # @BATCH?DIM=N&...
    port: str
    shape: tuple
    is_picture: bool
    is_classifier: bool  # its output's last axis holds scores of classes

    def argument(self):
        """As gacer takes it."""
        return f"{self.path or f'zoo:{self.name}'}{self.sizes},name={self.name}"


def zoo_model(name):
    return Model(name, None, f"@{BATCH}", "input", (BATCH, 3, 224, 224), is_picture=False, is_classifier=True)


def trained_model(name, path):
    batch, height, width = map(int, re.fullmatch(r"@(\d+)\?H=(\d+)&W=(\d+)", SIZES[name]).groups())
    return Model(name, path, SIZES[name], "x", (batch, 3, height, width), is_picture=True,
                 is_classifier=name != "ocr_det")


def text_pictures(count, channels, height, width):
    """Dark text on a light ground, a line every 48 rows, in [-1, 1]."""
    from PIL import Image, ImageDraw, ImageFont  # here, because the zoo's models do without

    font = ImageFont.load_default(32)
    pictures = []
    for index in range(count):
        picture = Image.new("L", (width, height), 248)
        for row in range(height // 48):
            text = LINES[(index + row) % len(LINES)]
            ImageDraw.Draw(picture).text((8, 48 * row + 4), text, font=font, fill=24)
        pictures.append(numpy.asarray(picture, numpy.float32) / 127.5 - 1)
    return numpy.repeat(numpy.stack(pictures)[:, None], channels, axis=1)


def make_input(model):
    if model.is_picture:
        return text_pictures(*model.shape)
    return numpy.random.default_rng(SEED).random(model.shape, dtype=numpy.float32)


def rounded(x, precision):
    """To the nearest number that a precision's mantissa can hold, to the even one of two."""
    dropped = DROPPED_BITS[precision]
    bits = numpy.ascontiguousarray(x).view(numpy.uint32)
    odd = (bits >> dropped) & 1
    whole = (bits + odd + ((1 << (dropped - 1)) - 1)) >> dropped << dropped
    return whole.astype(numpy.uint32).view(numpy.float32).reshape(x.shape)


def round_weights(source, precision, target):
    """Writes an ONNX file whose matrices and filters are rounded."""
    model = onnx.load(source)
    constants = [a.t for node in model.graph.node if node.op_type == "Constant" for a in node.attribute if a.name == "value"]
    for tensor in [*model.graph.initializer, *constants]:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            values = rounded(numpy_helper.to_array(tensor), precision)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, target)


def expose_scores(source, target):
    """Writes an ONNX file that also gives what lies before a last softmax or sigmoid."""
    model = onnx.load(source)
    producers = {name: node for node in model.graph.node for name in node.output}
    for output in list(model.graph.output):
        node = producers.get(output.name)
        while node is not None and node.op_type == "Identity":
            node = producers.get(node.input[0])
        if node is not None and node.op_type in ("Softmax", "Sigmoid"):
            model.graph.output.append(helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, None))
    onnx.save(model, target)


def errors_of(actual, expected):
    """Largest difference and quadratic mean, as shares of the largest finite number that is expected.

    Infinite where the output lacks numbers.
    """
    if actual.shape != expected.shape:
        raise RuntimeError(f"an output has the shape {list(actual.shape)}, expected {list(expected.shape)}")
    actual, expected = actual.astype(numpy.float64), expected.astype(numpy.float64)
    is_finite = numpy.isfinite(expected)
    if not numpy.array_equal(actual[~is_finite], expected[~is_finite], equal_nan=True) or not numpy.isfinite(
            actual[is_finite]).all():  # fmt: skip
        return numpy.inf, numpy.inf
    difference = numpy.abs(actual[is_finite] - expected[is_finite])
    scale = numpy.abs(expected[is_finite]).max(initial=0) or 1
    mean = numpy.sqrt((difference**2).mean()) if difference.size else 0
    return float(difference.max(initial=0) / scale), float(mean / scale)


def cosine_of(actual, expected):
    a, b = actual.astype(numpy.float64).ravel(), expected.astype(numpy.float64).ravel()
    product = numpy.linalg.norm(a) * numpy.linalg.norm(b)
    return float(a @ b / product) if product > 0 else None


def compare(model, actual, expected):
    """Of outputs by name: the errors of each and the worst ones, the smallest cosine, the share of equal best classes.

    An error is None where an output lacks numbers.
    """
    if sorted(actual) != sorted(expected):
        raise RuntimeError(f"there are outputs {sorted(actual)}, expected {sorted(expected)}")
    names = sorted(expected)
    outputs, cosines, same = {}, [], []
    for name in names:
        pair = errors_of(actual[name], expected[name])
        outputs[name] = dict(zip(ERRORS, pair if numpy.isfinite(pair).all() else (None, None)))
        cosines.append(cosine_of(actual[name], expected[name]))
        same.append((actual[name].argmax(axis=-1) == expected[name].argmax(axis=-1)).mean())
    if any(output["error"] is None for output in outputs.values()):
        return {**dict.fromkeys([*ERRORS, "cosine", "top1_agreement"]), "outputs": outputs}
    return {**{key: max(output[key] for output in outputs.values()) for key in ERRORS},
            "cosine": min((c for c in cosines if c is not None), default=None),
            "top1_agreement": float(min(same)) if model.is_classifier else None, "outputs": outputs}  # fmt: skip


def judge(found, precision, find_rounding):
    """What `compare` found, and whether it is right.

    find_rounding() compares the outputs of the rounded model; it is called where the tolerance is exceeded.
    """
    tolerance = TOLERANCES[precision]
    wide = {name: output for name, output in found["outputs"].items()
            if output["error"] is None or output["error"] > tolerance}  # fmt: skip
    verdict = {**found, "tolerance": tolerance, "rounding": None, "passed": not wide}
    if found["error"] is None or not wide:
        return verdict
    rounding = find_rounding()
    is_explained = rounding["error"] is not None and all(
        output[key] <= MARGIN * rounding["outputs"][name][key] for name, output in wide.items() for key in ERRORS)
    return {**verdict, "rounding": rounding, "passed": is_explained}


def describe(verdict):
    if verdict["error"] is None:
        return "FAILED: there are infinities or no numbers where the reference has none"
    text = f"error {verdict['error']:.1e}, tolerance {verdict['tolerance']:.0e}"
    if verdict["rounding"] is not None:
        text += f", by rounding alone {verdict['rounding']['error']:.1e}"
    return text if verdict["passed"] else f"FAILED: {text}"


def name_of_device(device, table):
    """In what `gacer devices` prints; None where it is not."""
    key = "cuda:0" if device == "cuda" else device
    row = re.search(rf"^ *{re.escape(key)} {{2,}}(\S.*?) {{2,}}\d", table, re.MULTILINE)
    return row[1] if row else None


class Numbers:
    def __init__(self, args, models):
        self.args = args
        self.models = models
        self.end = time.time() + args.seconds
        self.work = pathlib.Path(args.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.commit = version_of(args.gacer).strip().split("(")[-1].rstrip(")")
        self.device = self.find_device()
        self.lock = threading.Lock()      # of result and file
        cores = len(os.sched_getaffinity(0))
        self.cpu_threads = min(4, cores)
        self.cpu_runs = threading.Semaphore(cores // self.cpu_threads)
        self.result = self.earlier_result()

    def find_device(self):
        """Its name. Ends the script where there is none: every run would fail."""
        log = self.work / "devices.txt"
        try:
            run_checked([self.args.gacer, "devices"], log, self.args.patience)
        except FAILURES as error:
            sys.exit(f"gacer cannot list its devices: {error}")
        devices = log.read_text()
        names = {device: name_of_device(device, devices) for device in self.args.device}
        for device, name in names.items():
            if name is None:
                sys.exit(f"there is no device '{device}' here:\n{devices}")
        if len(set(names.values())) > 1:
            found = ", ".join(f"{device} ({name})" for device, name in names.items())
            sys.exit(f"these devices are not alike: {found}")
        return names[self.args.device[0]]

    def earlier_result(self):
        """What this program has measured on this device before."""
        empty = {"commit": self.commit, "device": self.device, "driver": None, "date": None,
                 "reference": "plain loops in f32", "models": {}, "not_measured": {}}  # fmt: skip
        if not self.args.out.exists():
            return empty
        earlier = json.loads(self.args.out.read_text())
        if (earlier.get("commit"), earlier.get("device")) == (self.commit, self.device):
            others = {what: reason for what, reason in earlier["not_measured"].items()
                      if what.split()[0] not in self.args.models}
            return {**earlier, "not_measured": others}
        say(f"{self.args.out} is of commit {earlier.get('commit')} on {earlier.get('device')}, "
            f"this is {self.commit} on {self.device}: it is written anew")  # fmt: skip
        return empty

    def precisions_to_do(self, model):
        known = self.result["models"].get(model.name, {}).get("precisions", {})
        return [p for p in self.args.precisions if not (self.args.missing and p in known)]

    def run(self, model, device, precision, x, folder, *options):
        """Its outputs by name, and the report."""
        if time.time() > self.end:
            raise TimeIsOver
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        numpy.save(folder / "x.npy", x)
        rows = "rows_plain" if options else f"rows_{device.split(':')[0]}"
        run_checked([self.args.gacer, "run", model.argument(), "--device", device, *options, "--precision", precision,
                     "--policy", "sequential", "--time", "1ms", "--rounds", "1", "--no-check", "--quiet",
                     "--db", str(self.work / f"{rows}_{self.commit}.db"), "--input",
                     f"{model.port}={folder / 'x.npy'}", "--output", str(folder / "out"), "--json",
                     str(folder / "report.json")], folder / "log", self.args.patience)  # fmt: skip
        outputs = {path.name.removeprefix(f"{model.name}.").removesuffix(".npy"): numpy.load(path)
                   for path in (folder / "out").glob("*.npy")}  # fmt: skip
        if not outputs:
            raise RuntimeError(f"gacer wrote no outputs to {folder / 'out'}")
        return outputs, reports.read(folder / "report.json")

    def run_plain(self, model, x, folder):
        with self.cpu_runs:
            return self.run(model, "cpu", "f32", x, folder, "--impl", "plain", "--threads", str(self.cpu_threads))[0]

    def find_rounding(self, model, precision, x, expected):
        """What rounding input and weights changes, by the reference's kernels."""
        folder = self.work / f"{model.name}_{precision}_rounded"
        exact, whole = self.work / f"{model.name}_exact.onnx", self.work / f"{model.name}_{precision}.onnx"
        if model.path is None:
            run_checked([self.args.gacer, "zoo", model.name, "--out", str(exact)], self.work / f"{model.name}_zoo.log")
        round_weights(model.path or exact, precision, whole)
        of_file = dataclasses.replace(model, path=whole)
        return compare(model, self.run_plain(of_file, rounded(x, precision), folder), expected)

    def measure(self, model, device, precision, x, expected):
        begin = time.time()
        actual, report = self.run(model, device, precision, x, self.work / f"{model.name}_{precision}")
        seconds = time.time() - begin
        verdict = judge(compare(model, actual, expected), precision,
                        lambda: self.find_rounding(model, precision, x, expected))
        self.keep(model, precision, {**verdict, "seconds": round(seconds, 1)}, report)

    def keep(self, model, precision, verdict, report):
        device = report["device"]
        with self.lock:
            self.result |= {"driver": device["driver"], "libraries": device["libraries"],
                            "date": time.strftime("%Y-%m-%d")}  # fmt: skip
            entry = self.result["models"].setdefault(model.name, {"input": list(model.shape), "precisions": {}})
            entry["precisions"][precision] = verdict
            self.save()
        say(f"{model.name} {precision}: {describe(verdict)}; {verdict['seconds']} s")

    def fail(self, what, error):
        with self.lock:
            self.result["not_measured"][what] = reports.without_folders(str(error))
            self.save()
        say(f"FAILED {what}: {error}")

    def save(self):
        """In a fixed order, whatever came first."""
        models = self.result["models"]
        ordered = {name: {**models[name], "precisions": {p: models[name]["precisions"][p] for p in TOLERANCES
                                                         if p in models[name]["precisions"]}}
                   for name in ZOO + TRAINED if name in models}  # fmt: skip
        reports.save(self.args.out, {**self.result, "models": ordered}, allow_nan=False)

    def measure_model(self, model, device):
        precisions = self.precisions_to_do(model)
        if not precisions:
            return
        try:
            if model.path is not None:
                exposed = self.work / f"{model.name}_scores.onnx"
                expose_scores(model.path, exposed)
                model = dataclasses.replace(model, path=exposed)
            x = make_input(model)
            expected = self.run_plain(model, x, self.work / f"{model.name}_reference")
        except FAILURES as error:
            return self.fail(model.name, error)
        for precision in precisions:
            try:
                self.measure(model, device, precision, x, expected)
            except FAILURES as error:
                self.fail(f"{model.name} {precision}", error)

    def run_all(self):
        """Whether all was measured and no error is too large."""
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            # Those with the most nodes first: they take longest.
            done = [pool.submit(self.measure_model, model, device)
                    for model, device in zip(reversed(self.models), itertools.cycle(self.args.device))]
        for future in done:
            future.result()  # TimeIsOver, or our own mistake
        return not self.result["not_measured"] and not self.too_large()

    def too_large(self):
        return [f"{name} {precision}" for name, entry in self.result["models"].items()
                for precision, verdict in entry["precisions"].items() if not verdict["passed"]]


def find_models(names, folder):
    """The models, and the names of those that have no file with the reason."""
    models, absent = [], {}
    for name in names:
        path = folder / f"{name}.onnx"
        if name in ZOO:
            models.append(zoo_model(name))
        elif not path.exists():
            absent[name] = f"there is no {path.name} in {folder.name}: run 'make setup', or name its folder by --trained"
        else:
            models.append(trained_model(name, path))
    return models, absent


def comma_list_of(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
        return names

    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gacer", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="FILE")
    parser.add_argument("--models", type=comma_list_of(ZOO + TRAINED), default=ZOO + TRAINED, metavar="NAME,...")
    parser.add_argument("--precisions", type=comma_list_of(list(TOLERANCES)), default=list(TOLERANCES),
                        metavar="NAME,...")
    parser.add_argument("--trained", type=pathlib.Path, default=ROOT / ".models", metavar="FOLDER",
                        help="of the trained models' files")
    parser.add_argument("--device", type=lambda text: text.split(","), default=["cuda"], metavar="DEVICE,...",
                        help="of one kind; the models are spread over them")
    parser.add_argument("--work", default="/tmp/gacer-numbers", metavar="FOLDER")
    parser.add_argument("--jobs", type=int, default=4, help="models side by side")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, metavar="SECONDS", help="for one run of gacer")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new after so many")
    parser.add_argument("--missing", action="store_true", help="leave out what this program has measured")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    models, absent = find_models(args.models, args.trained.resolve())
    numbers = Numbers(args, models)
    for name, reason in absent.items():
        numbers.fail(name, reason)
    try:
        is_right = numbers.run_all()
    except TimeIsOver:
        say("the time is over; with --missing another call goes on")
        sys.exit(3)
    for what in numbers.too_large():
        print(f"the error is too large: {what}", file=sys.stderr)
    for what, reason in numbers.result["not_measured"].items():
        print(f"not measured: {what}: {reason}", file=sys.stderr)
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
