"""Audit: what can be seen in pictures without a model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

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
    groups: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    for split, images in present.items():
        for name, picture in zip(images.ids, images.pixels, strict=True):
            groups[picture.tobytes()].append((split, name))
    same = [group for group in groups.values() if len(group) > 1]
    leaks = [[name for _, name in group] for group in same if len({split for split, _ in group}) > 1]
    within = [[name for _, name in group] for group in same if len({split for split, _ in group}) == 1]
    counts = {split: images.counts for split, images in present.items()}
    return Audit(counts, splits.train.shape, splits.classes, within, leaks)
