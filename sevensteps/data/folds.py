"""Folds: divide pictures into parts, each of which is held out once, for sets that are too small for a test split."""

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

USUAL = 5  # folds: each model learns from four fifths, and training takes five times as long

# With fewer test pictures than this, folds are used instead. For 100 pictures of which 90 % are right, the interval is
# 12 points wide, too wide for the differences that matter; with folds, all 500 count and it is 5 points wide.
FEWEST_TO_TEST = 100


def folds_of(
    labels: Int64[np.ndarray, " n"],
    classes: int,
    folds: int,
    seed: int,
    groups: Int64[np.ndarray, " n"] | None = None,
) -> Int64[np.ndarray, " n"]:
    """Assign each picture to a fold, so that folds have the same size and the same share of each class.

    Pictures of a group are in the same fold. Groups are assigned first, from the largest to the smallest, each to the
    fold that has the fewest pictures of its classes, and among those to the smallest fold; then single pictures.

    Args:
        labels: The label of each picture.
        classes: The number of classes.
        folds: The number of folds.
        seed: Decides between equal choices.
        groups: The group of each picture, -1 for none; None if there are no groups.

    Returns:
        The fold of each picture, from 0.
    """
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    together, alone = _items(len(labels), groups)
    random = np.random.default_rng(seed_of(seed, FOLDS))
    shuffled = random.permutation(len(together) + int((alone >= 0).sum()))
    assigned = np.empty(len(labels), dtype=np.int64)
    held, sizes = np.zeros((classes, folds), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for item in sorted((item for item in shuffled.tolist() if item in together), key=lambda item: -len(together[item])):
        rows = together[item]
        adds = np.bincount(labels[rows], minlength=classes)
        load = np.round((adds / counts) @ held, 9)
        fold = int(np.lexsort((sizes, load))[0])
        assigned[rows] = fold
        held[:, fold] += adds
        sizes[fold] += len(rows)
    # Of a single picture, only its own class counts: the same choice without an array for each of a million pictures.
    rows_alone = alone[shuffled]
    rows_alone = rows_alone[rows_alone >= 0]
    held_of, size_of, others = held.tolist(), sizes.tolist(), range(1, folds)
    chosen = []
    for label in labels[rows_alone].tolist():
        own, fold = held_of[label], 0
        for number in others:  # `min` with a key takes five times as long
            if own[number] < own[fold] or (own[number] == own[fold] and size_of[number] < size_of[fold]):
                fold = number
        chosen.append(fold)
        own[fold] += 1
        size_of[fold] += 1
    assigned[rows_alone] = chosen
    return assigned


def _items(
    n: int, groups: Int64[np.ndarray, " n"] | None
) -> tuple[dict[int, Int64[np.ndarray, " _"]], Int64[np.ndarray, " items"]]:
    """Return what is assigned together, numbered by its first row: the rows of groups, and single rows.

    A group of one picture is a single row. The single rows are in an array that has -1 for each group.
    """
    if groups is None or not n:
        return {}, np.arange(n)
    numbers = np.where(groups < 0, groups.max() + 1 + np.arange(n), groups)
    _, firsts, item, sizes = np.unique(numbers, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(firsts)
    number_of = np.empty(len(order), dtype=np.int64)
    number_of[order] = np.arange(len(order))
    alone = np.where(sizes[order] == 1, firsts[order], -1)
    shared = np.flatnonzero(sizes[item] > 1)
    shared = shared[np.argsort(number_of[item[shared]], kind="stable")]
    of_shared = number_of[item[shared]]
    begins = np.flatnonzero(np.diff(of_shared, prepend=-1))
    together = np.split(shared, begins[1:]) if len(begins) else []
    return dict(zip(of_shared[begins].tolist(), together, strict=True)), alone


def is_held_out(splits: Splits) -> bool:
    """Return whether the validation pictures were taken from the training pictures.

    Args:
        splits: The pictures.
    """
    return splits.valid is not None and splits.valid.origin == splits.train.origin


def whole(splits: Splits) -> Images:
    """Return the training pictures together with those that were held out of them for validation.

    Args:
        splits: The pictures.

    Returns:
        The pictures in the order of the source.
    """
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
    """Return the pictures to train on and the pictures to hold out, for each fold.

    Args:
        images: All pictures.
        folds: The number of folds.
        seed: Decides which picture is in which fold.

    Returns:
        A pair for each fold that has pictures.
    """
    groups = None if images.groups is None else images.groups[images.rows]
    numbers = folds_of(images.labels, len(images.classes), folds, seed, groups)
    parts = [(np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold)) for fold in range(folds)]
    return [(images.take(rest), images.take(out)) for rest, out in parts if len(out)]


def most_folds(images: Images) -> int:
    """Return how many folds can have a picture: pictures of a group are in one.

    Args:
        images: The pictures.
    """
    return len(_items(len(images), None if images.groups is None else images.groups[images.rows])[1])


def in_one_group(images: Images) -> tuple[str, ...]:
    """Return the classes that cannot be split, because all their pictures are in one group.

    Args:
        images: The pictures.

    Returns:
        The names of these classes; a class with a single picture is not among them.
    """
    if images.groups is None:
        return ()
    groups = images.groups[images.rows]
    of_class = [(name, groups[images.labels == label]) for label, name in enumerate(images.classes)]
    return tuple(name for name, own in of_class if len(own) > 1 and own[0] >= 0 and (own == own[0]).all())


def why_kept_whole(images: Images, left: bool = False) -> str:
    """Return what groups keep together, in words.

    Args:
        images: The pictures.
        left: Whether others were taken away before, for a test or a fold.

    Returns:
        The classes that are one group each, or else the size of the largest group.
    """
    if names := in_one_group(images):
        counts, shown = images.counts, names[:SHOWN]
        of_class = "the {} that are left of {}" if left else "all {} of {}"
        each = ", ".join(of_class.format(pictures(counts[name]), text_of(name)) for name in shown)
        more = f" and those of {len(names) - len(shown):,} more classes" if len(names) > len(shown) else ""
        return f"{each}{more} are in one group{' each' * (len(names) > 1)}, or copies of one another"
    groups = images.groups[images.rows] if images.groups is not None else np.zeros(0, dtype=np.int64)
    largest = int(np.bincount(groups[groups >= 0]).max(initial=0))
    return f"the largest group has {largest:,} of {pictures(len(images))}"


def nothing_held_out(
    images: Images, message: str, hint: str, settings: Mapping[str, Any] | None = None, left: bool = False
) -> DataError:
    """Return the error to raise if no picture can be held out.

    Args:
        images: The pictures.
        message: What was wrong, unless groups are the reason.
        hint: What to do.
        settings: The values of the settings that the hint names.
        left: Whether others were taken away before, for a test or a fold.

    Returns:
        An error that names groups if they are the reason.
    """
    if not in_one_group(images):
        return DataError(message, hint=hint, settings=settings)
    message = f"Groups leave no pictures to hold out: {why_kept_whole(images, left)}."
    return DataError(message, hint=f"{SMALLER} {hint}", settings=settings)


SHOWN = 3  # how many classes are named

SMALLER = "Set group so that the groups are smaller, or leave it out."
