"""Writes summary.json from the cells of one GPU (files of bench/gpu.py), and tables.

Usage: summarize_gpu.py bench/results/<gpu> [--markdown] [--update docs/gpu.md]

--markdown prints the tables, --update puts them in the place of those in a file that have the same
first column, and what was measured where, the numbers of whole models (bench/check_numbers.py) and
where kernels ran (bench/gpu.py --placement) between its comments `<!-- generated: NAME -->` and
`<!-- end -->`. Cells of several commits make one summary that names them; of several devices, none.
A field is null when no cell measured it, – in a table. Outputs match when those of
every plan did and gacer's error is known for every model. Speed-ups are PyTorch's median over
gacer's, both taken in turns in one call; "compiled" is the fastest of all peers that were measured
there but for eager ones, which `compiled_peers` names: torch.compile's graphs in turn, a stream
each, merged into one; where asked for, the same with its widest search (autotuned), and a process a
tenant under MPS. A model alone counts with the plan that the guard chose.
"""

import argparse
import json
import math
import pathlib
import re

SINGLES = ["alexnet", "vgg16", "resnet18", "resnet50", "resnet101", "densenet121",
           "mobilenet_v3_large"]
MIXES = ["A", "B", "C"]
BATCHES = [1, 8, 32]
PEERS = [("eager", "torch:eager_sequential"), ("compiled in turn", "torch:compiled_sequential"),
         ("streams", "torch:compiled_streams"), ("merged", "torch:compiled_merged"),
         ("autotuned in turn", "torch:autotuned_sequential"),
         ("autotuned merged", "torch:autotuned_merged"), ("MPS", "torch:mps_processes")]
POLICIES = ["sequential", "streams", "partition", "gacer"]
RATIOS = [("compiled / streams", "compiled_over_streams"),
          ("streams / gacer", "streams_over_gacer"), ("compiled / chosen", "compiled_over_chosen"),
          ("eager / chosen", "eager_over_chosen")]


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def best(values, choose):
    values = [v for v in values if v is not None]
    return choose(values) if values else None


def worst_error(cell):
    """None when that of a model is missing or no number."""
    errors = [cell.get("output_errors", {}).get(model, {}).get("gacer_fp16")
              for model in cell["models"]]
    is_known = all(error is not None and math.isfinite(error) for error in errors)
    return max(errors) if is_known else None


def read_cell(path):
    cell = json.loads(path.read_text())
    error = worst_error(cell)
    times = {name: t["median_ms"] for name, t in cell["times"].items()}
    compiled = {name.removeprefix("torch:"): ms for name, ms in times.items()
                if name.startswith("torch:") and not name.startswith("torch:eager")}
    row = {"commit": cell["commit"], "chosen": cell["chosen"],
           "compiled_ms": min(compiled.values()), "compiled_peers": sorted(compiled),
           "best_compiled": min(compiled, key=compiled.get),
           "eager_ms": times["torch:eager_sequential"],
           "eager_over_chosen_turns": eager_turns(cell),
           "chosen_ms": times["gacer:" + cell["chosen"]],
           "times_ms": times,
           "outputs_match": error is not None and all(p["outputs_match"]
                                                      for p in cell["report"]["policies"]),
           "error": error,
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


def eager_turns(cell):
    """[smallest, largest] of eager PyTorch's median of a turn over that of the chosen plan's turn."""
    eager, chosen = (cell["times"][name].get("turn_medians_ms")
                     for name in ("torch:eager_sequential", "gacer:" + cell["chosen"]))
    if not eager or not chosen:
        return None
    ratios = [theirs / ours for theirs, ours in zip(eager, chosen)]
    return [min(ratios), max(ratios)]


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


def device_name(device):
    """Of a report, or the name itself."""
    return device["name"] if isinstance(device, dict) else device


def find_device(folder):
    """That of all files; None when there are none. Files of several devices make no summary."""
    names = [f"{name}_b{batch}.json" for name in SINGLES + MIXES for batch in BATCHES]
    paths = [folder / name for name in [*names, "tests.json", "numbers.json"]] + placement_files(folder)
    files = {}
    for path in paths:
        device = device_name(json.loads(path.read_text()).get("device")) if path.exists() else None
        if device is not None:  # nothing was measured yet
            files.setdefault(device, []).append(path.name)
    if len(files) > 1:
        held = "\n".join(f"  {device}: {', '.join(held)}" for device, held in files.items())
        raise SystemExit(f"{folder} holds results of {len(files)} devices; move those of all but one elsewhere:\n{held}")
    return next(iter(files), None)


def cells_by_commit(cells):
    commits = {}
    for name, cell in cells.items():
        commits.setdefault(cell["commit"], []).append(name)
    return commits


def lowest_eager_turns(mixes):
    """Those of the cell with the smallest ratio at batch 1 and 8, and its name."""
    small = {n: m for n, m in mixes.items() if not n.endswith("_b32")}
    name = min(small, key=lambda n: small[n]["eager_over_chosen"], default=None)
    return (name, small[name]["eager_over_chosen_turns"]) if name else (None, None)


def summarize(singles, mixes, device=None):
    every = {**singles, **mixes}
    small = [m["eager_over_chosen"] for n, m in mixes.items() if not n.endswith("_b32")]
    at_b8 = [m["candidates_per_s"] for n, m in mixes.items() if n.endswith("_b8")]
    return {
        "device": device,
        "commits": cells_by_commit(every),
        "compile_single_speedup_geomean": geomean(
            [s["compiled_over_chosen"] for s in singles.values()]),
        "compile_single_speedup_min": best(
            [s["compiled_over_chosen"] for s in singles.values()], min),
        "peer_mix_streams_speedup_geomean": geomean(
            [m["compiled_over_streams"] for m in mixes.values()]),
        "peer_mix_streams_speedup_min": best(
            [m["compiled_over_streams"] for m in mixes.values()], min),
        "eager_speedup_min_b1_b8": best(small, min),
        "eager_speedup_min_b1_b8_turns": lowest_eager_turns(mixes)[1],
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
        "peer_mix_gacer_speedup_min": best(
            [m["compiled_over_chosen"] for m in mixes.values()], min),
        "output_error_max": best([c["error"] for c in every.values()], max),
        "outputs_match": best([c["outputs_match"] for c in every.values()], min),
        "compiled_peers": {peer: sorted(name for name, c in every.items()
                                        if peer in c["compiled_peers"])
                           for peer in sorted({p for c in every.values()
                                               for p in c["compiled_peers"]})},
        "not_measured": [f"{n}_b{b}" for n in SINGLES + MIXES for b in BATCHES
                         if f"{n}_b{b}" not in every],
        "alone": singles, "mixes": mixes}


def number(value, digits=3):
    """Without the zero in front; – for what was not measured."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


def make_table(titles, rows):
    """Lines of Markdown."""
    return ["|" + "|".join(f" {cell} " if cell not in ("---", "") else cell or " " for cell in row) + "|"
            for row in [titles, ["---"] * len(titles), *rows]]


def title_of(name):
    return name.replace("_b", ", ")


def by_batch(cells):
    groups = {batch: [c for n, c in cells.items() if n.endswith(f"_b{batch}")]
              for batch in BATCHES}
    return {batch: group for batch, group in groups.items() if group}


def table_of_singles(singles):
    autotuned = "torch:autotuned_sequential"
    has_autotuned = any(autotuned in s["times_ms"] for s in singles.values())
    rows = []
    for name, s in singles.items():
        t = s["times_ms"]
        rows.append([title_of(name), number(s["eager_ms"], 2), number(t.get("torch:compiled_sequential")),
                     *([number(t.get(autotuned))] if has_autotuned else []),
                     number(s["chosen_ms"]), number(s["compiled_over_chosen"], 2),
                     number(s["memory_over_compiled"], 2), number(s["profile_s"], 0)])
    means = {f"batch {b}": geomean([s["compiled_over_chosen"] for s in group])
             for b, group in by_batch(singles).items()}
    means["all"] = geomean([s["compiled_over_chosen"] for s in singles.values()])
    blanks = [""] * (3 if has_autotuned else 2)
    rows.append(["geometric mean", *blanks, "",
                 ", ".join(f"{k}: {number(v, 2)}" for k, v in means.items()), "", ""])
    return make_table(["model, batch", "eager", "compiled", *(["autotuned"] if has_autotuned else []),
                       "gacer", "compiled / gacer", "memory", "cold profile, s"], rows)


def table_of_mixes(mixes):
    peers = [(title, peer) for title, peer in PEERS
             if any(peer in m["times_ms"] for m in mixes.values())]
    rows = []
    for name, m in mixes.items():
        t = m["times_ms"]
        rows.append([title_of(name), number(m["eager_ms"], 2),
                     *[number(t.get(peer)) for _, peer in peers[1:]],
                     *[number(t[f"gacer:{policy}"]) for policy in POLICIES],
                     *[number(m[key], 1 if "eager" in key else 2) for _, key in RATIOS]])
    for title, group in [*((f"geometric mean, {b}", g) for b, g in by_batch(mixes).items()),
                         ("geometric mean", mixes.values())]:
        rows.append([title, *[""] * (len(peers) + len(POLICIES)),
                     *[number(geomean([m[key] for m in group]), 2) for _, key in RATIOS[:3]], ""])
    return make_table(["mix, batch", *[title for title, _ in peers], *POLICIES,
                       *[title for title, _ in RATIOS]], rows)


def table_of_costs(singles, mixes):
    every = by_batch({**singles, **mixes})
    alone = by_batch(singles)

    def each(key, digits=0):
        return [", ".join(f"{n.split('_')[0]} {number(m[key], digits)}" for n, m in mixes.items()
                          if n.endswith(f"_b{b}")) or "–" for b in every]

    def most(groups, key, digits, unit):
        values = [best([c[key] for c in groups.get(b, [])], max) for b in every]
        return ["–" if v is None else f"≤{number(v, digits)}{unit}" for v in values]

    return make_table(
        ["cost", *[f"batch {b}" for b in every], "aim"],
        [["assembly of a plan, everything prepared", *most(every, "assemble_ms", 1, " ms"), "≤10 ms"],
         ["host time of one launch, chosen plans, µs", *each("chosen_launch_us"), "≤30"],
         ["the same, every measured plan", *most(every, "launch_us", 0, " µs"), ""],
         ["measured candidates a second of search", *each("candidates_per_s"), "≥50 at batch 8"],
         ["cold profile of a model", *most(alone, "profile_s", 0, " s"), "≤60 s"],
         ["warm start of a mix: new process, saved plan, to the end of its first round, s",
          *each("warm_start_s", 1), "≤2"],
         ["memory over compiled PyTorch", *most(alone, "memory_over_compiled", 2, ""), "≤1.15"]])


def table_of_aims(singles, mixes, summary):
    """What was asked for, what was reached, and where it was missed; – where that is not known."""
    every = {**singles, **mixes}

    def met(is_met, *values):
        if None in values:
            return "–"
        return "met" if is_met(*values) else "**missed**"

    def where(cells, key, is_met):
        missed = [title_of(name) for name, c in cells.items()
                  if c[key] is not None and not is_met(c[key])]
        if missed:
            return f"**missed**: {'; '.join(missed)}"
        return "–" if not cells or any(c[key] is None for c in cells.values()) else "met"

    def means(total, cells, key, lowest=None):
        """The mean of all, of each batch, and the lowest."""
        if total is None:
            return "–"
        groups = by_batch(cells)
        each = [number(geomean([c[key] for c in group]), 2) for group in groups.values()]
        text = f"{number(total, 2)}x ({' / '.join(each)} at batch {' / '.join(map(str, groups))})"
        return text if lowest is None else f"{text}; lowest {number(lowest, 2)}x"

    def most(key, limit, digits, unit, cells):
        worst = best([c[key] for c in cells.values()], max)
        return ["–" if worst is None else f"{number(worst, digits)}{unit}",
                where(cells, key, lambda value: value <= limit)]

    at_b8 = {n: m for n, m in mixes.items() if n.endswith("_b8")}
    small = {n: m for n, m in mixes.items() if not n.endswith("_b32")}
    alone = summary["compile_single_speedup_geomean"]
    lowest = summary["compile_single_speedup_min"]
    streams = summary["peer_mix_streams_speedup_geomean"]
    gacer = summary["gacer_over_streams_geomean"]
    over_eager = [m["eager_over_chosen"] for m in small.values()]
    slowest, turns = lowest_eager_turns(mixes)
    in_turns = "" if turns is None else (
        f"; {title_of(slowest)} from turn to turn {number(turns[0], 1)}x to {number(turns[1], 1)}x")
    rates = ", ".join(f"{n.split('_')[0]} {number(m['candidates_per_s'], 0)}"
                      for n, m in at_b8.items())
    return make_table(["aim", "reached", ""], [
        ["alone ≥1.3x compiled, geomean; none below 1.0x",
         means(alone, singles, "compiled_over_chosen", lowest),
         met(lambda mean, least: mean >= 1.3 and least >= 1, alone, lowest)],
        ["streams ≥1.3x the best peer, geomean",
         means(streams, mixes, "compiled_over_streams", summary["peer_mix_streams_speedup_min"]),
         met(lambda mean: mean >= 1.3, streams)],
        ["gacer ≥1.05x streams, geomean", means(gacer, mixes, "streams_over_gacer"),
         met(lambda mean: mean >= 1.05, gacer)],
        ["≥6x eager sequential at batch 1 and 8",
         f"{number(min(over_eager), 1)}x to {number(max(over_eager), 0)}x{in_turns}" if over_eager else "–",
         where(small, "eager_over_chosen", lambda value: value >= 6)],
        ["assembly ≤10 ms", *most("assemble_ms", 10, 1, " ms", every)],
        ["launch ≤30 µs", *most("launch_us", 30, 0, " µs", every)],
        ["≥50 measured candidates a second at batch 8", rates or "–",
         where(at_b8, "candidates_per_s", lambda value: value >= 50)],
        ["warm start ≤2 s a mix", *most("warm_start_s", 2, 1, " s", mixes)],
        ["cold profile ≤60 s a model", *most("profile_s", 60, 0, " s", singles)],
        ["memory ≤1.15x compiled PyTorch", *most("memory_over_compiled", 1.15, 2, "x", singles)]])


def tables(singles, mixes, summary):
    return [table_of_singles(singles), table_of_mixes(mixes), table_of_costs(singles, mixes),
            table_of_aims(singles, mixes, summary)]


def replace_table(text, table):
    """The table that has the same first column, by its title, is replaced."""
    lines = text.split("\n")
    title = table[0][:table[0].index("|", 1) + 1]
    begin = next((i for i, line in enumerate(lines) if line.startswith(title)), None)
    if begin is None:
        raise SystemExit(f"there is no table that begins with '{title}'")
    end = begin
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return "\n".join([*lines[:begin], *table, *lines[end:]])


def describe_cells(names, every):
    """Batches that belong to a commit as a whole, and the other cells."""
    whole = [batch for batch in BATCHES
             if {n for n in every if n.endswith(f"_b{batch}")} <= {n for n in names if n.endswith(f"_b{batch}")}
             and any(n.endswith(f"_b{batch}") for n in names)]
    others = [title_of(n) for n in names if not n.endswith(tuple(f"_b{batch}" for batch in whole))]
    batches = [f"batch{'es' if len(whole) > 1 else ''} {', '.join(map(str, whole))}"] if whole else []
    return "; ".join([*batches, *others])


def source_lines(summary):
    """Of which device and commits all tables are."""
    commits = summary["commits"]
    if not commits:
        return []
    if len(commits) == 1:
        return [f"Tables: {summary['device']}, all cells at commit `{next(iter(commits))}`."]
    every = [name for names in commits.values() for name in names]
    return [f"Tables: {summary['device']}, cells of {len(commits)} commits:",
            *[f"- `{commit}`: {describe_cells(names, every)}" for commit, names in commits.items()]]


def number_cell(verdict):
    """An error; beside one above the tolerance what rounding alone does."""
    if verdict is None:
        return "–"
    if verdict["error"] is None:
        return "**no numbers**"
    text = f"{verdict['error']:.1e}"
    if verdict["rounding"] is not None and verdict["rounding"]["error"] is not None:
        text += f" (rounding: {verdict['rounding']['error']:.1e})"
    return text if verdict["passed"] else f"**{text}**"


def numbers_lines(folder):
    """Errors of whole models in every precision."""
    path = folder / "numbers.json"
    if not path.exists():
        return []
    numbers = json.loads(path.read_text())
    models = numbers["models"]
    precisions = list(dict.fromkeys(p for m in models.values() for p in m["precisions"]))
    precisions.sort(key=["f32", "tf32", "fp16", "bf16"].index)
    found = {p: [m["precisions"][p] for m in models.values() if p in m["precisions"]] for p in precisions}
    rows = [["tolerance", "", *[f"{found[p][0]['tolerance']:.0e}" for p in precisions], ""]]
    for name, model in models.items():
        verdicts = [model["precisions"].get(p) for p in precisions]
        agreements = [v["top1_agreement"] for v in verdicts if v is not None and v["top1_agreement"] is not None]
        rows.append([name, "x".join(map(str, model["input"])), *[number_cell(v) for v in verdicts],
                     f"{100 * min(agreements):.1f} %" if agreements else "–"])
    absent = ", ".join(numbers["not_measured"])
    return [f"Whole models against {numbers['reference']}, at commit `{numbers['commit']}`: the largest difference as a share of the",
            "largest number. Where it exceeds the tolerance: what rounding input and weights to that precision changes in f32",
            "on the CPU. Last the share of equal best classes in the worst precision"
            f"{f'; not measured: {absent}' if absent else ''}. Bold: wrong.", "",
            *make_table(["numbers of", "input", *precisions, "best class"], rows)]


def placement_files(folder):
    return sorted(folder.glob("placement_*.json"))


def placement_lines(folder):
    """Where the kernels of plans ran, as the GPU's profiler saw them."""
    rows, commits = [], []
    for path in placement_files(folder):
        seen = json.loads(path.read_text())
        commits.append(f"`{seen['commit']}`")
        for policy, sets in seen["plans"].items():
            for where in sets:
                begin, end = where["groups"]
                rows.append([f"{seen['cell']}, {seen['batch']}", policy,
                             "elsewhere" if where["expected_kernels"] == 0 else
                             "all" if end <= begin else f"{begin} to {end - 1}",
                             str(where["units"]), str(where["expected_kernels"]),
                             f"{where['seen_kernels']}" if where["seen_kernels"] == where["expected_kernels"]
                             else f"**{where['seen_kernels']}**", number(where["busy_ms"])])
    if not rows:
        return []
    return [f"Where the kernels of a round ran, as CUPTI saw it (`gacer run --plan PLAN --placement`), at commit "
            f"{', '.join(dict.fromkeys(commits))}:", "",
            *make_table(["placed mix", "plan", "SM groups", "SMs", "kernels there by the plan", "seen there",
                         "busy, ms"], rows)]


def replace_block(text, name, lines):
    """What stands between a name's comments is replaced."""
    begin = f"<!-- generated: {name} -->\n"
    at = text.find(begin)
    end = text.find("<!-- end -->", at)
    if at < 0 or end < 0:
        if not lines:
            return text
        raise SystemExit(f"the page has no place for the {name}: write '{begin.strip()}' and, below it, '<!-- end -->'")
    return text[:at + len(begin)] + "".join(f"{line}\n" for line in lines) + text[end:]


def existing_folder(text):
    folder = pathlib.Path(text)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder '{text}'; it holds the result files of bench/gpu.py")
    return folder


def existing_file(text):
    if not pathlib.Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file '{text}'")
    return pathlib.Path(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=existing_folder, metavar="bench/results/<gpu>")
    parser.add_argument("--markdown", action="store_true", help="print the tables")
    parser.add_argument("--update", type=existing_file, metavar="PAGE", help="put the tables into this file")
    args = parser.parse_args()
    device = find_device(args.folder)
    singles, mixes = load(args.folder, SINGLES), load(args.folder, MIXES)
    summary = summarize(singles, mixes, device)
    blocks = {"source": source_lines(summary), "numbers": numbers_lines(args.folder),
              "placement": placement_lines(args.folder)}
    (args.folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    if args.markdown:
        made = [*blocks.values(), *tables(singles, mixes, summary)]
        print("\n\n".join("\n".join(lines) for lines in made if lines), "\n")
    if args.update:
        text = args.update.read_text()
        for table in tables(singles, mixes, summary):
            text = replace_table(text, table)
        for name, lines in blocks.items():
            text = replace_block(text, name, lines)
        args.update.write_text(text)
    print(json.dumps({k: v for k, v in summary.items()
                      if k not in ("alone", "mixes", "compiled_peers", "commits")}, indent=1))


if __name__ == "__main__":
    main()
