"""Measure what temperature scaling changes: accuracy, log loss and calibration error on the test pictures.

    python bench/calibration.py linear relu cnn --seeds 5

The temperature is fitted on the validation pictures, as in every run.
"""

from __future__ import annotations

import argparse
import os
import statistics

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command does, before torch is imported

import numpy as np
import torch
from machine import describe

import sevensteps as ss
from sevensteps.trust.calibration import expected_calibration_error


def main() -> None:
    """Print a line for each seed, then the means of each recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=["linear", "relu", "cnn"])
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    print(describe())
    for recipe in arguments.recipes:
        rows = []
        for seed in range(arguments.seeds):
            run = ss.train(recipe=recipe, seed=seed)
            table, learn = run.tables["test"], run.learn
            before = learn.objective.probabilities(torch.from_numpy(table.logits)).numpy()
            figures = [of(table.labels, shares) for shares in (before, table.probabilities) for of in (loss, error)]
            changed = int((before.argmax(1) != table.predicted).sum())
            rows.append([learn.temperature, table.score.accuracy, *figures])
            temperature, accuracy, *numbers = rows[-1]
            said = [f"log loss {one:.4f}, calibration error {two:.2%}" for one, two in (numbers[:2], numbers[2:])]
            print(
                f"{recipe} seed {seed}: temperature {temperature:.3f}, accuracy {accuracy:.2%}, {changed} answers "
                f"changed; before: {said[0]}; after: {said[1]}",
                flush=True,
            )
        means = [statistics.mean(column) for column in zip(*rows, strict=True)]
        lower = sum(row[4] < row[2] for row in rows), sum(row[5] < row[3] for row in rows)
        print(
            f"{recipe}, means of {len(rows)} seeds: temperature {means[0]:.3f}, accuracy {means[1]:.2%}, log loss "
            f"{means[2]:.4f} to {means[4]:.4f} (lower in {lower[0]} of {len(rows)}), calibration error {means[3]:.2%} "
            f"to {means[5]:.2%} (lower in {lower[1]})"
        )


def loss(labels: np.ndarray, shares: np.ndarray) -> float:
    """Return the mean log loss."""
    right = shares.astype(np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(right.clip(1e-12)).mean())


def error(labels: np.ndarray, shares: np.ndarray) -> float:
    """Return the expected calibration error."""
    return expected_calibration_error(shares, labels, resamples=100).value or 0.0


if __name__ == "__main__":
    main()
