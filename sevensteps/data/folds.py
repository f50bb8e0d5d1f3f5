"""Folds: pictures dealt into parts of which each is held out once, for sets that are too small for a test split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int64

from ..base.seeds import FOLDS, seed_of
from ..base.words import pictures, text_of
from ..errors import DataError
from .images import Images, Splits

USUAL = 5  # folds: each model learns from four fifths, and there are five times as many to train


# Pictures to test with, below which folds are made instead: of 100 that are answered right in 90 %, the interval is 12
# points wide, which is what small sets are wanted to tell apart; of 500 in folds it is 5.
FEWEST_TO_TEST = 100


def folds_of(
    labels: Int64[np.ndarray, " n"],
    classes: int,
    folds: int,
    seed: int,
    groups: Int64[np.ndarray, " n"] | None = None,
) -> Int64[np.ndarray, " n"]:
    """The fold of each picture, from 0: of each class as many in every fold as can be, and folds of a size.

    Pictures of the same group (a number from 0 on; -1 is none) are in the same fold. Groups are dealt first, the
    largest first, each to the fold that has least of its classes, then the smallest; so are single pictures. Which goes
    where among equals is a pure function of the seed.
    """
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    together = _items(len(labels), groups)
    random = np.random.default_rng(seed_of(seed, FOLDS))
    shuffled = random.permutation(len(together)).tolist()
    found = np.empty(len(labels), dtype=np.int64)
    held, sizes = np.zeros((classes, folds), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for item in sorted(shuffled, key=lambda item: -len(together[item])):
        rows = together[item]
        adds = np.bincount(labels[rows], minlength=classes)
        load = np.round((adds / counts) @ held, 9)
        fold = int(np.lexsort((sizes, load))[0])
        found[rows] = fold
        held[:, fold] += adds
        sizes[fold] += len(rows)
    return found


def _items(n: int, groups: Int64[np.ndarray, " n"] | None) -> list[Int64[np.ndarray, " _"]]:
    """The rows that are dealt together, in the order of their first rows."""
    if groups is None or not n:
        return list(np.arange(n)[:, None])
    numbers = np.where(groups < 0, groups.max() + 1 + np.arange(n), groups)
    _, item = np.unique(numbers, return_inverse=True)
    order = np.argsort(item, kind="stable")
    begins = np.flatnonzero(np.diff(item[order], prepend=-1))
    return sorted(np.split(order, begins[1:]), key=lambda rows: int(rows[0]))


def is_held_out(splits: Splits) -> bool:
    """Whether the validation pictures were taken from the training pictures."""
    return splits.valid is not None and splits.valid.origin == splits.train.origin


def whole(splits: Splits) -> Images:
    """The training pictures with those that were held out of them for validation, in the source's order."""
    train, valid = splits.train, splits.valid
    if valid is None or not is_held_out(splits):
        return train
    rows = np.concatenate([train.rows, valid.rows])
    order = np.argsort(rows, kind="stable")
    return dataclasses.replace(
        train,
        pixels=np.concatenate([train.pixels, valid.pixels])[order],
        labels=np.concatenate([train.labels, valid.labels])[order],
        rows=rows[order],
    )


def folds_in(images: Images, folds: int, seed: int) -> list[tuple[Images, Images]]:
    """For each fold, the pictures to train on and those that are out of it for this model."""
    groups = None if images.groups is None else images.groups[images.rows]
    numbers = folds_of(images.labels, len(images.classes), folds, seed, groups)
    parts = [(np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold)) for fold in range(folds)]
    return [(images.take(rest), images.take(out)) for rest, out in parts if len(out)]


def in_one_group(images: Images) -> tuple[str, ...]:
    """The classes of several pictures which are all in one group: no split has some of these on both sides."""
    if images.groups is None:
        return ()
    groups = images.groups[images.rows]
    of_class = [(name, groups[images.labels == label]) for label, name in enumerate(images.classes)]
    return tuple(name for name, of in of_class if len(of) > 1 and of[0] >= 0 and (of == of[0]).all())


def why_kept_whole(images: Images) -> str:
    """What groups keep together, in words: classes that are one group, else the share of the largest group."""
    if names := in_one_group(images):
        counts, shown = images.counts, names[:SHOWN]
        each = ", ".join(f"all {pictures(counts[name])} of {text_of(name)}" for name in shown)
        more = f" and those of {len(names) - len(shown):,} more classes" if len(names) > len(shown) else ""
        return f"{each}{more} are in one group{' each' * (len(names) > 1)}, or copies of one another"
    groups = images.groups[images.rows] if images.groups is not None else np.zeros(0, dtype=np.int64)
    largest = int(np.bincount(groups[groups >= 0]).max(initial=0))
    return f"the largest group has {largest:,} of {pictures(len(images))}"


def nothing_held_out(images: Images, message: str, hint: str, settings: Mapping[str, Any] | None = None) -> DataError:
    """Return the error that no picture could be held out; where groups are the reason, it says that instead.

    Args:
        images: The pictures to hold some out of.
        message: What was wrong, where groups are not the reason.
        hint: What to do.
        settings: The values of the settings that the hint names.

    Returns:
        The error, to be raised.
    """
    if not in_one_group(images):
        return DataError(message, hint=hint, settings=settings)
    message = f"Groups leave no pictures to hold out: {why_kept_whole(images)}."
    return DataError(message, hint=f"{SMALLER} {hint}", settings=settings)


SHOWN = 3  # classes that are named


SMALLER = "Let group find smaller groups, or leave it out."
