"""Audit: what can be seen in pictures without a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Shaped

from .images import Images, Splits


@dataclass(frozen=True)
class Audit:
    """Counts of each split, and groups of picture ids that hold exactly the same pixels: within a split, or across."""

    counts: dict[str, dict[str, int]]
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    duplicates: list[list[str]]
    leaks: list[list[str]]


def audit(splits: Splits) -> Audit:
    """Count the pictures and find exact duplicates; those with copies in more than one split are leaks."""
    named = {"train": splits.train, "valid": splits.valid, "test": splits.test}
    present: dict[str, Images] = {name: images for name, images in named.items() if images is not None}
    # A digest of 16 bytes stands for a picture, since the set may be larger than the memory.
    digests = np.concatenate([_digests(images) for images in present.values()])
    begins = np.cumsum([0, *(len(images) for images in present.values())])
    within: list[list[str]] = []
    leaks: list[list[str]] = []
    for group in _copies(digests):
        splits_of = np.searchsorted(begins, group, side="right") - 1
        places = zip(splits_of.tolist(), group.tolist(), strict=True)
        names = [list(present.values())[split].ids[place - int(begins[split])] for split, place in places]
        (leaks if len(set(splits_of)) > 1 else within).append(names)
    counts = {split: images.counts for split, images in present.items()}
    return Audit(counts, splits.train.shape, splits.classes, within, leaks)


def _digests(images: Images) -> Shaped[np.ndarray, " n"]:
    """What tells each picture from all others."""
    return np.frombuffer(
        b"".join(hashlib.blake2b(picture.tobytes(), digest_size=16).digest() for picture in images.pixels), dtype="S16"
    )


def _copies(digests: Shaped[np.ndarray, " n"]) -> list[Int64[np.ndarray, " copies"]]:
    """The places of digests that are there more than once, in groups, in the order of the first of each."""
    order = np.argsort(digests, kind="stable")
    is_new = np.concatenate([[True], digests[order][1:] != digests[order][:-1]])
    begins = np.flatnonzero(is_new)
    sizes = np.diff(np.append(begins, len(order)))
    groups = [order[begin : begin + size] for begin, size in zip(begins[sizes > 1], sizes[sizes > 1], strict=True)]
    return sorted(groups, key=lambda group: int(group[0]))
