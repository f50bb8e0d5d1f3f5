"""Measure the time to save a run during training, and to resume within an epoch.

python bench/saving.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import describe

from sevensteps.data.batches import Batches
from sevensteps.data.images import Images
from sevensteps.data.sources.load import load
from sevensteps.recipes.recipe import Recipe
from sevensteps.runs import checkpoint
from sevensteps.runs.run import Work
from sevensteps.runs.training import SECONDS_BETWEEN_SAVES, SHARE_FOR_SAVING, snapshot
from sevensteps.trust.doctor.doctor import Doctor

REPEATS = 15


def saving(name: str) -> None:
    """Print the seconds of a save, with the optimizer's state, and its share of the time between two saves."""
    splits = load("pullover-dress")
    recipe = Recipe.load(name).replace(source="pullover-dress", loss="auto", label_smoothing=0.0)
    splits = recipe.held_out(splits)
    recipe = recipe.settled(splits)
    learn = recipe.learner(splits)
    next(learn.stream())
    work = Work(
        folder=None,
        recipe=recipe,
        recorded={},
        splits=splits,
        learn=learn,
        seconds={},
        doctor=Doctor(learn),
    )
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(REPEATS):
            began = time.perf_counter()
            checkpoint.save(Path(folder), snapshot(work))
            seconds.append(time.perf_counter() - began)
        size = (Path(folder) / checkpoint.CHECKPOINT).stat().st_size
    took = statistics.median(seconds)
    between = max(SECONDS_BETWEEN_SAVES, took / SHARE_FOR_SAVING)
    print(
        f"{name:<12} {learn.parameter_count:>9,} parameters  {size / 1e6:6.2f} MB  {1000 * took:6.1f} ms a save, "
        f"every {between:.0f} s: {took / between:.3%} of the time"
    )


def entering(count: int) -> None:
    """Print the seconds to the first batch of an epoch of `count` rows, entered at its start and at 99 %."""
    rows = np.zeros((count, 1, 1, 1), dtype=np.uint8)
    batches = Batches(Images(rows, np.arange(count, dtype=np.int64) % 2, ("a", "b")), 256, shuffle=True)
    for share in (0.0, 0.99):
        start = int(share * len(batches))
        seconds = []
        for epoch in range(REPEATS):
            began = time.perf_counter()
            next(batches.epoch_batches(0, epoch, start))
            seconds.append(time.perf_counter() - began)
        print(f"entering an epoch of {count:,} rows at {share:.0%}: {1000 * statistics.median(seconds):.1f} ms")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(describe())
    for of in ("linear", "relu", "cnn", "fashion-10"):
        saving(of)
    entering(1_000_000)
