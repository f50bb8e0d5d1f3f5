"""Near: pictures that are copies of one another but for their bytes: resized, recompressed, or shifted by a pixel.

Candidates come from an exact search over short features of all pictures, block by block; each is then looked at alone.
A copy that was made larger or smaller and back is a blurred copy, and one that lies between two pixels is a mixture of
neighbors. So of two pictures one is explained by the other: as a weighted sum of each pixel and its four neighbors
(least squares; compare the tangent distance of Simard, LeCun and Denker, "Efficient pattern recognition using a new
transformation distance", 1993). Two pictures of like things differ in much that no blur explains, however near their
pixels are. A copy that was made smaller differs in such things, too, but then it has lost detail: how much is left
unexplained is held against how much finer the picture is that explains the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from ..base import files, memory
from ..base.user_folders import cache_folder
from ..errors import FileError
from .images import Images

VERSION = 2  # of what is held for a copy: raise it when that changes


WORTH_KEEPING = 2000  # pictures, whose comparison takes some tenths of a second


SIDE = 32  # pixels a side at most that pictures are compared at


MOST = 250_000  # pictures: the search compares all with all, in seconds for 100,000 and in a minute or two for these


# What may be left unexplained, as a share of the detail that was lost and of a little that rounding and compression
# change, which is a share of the contrast (docs/decisions/0016).
LARGEST, _ROUNDING = 0.085, 0.014


_CANDIDATE, _CANDIDATE_TINY = 0.01, 0.3  # the squared distance of features, of which those of copies have less


_TINY = 16  # pixels a side, below which a border is so much of a picture that it is cut off before blurring


_FEATURES = 32


_SAMPLE = 5000  # pictures that the features are chosen from


_FLAT = 4.0  # of 255: what has less contrast is not compared, and noise of this size is no difference


_GAIN = 0.92  # a copy has this share of the contrast at least, and a mean within …


_OFFSET = 16.0  # … so many of 255


_MOST_EACH = 10  # candidates of a picture in a block and a shift that are looked at, the nearest; of few tiny ones …


_MOST_TINY = 40  # … so many, since a blur changes much of them


_BLOCK = 1024


_BESIDE = 2000  # bytes that comparing takes for each picture beside its pixels


# One of the two is moved so far; the opposite way is the other's to move.
_SHIFTS = ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1))


Pixels = UInt8[np.ndarray, "n channels height width"]


@dataclass(frozen=True)
class Pairs:
    """Pictures that are near-copies, by their rows, the first of each pair before the second, in order."""

    first: Int64[np.ndarray, " pairs"]
    second: Int64[np.ndarray, " pairs"]
    scores: Float64[np.ndarray, " pairs"]  # in [0.5, 1]: 1 where nothing is left unexplained, 0.5 at the limit


def near_pairs(pixels: Pixels) -> Pairs:
    """Every pair of near-copies; exact copies among the pictures are pairs, too.

    Pictures without contrast are compared with none. Time grows with the square of the count, memory with the count.
    """
    small = smaller(pixels)
    rows = np.flatnonzero(_contrast(small) >= _FLAT)
    found: dict[tuple[int, int], float] = {}
    if len(rows) > 1 and min(small.shape[2:]) > 2:
        small = small if len(rows) == len(small) else small[rows]  # else without a copy: they may be many
        for one, other, shift in _candidates(small):
            left = _unexplained(small[one], small[other], shift)
            for place in np.flatnonzero(left <= LARGEST).tolist():
                pair = sorted((int(rows[one[place]]), int(rows[other[place]])))
                key = pair[0], pair[1]
                found[key] = min(found.get(key, 1.0), float(left[place]))
    pairs = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    scores = np.array([1 - found[one, other] / (2 * LARGEST) for one, other in pairs.tolist()], dtype=np.float64)
    return Pairs(pairs[:, 0], pairs[:, 1], scores)


def known_pairs(images: Images) -> Pairs:
    """The near-copies among these pictures, from the cache where the same ones were compared before."""
    if len(images) < WORTH_KEEPING:
        return near_pairs(images.pixels)
    path = cache_folder() / "near" / f"{images.fingerprint[:24]}-{VERSION}.json"
    try:
        found = json.loads(path.read_bytes())
        pairs = Pairs(
            np.array(found["first"], dtype=np.int64),
            np.array(found["second"], dtype=np.int64),
            np.array(found["scores"], dtype=np.float64),
        )
        if pairs.first.shape == pairs.second.shape == pairs.scores.shape and (
            not len(pairs.first) or (pairs.first.min() >= 0 and pairs.second.max() < len(images))
        ):
            return pairs
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        pass
    pairs = near_pairs(images.pixels)
    with contextlib.suppress(FileError):  # a cache that cannot be written costs a second next time
        files.make_folder(path.parent)
        kept = {"first": pairs.first, "second": pairs.second, "scores": pairs.scores}
        files.write(path, json.dumps({key: of.tolist() for key, of in kept.items()}))
    return pairs


def groups_of(pairs: Pairs, count: int) -> Int64[np.ndarray, " count"]:
    """For each of so many pictures the number of its group, -1 for one in none: pairs that share a picture are one."""
    above = list(range(count))  # of each row, one that it is in a group with; itself at the top

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = row = above[above[row]]
        return row

    for one, other in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        one, other = sorted((top(one), top(other)))
        above[other] = one
    parts = np.array([top(row) for row in range(count)], dtype=np.int64)
    return np.where(np.bincount(parts, minlength=count)[parts] > 1, parts, -1)


def kept_together(images: Images) -> tuple[Images, int]:
    """The same pictures, with near-copies in one group, merged with the groups that there are; and how many are in one.

    Groups of several pictures stay on one side of every split. Of more pictures than `MOST` none are looked for.
    """
    if len(images) > MOST:
        return images, 0
    pairs = known_pairs(images)
    if not len(pairs.first):
        return images, 0
    own = None if images.groups is None else images.groups[images.rows]
    places = int(images.rows.max()) + 1 if images.groups is None else len(images.groups)
    groups = np.full(places, -1, dtype=np.int64)
    groups[images.rows] = joined(pairs, own, len(images))
    return dataclasses.replace(images, groups=groups), copies_in(pairs)


def joined(pairs: Pairs, own: Int64[np.ndarray, " count"] | None, count: int) -> Int64[np.ndarray, " count"]:
    """The groups of near-copies merged with the groups that these pictures have, -1 for a picture in none."""
    own = np.full(count, -1, dtype=np.int64) if own is None else own
    in_one = np.flatnonzero(own >= 0)
    _, heads, which = np.unique(own[in_one], return_index=True, return_inverse=True)
    first, second = np.concatenate([pairs.first, in_one]), np.concatenate([pairs.second, in_one[heads[which]]])
    return groups_of(Pairs(first, second, np.ones(len(first))), count)


def copies_in(pairs: Pairs) -> int:
    """How many pictures are a copy of another."""
    return len(np.unique([pairs.first, pairs.second]))


def said_of(copies: int) -> str:
    """What becomes of so many copies, for a person."""
    return f"{copies:,} pictures are copies of others, or nearly: such pictures stay on one side of a split."


class Passing:
    """Pictures that go by one after the other, each kept as small as it is compared: 1 KB, 3 KB in color, at most."""

    def __init__(self, shape: tuple[int, int, int], count: int) -> None:
        channels, height, width = shape
        small = channels, height // -(-height // SIDE), width // -(-width // SIDE)
        needed = 2 * count * int(np.prod(small)) + _BESIDE * count
        self.is_in_reach = count <= MOST and needed <= memory.available() // 2
        self._block = np.empty((_BLOCK if self.is_in_reach else 0, *shape), dtype=np.uint8)
        self._small = np.empty((count if self.is_in_reach else 0, *small), dtype=np.uint8)
        self._done = self._waiting = 0

    def add(self, pixels: UInt8[np.ndarray, "channels height width"]) -> None:
        """The next picture."""
        if self.is_in_reach:
            self._block[self._waiting] = pixels
            self._waiting += 1
            if self._waiting == len(self._block):
                self._put_away()

    def pairs(self) -> Pairs:
        """The near-copies among them; none are looked for where they are more than `MOST`, or than fits in memory."""
        self._put_away()
        return near_pairs(self._small[: self._done])

    def _put_away(self) -> None:
        small = smaller(self._block[: self._waiting])
        self._small[self._done : self._done + len(small)] = small
        self._done += len(small)
        self._waiting = 0


def smaller(pixels: Pixels) -> UInt8[np.ndarray, "n channels small_height small_width"]:
    """The pictures averaged down to at most 32 pixels a side, by whole numbers of pixels."""
    n, channels, height, width = pixels.shape
    tall, wide = -(-height // SIDE), -(-width // SIDE)
    if tall == wide == 1:
        return np.asarray(pixels)
    made = np.empty((n, channels, height // tall, width // wide), dtype=np.uint8)
    for first in range(0, n, _BLOCK):
        block = pixels[first : first + _BLOCK, :, : height // tall * tall, : width // wide * wide]
        parts = block.reshape(len(block), channels, height // tall, tall, width // wide, wide)
        made[first : first + _BLOCK] = np.rint(parts.mean((3, 5), dtype=np.float32))
    return made


def _contrast(small: Pixels) -> Float32[np.ndarray, " n"]:
    """The standard deviation of each picture's values."""
    blocks = [small[first : first + _BLOCK].astype(np.float32) for first in range(0, len(small), _BLOCK)]
    return np.concatenate([block.std((1, 2, 3)) for block in blocks]) if blocks else np.zeros(0, dtype=np.float32)


def _blurred(x: Float32[np.ndarray, "n channels h w"]) -> Float32[np.ndarray, "n channels h w"]:
    """A binomial blur over 3x3 pixels; beyond the border is what is at it."""
    for axis in (2, 3):
        x = np.moveaxis(x, axis, -1)
        mixed = 2 * x
        mixed[..., 1:] += x[..., :-1]
        mixed[..., :1] += x[..., :1]
        mixed[..., :-1] += x[..., 1:]
        mixed[..., -1:] += x[..., -1:]
        x = np.moveaxis(mixed / 4, -1, axis)
    return x


def _inside(blurred: np.ndarray, shift: tuple[int, int]) -> Float32[np.ndarray, "n values"]:
    """All but a border of one pixel, moved by the shift, with a mean of 0 and a length of 1."""
    (down, right), (height, width) = shift, blurred.shape[2:]
    x: np.ndarray = blurred[:, :, 1 + down : height - 1 + down, 1 + right : width - 1 + right]
    x = (_blurred(x) if _is_tiny(x) else x).reshape(len(x), -1)
    x = x - x.mean(1, keepdims=True)
    length: np.ndarray = np.sqrt((x * x).sum(1, keepdims=True) + _FLAT**2)
    made: np.ndarray = (x / length).astype(np.float32)
    return made


def _is_tiny(x: np.ndarray) -> bool:
    return bool(min(x.shape[2:]) < _TINY - 2)


def _ready(block: Pixels) -> Float32[np.ndarray, "n channels h w"]:
    """Pictures as features are made of them."""
    x = block.astype(np.float32)
    return x if _is_tiny(x) else _blurred(_blurred(x))


def _candidates(small: Pixels) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[int, int]]]:
    """Rows of pictures whose features are near, with the shift of the second that makes them so.

    Features are the directions in which pictures differ most, so distances among them are never larger than those of
    the pictures themselves. Pictures are sorted along the first: those far apart in it need no comparison.
    """
    blocks = [slice(first, first + _BLOCK) for first in range(0, len(small), _BLOCK)]
    sample = small[np.linspace(0, len(small) - 1, min(_SAMPLE, len(small))).astype(np.int64)]
    inside = _inside(_ready(sample), (0, 0))
    directions = main_directions(inside - inside.mean(0), _FEATURES, np.random.default_rng(0))
    features = {shift: np.empty((len(small), directions.shape[1] + 2), dtype=np.float32) for shift in _SHIFTS}
    for block in blocks:
        blurred = _ready(small[block])
        for shift, made in features.items():
            points = _inside(blurred, shift) @ directions
            # So that the product of two rows is minus half their squared distance.
            halves = -(points * points).sum(1, keepdims=True) / 2
            ones = np.ones_like(halves)
            made[block] = np.hstack([points, halves, ones] if shift == (0, 0) else [points, ones, halves])
    order = np.argsort(features[0, 0][:, 0], kind="stable")
    still = features[0, 0][order]
    swapped = np.hstack([still[:, :-2], still[:, -1:], still[:, -2:-1]])
    largest = _CANDIDATE_TINY if _is_tiny(small) else _CANDIDATE
    reach = np.sqrt(np.float32(largest))
    is_few_tiny = _is_tiny(small) and len(small) <= 4 * _BLOCK
    each = _MOST_TINY if is_few_tiny else _MOST_EACH
    for shift in _SHIFTS:
        moved_order = np.argsort(features[shift][:, 0], kind="stable")
        moved = features[shift][moved_order] if shift != (0, 0) else swapped
        for block in blocks:
            rows = still[block]
            low, high = np.searchsorted(moved[:, 0], [rows[0, 0] - reach, rows[-1, 0] + reach], side="right").tolist()
            if shift == (0, 0):
                low = block.start  # each pair once
            for begin in range(low, high, 4 * _BLOCK):
                others = moved[begin : min(begin + 4 * _BLOCK, high)]
                products = rows @ others.T
                near = products > -largest / 2
                if not near.any():
                    continue
                one, other = _nearest(near, products, each)
                one, other = order[one + block.start], moved_order[other + begin]
                different = one != other
                if different.any():
                    yield one[different], other[different], shift


def main_directions(
    centered: Float32[np.ndarray, "n values"], most: int, random: np.random.Generator
) -> Float32[np.ndarray, "values directions"]:
    """The directions in which rows with a mean of 0 differ most, at most so many, nearly: by subspace iteration.

    (Halko, Martinsson and Tropp, "Finding structure with randomness", 2011.)
    """
    found = random.standard_normal((centered.shape[1], min(most, centered.shape[1]))).astype(np.float32)
    for _ in range(4):
        found, _ = np.linalg.qr(centered.T @ (centered @ found))
    return found


def _nearest(near: np.ndarray, products: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    """The places that are near, of each row the nearest so many; itself may be one of them."""
    crowded = np.flatnonzero(near.sum(1) > each + 1)
    if len(crowded):
        best = np.argpartition(-products[crowded], each, axis=1)[:, : each + 1]
        near[crowded] = False
        near[crowded[:, None], best] = True
    rows, columns = np.nonzero(near)
    return rows, columns


def _unexplained(one: Pixels, other: Pixels, shift: tuple[int, int]) -> Float64[np.ndarray, " n"]:
    """What no blur, and no shift within a pixel, explains; infinite where contrast or mean differ.

    It is a share of the detail that the one which is explained has less of, and of a little of its contrast.
    """
    left = np.empty(len(one), dtype=np.float64)
    (down, right), (height, width) = shift, one.shape[2:]
    still = slice(max(-down, 0), height - max(down, 0)), slice(max(-right, 0), width - max(right, 0))
    moved = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    for first in range(0, len(one), _BLOCK):
        some = slice(first, first + _BLOCK)
        a = _blurred(one[some, :, still[0], still[1]].astype(np.float32))
        b = _blurred(other[some, :, moved[0], moved[1]].astype(np.float32))
        fine, other_fine = _detail(a), _detail(b)
        left[some] = np.minimum(
            _fitted(a, b) / (_ROUNDING + np.maximum(fine - other_fine, 0)),
            _fitted(b, a) / (_ROUNDING + np.maximum(other_fine - fine, 0)),
        )
    return left


def _fitted(a: np.ndarray, b: np.ndarray) -> Float64[np.ndarray, " n"]:
    """What is left of `b` that is no sum of the pixels of `a` and of their neighbors, as a share of its contrast."""
    n = len(a)
    padded = np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    across = padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:]
    along = padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1]
    terms = np.stack([part.reshape(n, -1) for part in (a, *across, *along)], 1)
    terms = terms - terms.mean(2, keepdims=True)
    wanted = b.reshape(n, -1)
    target = wanted - wanted.mean(1, keepdims=True)
    products = (terms @ terms.transpose(0, 2, 1)).astype(np.float64)
    with_target = (terms @ target[:, :, None])[..., 0].astype(np.float64)
    # A little of each pixel's own energy keeps weights small where neighbors are all alike.
    size = products.trace(axis1=1, axis2=2) / len(products[0])
    products += np.eye(products.shape[1]) * (1e-3 * size + 1)[:, None, None]
    weights = np.linalg.solve(products, with_target[..., None])[..., 0]
    rest = ((target - (weights[:, None, :].astype(np.float32) @ terms)[:, 0]) ** 2).sum(1, dtype=np.float64)
    gain = weights.sum(1)
    same = (gain >= _GAIN) & (gain <= 1 / _GAIN)
    same &= np.abs(wanted.mean(1) - a.reshape(n, -1).mean(1)) <= _OFFSET
    return np.where(same, rest / _energy(b), np.inf)


def _detail(x: np.ndarray) -> Float64[np.ndarray, " n"]:
    """The share of each picture's contrast that a blur takes away."""
    taken: Float64[np.ndarray, " n"] = ((x - _blurred(x)) ** 2).sum((1, 2, 3), dtype=np.float64) / _energy(x)
    return taken


def _energy(x: np.ndarray) -> Float64[np.ndarray, " n"]:
    """The squared contrast of each picture, summed over its values, with the noise that is no difference."""
    values = x.reshape(len(x), -1).astype(np.float64)
    return np.asarray(values.var(1) + _FLAT**2) * values.shape[1]
