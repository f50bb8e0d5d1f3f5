"""Measure the speed of each kind of augmentation, and its effect on the accuracy on held-out pictures.

    python bench/augmenting.py
    python bench/augmenting.py --seeds 5

Speed is measured with one thread and batches of 256 grayscale pictures of 28x28. Accuracy is measured on a quarter of
scikit-learn's digits, read as class folders and trained with the defaults, and on 10,000 of Fashion-MNIST's training
pictures with three epochs of `fashion-10`. No test pictures are used.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command does, before torch is imported

import numpy as np
import torch
from machine import describe
from PIL import Image
from sklearn.datasets import load_digits

import sevensteps as ss
from sevensteps.data.augment import augmentation, mixup
from sevensteps.data.augment_names import NAMES, PRESETS
from sevensteps.recipes.choose import choose
from sevensteps.trust.predictions import predict_split

BATCH, TIMES, SECONDS = 256, 7, 0.1  # pictures; measurements (the median counts); seconds of each
WARPS = ("crop", "rotate", "scale")


def main() -> None:
    """Print a line for each kind, and for each set with each augmentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    print(describe())
    fashion = ss.load("fashion-mnist").train
    print_speeds(torch.from_numpy(fashion.pixels[:BATCH]), torch.from_numpy(fashion.labels[:BATCH]))
    with tempfile.TemporaryDirectory() as folder:
        save_digits(Path(folder))
        digits = ss.load(folder).train
        print(f"\n{'set':<10}{'augment':<26}held-out accuracy, mean over {arguments.seeds} seeds (each)")
        cnn = choose(folder, {}).with_given({})
        print_accuracies("digits", cnn, digits, 1 / 4, ("none", "auto", "digits", "flip+shift"), arguments.seeds)
    ten = ss.Recipe.load("fashion-10").replace(epochs=3)
    print_accuracies("fashion", ten, fashion, 1 / 6, ("none", "clothes", "clothes+cutout"), arguments.seeds)


def print_speeds(pixels: torch.Tensor, labels: torch.Tensor) -> None:
    """Print the speed of each kind and preset, and of warps in one sampling or in several."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    mixed = functools.partial(mixup, pixels, labels.long(), 10, generator)
    made: dict[str, Callable[[], Any]] = {}
    for name in (*NAMES, *PRESETS, "+".join(WARPS)):
        function = augmentation(name)
        made[name] = functools.partial(function, pixels, generator) if function else mixed
    apart = [augmentation(name) for name in WARPS]
    made[", then ".join(WARPS)] = lambda: [one(pixels, generator) for one in apart if one]
    print(f"\n{'augment':<32}{'pictures/second':>18}")
    for name, run in made.items():
        print(f"{name:<32}{speed(run):>18,.0f}", flush=True)


def speed(run: Callable[[], Any]) -> float:
    """Return pictures per second: the median of several measurements after a warm-up."""
    found = []
    for _ in range(TIMES + 1):
        batches, start = 0, time.perf_counter()
        while (took := time.perf_counter() - start) < SECONDS:
            run()
            batches += 1
        found.append(batches * BATCH / took)
    return statistics.median(found[1:])


def save_digits(folder: Path) -> None:
    """Write scikit-learn's digits as PNG files, in a folder for each class."""
    found = load_digits()
    for row, (pixels, label) in enumerate(zip(found.images, found.target, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray((pixels * 15).astype(np.uint8)).save(folder / str(label) / f"{row}.png")


def print_accuracies(
    name: str, recipe: ss.Recipe, train: ss.Images, share: float, kinds: tuple[str, ...], seeds: int
) -> None:
    """Print for each kind the accuracy on held-out training pictures, which differ with the seed."""
    for augment in kinds:
        accuracies = []
        for seed in range(seeds):
            rest, judged = train.split(share, seed=123 + seed)
            splits = ss.Splits(rest, judged)
            seeded = recipe.replace(augment=augment, seed=seed)
            torch.set_num_threads(seeded.settled(splits).threads or 1)
            learn = seeded.learner(splits)
            learn.fit(show=False)
            accuracies.append(predict_split(learn, judged, "held out").score.accuracy)
        each = ", ".join(f"{accuracy:.2%}" for accuracy in accuracies)
        print(f"{name:<10}{augment:<26}{statistics.mean(accuracies):.2%} ({each})", flush=True)


if __name__ == "__main__":
    main()
