"""Writes summary.json from the result files of one GPU.

Usage: summarize_gpu.py bench/results/<gpu>

Reads <model>_b<batch>.json (gacer run, one tenant), mix_<name><batch>.json (gacer compare) and
torch_<name><batch>.json (bench/peers/torch_models.py, the same models).
"""

import json
import math
import pathlib
import re
import sys


def load(path):
    return json.loads(path.read_text())


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def main():
    folder = pathlib.Path(sys.argv[1])
    singles = {}
    for path in sorted(folder.glob("*_b*.json")):
        match = re.fullmatch(r"(.+)_b(\d+)\.json", path.name)
        if match and not path.name.endswith(".rec.json"):
            singles[match[1], int(match[2])] = load(path)["policies"][0]["round_ms"]["median"]
    alone, mixes = {}, {}
    for path in sorted(folder.glob("torch_*.json")):
        peer = load(path)
        name = path.stem.removeprefix("torch_")
        for model, row in peer["models"].items():
            ours = singles.get((model, peer["batch"]))
            if ours:
                alone[f"{model}_b{peer['batch']}"] = row["compiled_graph_ms"] / ours
        ours_path = folder / f"mix_{name}.json"
        if not ours_path.exists():
            continue
        ours = load(ours_path)
        policies = {p["name"]: p["round_ms"]["median"] for p in ours["policies"]}
        best = min(peer["round"]["compiled_sequential_ms"], peer["round"]["compiled_streams_ms"])
        eager = peer["round"]["eager_sequential_ms"]
        mixes[name] = {
            "streams_over_best_compiled": best / policies["streams"],
            "gacer_over_best_compiled": best / policies["gacer"],
            "gacer_over_streams": policies["streams"] / policies["gacer"],
            "gacer_over_best_simple": ours["speedup"]["vs_best_simple"],
            "gacer_over_eager_sequential": eager / policies["gacer"],
            "outputs_match": all(p["outputs_match"] for p in ours["policies"])}
    streams = [m["streams_over_best_compiled"] for m in mixes.values()]
    summary = {
        "compile_single_speedup_geomean": geomean(list(alone.values())),
        "compile_single_speedup_min": min(alone.values(), default=None),
        "peer_mix_streams_speedup_geomean": geomean(streams),
        "peer_mix_streams_speedup_min": min(streams, default=None),
        "gacer_over_streams_geomean": geomean([m["gacer_over_streams"] for m in mixes.values()]),
        "eager_speedup_min_b8": min(
            (m["gacer_over_eager_sequential"] for m in mixes.values()), default=None),
        "alone": alone, "mixes": mixes}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
