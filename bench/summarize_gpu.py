"""Writes summary.json from the cells of one GPU (files of bench/gpu.py) and prints tables.

Usage: summarize_gpu.py bench/results/<gpu> [--markdown]

A field is null when no cell measured it. Speed-ups are PyTorch's median over gacer's, both taken in
turns in one call; "compiled" is the fastest of all peers that were measured there but for eager
ones, which `compiled_peers` names: torch.compile's graphs in turn, a stream each, merged into one;
where asked for, the same with its widest search (autotuned), and a process a tenant under MPS. A
model alone counts with the plan that the guard chose.
"""

import json
import math
import pathlib
import re
import sys

SINGLES = ["alexnet", "vgg16", "resnet18", "resnet50", "resnet101", "densenet121",
           "mobilenet_v3_large"]
MIXES = ["A", "B", "C"]
BATCHES = [1, 8, 32]
OPTIONAL_PEERS = [("autotuned: in turn", "torch:autotuned_sequential"),
                  ("autotuned: merged", "torch:autotuned_merged"),
                  ("MPS", "torch:mps_processes")]


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def best(values, choose):
    values = [v for v in values if v is not None]
    return choose(values) if values else None


def read_cell(path):
    cell = json.loads(path.read_text())
    times = {name: t["median_ms"] for name, t in cell["times"].items()}
    compiled = {name.removeprefix("torch:"): ms for name, ms in times.items()
                if name.startswith("torch:") and not name.startswith("torch:eager")}
    row = {"commit": cell["commit"], "chosen": cell["chosen"],
           "compiled_ms": min(compiled.values()), "compiled_peers": sorted(compiled),
           "best_compiled": min(compiled, key=compiled.get),
           "eager_ms": times["torch:eager_sequential"],
           "chosen_ms": times["gacer:" + cell["chosen"]],
           "times_ms": times,
           "outputs_match": all(p["outputs_match"] for p in cell["report"]["policies"]),
           "error": max(e["gacer_fp16"] for e in cell["output_errors"].values()),
           "warm_start_s": cell["warm_start_s"],
           "assemble_ms": max(c["assemble_ms"] for c in cell["costs"]),
           "launch_us": max(c["launch_us"] for c in cell["costs"]),
           "chosen_launch_us": cell["costs"][0]["launch_us"],  # the chosen plan is loaded first
           "candidates_per_s": candidates_per_s(cell["report"])}
    row["compiled_over_chosen"] = row["compiled_ms"] / row["chosen_ms"]
    row["eager_over_chosen"] = row["eager_ms"] / row["chosen_ms"]
    row["compiled_over_streams"] = row["compiled_ms"] / times["gacer:streams"]
    row["streams_over_gacer"] = times["gacer:streams"] / times["gacer:gacer"]
    if cell.get("mps"):  # part of mps_processes' time
        row["mps_empty_round_ms"] = cell["mps"]["empty_round_ms"]["median_ms"]
    if len(cell["models"]) == 1:
        reserved = cell["torch_loaded"][cell["models"][0]]["reserved_bytes"]
        row["memory_over_compiled"] = cell["first_plan_device_bytes"] / reserved
        row["profile_s"] = cell["profile_s"].get(cell["models"][0])
    return row


def candidates_per_s(report):
    """Plans that the search of `gacer` measured in a second, of the time it spent measuring."""
    for policy in report["policies"]:
        match = re.search(r"(\d+) measurements in ([\d.]+) s", policy["notes"].get("search", ""))
        if policy["name"] == "gacer" and match and float(match[2]) > 0:
            return int(match[1]) / float(match[2])
    return None


def load(folder, names):
    cells = {}
    for name in names:
        for batch in BATCHES:
            path = folder / f"{name}_b{batch}.json"
            if path.exists():
                cells[f"{name}_b{batch}"] = read_cell(path)
    return cells


def summarize(singles, mixes):
    every = {**singles, **mixes}
    small = [m["eager_over_chosen"] for n, m in mixes.items() if not n.endswith("_b32")]
    at_b8 = [m["candidates_per_s"] for n, m in mixes.items() if n.endswith("_b8")]
    return {
        "compile_single_speedup_geomean": geomean(
            [s["compiled_over_chosen"] for s in singles.values()]),
        "compile_single_speedup_min": best(
            [s["compiled_over_chosen"] for s in singles.values()], min),
        "peer_mix_streams_speedup_geomean": geomean(
            [m["compiled_over_streams"] for m in mixes.values()]),
        "peer_mix_streams_speedup_min": best(
            [m["compiled_over_streams"] for m in mixes.values()], min),
        "eager_speedup_min_b1_b8": best(small, min),
        "assemble_ms_max": best([c["assemble_ms"] for c in every.values()], max),
        "host_launch_us_max": best([c["launch_us"] for c in every.values()], max),
        "rounds_per_s_b8": best(at_b8, min),
        "profile_s_per_model_max": best([s["profile_s"] for s in singles.values()], max),
        "warm_start_s_max": best([m["warm_start_s"] for m in mixes.values()], max),
        "memory_vs_compile_max": best(
            [s["memory_over_compiled"] for s in singles.values()], max),
        "chosen_host_launch_us_max": best([c["chosen_launch_us"] for c in every.values()], max),
        "gacer_over_streams_geomean": geomean(
            [m["streams_over_gacer"] for m in mixes.values()]),
        "peer_mix_gacer_speedup_geomean": geomean(
            [m["compiled_over_chosen"] for m in mixes.values()]),
        "output_error_max": best([c["error"] for c in every.values()], max),
        "outputs_match": all(c["outputs_match"] for c in every.values()),
        "compiled_peers": {peer: sorted(name for name, c in every.items()
                                        if peer in c["compiled_peers"])
                           for peer in sorted({p for c in every.values()
                                               for p in c["compiled_peers"]})},
        "not_measured": [f"{n}_b{b}" for n in SINGLES + MIXES for b in BATCHES
                         if f"{n}_b{b}" not in every],
        "alone": singles, "mixes": mixes}


def ms(value):
    return "–" if value is None else f"{value:.3f}"


def print_markdown(singles, mixes):
    print("| model, batch | eager | compiled | gacer | compiled / gacer | memory / compiled |"
          " profile s |\n|---|---|---|---|---|---|---|")
    for name, s in singles.items():
        profile = "–" if s["profile_s"] is None else f"{s['profile_s']:.0f}"
        print(f"| {name.replace('_b', ', ')} | {s['eager_ms']:.2f} | {ms(s['compiled_ms'])} |"
              f" {ms(s['chosen_ms'])} | {s['compiled_over_chosen']:.2f} |"
              f" {s['memory_over_compiled']:.2f} | {profile} |")
    extra = [(title, peer) for title, peer in OPTIONAL_PEERS
             if any(peer in m["times_ms"] for m in mixes.values())]
    print("\n| mix, batch | eager | compiled: in turn | streams | merged | gacer: sequential |"
          " streams | partition | gacer | compiled / streams | streams / gacer | eager / chosen |"
          " warm start s |" + "".join(f" {title} |" for title, _ in extra) + "\n|"
          + "---|" * (13 + len(extra)))
    for name, m in mixes.items():
        t = m["times_ms"]
        print(f"| {name.replace('_b', ', ')} | {m['eager_ms']:.2f} |" + "".join(
            f" {ms(t[k])} |" for k in (
                "torch:compiled_sequential", "torch:compiled_streams", "torch:compiled_merged",
                "gacer:sequential", "gacer:streams", "gacer:partition", "gacer:gacer"))
              + f" {m['compiled_over_streams']:.2f} | {m['streams_over_gacer']:.2f} |"
              f" {m['eager_over_chosen']:.1f} | {m['warm_start_s']:.1f} |"
              + "".join(f" {ms(t.get(peer))} |" for _, peer in extra))


def main():
    folder = pathlib.Path(sys.argv[1])
    singles, mixes = load(folder, SINGLES), load(folder, MIXES)
    summary = summarize(singles, mixes)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    if "--markdown" in sys.argv:
        print_markdown(singles, mixes)
    print(json.dumps({k: v for k, v in summary.items() if k not in ("alone", "mixes", "compiled_peers")}, indent=1))


if __name__ == "__main__":
    main()
