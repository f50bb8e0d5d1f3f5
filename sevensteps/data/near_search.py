"""Search near-copies among any number of pictures, without comparing all with all.

The features of `near_pairs` are clustered, and a picture is compared only with those in clusters nearby. What lies deep
in another cluster is missed, so copies of some pictures are made and searched for: the share that is found is the reach
of the search, which `data` prints.

Before two pictures are examined, the same question is asked of their features: how much of one do the other and its
neighbors, one pixel away, not explain? That takes a twentieth of the time, and most pairs end there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Float32, Int64, UInt8

from .joined import Joined
from .near_clusters import Clusters
from .near_pairs import (
    CANDIDATE,
    CANDIDATE_TINY,
    FLAT,
    LARGEST,
    ROUNDING,
    SHIFTS,
    Candidates,
    Pairs,
    blurred,
    directions_of,
    is_tiny,
    near_pairs,
    ready_for_features,
    smaller,
)

EXACT = 20_000  # pictures: comparing so many with one another takes two seconds

# Clusters are compared whose border is this far away, as a share of the largest distance of a pair. At 0.6 no copy was
# missed among 74,000 pictures, and one pair in a thousand among a million; at 1 none can be, in twice the time.
_MARGIN = 0.6

_TESTED = 400  # pictures of which copies are made and searched for

_MOST_EACH = 20  # close pictures for each one, on average; where there are more, only closer ones count as close

_AT_ONCE = 128  # pictures that are described at once; they stay in the cache

_GATED = 1 << 16  # pairs that are put through the gate at once, or a few more

# The shifts of `near_pairs`, and the two that complete a picture's four neighbors.
_ALL_SHIFTS = (*SHIFTS, (0, -1), (-1, 0))

# What features may leave unexplained at each of the shifts of `near_pairs`: the border, which moves into or out of the
# picture, disturbs them the more the farther it moves. Of copies that examining finds, 998 in 1,000 pass, and one
# candidate in eight (Fashion-MNIST with planted copies).
_PASSES = LARGEST * np.array([1, 2, 2, 5, 5])


@dataclass(frozen=True)
class Found:
    """The near-copies among pictures, and how far the search reached."""

    pairs: Pairs
    reach: float | None  # the share of planted copies that the search finds; None if all were compared with all


@dataclass(frozen=True, eq=False)
class _Described:
    """Features of pictures at every shift, and the share of each picture's contrast that a blur removes."""

    features: Float16[np.ndarray, "n shifts values"]
    detail: Float32[np.ndarray, " n"]


def copies_among(pixels: UInt8[np.ndarray, "n c h w"] | Joined, digests: Sequence[bytes] = ()) -> Found:
    """Find the near-copies among any number of pictures: all of them up to 20,000 pictures, nearly all among more.

    Args:
        pixels: Pictures of any size; or joined ones of at most 32 pixels a side.
        digests: What `digest_of` returns for each picture at its full size, if `pixels` are smaller.

    Returns:
        The pairs, and the reach of the search: the share that it finds of the copies that comparing all with all finds.
    """
    small = pixels if isinstance(pixels, Joined) else Joined([smaller(pixels)])
    if len(small) <= EXACT:
        return Found(near_pairs(small, digests), None)
    reaches: list[float] = []

    def searched(chosen: Joined) -> Candidates:
        reach, candidates = _searched(chosen)
        reaches.append(reach)
        return candidates

    pairs = near_pairs(small, digests, searched)
    return Found(pairs, reaches[0] if reaches else None)


def _searched(small: Joined) -> tuple[float, Candidates]:
    """Return the reach of the search, and the pairs that it finds, with the shift of the second picture."""
    directions = directions_of(small)
    described = _described(small, directions)
    clusters = Clusters(described.features[:, 0])
    largest = CANDIDATE_TINY if is_tiny(small) else CANDIDATE
    margin = _MARGIN * float(np.sqrt(largest))
    limit = _limit(clusters, described, largest, margin)
    reach = _reach(small, directions, described, clusters, (largest, limit, margin))
    return reach, _gated(clusters, described, limit, margin)


def _described(small: Joined, directions: Float32[np.ndarray, "values features"]) -> _Described:
    """Return the features of all pictures; see `near_pairs.inside_at`, whose rows are projected before the scaling."""
    centered = directions - directions.mean(0)
    n, _, height, width = small.shape
    features = np.empty((n, len(_ALL_SHIFTS), directions.shape[1]), dtype=np.float16)
    detail = np.empty(n, dtype=np.float32)
    for first in range(0, n, _AT_ONCE):
        block = slice(first, first + _AT_ONCE)
        pixels = small[block]
        once = blurred(pixels.astype(np.float32))
        twice = blurred(once)
        ready = ready_for_features(pixels) if is_tiny(pixels) else twice
        whole, lost = once.reshape(len(once), -1), (once - twice).reshape(len(once), -1)
        detail[block] = np.einsum("ij,ij->i", lost, lost) / (_spread(whole) + FLAT**2 * whole.shape[1])
        for number, (down, right) in enumerate(_ALL_SHIFTS):
            inside = ready[:, :, 1 + down : height - 1 + down, 1 + right : width - 1 + right]
            values = (blurred(inside) if is_tiny(inside) else inside).reshape(len(inside), -1)
            features[block, number] = values @ centered / np.sqrt(_spread(values) + FLAT**2)[:, None]
    return _Described(features, detail)


def _spread(values: Float32[np.ndarray, "n values"]) -> Float32[np.ndarray, " n"]:
    """Return the sum of each row's squared differences from its mean."""
    total = values.sum(1)
    spread: Float32[np.ndarray, " n"] = np.maximum(
        np.einsum("ij,ij->i", values, values) - total * total / values.shape[1], 0
    )
    return spread


def _limit(clusters: Clusters, described: _Described, largest: float, margin: float) -> float:
    """Return the squared distance below which pairs are examined: less than usual where too many are close."""
    n = len(described.detail)
    some = np.linspace(0, n - 1, _TESTED).astype(np.int64)
    distances = []
    for number in range(len(SHIFTS)):
        queries = described.features[some, number]
        for rows, of_query in clusters.close_to(queries, largest, margin):
            is_other = rows != some[of_query]
            apart = described.features[rows[is_other], 0].astype(np.float32) - queries[of_query[is_other]]
            distances.append((apart**2).sum(1))
    found = np.sort(np.concatenate(distances)) if distances else np.zeros(0)
    most = _MOST_EACH * len(some)
    return float(found[most]) if len(found) > most else largest


def _reach(
    small: Joined,
    directions: Float32[np.ndarray, "values features"],
    described: _Described,
    clusters: Clusters,
    limits: tuple[float, float, float],
) -> float:
    """Make copies of some pictures, blurred and moved by a pixel, and return the share that the search finds.

    Only copies count that comparing all with all makes candidates.
    """
    largest, limit, margin = limits
    some = np.linspace(0, len(small) - 1, _TESTED).astype(np.int64)
    pixels = small[some]
    near = found = 0
    for number, (down, right) in enumerate(SHIFTS):
        moved = np.roll(pixels, (down, right), axis=(2, 3))
        copies = np.rint(blurred(moved.astype(np.float32))).astype(np.uint8)
        queries = _described(Joined([copies]), directions).features[:, number]
        apart = described.features[some, 0].astype(np.float32) - queries
        is_near = (apart**2).sum(1) <= largest
        near += int(is_near.sum())
        hits = [of_query[rows == some[of_query]] for rows, of_query in clusters.close_to(queries, limit, margin)]
        found += int(is_near[np.unique(np.concatenate(hits))].sum()) if hits else 0
    return found / near if near else 1.0


def _gated(clusters: Clusters, described: _Described, limit: float, margin: float) -> Candidates:
    """Yield the pairs that are close and may be copies, with the shift of the second picture."""
    for number, shift in enumerate(SHIFTS):
        first, second = [], []
        waiting = 0
        for rows, of_query in clusters.close_to(described.features[:, number], limit, margin):
            keep = rows < of_query if shift == (0, 0) else rows != of_query
            first.append(rows[keep])
            second.append(of_query[keep])
            waiting += len(first[-1])
            if waiting >= _GATED:
                yield *_may_be_copies(described, np.concatenate(first), np.concatenate(second), number), shift
                first, second, waiting = [], [], 0
        if waiting:
            yield *_may_be_copies(described, np.concatenate(first), np.concatenate(second), number), shift


def _may_be_copies(
    described: _Described, first: Int64[np.ndarray, " n"], second: Int64[np.ndarray, " n"], number: int
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """Return the pairs of which one picture's features explain the other's, by the limit of `near_pairs`."""
    opposite = tuple(-step for step in SHIFTS[number])
    passed = np.zeros(len(first), dtype=bool)
    for begin in range(0, len(first), 1024):
        block = slice(begin, begin + 1024)
        a, b = (described.features[rows[block]].astype(np.float32) for rows in (first, second))
        lost = described.detail[first[block]] - described.detail[second[block]]
        passed[block] = _unexplained(a, b[:, number]) <= _PASSES[number] * (ROUNDING + np.maximum(lost, 0))
        if opposite in _ALL_SHIFTS:  # otherwise one of the two ways is enough
            rest = _unexplained(b, a[:, _ALL_SHIFTS.index(opposite)])
            passed[block] |= rest <= _PASSES[number] * (ROUNDING + np.maximum(-lost, 0))
    return first[passed], second[passed]


def _unexplained(
    terms: Float32[np.ndarray, "n terms values"], targets: Float32[np.ndarray, "n values"]
) -> Float32[np.ndarray, " n"]:
    """Return the squared length of what no weighted sum of a row's terms gives of its target."""
    products = terms @ terms.transpose(0, 2, 1)
    size = products.trace(axis1=1, axis2=2) / terms.shape[1]
    products += np.eye(terms.shape[1], dtype=np.float32) * (1e-3 * size + 1e-6)[:, None, None]
    weights = np.linalg.solve(products, terms @ targets[:, :, None])
    rest = targets - (weights.transpose(0, 2, 1) @ terms)[:, 0]
    squared: Float32[np.ndarray, " n"] = (rest**2).sum(1)
    return squared
