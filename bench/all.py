"""Run the benches that have goals, and print one table of what they measured beside the goals.

python bench/all.py                   all, in at most 30 minutes
python bench/all.py linear million    only these
python bench/all.py --minutes 10      in less time: what does not fit is left out, and the table says so

Each row names the command that measures it. These commands are run with few rounds; run them alone, on an idle machine,
for the figures that docs/measurements.md quotes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import describe

HERE = Path(__file__).parent
FEW = ("--rounds", "2", "--seeds", "0")


@dataclass(frozen=True)
class Goal:
    """A figure of a bench that should be at most, or at least, a number."""

    what: str
    figure: Callable[[Any], float]  # from what the bench wrote as JSON
    goal: float
    at_least: bool = False
    form: str = "{:.2f}"


@dataclass(frozen=True)
class Bench:
    """A command of this folder that writes its figures as JSON, and the goals that these are compared with."""

    command: tuple[str, ...]
    goals: tuple[Goal, ...]


def seconds_against(case: str, peer: str, key: str) -> Callable[[Any], float]:
    """Return how to find the time of ours divided by that of a peer, in what `speed.py` wrote."""

    def figure(found: Mapping[str, Any]) -> float:
        rows = {row["title"]: row["ratios"] for row in found["cases"][case]["rows"]}
        return 1 / float(rows[peer][key]["median"])

    return figure


def first_of_again(found: Mapping[str, Any]) -> float:
    """Return the first time of our linear job in a process divided by a later time."""
    rows = {row["title"]: row["figures"] for row in found["cases"]["linear"]["rows"]}
    ours = rows["ours, tuned"]
    return float(ours["first"]["median"]) / float(ours["again"]["median"])


def command_of(key: str) -> Callable[[Any], float]:
    """Return how to find seconds or MB of `sevensteps train`."""
    return lambda found: float(
        next(row for row in found["cases"]["command"]["rows"] if row["title"] == "sevensteps train")["figures"][key][
            "median"
        ]
    )


def shards_of(row: str, beside: bool = False) -> Callable[[Any], float]:
    """Return how to find how many times as fast as the whole batch a row of the case of shards is."""

    def figure(found: Mapping[str, Any]) -> float:
        rows = {row["title"]: row["ratios"] for row in found["cases"]["shards"]["rows"]}
        return 1 / float(rows[row + beside * ", beside a busy process"]["epoch"]["median"])

    return figure


def files_a_second(found: Mapping[str, Any]) -> float:
    """Return how many files a second are loaded the first time."""
    return float(found["files"]) / statistics.median(
        seconds for seconds, *_ in found["measured"]["load, the first time"]
    )


def against_the_loop(found: Mapping[str, Any]) -> float:
    """Return how many times as fast as Pillow's plain loop large files load at a lower resolution."""
    taken = {name: statistics.median(seconds for seconds, *_ in of) for name, of in found["measured"].items()}
    return float(taken["Pillow alone, loop"]) / float(taken["load, letterbox-fast, the first time"])


def predicted(model: str) -> Callable[[Any], float]:
    """Return how to find the pictures that `predict` classifies in a second of CPU."""
    return lambda found: float(found[model]["median"])


AVERAGED = "SGDClassifier, averaged, tuned"
BENCHES: dict[str, Bench] = {
    "linear": Bench(
        ("speed.py", "--case", "linear", "--threads", "1", *FEW, "--only", "averaged", "LogisticRegression, tuned"),
        (
            Goal("linear job again, of averaged SGD's time", seconds_against("linear", AVERAGED, "again"), 1.0),
            Goal(
                "linear job the first time, of averaged SGD's time", seconds_against("linear", AVERAGED, "first"), 1.3
            ),
            Goal("import + linear job, of averaged SGD's", seconds_against("linear", AVERAGED, "import + job"), 1.0),
            Goal("linear job the first time, of a later time", first_of_again, 1.3),
        ),
    ),
    "command": Bench(
        ("speed.py", "--case", "command", "--rounds", "2", "--only", "nothing"),
        (
            Goal("`sevensteps train`, seconds of CPU", command_of("CPU seconds"), 0.8),
            Goal("`sevensteps train`, MB", command_of("MB"), 130, form="{:.0f}"),
        ),
    ),
    "predicting": Bench(
        ("predicting.py",),
        tuple(
            Goal(f"`predict`, PNG files a second of CPU, {model}", predicted(model), goal, True, "{:,.0f}")
            for model, goal in (("linear", 10_000), ("cnn", 4_500), ("fashion-10", 4_500))
        ),
    ),
    "jpeg": Bench(
        ("folders.py", "--files", "10000", "--rounds", "2"),
        (Goal("JPEG files of 96x72 loaded a second", files_a_second, 8_500, True, "{:,.0f}"),),
    ),
    "png": Bench(
        ("folders.py", "--kind", "png", "--files", "20000", "--rounds", "2"),
        (Goal("PNG files of 28x28 loaded a second", files_a_second, 22_000, True, "{:,.0f}"),),
    ),
    "large": Bench(
        ("folders.py", "--kind", "large", "--files", "200", "--rounds", "2"),
        (Goal("JPEG files of 1600x1200, `letterbox-fast`, times as fast as Pillow", against_the_loop, 9, True),),
    ),
    "shards": Bench(
        ("speed.py", "--case", "shards", *FEW, "--only", "whole", "2 parts"),
        (
            Goal("epoch in 2 parts, times as fast as the whole batch", shards_of("2 parts"), 1.2, True),
            Goal("the same with bf16", shards_of("2 parts, bf16"), 1.7, True),
            Goal("2 parts with bf16, beside a busy process", shards_of("2 parts, bf16", beside=True), 2.0, True),
        ),
    ),
    "audit": Bench(
        ("audit_at_scale.py", "command"),
        (Goal("`sevensteps data` of 70,000 pictures, seconds of CPU", lambda found: found["CPU seconds"], 10.0),),
    ),
    "store": Bench(
        ("larger_than_memory.py", "--gib", "2"),
        (
            Goal(
                "training from a store of 8 times the memory, of the slower part's speed",
                lambda found: found["training"],
                0.9,
                at_least=True,
            ),
        ),
    ),
    "audit of a million": Bench(
        ("audit_at_scale.py", "million"),
        (
            Goal(
                "`sevensteps data` of a million pictures, seconds", lambda found: found["seconds"], 180, form="{:.0f}"
            ),
            Goal("the same, MB", lambda found: found["MB"], 2_000, form="{:,.0f}"),
        ),
    ),
    "million": Bench(
        ("million.py",),
        (
            Goal("baselines of a million pictures, in epochs", lambda found: found["baselines"] / found["epoch"], 2.0),
            Goal("judging a million pictures, seconds of CPU", lambda found: found["judge"], 5.0),
        ),
    ),
    "cnn": Bench(
        ("speed.py", "--case", "cnn", *FEW, "--only", "NCHW"),
        (
            Goal(
                "epoch of `fashion-10`, of the NCHW loop's time",
                seconds_against("cnn", "DataLoader loop, NCHW, AdamW", "epoch"),
                0.67,
            ),
        ),
    ),
    "epoch": Bench(
        ("speed.py", "--case", "epoch", *FEW),
        (
            Goal(
                "linear epoch by formula, of the bare loop's time",
                lambda found: epoch_of(found, "linear: ours by formula, without"),
                0.3,
            ),
            Goal(
                "linear epoch by autograd, of the bare loop's time",
                lambda found: epoch_of(found, "linear: ours by autograd, without"),
                1.05,
            ),
        ),
    ),
    "loader": Bench(
        ("speed.py", "--case", "loader", *FEW),
        (
            Goal(
                "pictures a second of the loader, of DataLoader's",
                lambda found: 1 / seconds_against("loader", "DataLoader(TensorDataset)", "epoch")(found),
                18,
                at_least=True,
                form="{:.1f}",
            ),
        ),
    ),
}


def epoch_of(found: Mapping[str, Any], title: str) -> float:
    """Return the time of an epoch of ours divided by that of the bare loop, which that row is compared with."""
    rows = {row["title"]: row["ratios"] for row in found["cases"]["epoch"]["rows"]}
    return float(rows[title]["epoch"]["median"])


def outcome_of(command: Sequence[str], seconds: float) -> tuple[int | None, str]:
    """Run a command for at most so many seconds; return its exit code and its errors, or None if time was up."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
        process.communicate()
        return None, ""
    return process.returncode, said


def rows_of(bench: Bench, seconds: float) -> list[tuple[str, str, str, str, str]]:
    """Run a bench for at most so many seconds, and return a row for each of its goals."""
    typed = shlex.join(["bench/" + bench.command[0], *bench.command[1:]])
    found, why = None, "not measured: no time was left"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        command = [sys.executable, str(HERE / bench.command[0]), *bench.command[1:], "--json", str(path)]
        code, said = outcome_of(command, max(seconds, 0.1))
        if code:
            why = f"failed: {(said.strip().splitlines() or ['it said nothing'])[-1]}"
        elif code == 0:
            found = json.loads(path.read_text())
    rows = []
    for goal in bench.goals:
        aim = f"{'at least' if goal.at_least else 'at most'} {goal.goal:g}"
        measured, verdict = why, ""
        if found is not None:
            try:
                value = goal.figure(found)
            except (KeyError, StopIteration):
                measured = "not measured: its peer is missing"
            else:
                is_met = value >= goal.goal if goal.at_least else value <= goal.goal
                measured, verdict = goal.form.format(value), "" if is_met else "missed"
        rows.append((goal.what, measured, aim, verdict, f"`{typed}`"))
    return rows


def main() -> None:
    """Print a row for each goal, as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)}; all unless given")
    parser.add_argument("--minutes", type=float, default=30.0, help="for all together")
    arguments = parser.parse_args()
    if unknown := set(arguments.benches) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; choose from {', '.join(BENCHES)}")
    ends = time.monotonic() + 60 * arguments.minutes
    print(f"{describe()}\n\n| what | measured | goal | | command |\n|---|---:|---:|---|---|", flush=True)
    for name in arguments.benches or BENCHES:
        for row in rows_of(BENCHES[name], ends - time.monotonic()):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
