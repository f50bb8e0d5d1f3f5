"""Nearest neighbors: whether labels and splits depend on the pixels, found without a model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...base import memory
from ...data.images import Images

SAMPLE = 400  # pictures of each split: their distances take about 10 ms, once a run


SHUFFLED = 1_000_000  # pictures; shuffling more takes more memory than everything else here


SIDE = 32  # pixels; larger pictures are averaged down to this, which hardly changes which are near


@dataclass(frozen=True)
class Neighbors:
    """What the nearest neighbors of sampled pictures show, for each split.

    `agreement` is the share of pictures whose nearest neighbor in their split has the same label, and `by_chance` the
    share that labels unrelated to the pictures would give; `n` is the number of pictures. `own_split` is the share
    whose nearest neighbor in both splits is of their own split. It is one half if both splits come from the same
    distribution (Schilling, "Multivariate two-sample tests based on nearest neighbors", 1986), more if a split lies
    apart, and less if it surrounds the other, as noisy copies do.
    """

    agreement: dict[str, float]
    by_chance: dict[str, float]
    n: dict[str, int]
    own_split: dict[str, float]


def neighbors(train: Images, valid: Images | None) -> Neighbors:
    """Compare a sample of both splits with their nearest neighbors.

    Args:
        train: The training pictures.
        valid: The validation pictures, if there are any.
    """
    named = {"training": train} if valid is None else {"training": train, "validation": valid}
    count = min(SAMPLE, *(len(images) for images in named.values()))
    taken = {name: images.take(spread(len(images), count)) for name, images in named.items()}
    points = torch.cat([_features(images) for images in taken.values()])
    distances = torch.cdist(points, points)
    distances.fill_diagonal_(math.inf)
    agreement, by_chance, n = {}, {}, {}
    for place, (name, images) in enumerate(taken.items()):
        own = slice(place * count, (place + 1) * count)
        labels = images.labels
        nearest = distances[own, own].argmin(1).numpy()
        shares = np.bincount(labels) / count
        agreement[name], by_chance[name], n[name] = (
            float((labels[nearest] == labels).mean()),
            float((shares**2).sum()),
            count,
        )
    own_split = {}
    if len(taken) == 2:
        sides = torch.arange(2 * count) // count
        same = (sides[distances.argmin(1)] == sides).float().reshape(2, count).mean(1)
        own_split = dict(zip(taken, same.tolist(), strict=True))
    del points, distances
    memory.give_back()
    return Neighbors(agreement, by_chance, n, own_split)


def spread(total: int, count: int) -> np.ndarray:
    """Choose places at random, the same each time; evenly spaced ones could follow the order of the labels.

    Args:
        total: The number of places.
        count: How many to choose.

    Returns:
        The chosen places in order, (count,).
    """
    random = np.random.default_rng(0)
    if total > SHUFFLED:
        return np.sort(random.choice(total, count, replace=False))
    return np.sort(random.permutation(total)[:count])


def _features(images: Images) -> Float[Tensor, "n features"]:
    """Return pixels from 0 to 1, of pictures averaged down to at most 32 pixels a side."""
    x = images.tensors[0].float() / 255
    if max(x.shape[2:]) > SIDE:
        x = F.adaptive_avg_pool2d(x, SIDE)
    return x.flatten(1)
