"""Measure test accuracy against training time on the ten classes of Fashion-MNIST, beside a tutorial's loop.

    python bench/curve.py                      as Markdown
    python bench/curve.py --json curve.json    saves each training, and continues from the file

Each of our points is trained to the end of its own schedule. The tutorial's loop (`peers/torch_tutorial.py`) trains the
same network at a constant rate, the best of five on held-out training pictures, and is tested after each epoch, which
is not timed. Its time is that of the first epoch at which the mean over seeds reaches our accuracy.
Needs an otherwise idle machine for forty minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accuracy import changed, trained  # first, because it sets how threads wait, before torch is imported
from machine import describe

import sevensteps as ss
from sevensteps.base import files

sys.path.append(str(Path(__file__).parent / "peers"))

# Seeds, recipe and changed settings. Chosen on held-out training pictures (bench/accuracy.py --held-out).
POINTS = [
    (3, "fashion-10", ("epochs=2",)),
    (3, "fashion-10", ("epochs=6",)),
    (3, "fashion-10", ()),
    (3, "fashion-10", ("epochs=20",)),
    (3, "fashion-94", ()),
]
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
RATE_EPOCHS = 4
TUTORIAL_EPOCHS = 12
TUTORIAL_SEEDS = 3


# Measuring

Kept = dict[str, list[dict[str, Any]]]  # for each row, one record per seed
Keep = Callable[[], None]


def measure_points(kept: Kept, keep: Keep) -> None:
    """Train every point over its seeds, except those already measured."""
    for seeds, name, pairs in POINTS:
        records = kept.setdefault(" ".join((name, *pairs)), [])
        for one in trained(changed(ss.Recipe.load(name), pairs), range(len(records), seeds)):
            records.append(asdict(one))
            keep()


def measure_tutorial(kept: Kept, keep: Keep) -> None:
    """Choose the tutorial's rate on held-out pictures, then train over seeds and test."""
    splits = ss.load("fashion-mnist")
    held_out = splits.hold_out(0.1, 0)
    assert held_out.valid is not None
    assert splits.test is not None
    records = kept.setdefault("tutorial, held out", [])
    for rate in RATES[len(records) :]:
        records.append({"lr": rate, **followed(held_out.train, held_out.valid, rate, 0, RATE_EPOCHS)})
        keep()
    best = max(records, key=lambda record: max(record["accuracies"]))["lr"]
    records = kept.setdefault("tutorial", [])
    for seed in range(len(records), TUTORIAL_SEEDS):
        records.append({"lr": best, **followed(splits.train, splits.test, best, seed, TUTORIAL_EPOCHS)})
        keep()


def followed(train: ss.Images, test: ss.Images, lr: float, seed: int, count: int) -> dict[str, list[float]]:
    """Return the tutorial's accuracy after each epoch, and the seconds of training until then."""
    import torch
    import torch_tutorial
    from turns import CORES

    torch.set_num_threads(CORES)
    recipe = ss.Recipe.load("fashion-10")
    settings = {"lr": lr, "seed": seed, "width": recipe.width, "batch_size": recipe.batch_size}
    pictures = {"train_pixels": train.pixels[:, 0], "train_labels": train.labels}
    took: list[float] = []
    accuracies: list[float] = []
    began = time.perf_counter()
    for model in itertools.islice(torch_tutorial.epochs(pictures, settings), count):
        took.append(time.perf_counter() - began)
        accuracies.append(torch_tutorial.accuracy(model, test.pixels[:, 0], test.labels))
        began = time.perf_counter()
    return {"accuracies": accuracies, "seconds": list(itertools.accumulate(took))}


# Reporting


def points_as_markdown(kept: Kept) -> str:
    """Return a row for each point: settings, parameters, mean accuracy with its spread, seconds."""
    lines = [["recipe", "parameters", "seeds", "test accuracy: mean ± deviation", "training s"], ["---", *["---:"] * 4]]
    for name, records in points_of(kept):
        found = [record["accuracy"] for record in records]
        spread = f" ± {100 * statistics.stdev(found):.2f}" if len(found) > 1 else ""
        cells = [f"`{name}`", f"{records[0]['parameters']:,}", str(len(found))]
        lines.append([*cells, f"{statistics.mean(found):.2%}{spread}", f"{seconds_of(records):.1f}"])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def tutorial_as_markdown(kept: Kept) -> str:
    """Return a row for each of our points with that network: accuracy, time, and the tutorial's time to it."""
    records = kept["tutorial"]
    means = [statistics.mean(each) for each in zip(*(record["accuracies"] for record in records), strict=True)]
    times = [statistics.median(each) for each in zip(*(record["seconds"] for record in records), strict=True)]
    lines = ["| mean accuracy | ours s | tutorial s | ratio |", "|---:|---:|---:|---:|"]
    rows = [ours for _, ours in points_of(kept)]
    for ours in (ours for ours in rows if ours[0]["parameters"] == rows[0][0]["parameters"]):
        wanted, seconds = statistics.mean(record["accuracy"] for record in ours), seconds_of(ours)
        reached = next((n for n, mean in enumerate(means) if mean >= wanted), None)
        if reached is not None:
            theirs, ratio = f"{times[reached]:.1f} (epoch {reached + 1})", f"{times[reached] / seconds:.1f}"
        else:
            theirs = f"not in {len(means)} epochs, {times[-1]:.0f} s"
            ratio = f"over {math.floor(10 * times[-1] / seconds) / 10:.1f}" if times[-1] > seconds else ""
        lines.append(f"| {wanted:.2%} | {seconds:.1f} | {theirs} | {ratio} |")
    grid = ", ".join(f"{record['lr']:g}: {max(record['accuracies']):.2%}" for record in kept["tutorial, held out"])
    best = max(range(len(means)), key=means.__getitem__)
    return "\n".join(lines) + (
        f"\n\nThe tutorial's best mean over {len(records)} seeds is {means[best]:.2%}, after epoch {best + 1}. Its rate"
        f" is {records[0]['lr']:g}; best held-out accuracy in {RATE_EPOCHS} epochs by rate: {grid}."
    )


def points_of(kept: Kept) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Return our rows with their records."""
    for _, name, pairs in POINTS:
        title = " ".join((name, *pairs))
        yield title, kept[title]


def seconds_of(records: Sequence[Mapping[str, Any]]) -> float:
    """Return the median over seeds."""
    return statistics.median(record["seconds"] for record in records)


def main() -> None:
    """Measure what is missing, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where each training is kept")
    arguments = parser.parse_args()
    kept: Kept = {}
    if arguments.json:
        with contextlib.suppress(FileNotFoundError):
            kept = json.loads(arguments.json.read_text())

    def keep() -> None:
        if arguments.json:
            files.write(arguments.json, json.dumps(kept, indent=1) + "\n")

    measure_points(kept, keep)
    measure_tutorial(kept, keep)
    print(f"# Accuracy against time\n\n{describe()}\n\n{points_as_markdown(kept)}\n\n{tutorial_as_markdown(kept)}")


if __name__ == "__main__":
    main()
