"""Find copies and near-copies among the pictures, without a model."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int64, Shaped

from ...data.balance import imbalance_of
from ...data.images import Images, Splits
from ...data.joined import Joined
from ...data.near_copies import groups_of
from ...data.near_pairs import smaller
from ...data.near_search import Found, copies_among
from ...records.audit import AuditResult


def audit(splits: Splits, *, near: bool = False) -> AuditResult:
    """Count the pictures and find exact copies; groups of copies in more than one split are leaks.

    Args:
        splits: The pictures.
        near: Also find copies that were resized, recompressed or shifted by a pixel; see `data.near_search`.

    Returns:
        The counts and the copies; nothing else is looked for.
    """
    return audit_and_copies(splits, near=near)[0]


def audit_and_copies(splits: Splits, *, near: bool = False) -> tuple[AuditResult, list[Int64[np.ndarray, " _"]]]:
    """Return the same as `audit`, and the groups of copies as places over all splits, one split after the other.

    Args:
        splits: The pictures.
        near: Also find near-copies.
    """
    present = splits.present()
    # Pictures are compared by digests of 16 bytes, because the set may be larger than the memory.
    digests = np.concatenate([_digests(images) for images in present.values()])
    begins = np.cumsum([0, *(len(images) for images in present.values())])
    ids = [images.ids for images in present.values()]

    def named_group(group: Int64[np.ndarray, " copies"]) -> tuple[list[str], bool]:
        """Return the ids of pictures, given their places over all splits, and whether several splits hold them."""
        splits_of = np.searchsorted(begins, group, side="right") - 1
        places = zip(splits_of.tolist(), group.tolist(), strict=True)
        return [ids[split][place - int(begins[split])] for split, place in places], len(set(splits_of.tolist())) > 1

    copies = _copies(digests)
    exact = [named_group(group) for group in copies]
    near_groups: list[Int64[np.ndarray, " _"]] = []
    alike: list[tuple[tuple[list[str], bool], float]] = []
    reach: float | None = None
    if near:
        alone = np.ones(len(digests), dtype=bool)  # the first of exact copies represents them all
        for group in copies:
            alone[group[1:]] = False
        rows = np.flatnonzero(alone)
        pixels = Joined([smaller(images.pixels) for images in present.values()])
        found = copies_among(pixels if len(rows) == len(pixels) else pixels.take(rows))
        scored = [(rows[group], score) for group, score in _near_groups(found, len(rows))]
        near_groups, reach = [group for group, _ in scored], found.reach
        alike = [(named_group(group), score) for group, score in scored]
    labels = np.concatenate([images.labels for images in present.values()])
    counts = {split: images.counts for split, images in present.items()}
    result = AuditResult(
        shape=splits.train.shape,
        counts=counts,
        duplicates=[ids for ids, is_leak in exact if not is_leak],
        leaks=[ids for ids, is_leak in exact if is_leak],
        near_duplicates=[(ids, score) for (ids, is_leak), score in alike if not is_leak],
        near_leaks=[(ids, score) for (ids, is_leak), score in alike if is_leak],
        near_reach=reach,
        imbalance=imbalance_of(splits.train.counts),
        conflicts=[ids for group, (ids, _) in zip(copies, exact, strict=True) if len(np.unique(labels[group])) > 1],
    )
    return result, [*copies, *near_groups]


def _near_groups(found: Found, count: int) -> list[tuple[Int64[np.ndarray, " _"], float]]:
    """Return groups of near-copies, each with the lowest score of its pairs, the most similar first."""
    pairs = found.pairs
    groups = groups_of(pairs, count)
    least = np.ones(int(groups.max(initial=-1)) + 1)
    np.minimum.at(least, groups[pairs.first], pairs.scores)
    order = np.argsort(groups, kind="stable")
    order = order[groups[order] >= 0]
    begins = np.flatnonzero(np.diff(groups[order], prepend=-1))
    scored = [(rows, float(least[groups[rows[0]]])) for rows in np.split(order, begins[1:]) if len(rows)]
    return sorted(scored, key=lambda group: (-group[1], int(group[0][0])))


def _digests(images: Images) -> Shaped[np.ndarray, " n"]:
    """Return a digest of each picture's pixels."""
    digests = []
    for first in range(0, len(images), 1024):
        block = np.ascontiguousarray(images.pixels[first : first + 1024])  # indexing a mapped file's rows takes longer
        digests += [hashlib.blake2b(picture.data, digest_size=16).digest() for picture in np.asarray(block)]
    return np.frombuffer(b"".join(digests), dtype="S16")


def _copies(digests: Shaped[np.ndarray, " n"]) -> list[Int64[np.ndarray, " _"]]:
    """Return the places of digests that occur more than once, in groups, ordered by the first place of each."""
    order = np.argsort(digests, kind="stable")
    is_new = np.concatenate([[True], digests[order][1:] != digests[order][:-1]])
    begins = np.flatnonzero(is_new)
    sizes = np.diff(np.append(begins, len(order)))
    groups = [order[begin : begin + size] for begin, size in zip(begins[sizes > 1], sizes[sizes > 1], strict=True)]
    return sorted(groups, key=lambda group: int(group[0]))
