"""Runs saved plans in turns for minutes on end and says how their rounds behave.

Usage: soak.py --gacer PROGRAM [--seconds S] [--check-steps] [--json FILE] PLAN... [-- OPTIONS OF gacer replay]

For every plan: rounds, their times, the median of the first turn and of the second half (a device
that was idle needs a while to reach its clock; a hot one loses it), and whether the outputs ever
changed by a bit, looked at after every turn. Ends with 1 when they did or when the program died or
hung, and says after how many rounds of which plan. With --check-steps as many rounds again compare
the result of every step with what the same steps make one after the other: where it differs first
is a kernel with a race.

Example
  gacer compare zoo:resnet50@8 zoo:vgg16@8 --device cuda --precision fp16 --save-plans plans
  python3 bench/soak.py --gacer gacer plans/*.plan.json -- --device cuda --precision fp16
"""

import argparse
import json
import math
import pathlib
import statistics
import sys
import tempfile
import time

from process import Process


class Soaked:
    """What is known of a plan."""

    def __init__(self, number, policy):
        self.number = number
        self.policy = policy
        self.turns = []    # times of the rounds of each
        self.digests = []  # of the outputs, a turn each
        self.checked = 0   # rounds whose steps were compared

    @property
    def rounds(self):
        return sum(len(turn) for turn in self.turns)

    @property
    def changes(self):
        return sum(digest != self.digests[0] for digest in self.digests)

    def facts(self):
        times = sorted(ms for turn in self.turns for ms in turn)
        late = [ms for turn in self.turns[len(self.turns) // 2:] for ms in turn]
        return {
            "policy": self.policy, "rounds": len(times), "min_ms": times[0],
            "median_ms": statistics.median(times), "p99_ms": times[math.ceil(0.99 * len(times)) - 1],
            "max_ms": times[-1], "first_turn_ms": statistics.median(self.turns[0]),
            "second_half_ms": statistics.median(late), "changed_outputs": self.changes,
            "checked_rounds": self.checked,
            "turn_medians_ms": [statistics.median(turn) for turn in self.turns],
        }  # fmt: skip


class Difference(Exception):
    """A step made something else than alone."""


def check_steps(process, plan, rounds, patience_s):
    answer = json.loads(process.ask(f"check {plan.number} {rounds}", patience_s))
    plan.checked += rounds
    if not answer["differences"]:
        return
    told = "\n".join(f"  {d['tenant']}, node {d['node']}, items {d['chunk']}, {d['variant']}: {d['bytes']} bytes in "
                     f"{d['first']}..{d['last']} of {d['size']}" for d in answer["differences"])  # fmt: skip
    raise Difference(f"{plan.policy}: within {plan.checked} rounds a step made something else than alone\n{told}")


def take_turns(process, plans, seconds, turn_s, patience_s, checks_steps):
    """Until the time is over or an output has changed."""
    estimates = {plan.number: float(process.ask(f"{plan.number} 1", patience_s)) for plan in plans}
    begin = time.monotonic()
    turn = 0
    while time.monotonic() - begin < seconds and not any(plan.changes for plan in plans):
        for plan in plans if turn % 2 == 0 else reversed(plans):
            rounds = max(3, math.ceil(1000 * turn_s / max(estimates[plan.number], 1e-3)))
            try:
                asked = time.monotonic()
                answer = process.ask(f"{plan.number} {rounds}", patience_s)
                plan.turns.append([float(ms) for ms in answer.split()])
                plan.digests.append(process.ask("digest", patience_s).strip())
                if checks_steps:
                    check_steps(process, plan, rounds, patience_s)
            except RuntimeError as error:
                what = "hung" if time.monotonic() - asked >= patience_s else "died"
                ran = ", ".join(f"{p.policy} {p.rounds}" for p in plans)
                sys.exit(f"{what} in a turn of {plan.policy}, after rounds of {ran}: {error}")
            estimates[plan.number] = statistics.median(plan.turns[-1])
        turn += 1


def show(facts):
    print(f"{'plan':12} {'rounds':>8} {'min':>8} {'median':>8} {'99 %':>8} {'max, ms':>8} {'first':>8} {'later':>8}"
          "          outputs")  # fmt: skip
    for plan in facts:
        drift = plan["second_half_ms"] / max(plan["first_turn_ms"], 1e-9) - 1
        times = [plan[key] for key in ("min_ms", "median_ms", "p99_ms", "max_ms", "first_turn_ms", "second_half_ms")]
        outputs = "changed" if plan["changed_outputs"] else "the same"
        print(f"{plan['policy']:12} {plan['rounds']:8d} {' '.join(f'{ms:8.3f}' for ms in times)} {100 * drift:+6.1f} %"
              f"  {outputs}")  # fmt: skip


def main():
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plans", nargs="+", metavar="PLAN")
    parser.add_argument("--gacer", required=True)
    parser.add_argument("--seconds", type=float, default=60, help="for all plans together")
    parser.add_argument("--turn", type=float, default=0.2, metavar="SECONDS", help="of one plan")
    parser.add_argument("--patience", type=float, default=60, metavar="SECONDS",
                        help="for the answer of a turn; a program that takes longer hangs and is killed")
    parser.add_argument("--check-steps", action="store_true", help="also compare what every step makes")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args(words[:split])
    with tempfile.TemporaryDirectory() as folder:
        command = [args.gacer, "replay", *args.plans, *words[split + 1:], "--quiet"]
        process = Process(command, str(pathlib.Path(folder) / "log"))
        try:
            process.read()
            costs = json.loads(process.read())["plans"]
            plans = [Soaked(number, cost["policy"]) for number, cost in enumerate(costs)]
            take_turns(process, plans, args.seconds, args.turn, args.patience, args.check_steps)
        except (RuntimeError, Difference) as error:
            sys.exit(str(error))
        finally:
            process.end()
    facts = [plan.facts() for plan in plans]
    show(facts)
    if args.json:
        args.json.write_text(json.dumps(facts, indent=1) + "\n")
    if any(plan.changes for plan in plans):
        sys.exit("the same plan gave other outputs for the same inputs")


if __name__ == "__main__":
    main()
