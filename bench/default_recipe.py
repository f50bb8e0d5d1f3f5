"""Choose the default recipes on held-out training pictures. No test pictures are used.

    python bench/default_recipe.py             the rate and the epochs of the first job
    python bench/default_recipe.py pictures    the model and the settings of picture files, by their count and size

The second prints, for real sets of many counts and sizes, the default before it was chosen by count and the one now,
each with the mean accuracy on held-out pictures (which differ with the seed) and the seconds of training. Both columns
use today's augmentation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command does, before torch is imported

import numpy as np
import torch
from machine import describe
from PIL import Image

import sevensteps as ss
from sevensteps.data.near_copies import kept_together
from sevensteps.data.sources.facts import Facts
from sevensteps.recipes.choose import suited
from sevensteps.trust.predictions import predict_split

SETTINGS = (
    {},
    {"lr": 0.1},
    {"lr": 0.02},
    {"lr": 0.01},
    {"epochs": 4},
    {"epochs": 15},
    {"epochs": 15, "lr": 0.02},
    {"schedule": "cosine"},
    {"init": "zeros"},
    {"weight_decay": 0.003},
    {"weight_decay": 0.01},
)
ADWAITA = Path("/usr/share/icons/Adwaita")  # Debian's package adwaita-icon-theme
JUDGED = 2_000  # of Fashion-MNIST's training pictures

Parts = Callable[[int], tuple[ss.Images, ss.Images]]  # of a seed: pictures to train on, and to judge on


def main() -> None:
    """Print the chosen comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("first-job", "pictures"), nargs="?", default="first-job")
    parser.add_argument("--seeds", type=int, default=3, help="of pictures")
    parser.add_argument("--sets", nargs="*", help="names of sets of pictures; all unless given")
    arguments = parser.parse_args()
    print(describe())
    if arguments.what == "first-job":
        first_job()
    else:
        for_pictures(arguments.sets or list(SETS), arguments.seeds)


def first_job() -> None:
    """Print mean and deviation over ten seeds for each setting, with 2,000 training pictures as the test set."""
    torch.set_num_threads(1)
    train, judged = ss.load("pullover-dress").train.split(1 / 6, seed=123)
    for settings in SETTINGS:
        accuracies = []
        for seed in range(10):
            recipe = ss.Recipe.load("linear").replace(seed=seed, **settings)
            learn = recipe.learner(ss.Splits(train, judged))
            learn.fit(show=False)
            accuracies.append(predict_split(learn, judged, "held out").score.accuracy)
        mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
        print(f"{settings}: mean {mean:.2%}, deviation {100 * deviation:.2f} points", flush=True)


def for_pictures(sets: list[str], seeds: int) -> None:
    """Print a row for each set: the earlier default, and today's."""
    print("| set | pictures | size | before | accuracy | s | now | accuracy | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in sets:
        parts = SETS[name]()
        train, _ = parts(0)
        channels, height, width = train.shape
        facts = Facts(len(train), min(train.counts.values()), train.classes, train.shape)
        before = ss.Recipe.load("cnn" if facts.side >= 16 and facts.fewest >= 20 else "linear")
        now = suited(facts).with_given({})
        cells = [name, f"{len(train):,}", f"{width}x{height}x{channels}"]
        for recipe in (before, now):
            found = [accuracy_and_seconds(recipe.replace(seed=seed), *parts(seed)) for seed in range(seeds)]
            accuracies, seconds = zip(*found, strict=True)
            what = f"{recipe.name}, {recipe.batch_size}, {recipe.epochs}"
            cells += [what, f"{statistics.mean(accuracies):.2%}", f"{statistics.mean(seconds):.1f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def accuracy_and_seconds(recipe: ss.Recipe, train: ss.Images, judged: ss.Images) -> tuple[float, float]:
    """Return the accuracy of a model on the judged pictures, and the seconds of training on the others."""
    splits = ss.Splits(train, judged)
    torch.set_num_threads(recipe.settled(splits).threads or 1)
    began = time.perf_counter()
    learn = recipe.learner(splits)
    learn.fit(show=False)
    took = time.perf_counter() - began
    return predict_split(learn, judged, "held out").score.accuracy, took


def few_of(images: ss.Images, count: int, seed: int) -> ss.Images:
    """Return `count` pictures of each class, drawn at random."""
    random = np.random.default_rng(seed)
    of_class = [np.flatnonzero(images.labels == label) for label in range(len(images.classes))]
    return images.take(np.sort(np.concatenate([random.permutation(rows)[:count] for rows in of_class])))


def fashion(count: int, classes: tuple[str, ...] = ()) -> Parts:
    """Return some of Fashion-MNIST's training pictures of each class, and 2,000 others to judge."""
    images = ss.load("fashion-mnist").train
    images = images.choose(classes) if classes else images
    rest, held = images.split(1 / 6, seed=123)
    judged = few_of(held, JUDGED // len(images.classes), seed=0)
    return lambda seed: (few_of(rest, count, seed), judged)


def digits(count: int = 1_000) -> Parts:
    """Return some of scikit-learn's digits of each class; a quarter is for judging."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * 255 / 16).round().astype(np.uint8)[:, None]
    images = ss.Images(pixels, found.target.astype(np.int64), tuple("0123456789"))

    def parts(seed: int) -> tuple[ss.Images, ss.Images]:
        train, judged = images.split(1 / 4, seed=123 + seed)
        return few_of(train, count, seed), judged

    return parts


def tiles(side: int) -> Parts:
    """Three photographs cut into squares; a row of them is a group, and a quarter of the rows is judged."""
    from matplotlib import cbook
    from sklearn.datasets import load_sample_images

    hopper = np.asarray(Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB"))
    pixels, labels, groups = [], [], []
    for label, photo in enumerate((*load_sample_images().images, hopper)):
        for top in range(0, len(photo) - side + 1, side):
            for left in range(0, photo.shape[1] - side + 1, side):
                pixels.append(photo[top : top + side, left : left + side].transpose(2, 0, 1))
                labels.append(label)
                groups.append(1_000 * label + top)
    images = ss.Images(np.stack(pixels), np.array(labels), ("china", "flower", "hopper"), groups=np.array(groups))
    return lambda seed: images.split(1 / 4, seed=123 + seed)


def icons(side: int, *classes: str) -> Parts:
    """Return Adwaita's icons by category, keeping near-copies together; a quarter is for judging."""
    loaded = ss.load(ADWAITA / f"{side}x{side}", classes=classes, bad_files="skip", size=side)
    images, _ = kept_together(loaded.train)
    return lambda seed: images.split(1 / 4, seed=123 + seed)


SETS: dict[str, Callable[[], Parts]] = {
    "digits, 20 a class": lambda: digits(20),
    "digits": digits,
    **{f"coats and shirts, {n:,} a class": lambda n=n: fashion(n, ("Coat", "Shirt")) for n in (5, 20, 100, 500, 2_000)},
    **{f"Fashion-MNIST, {n:,} a class": lambda n=n: fashion(n) for n in (5, 20, 100, 500, 2_000)},
    "tiles of photographs": lambda: tiles(32),
    "large tiles": lambda: tiles(64),
    "icons": lambda: icons(24, "legacy", "status"),
    "icons of five kinds": lambda: icons(32, "actions", "devices", "mimetypes", "places", "status"),
}


if __name__ == "__main__":
    main()
