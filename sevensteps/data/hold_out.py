"""Choose which pictures are held out: the same share of each class, and groups kept together."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ..base.seeds import HOLD_OUT, seed_of
from ..errors import DataError


def held_out(
    labels: Int64[np.ndarray, " n"],
    classes: int,
    fraction: float,
    seed: int,
    groups: Int64[np.ndarray, " n"] | None = None,
) -> Bool[np.ndarray, " n"]:
    """Choose the pictures to hold out: the same share of each class.

    Shares are rounded, with at least one picture of each class that has two, and never all of a class. Pictures of a
    group are held out together or not at all. Groups are visited in random order, and a group is held out if it brings
    the classes nearer to their shares; pictures without a group then fill the rest.

    Args:
        labels: The label of each picture.
        classes: The number of classes.
        fraction: The share to hold out, between 0 and 1.
        seed: Decides which pictures.
        groups: The group of each picture, -1 for none; None if there are no groups.

    Returns:
        True for each picture that is held out.

    Raises:
        DataError: `fraction` is not between 0 and 1.
    """
    value: Any = fraction
    if not isinstance(value, numbers.Real) or not 0 < float(value) < 1:
        raise DataError(
            f"hold_out is {fraction!r}; it must be between 0 and 1.",
            hint="Try {hold_out}.",
            settings={"hold_out": 0.1},
        )
    random = np.random.default_rng(seed_of(seed, HOLD_OUT))
    held = np.zeros(len(labels), dtype=bool)
    counts = np.bincount(labels, minlength=classes)
    quotas = np.array([min(max(round(count * fraction), 1), count - 1) for count in counts.tolist()])
    in_group = np.zeros(len(labels), dtype=bool)
    if groups is not None and (together := _together(groups)):
        in_group[np.concatenate(together)] = True
        held[_groups_held_out(together, labels, counts, quotas, random)] = True
    for label in range(classes):
        rows = np.flatnonzero((labels == label) & ~in_group)
        count = min(int(quotas[label]) - int((held & (labels == label)).sum()), len(rows))
        if count > 0:
            random.shuffle(rows)  # in place: a second copy of a large set may not fit into memory
            held[rows[:count]] = True
    return held


def _groups_held_out(
    together: Sequence[Int64[np.ndarray, " _"]],
    labels: Int64[np.ndarray, " n"],
    counts: Int64[np.ndarray, " classes"],
    quotas: Int64[np.ndarray, " classes"],
    random: np.random.Generator,
) -> Int64[np.ndarray, " held"]:
    """Return the rows of the groups to hold out.

    If no group brings the classes nearer to their shares, and all pictures are in groups, hold out the group that
    takes them least far away.
    """
    taken, held = np.zeros_like(counts), [np.zeros(0, dtype=np.int64)]
    least, excess = None, math.inf
    for number in random.permutation(len(together)).tolist():
        rows = together[number]
        adds = np.bincount(labels[rows], minlength=len(counts))
        if ((taken + adds >= counts) & (adds > 0)).any():  # no picture of a class would be left
            continue
        nearer = np.abs(quotas - taken).sum() - np.abs(quotas - taken - adds).sum()
        if nearer > 0:
            taken += adds
            held.append(rows)
        elif -nearer < excess:
            least, excess = rows, -nearer
    if len(held) == 1 and least is not None and sum(map(len, together)) == len(labels):
        held.append(least)
    return np.concatenate(held)


def _together(groups: Int64[np.ndarray, " n"]) -> list[Int64[np.ndarray, " _"]]:
    """Return the rows of each group with several pictures, sorted by their first rows."""
    order = np.argsort(groups, kind="stable")
    order = order[groups[order] >= 0]
    begins = np.flatnonzero(np.diff(groups[order], prepend=-1))
    several = [rows for rows in np.split(order, begins[1:]) if len(rows) > 1]
    return sorted(several, key=lambda rows: int(rows[0]))
