"""Measure how a weighted loss and balanced sampling change accuracy and recall when classes are out of balance.

    python bench/balancing.py
    python bench/balancing.py linear cnn --ratio 50 --seeds 5

Trains on Fashion-MNIST's coats and one in `--ratio` of its shirts; all test pictures are used, so the recall of the
small class is known well; accuracy is computed from the recalls, for pictures as imbalanced as the training pictures.
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
from sevensteps.trust.predictions import predict_split
from sevensteps.trust.scores import confusion_matrix


def main() -> None:
    """Print a line for each recipe and way of balancing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=["linear", "cnn"])
    parser.add_argument("--classes", nargs=2, default=["Coat", "Shirt"])
    parser.add_argument("--ratio", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    print(describe())
    splits = ss.load("fashion-mnist", classes=arguments.classes)
    keep = np.concatenate([np.flatnonzero(splits.train.labels == label) for label in (0, 1)])
    keep = keep[: len(keep) // 2 + len(keep) // 2 // arguments.ratio]
    lopsided = ss.Splits(splits.train.take(np.sort(keep)), test=splits.test)
    print(f"{lopsided.train}; mean over {arguments.seeds} seeds (deviation)")
    print(f"{'recipe':<8}{'balance':<10}{'accuracy':>18}{'balanced accuracy':>20}{'worst recall':>18}")
    for name in arguments.recipes:
        for balance in ("none", "loss", "sampling"):
            found = [figures(lopsided, name, balance, seed) for seed in range(arguments.seeds)]
            cells = [f"{statistics.mean(of):.2%} ({100 * statistics.stdev(of):.2f})" for of in zip(*found, strict=True)]
            print(f"{name:<8}{balance:<10}{cells[0]:>18}{cells[1]:>20}{cells[2]:>18}", flush=True)


def figures(splits: ss.Splits, name: str, balance: str, seed: int) -> tuple[float, float, float]:
    """Return accuracy for the shares of the training pictures, balanced accuracy, and the smallest recall."""
    recipe = ss.Recipe.load(name).replace(balance=balance, seed=seed)
    torch.set_num_threads(recipe.settled(splits).threads or 1)
    learn = recipe.learner(splits)
    learn.fit(show=False)
    assert splits.test is not None
    table = predict_split(learn, splits.test, "test")
    confusion = confusion_matrix(table.labels, table.predicted, len(table.classes))
    recalls = np.diag(confusion) / confusion.sum(1)
    counts = np.array(list(splits.train.counts.values()))
    return float(counts @ recalls / counts.sum()), float(recalls.mean()), float(recalls.min())


if __name__ == "__main__":
    main()
