"""Test the doctor on runs with injected faults and on healthy runs. Prints Markdown or JSON.

python bench/doctor.py [--tune] [--json]

A fault counts as named if the first finding of the run names it; the run ends there. A healthy run with a finding is a
false alarm. Thresholds were chosen with --tune (pullover and dress, seeds 0 to 39). Without it, the doctor is tested on
other data: seeds 100 to 139, other classes, and scikit-learn's digits.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from faults import FAULTS, RECIPES, Case, healthy, pictures, shipped
from machine import describe

from sevensteps.records.events import Batch, Finding
from sevensteps.steps.stop import after
from sevensteps.trust.doctor.doctor import Doctor
from sevensteps.trust.intervals import wilson

TARGET, ALLOWED = 0.9, 0.02
SHIPPED = ("linear", "relu", "walkthrough-learner")  # on all pictures, as they ship
PAIRS = ("Sneaker/Ankle boot", "Coat/Bag")


@dataclass(frozen=True)
class Row:
    """A number of runs, how many of them were judged correctly, and the findings of the others."""

    pictures: str
    what: str
    model: str
    right: int
    runs: int
    else_said: str


def first_finding(case: Case) -> Finding | None:
    """Return the doctor's first finding; training ends there."""
    learn = case.learner()
    doctor = Doctor(learn)
    for event in learn.stream():
        if found := doctor.observe(event):
            return found[0]
    return None


def counted(name: str, what: str, model: str, codes: Sequence[str], cases: Sequence[Case]) -> Row:
    """Count the runs whose first finding has one of these codes, or that have no finding if there are no codes."""
    said = [found.code if (found := first_finding(case)) else "nothing" for case in cases]
    wanted = codes or ("nothing",)
    other = sorted({code for code in said if code not in wanted})
    return Row(
        name,
        what,
        model,
        sum(code in wanted for code in said),
        len(said),
        ", ".join(f"{code} {said.count(code)}" for code in other),
    )


def rows(name: str, first_seed: int, faulty: int, fine: int, say: Callable[[str], None]) -> list[Row]:
    """Test every fault and every healthy run on these pictures.

    Raises:
        FileNotFoundError: they are not on this machine.
    """
    splits = pictures(name)
    found = []
    for what, fault in FAULTS.items():
        if fault.only_two and len(splits.classes) > 2:
            continue
        for model in fault.models:
            cases = [fault.inject(healthy(splits, model, first_seed + seed)) for seed in range(faulty)]
            found.append(counted(name, what, model, fault.codes, cases))
        say(f"{name}, {what}: {', '.join(f'{row.right}/{row.runs}' for row in found if row.what == what)}")
    for model in RECIPES:
        cases = [healthy(splits, model, first_seed + seed) for seed in range(fine)]
        found.append(counted(name, "healthy", model, (), cases))
        say(f"{name}, healthy {model}: {found[-1].runs - found[-1].right} of {found[-1].runs} accused")
    return found


def as_shipped(first_seed: int, fine: int) -> list[Row]:
    """Test shipped recipes on all pullovers and dresses."""
    splits = pictures("Pullover/Dress")
    return [
        counted("all 12,000", "healthy", name, (), [shipped(splits, name, first_seed + seed) for seed in range(fine)])
        for name in SHIPPED
    ]


def cost(case: Case, seconds: float = 5.2) -> float:
    """Return the doctor's share of a run's processor time."""
    learn = case.learner()
    clock = time.process_time
    began = clock()
    doctor = Doctor(learn)
    spent, batches = clock() - began, 0
    example = None
    for event in learn.stream(after(epochs=10**6)):
        if isinstance(event, Batch):  # too short to be timed individually
            doctor.observe(event)
            batches, example = batches + 1, event
        else:
            before = clock()
            doctor.observe(event)
            spent += clock() - before
        if clock() - began > seconds:
            break
    whole = clock() - began
    assert example is not None
    before = clock()
    for _ in range(10_000):
        doctor.observe(example)
    return (spent + (clock() - before) / 10_000 * batches) / whole


def costs() -> dict[str, float]:
    """Measure runs of 5 s: shipped recipes on all pictures, and small models on few."""
    splits = pictures("Pullover/Dress")
    runs = {f"{name}, 10,800 pictures": shipped(splits, name, 0) for name in ("linear", "relu", "cnn")}
    runs |= {f"{name}, 1,200 pictures": healthy(splits, name, 0) for name in ("linear", "relu", "cnn")}
    return {name: cost(case) for name, case in runs.items()}


def markdown(found: Sequence[Row], shares: dict[str, float]) -> str:
    """Return the tables, with missed targets marked."""
    lines = ["| pictures | fault | " + " | ".join(("model", "named first", "else said")) + " |", "|---" * 5 + "|"]
    faults = [row for row in found if row.what != "healthy"]
    for row in faults:
        missed = "" if row.right >= TARGET * row.runs else " **missed**"
        lines.append(
            f"| {row.pictures} | {row.what} | {row.model} | {row.right} of {row.runs}{missed} | {row.else_said} |"
        )
    lines += ["", "| pictures | healthy model | false alarms | said |", "|---" * 4 + "|"]
    fine = [row for row in found if row.what == "healthy"]
    lines += [
        f"| {row.pictures} | {row.model} | {row.runs - row.right} of {row.runs} | {row.else_said} |" for row in fine
    ]
    lines.append("")
    for name in dict.fromkeys(row.pictures for row in found):
        named = [row for row in faults if row.pictures == name]
        quiet = [row for row in fine if row.pictures == name]
        parts = []
        if named:
            right, runs = sum(row.right for row in named), sum(row.runs for row in named)
            least = wilson(right, runs)
            parts.append(
                f"{right} of {runs} faults named first ({right / runs:.1%}, {least.low:.1%} to {least.high:.1%})"
            )
        if quiet:
            wrong, runs = sum(row.runs - row.right for row in quiet), sum(row.runs for row in quiet)
            parts.append(
                f"{wrong} of {runs} healthy runs accused ({wrong / runs:.1%}, at most {wilson(wrong, runs).high:.1%})"
            )
        lines.append(f"{name}: {'; '.join(parts)}.")
    if shares:
        lines += ["", "| run of 5 s | the doctor's share |", "|---" * 2 + "|"]
        lines += [
            f"| {name} | {share:.2%}{'' if share <= ALLOWED else ' **missed**'} |" for name, share in shares.items()
        ]
    return "\n".join(lines)


def main() -> None:
    """Run all tests of the doctor and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tune", action="store_true", help="on what thresholds are chosen on")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--faulty", type=int, default=10, help="seeds of each fault and model")
    parser.add_argument("--fine", type=int, default=40, help="seeds of each healthy model")
    parser.add_argument("--no-cost", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    first = 0 if arguments.tune else 100
    names = ["Pullover/Dress"] if arguments.tune else ["Pullover/Dress", *PAIRS, "digits"]
    found: list[Row] = []
    for name in names:
        fine = arguments.fine if name == "Pullover/Dress" else arguments.fine // 4
        try:
            found += rows(name, first, arguments.faulty, fine, lambda line: print(line, file=sys.stderr, flush=True))
        except FileNotFoundError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    found += as_shipped(first, arguments.fine // 4)
    shares = {} if arguments.no_cost else costs()
    took = time.monotonic() - began
    if arguments.json:
        print(
            json.dumps({"machine": describe(), "rows": [asdict(row) for row in found], "cost": shares, "seconds": took})
        )
    else:
        print(f"{describe()}; {took:.0f} s\n\n{markdown(found, shares)}")


if __name__ == "__main__":
    main()
