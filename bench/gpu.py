"""Measures gacer beside PyTorch on one GPU, in turns, and compares the outputs.

Usage: gpu.py --gacer PROGRAM --out FOLDER --batch N [--work FOLDER] [--mix MIX...] [CELL...]

A CELL is a mix of bench/mixes.json (A, B, ...) or a model of the zoo; --mix names mixes too. Each cell becomes
FOLDER/<cell>_b<N>.json; cells of other calls stay, so that results gather over calls. Needs torch,
torchvision and onnx. Three phases, so that nothing disturbs what is timed: gacer profiles and plans
every cell (what an earlier call, say with --plan-only, has done in the same work folder with the
same program and options is taken); PyTorch loads and compiles every model; then, cell by cell,
gacer's plans (a process that has loaded the saved plans with the profile's help alone) and
PyTorch's peers take short turns, each equally often after each other one, and the medians of all
rounds are kept.

Two more kinds of peers take long and come when asked for. --max-autotune: torch.compile with its
widest search and frozen weights (models are tuned side by side, as all compiling here is, but their
candidates are timed one at a time, without the host's part; a model that --autotune-limit ends is
listed as missing, and what was tuned stays in TORCHINDUCTOR_CACHE_DIR for the next call;
peers/tune_blocks.py fills that on all cores before). --mps: mixes as one
process a tenant under NVIDIA MPS, timed by the host's clock from a common start to the last
process's end; what an empty round takes is kept beside it and not subtracted.

--placement measures no times: one round of gacer's and of partition's plan of each mix runs under the
profiler's library (CUPTI), and FOLDER/placement_<cell>_b<N>.json says on which multiprocessors their
kernels ran. Plans that an earlier call with the same options has made are taken.

With --missing, cells that have a result of this program (of this commit: builds with changes that
are not committed look alike) with the peers asked for are left out, so a call that was cut short can
be repeated. --seconds ends a call by itself, between two profiles, plans or cells, and with exit
code 3: a GPU may be there for a limited time only.

What could not be measured is listed with the reason. A cell that fails has no result file, not even
one of an earlier call; outputs that are too far from PyTorch's are a failure, and so is a program that
does not answer for --patience: it is killed. PyTorch is started again for the next cell.
"""

import argparse
import contextlib
import json
import math
import pathlib
import statistics
import subprocess
import sys
import time

import numpy
import onnx

import reports
from process import PATIENCE_S, Process, run_checked, say, tail_of, version_of
from torch_peers import WARM_ROUNDS, TorchPeers

HERE = pathlib.Path(__file__).resolve().parent
MIX_POLICIES = "sequential,streams,partition,gacer"
SINGLE_POLICIES = "streams,gacer"
SINGLE_PEERS = ["eager_sequential", "compiled_sequential"]
MIX_PEERS = ["eager_sequential", "eager_streams", "compiled_sequential", "compiled_streams",
             "compiled_merged"]
SINGLE_AUTOTUNED = ["autotuned_sequential"]
MIX_AUTOTUNED = ["autotuned_sequential", "autotuned_merged"]
PLACED_POLICIES = ["gacer", "partition"]  # their plans hold parts of the device
MAX_ERROR = 2e-2  # of fp16, as a share of the output's largest number
# A GPU at its power limit runs one turn faster than the next. Turns go on until the median of each
# contender's is known this well, at most so many times as long. Not for eager PyTorch and MPS, which
# wait for the host.
MAX_DEVIATION = 0.01
MAX_MORE_TURNS = 4
FAILURES = (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired)  # of one cell


class TimeIsOver(Exception):
    """Nothing new is begun."""


def is_steady(turns):
    """Whether the standard error of the turns' median is small, by their quartiles."""
    if len(turns) < 2:
        return True
    low, median, high = statistics.quantiles(turns, n=4, method="inclusive")
    deviation_of_one = (high - low) / 1.349  # of normal numbers
    return 1.2533 * deviation_of_one / math.sqrt(len(turns)) <= MAX_DEVIATION * median


def turn_order(contenders, turn):
    """The order of a turn: what ran before leaves its mark on clocks and power.

    So within turns each runs equally often behind each of the others (Williams's designs: once in as
    many turns as there are contenders, twice in twice as many where their number is odd), and from
    turn to turn never behind itself.
    """
    if contenders == 2:
        return [0, 1]
    is_reversed = contenders % 2 == 1 and turn // contenders % 2 == 1
    zigzag = [(i + 1) // 2 if i % 2 else -(i // 2) for i in range(contenders)]
    order = [(k + (-turn if is_reversed else turn)) % contenders for k in zigzag]
    return order[::-1] if is_reversed else order


class Bench:
    def __init__(self, args):
        self.args = args
        self.end = time.time() + args.seconds
        self.work = pathlib.Path(args.work)
        self.out = pathlib.Path(args.out)
        for folder in (self.work, self.out):
            folder.mkdir(parents=True, exist_ok=True)
        self.mixes = json.loads((HERE / "mixes.json").read_text())["mixes"]
        self.version = version_of(args.gacer)
        # "gacer 0.1.0 (0123abcd)": rows of another program are not this one's.
        self.profile_file = self.file(f"profile_{self.version.strip().split('(')[-1].rstrip(')')}.db")
        self.profile_s = {}
        self.cells = []
        self.failed = {}      # cells: the reason
        self.peers = TorchPeers(args.batch, self.file, self.export, args.patience)

    def require_time(self):
        if time.time() > self.end:
            raise TimeIsOver

    def models_of(self, cell):
        return self.mixes.get(cell, [cell])

    def file(self, name):
        return str(self.work / name)

    def result_file(self, cell):
        return self.out / f"{cell}_b{self.args.batch}.json"

    @contextlib.contextmanager
    def attempt(self, cells):
        """What fails inside fails for these cells: the others are worth having."""
        try:
            yield
        except FAILURES as error:
            for cell in cells:
                self.failed[cell] = str(error)
                say(f"FAILED {cell}: {error}")
                if not self.args.plan_only and not self.args.placement:
                    self.result_file(cell).unlink(missing_ok=True)

    def placement_file(self, cell):
        return self.out / f"placement_{cell}_b{self.args.batch}.json"

    def is_done(self, cell):
        """By this program: what --missing leaves out."""
        if not self.args.placement:
            return self.is_measured(cell)
        path = self.placement_file(cell)
        return path.exists() and f"({json.loads(path.read_text())['commit']})" in self.version

    def is_measured(self, cell):
        """By this program, beside all peers that are asked for."""
        if not self.result_file(cell).exists():
            return False
        try:
            result = json.loads(self.result_file(cell).read_text())
        except ValueError:  # it was cut short
            return False
        wanted = {"autotuned": self.args.max_autotune,
                  "mps_processes": self.args.mps and len(self.models_of(cell)) > 1}
        return f"({result['commit']})" in self.version and not any(
            wanted.get(peer, False) for peer in result["peers_not_measured"])

    def remaining(self):
        return [cell for cell in self.cells if cell not in self.failed]

    def models_of_all(self, cells):
        return sorted({model for cell in cells for model in self.models_of(cell)})

    def engine_options(self):
        return ["--device", "cuda", "--precision", "fp16", "--db", self.profile_file]

    def run_program(self, arguments, log):
        """Runs gacer. The seconds it took."""
        return run_checked([self.args.gacer, *arguments], self.file(log), self.args.patience)

    def export(self, model):
        path = self.work / f"{model}.onnx"
        if not path.exists():
            self.run_program(["zoo", model, "--out", str(path)], f"zoo_{model}.log")
        x = self.work / f"input_b{self.args.batch}.npy"
        if not x.exists():
            random = numpy.random.default_rng(1)
            numpy.save(x, random.random((self.args.batch, 3, 224, 224), dtype=numpy.float32))
        return str(path), str(x)

    def profile(self, model):
        """Cold: nothing of this model and batch is in the profile unless an earlier one shares it.

        The seconds are kept beside the profile, for calls that find both; "cut" while it is made:
        who finds that completes a profile whose time nobody knows.
        """
        stamp = pathlib.Path(f"{self.profile_file}.{model}_b{self.args.batch}")
        known = stamp.read_text() if stamp.exists() else None
        if known not in (None, "cut"):
            self.profile_s[model] = float(known)
            return
        self.require_time()
        stamp.write_text("cut")
        seconds = self.run_program(["profile", f"zoo:{model}@{self.args.batch}", *self.engine_options()],
                                   f"profile_{model}.log")
        if known == "cut":
            say(f"the profile of {model} b{self.args.batch} is complete; it had been cut short")
            return
        stamp.write_text(str(seconds))
        self.profile_s[model] = seconds
        say(f"profile {model} b{self.args.batch}: {seconds:.1f} s")

    def plan(self, cell):
        """Plans, checks and measures by `gacer compare`; keeps plans, report and outputs."""
        models = self.models_of(cell)
        name = f"{cell}_b{self.args.batch}"
        is_mix = len(models) > 1
        command = ["compare", *[f"zoo:{m}@{self.args.batch}" for m in models],
                   *self.engine_options(), "--policies", MIX_POLICIES if is_mix else SINGLE_POLICIES,
                   "--measurements", str(self.args.measurements), "--search-time",
                   self.args.search_time, "--time", self.args.time,
                   "--json", self.file(f"{name}.json"),
                   "--save-plans", self.file(f"{name}.plans"), "--output",
                   self.file(f"{name}.out"), "--quiet"]
        for model in models:
            weights, x = self.export(model)
            port = onnx.load(weights, load_external_data=False).graph.input[0].name
            command += ["--input", f"{model}:{port}={x}"]
        stamp = pathlib.Path(self.file(f"planned_{name}"))
        asked_for = json.dumps([self.version, self.args.gacer, command])
        if not stamp.exists() or stamp.read_text() != asked_for:
            stamp.unlink(missing_ok=True)
            self.require_time()
            seconds = self.run_program(command, f"{name}.log")
            stamp.write_text(asked_for)
            say(f"planned {name}: {seconds:.1f} s")
        report = reports.read(self.file(f"{name}.json"))
        times = {p["name"]: round(p["round_ms"]["median"], 4) for p in report["policies"]}
        say(f"plans of {name}: {times}, chosen {report['chosen']}")
        return report

    def start_peers(self, models):
        has_mixes = any(len(self.models_of(cell)) > 1 for cell in self.cells)
        self.peers.start(models, self.args.autotune_limit if self.args.max_autotune else None,
                         has_mps=self.args.mps and has_mixes)

    def compare_outputs(self, cell):
        """Largest difference from PyTorch's f32 output, as a share of its largest number.

        Infinite where an output holds what is no number.
        """
        errors = {}
        for model in self.models_of(cell):
            expected = {}
            for precision in ("f32", "fp16"):
                file = self.work / f"torch_{model}_b{self.args.batch}_{precision}.npy"
                if not file.exists():
                    self.peers.request(output=model, file=str(file), precision=precision)
                expected[precision] = numpy.load(file)
            folder = self.work / f"{cell}_b{self.args.batch}.out"
            (path,) = folder.glob(f"{model}.*.npy")
            ours = numpy.load(path).astype(numpy.float32)
            scale = numpy.abs(expected["f32"]).max()

            def difference(y):
                share = float(numpy.abs(y - expected["f32"]).max() / scale)
                return share if math.isfinite(share) else math.inf

            errors[model] = {"gacer_fp16": difference(ours),
                             "torch_fp16": difference(expected["fp16"])}
            if model in self.peers.tuned:
                file = self.work / f"torch_{model}_b{self.args.batch}_autotuned.npy"
                self.peers.request(output=model, file=str(file), precision="autotuned")
                errors[model]["torch_autotuned"] = difference(numpy.load(file))
        return errors

    def checked_errors(self, cell):
        """Errors as a result file keeps them: null where PyTorch's own are infinite."""
        errors = self.compare_outputs(cell)
        for model, shares in errors.items():
            ours = shares["gacer_fp16"]
            if ours > MAX_ERROR:
                raise RuntimeError(f"the output of {model} differs from PyTorch's by {ours:.1e} of "
                                   f"the scale, more than {MAX_ERROR}")
        return {model: {who: share if math.isfinite(share) else None
                        for who, share in shares.items()} for model, shares in errors.items()}

    @contextlib.contextmanager
    def replay(self, cell, report):
        """A second process with the saved plans: the chosen one first, timed to its first round.

        It ends with the block.
        """
        policies = [p["name"] for p in report["policies"]]
        policies.sort(key=lambda name: name != report["chosen"])
        folder = pathlib.Path(self.file(f"{cell}_b{self.args.batch}.plans"))
        begin = time.time()
        process = Process([self.args.gacer, "replay", *[str(folder / f"{p}.plan.json")
                                                        for p in policies],
                           *self.engine_options(), "--quiet"], self.file("replay.log"),
                          patience_s=self.args.patience)
        try:
            ready = json.loads(process.read())
            seconds = time.time() - begin
            costs = json.loads(process.read())["plans"]
            yield process, policies, seconds, ready, costs
        finally:
            process.end()

    def take_turns(self, contenders):
        rounds = {name: [] for name in contenders}
        medians = {name: [] for name in contenders}
        names = list(contenders)
        for turn in range(MAX_MORE_TURNS * self.args.turns):
            if turn >= self.args.turns and all(
                    is_steady(medians[name]) for name in names
                    if ":eager" not in name and ":mps" not in name):
                break
            for name in [names[k] for k in turn_order(len(names), turn)]:
                times = contenders[name]()
                if times is None:  # it cannot go on: what it did is no comparison
                    names.remove(name)
                    continue
                rounds[name] += times
                medians[name].append(statistics.median(times))
        return {name: {"median_ms": statistics.median(rounds[name]), "min_ms": min(rounds[name]),
                       "rounds": len(rounds[name]), "turn_medians_ms": medians[name]}
                for name in names}

    def compete(self, models, replay, policies):
        """Times of gacer's policies and of PyTorch's peers, peers not measured, facts of MPS."""
        is_mix = len(models) > 1
        peers = MIX_PEERS if is_mix else SINGLE_PEERS
        missing = {}
        if is_mix:
            self.peers.request(merge=models)
        if all(model in self.peers.tuned for model in models):
            peers = peers + (MIX_AUTOTUNED if is_mix else SINGLE_AUTOTUNED)
            if is_mix:
                self.peers.request(merge=models, kind="autotuned")
        else:
            missing["autotuned"] = "; ".join(
                f"{m}: {self.peers.missing[m]}" for m in models if m in self.peers.missing) or "not asked for"
        tenants, mps = self.peers.mps_tenants(models) if is_mix else (None, None)
        if tenants is None:
            missing["mps_processes"] = self.peers.mps_missing if is_mix else "one model"

        def ours(index):
            line = replay.ask(f"{index} {self.args.rounds + WARM_ROUNDS}")
            return [float(ms) for ms in line.split()][WARM_ROUNDS:]

        def theirs(peer):
            rounds = max(3, self.args.rounds // 4) if peer.startswith("eager") else self.args.rounds
            return self.peers.request(run=peer, models=models, rounds=rounds)["ms"]

        contenders = {f"gacer:{p}": (lambda i=i: ours(i)) for i, p in enumerate(policies)}
        contenders |= {f"torch:{p}": (lambda p=p: theirs(p)) for p in peers}
        if tenants is not None:
            contenders["torch:mps_processes"] = lambda: self.peers.mps_rounds(tenants, self.args.rounds)
        times = self.take_turns(contenders)
        if tenants is not None and self.peers.mps is None:
            missing["mps_processes"] = self.peers.mps_missing
        return times, missing, mps

    def measure(self, cell, report):
        models = self.models_of(cell)
        path = self.result_file(cell)
        path.unlink(missing_ok=True)
        with self.replay(cell, report) as (replay, policies, warm_s, ready, costs):
            times, missing, mps = self.compete(models, replay, policies)
        result = {
            "cell": cell, "batch": self.args.batch, "models": models, "precision": "fp16",
            "commit": report["commit"], "device": report["device"], "torch": self.peers.facts,
            "chosen": report["chosen"], "guard": report["guard"], "times": times,
            "warm_start_s": warm_s, "start_s": ready.get("start_s"),
            "first_plan_device_bytes": ready["device_bytes"],
            "costs": costs,
            "torch_loaded": {m: self.peers.loaded[m] for m in models},
            "torch_autotuned": {m: self.peers.tuned[m] for m in models if m in self.peers.tuned},
            "mps": mps, "peers_not_measured": missing,
            "profile_s": {m: self.profile_s[m] for m in models if m in self.profile_s},
            "output_errors": self.checked_errors(cell), "report": report}
        reports.save(path, result, allow_nan=False)
        say(f"{path.name}: " + ", ".join(f"{n} {t['median_ms']:.3f}" for n, t in times.items()))
        return result

    def place(self, cell):
        """Writes where the kernels of a mix's plans ran."""
        name = f"{cell}_b{self.args.batch}"
        report_file = self.file(f"{name}.placement.json")
        plans = {}
        for policy in PLACED_POLICIES:
            log = f"{name}.placement.log"
            # Not --quiet: a warning says why kernels cannot be seen.
            self.run_program(["run", "--plan", self.file(f"{name}.plans/{policy}.plan.json"), "--no-guard",
                              "--placement", "--time", "100ms", "--json", report_file,
                              *self.engine_options()], log)
            report = reports.read(report_file)
            if "placement" not in report:
                raise RuntimeError(f"gacer could not see where {policy}'s kernels ran: {tail_of(self.file(log))}")
            plans[policy] = report["placement"]
        reports.save(self.placement_file(cell), {
            "cell": cell, "batch": self.args.batch, "models": self.models_of(cell), "precision": "fp16",
            "commit": report["commit"], "device": report["device"], "plans": plans})
        say(f"{self.placement_file(cell).name}: kernels seen where the plan puts them: " + ", ".join(
            f"{policy} {sum(row['seen_kernels'] for row in rows if row['expected_kernels'])} of "
            f"{sum(row['expected_kernels'] for row in rows)}" for policy, rows in plans.items()))

    def run(self):
        self.cells = [cell for cell in dict.fromkeys(self.args.cells)
                      if not (self.args.missing and self.is_done(cell))]
        for model in self.models_of_all(self.remaining()):
            with self.attempt([c for c in self.remaining() if model in self.models_of(c)]):
                self.export(model)
                self.profile(model)
        plans = {}
        for cell in self.remaining():
            with self.attempt([cell]):
                plans[cell] = self.plan(cell)
        if self.args.placement:
            for cell in self.remaining():
                self.require_time()
                with self.attempt([cell]):
                    self.place(cell)
        if self.args.plan_only or self.args.placement or not plans:
            return []
        results = []
        try:
            self.require_time()
            with self.attempt(plans):
                self.start_peers(self.models_of_all(self.remaining()))
            cells = self.remaining()
            for index, cell in enumerate(cells):
                self.require_time()
                with self.attempt([cell]):
                    self.peers.load_again(self.models_of_all(cells[index:]))  # an earlier cell was its last
                    results.append(self.measure(cell, plans[cell]))
        finally:
            self.peers.stop()
        return results


def print_table(results):
    for result in results:
        times = {name: t["median_ms"] for name, t in result["times"].items()}
        best = min(t for n, t in times.items()
                   if n.startswith("torch:") and not n.startswith("torch:eager"))
        chosen = times["gacer:" + result["chosen"]]
        streams = times["gacer:streams"]
        error = max(e["gacer_fp16"] for e in result["output_errors"].values())
        print(f"{result['cell']:>20} b{result['batch']:<3} chosen {result['chosen']:<10} "
              f"{chosen:.3f} ms; compiled/streams {best / streams:.2f}, compiled/chosen "
              f"{best / chosen:.2f}, streams/chosen {streams / chosen:.2f}, eager/chosen "
              f"{times['torch:eager_sequential'] / chosen:.1f}; warm {result['warm_start_s']:.2f} s, "
              f"assembly {result['costs'][0]['assemble_ms']:.2f} ms, launch "
              f"{result['costs'][0]['launch_us']:.0f} us, error {error:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="CELL")
    parser.add_argument("--mix", nargs="+", default=[], metavar="MIX", help="mixes of bench/mixes.json")
    parser.add_argument("--gacer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--work", default="/tmp/gacer-bench")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=24, help="of each contender in a turn")
    parser.add_argument("--measurements", type=int, default=1000)
    parser.add_argument("--search-time", default="15s")
    parser.add_argument("--time", default="1s", help="for each policy, before the guard judges")
    parser.add_argument("--plan-only", action="store_true", help="no PyTorch, no result files")
    parser.add_argument("--placement", action="store_true",
                        help="no times, but where kernels of mixes' plans ran")
    parser.add_argument("--missing", action="store_true",
                        help="leave out what is measured at this commit")
    parser.add_argument("--seconds", type=float, default=float("inf"),
                        help="begin nothing new after so many")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, metavar="SECONDS",
                        help="for one profile, search or answer; a program that takes longer hangs")
    parser.add_argument("--autotune-limit", type=float, default=float("inf"), metavar="SECONDS",
                        help="give up on models that take longer to tune")
    parser.add_argument("--max-autotune", action="store_true",
                        help="PyTorch's widest search too, which takes minutes a model")
    parser.add_argument("--mps", action="store_true",
                        help="mixes as one PyTorch process a tenant under NVIDIA MPS too")
    args = parser.parse_args()
    args.cells = args.mix + args.cells
    if not args.cells:
        parser.error("there is nothing to measure: name a CELL (A, resnet50) or --mix A B")
    mixes = json.loads((HERE / "mixes.json").read_text())["mixes"]
    unknown = [mix for mix in args.mix if mix not in mixes]
    singles = [cell for cell in args.cells if cell not in mixes]
    if args.placement and singles:
        parser.error(f"--placement is of mixes' plans: {', '.join(singles)} is none of {', '.join(mixes)}")
    if unknown:
        parser.error(f"bench/mixes.json has no mix {', '.join(unknown)}; it has {', '.join(mixes)}")
    bench = Bench(args)
    try:
        print_table(bench.run())
    except TimeIsOver:
        say("the time is over; with --missing another call goes on")
        sys.exit(3)
    failed = [f"{cell}: {reason}" for cell, reason in bench.failed.items()]
    sys.exit("\n".join(["not measured:", *failed]) if failed else 0)


if __name__ == "__main__":
    main()
