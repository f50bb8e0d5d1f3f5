"""Neighbors: what the nearest pictures say of a set, without any model: whether labels and splits go with pixels."""

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

SAMPLE = 400  # pictures of each set: their distances take some 10 ms, once a run


SHUFFLED = 1_000_000  # pictures; of more, a shuffle takes more memory than all else here


SIDE = 32  # larger pictures are averaged down to this: what is near stays near


@dataclass(frozen=True)
class Neighbors:
    """Of each sampled picture the nearest other one.

    `agreement` is the share whose nearest neighbor in the same split has the same label, and `by_chance` what labels
    without any relation to the pictures would give. `own_split` is, for each split, the share whose nearest neighbor
    among all is of the same split: one half, where both are drawn from the same pictures (Schilling, "Multivariate
    two-sample tests based on nearest neighbors", 1986). It is more where a split lies by itself, and less where it is
    scattered around the other, as noisy copies are.
    """

    agreement: dict[str, float]
    by_chance: dict[str, float]
    n: dict[str, int]
    own_split: dict[str, float]


def neighbors(train: Images, valid: Images | None) -> Neighbors:
    """The nearest neighbors in a sample of both splits."""
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
    """So many places, the same each time. Not at even distances, which may go along with the order of the labels."""
    random = np.random.default_rng(0)
    if total > SHUFFLED:
        return np.sort(random.choice(total, count, replace=False))
    return np.sort(random.permutation(total)[:count])


def _features(images: Images) -> Float[Tensor, "n features"]:
    x = images.tensors[0].float() / 255
    if max(x.shape[2:]) > SIDE:
        x = F.adaptive_avg_pool2d(x, SIDE)
    return x.flatten(1)
