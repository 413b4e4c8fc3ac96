"""The benchmarks behind bench/cpu.sh: see there for the arguments, bench/results/cpu/README.md for the outcome."""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

import reports

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results/cpu"
SCRATCH = ROOT / "bench/out"
GACER = os.environ.get("GACER", str(ROOT / "build/release/gacer"))
MIXES = json.loads((ROOT / "bench/mixes.json").read_text())
CPU_MIXES = "ABCDE"
CPU_BATCHES = (1, 8)
TURNS = 7
TURN_SECONDS = 1.0
MIX_TURNS = 4
ORT_MODES = ("sequential-spin", "threads", "threads1")


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT, **options)
    if result.returncode != 0:
        sys.exit(f"bench: {' '.join(map(str, command))}\n  exit {result.returncode}: {result.stderr.strip()[-2000:]}")
    return result.stdout


def save(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    reports.save(path, value)


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    import onnxruntime

    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "onnxruntime": onnxruntime.__version__,
            "commit": run("git", "rev-parse", "--short", "HEAD").strip()}  # fmt: skip


def exported(name):
    """A zoo model as an ONNX file with a free batch, for ONNX Runtime."""
    path = SCRATCH / f"{name}.onnx"
    if not path.exists():
        SCRATCH.mkdir(parents=True, exist_ok=True)
        run(GACER, "zoo", name, "--out", path)
    return path


def gacer_options():
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return ["--db", SCRATCH / "rows.db", "--quiet"]


def summarize(times):
    return {"min": min(times), "median": statistics.median(times), "n": len(times)}


def ort_turn(mode, models, seconds):
    return json.loads(run(sys.executable, "-B", ROOT / "bench/onnx_runtime.py", mode, seconds, *models))


def gacer_turn(plan, models, seconds):
    """Rounds of a saved plan in a fresh process: its JSON report and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        command = [GACER, "run", "--plan", plan, "--no-guard", "--no-check", *models, "--time", f"{seconds}s", "--rounds", 2,
                   "--json", report, *gacer_options()]  # fmt: skip
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"bench: {' '.join(map(str, command))}\n  exit {process.returncode}: {said.strip()}")
        result = json.loads(report.read_text())["policies"][0]["round_ms"]
        return result, usage.ru_maxrss


def measure_mix(mix, batch):
    tenants = [f"zoo:{name}@{batch}" for name in MIXES["mixes"][mix]]
    with tempfile.TemporaryDirectory() as folder:
        report, plan = pathlib.Path(folder) / "report.json", pathlib.Path(folder) / "plan.json"
        run(GACER, "compare", *tenants, "--policies", "all", "--time", "1500ms", "--search-time", "6s", "--json", report, "--save-plan", plan, *gacer_options())
        result = {"mix": mix, "batch": batch, "machine": machine(), "report": reports.read(report)}
        models = [f"{exported(name)}@{batch}" for name in MIXES["mixes"][mix]]
        turns = {mode: [] for mode in ("gacer", *ORT_MODES)}
        for _ in range(MIX_TURNS):
            turns["gacer"].append(gacer_turn(plan, tenants, TURN_SECONDS)[0])
            for mode in ORT_MODES:
                turns[mode].append(summarize(ort_turn(mode, models, TURN_SECONDS)["ms"]))
    result["interleaved"] = {mode: {"min": min(turn["min"] for turn in of_mode),
                                    "median": statistics.median(turn["median"] for turn in of_mode), "turns": len(of_mode)}
                             for mode, of_mode in turns.items()}  # fmt: skip
    return result


def single_models():
    names = sorted({name for mix in CPU_MIXES for name in MIXES["mixes"][mix]} | {"gpt2"})
    cells = [(f"{name}-b{batch}", f"zoo:{name}@{batch}", f"{SCRATCH / (name + '.onnx')}@{batch}", name) for name in names for batch in CPU_BATCHES]
    for name, spec in MIXES["trained_models"].items():
        path = f".models/{name}.onnx{spec}"
        cells.append((name, path, path, name))
    return cells


def measure_single(tenant, model, name):
    if tenant.startswith("zoo:"):
        exported(name)
    with tempfile.TemporaryDirectory() as folder:
        plan = pathlib.Path(folder) / "plan.json"
        report = pathlib.Path(folder) / "report.json"
        run(GACER, "run", tenant, "--policy", "sequential", "--time", "200ms", "--save-plan", plan, "--json", report, *gacer_options())
        checked = json.loads(report.read_text())["policies"][0]
        ours, theirs, our_kb, their_kb, start_kb = [], [], [], [], 0
        for _ in range(TURNS):
            turn, peak = gacer_turn(plan, [tenant], TURN_SECONDS / 2)
            ours.append(turn["min"])
            our_kb.append(peak)
            turn = ort_turn("sequential-spin", [model], TURN_SECONDS / 2)
            theirs.append(min(turn["ms"]))
            their_kb.append(turn["peak_kb"])
            start_kb = turn["start_kb"]
    return {"model": tenant, "machine": machine(), "outputs_match": checked["outputs_match"], "launches": checked["launches"],
            "gacer_ms": min(ours), "onnxruntime_ms": min(theirs), "gacer_turns_ms": ours, "onnxruntime_turns_ms": theirs,
            "gacer_peak_kb": max(our_kb), "onnxruntime_peak_kb": max(their_kb), "onnxruntime_start_kb": start_kb}  # fmt: skip


def mix_rows(cells):
    names = []
    for cell in cells:
        names += [policy["name"] for policy in cell["report"]["policies"] if policy["name"] not in names]
    lines = ["| mix | batch | " + " | ".join(names) + " | used | vs sequential | vs best simple | ONNX Runtime | vs ONNX Runtime |",
             "|---|---|" + "---|" * (len(names) + 5)]  # fmt: skip
    for cell in cells:
        report, turns = cell["report"], cell["interleaved"]
        times = {policy["name"]: f"{policy['round_ms']['median']:.1f}" for policy in report["policies"]}
        best = min(ORT_MODES, key=lambda mode: turns[mode]["median"])
        factor = lambda value: "–" if value is None else f"{value:.2f}×"
        lines.append(
            f"| {cell['mix']} | {cell['batch']} | " + " | ".join(times.get(name, "–") for name in names)
            + f" | {report['chosen']} | {factor(report['speedup']['vs_sequential'])} | {factor(report['speedup']['vs_best_simple'])}"
            + f" | {turns[best]['median']:.1f} ({best}) | {turns[best]['median'] / turns['gacer']['median']:.2f}× |")  # fmt: skip
    return lines


def single_rows(cells):
    lines = ["| model | GACER ms | ONNX Runtime ms | speed | GACER peak MB | ONNX Runtime peak MB (of it Python) | launches | outputs |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, cell in cells:
        lines.append(
            f"| {name} | {cell['gacer_ms']:.2f} | {cell['onnxruntime_ms']:.2f} | {cell['onnxruntime_ms'] / cell['gacer_ms']:.2f}× | "
            f"{cell['gacer_peak_kb'] / 1000:.0f} | {cell['onnxruntime_peak_kb'] / 1000:.0f} ({cell['onnxruntime_start_kb'] / 1000:.0f}) | "
            f"{cell['launches']} | {'match' if cell['outputs_match'] else 'DIFFER'} |")  # fmt: skip
    return lines


def write_summary():
    mixes = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("mix-*.json"))]
    mixes.sort(key=lambda cell: (cell["mix"], cell["batch"]))
    singles = [(path.stem.removeprefix("single-"), json.loads(path.read_text())) for path in sorted(RESULTS.glob("single-*.json"))]
    if not mixes and not singles:
        return
    facts = (mixes or [cell for _, cell in singles])[-1]["machine"]
    lines = ["# CPU results", "", f"{facts['cpu']}, {facts['cores']} cores, f32, ONNX Runtime {facts['onnxruntime']}; made by `bench/cpu.sh`,",
             "which writes this page. Every file here carries the commit it was measured with."]  # fmt: skip
    if mixes:
        lines += ["", "## Mixes", "",
                  "Median ms of a round of all tenants; policies interleaved in one process, outputs checked. The last columns replay the",
                  f"used plan in fresh processes, in turn with ONNX Runtime ({MIX_TURNS} turns each): all models one after the other on all cores",
                  "(its default, `sequential-spin`), or in a thread each (`threads`: all cores each, `threads1`: one core each); the best is shown.",
                  "Searches were limited to 6 s a policy.", ""]  # fmt: skip
        lines += mix_rows(mixes)
        bad = [cell["mix"] + str(cell["batch"]) for cell in mixes if not all(p["outputs_match"] for p in cell["report"]["policies"])]
        lines += ["", f"Outputs that differ from the sequential plan's: {', '.join(bad) or 'none'}."]
    if singles:
        lines += ["", "## Models alone", "",
                  f"Fastest round of {TURNS} turns in fresh processes, in turn with ONNX Runtime; peak resident memory of the process.", ""]  # fmt: skip
        lines += single_rows(singles)
    wanted = [f"mix-{mix}-b{batch}" for mix in CPU_MIXES for batch in CPU_BATCHES] + [f"single-{cell[0]}" for cell in single_models()]
    missing = [name for name in wanted if not (RESULTS / f"{name}.json").exists()]
    lines += ["", f"Not measured yet: {', '.join(missing) or 'none'}."]
    (RESULTS / "README.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    comma = lambda text: text.split(",")
    parser.add_argument("--mix", type=comma, default=list(CPU_MIXES))
    parser.add_argument("--batch", type=lambda text: [int(part) for part in text.split(",")], default=list(CPU_BATCHES))
    parser.add_argument("--single", type=comma, help="models or cells (resnet50, resnet50-b8, ocr_rec)")
    parser.add_argument("--no-singles", action="store_true")
    parser.add_argument("--no-mixes", action="store_true")
    parser.add_argument("--force", action="store_true", help="measure again what has a result")
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if not arguments.summary:
        if not os.access(GACER, os.X_OK):
            sys.exit(f"bench: {GACER} is not there: build it with 'make build', or set GACER")
        cells = []
        if not arguments.no_mixes and not arguments.single:
            cells += [(f"mix-{mix}-b{batch}", lambda mix=mix, batch=batch: measure_mix(mix, batch)) for mix in arguments.mix for batch in arguments.batch]
        if not arguments.no_singles:
            cells += [(f"single-{cell}", lambda parts=parts: measure_single(*parts)) for cell, *parts in single_models()
                      if not arguments.single or cell in arguments.single or parts[2] in arguments.single]  # fmt: skip
        for cell, measure in cells:
            path = RESULTS / f"{cell}.json"
            if path.exists() and not arguments.force:
                continue
            print(f"bench: {cell}", flush=True)
            save(path, measure())
            write_summary()
    write_summary()


if __name__ == "__main__":
    main()
