"""Find near-copies: pictures that are the same but for resizing, recompression, or a shift by a pixel.

An exact search over short features of all pictures, block by block, finds candidates; each is then examined alone. A
picture that was resized and resized back is blurred, and one that lies between two pixels mixes neighbors. So one of
the two pictures explains the other: as a weighted sum of each pixel and its four neighbors (least squares; compare the
tangent distance of Simard, LeCun and Denker, "Efficient pattern recognition using a new transformation distance",
1993). Different pictures of similar things differ in ways that no blur explains, however close their pixels are. A
copy that was made smaller has such differences too, but it has also lost detail. So what is left unexplained is
compared with how much more detail the explaining picture has than the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from .joined import Joined

SIDE = 32  # pictures are compared at this many pixels a side at most

BLOCK = 1024  # pictures that are handled at once

_EXAMINED = 128  # pairs that are examined at once: they stay in the cache, and take two thirds of the time of 1,024

# How much may be left unexplained, as a share of the detail that was lost plus a little that rounding and compression
# change, which is a share of the contrast (docs/decisions/0016).
LARGEST, ROUNDING = 0.085, 0.014

# Copies have features whose squared distance is below this.
CANDIDATE, CANDIDATE_TINY = 0.01, 0.3

# Below this many pixels a side, the border is so much of a picture that it is cut off before blurring.
_TINY = 16

FEATURES = 32

_SAMPLE = 5000  # pictures that the features are chosen from

# Of 255. Pictures with less contrast are not compared, and noise of this size does not count as a difference.
FLAT = 4.0

# A copy has at least this share of the contrast, and a mean at most this far (of 255) from the other's.
_GAIN, _OFFSET = 0.92, 16.0

# How many candidates are examined for each picture in a block and a shift, nearest first. Of few tiny pictures more,
# since a blur changes much of them.
_MOST_EACH, _MOST_TINY = 10, 40

# How far one of the two is moved, down and right; the opposite way is found by moving the other.
SHIFTS = ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1))

Pixels = UInt8[np.ndarray, "n channels height width"]

# Rows of two pictures each that may be copies, and how far the second is moved.
Candidates = Iterator[tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"], tuple[int, int]]]


@dataclass(frozen=True)
class Pairs:
    """Pairs of near-copies, as rows: the first of each pair is before the second, and pairs are sorted."""

    first: Int64[np.ndarray, " pairs"]
    second: Int64[np.ndarray, " pairs"]
    scores: Float64[np.ndarray, " pairs"]  # in [0.5, 1]: 1 if nothing is left unexplained, 0.5 at the limit


def near_pairs(
    pixels: Pixels | Joined, digests: Sequence[bytes] = (), candidates: Callable[[Joined], Candidates] | None = None
) -> Pairs:
    """Find every pair of near-copies; exact copies count too.

    Of pictures without contrast, only exact copies are found, each paired with the first. Time grows with the square of
    the count, memory with the count.

    Args:
        pixels: Pictures of any size, `(n, channels, height, width)`; or joined ones of at most 32 pixels a side.
        digests: What `digest_of` returns for each picture at its full size, if `pixels` are smaller.
        candidates: Chooses the pairs to examine, with the shift of the second picture; without it, all pictures are
            compared with all.

    Returns:
        The pairs, as rows of `pixels`.
    """
    small = pixels if isinstance(pixels, Joined) else Joined([smaller(pixels)])
    has_contrast = _contrast(small) >= FLAT
    rows = np.flatnonzero(has_contrast)
    residuals: dict[tuple[int, int], float] = {}
    first_with: dict[bytes, int] = {}
    for row in np.flatnonzero(~has_contrast).tolist():
        before = first_with.setdefault(digests[row] if len(digests) else digest_of(pixels[row : row + 1][0]), row)
        if before != row:
            residuals[before, row] = 0.0
    if len(rows) > 1 and min(small.shape[2:]) > 2:
        small = small if len(rows) == len(small) else small.take(rows)
        for first, second, shift in (candidates or _candidates)(small):
            unexplained = _unexplained(small[first], small[second], shift)
            for place in np.flatnonzero(unexplained <= LARGEST).tolist():
                pair = sorted((int(rows[first[place]]), int(rows[second[place]])))
                key = pair[0], pair[1]
                residuals[key] = min(residuals.get(key, 1.0), float(unexplained[place]))
    pairs = np.array(sorted(residuals), dtype=np.int64).reshape(-1, 2)
    scores = np.array([1 - residuals[first, second] / (2 * LARGEST) for first, second in pairs.tolist()], dtype=float)
    return Pairs(pairs[:, 0], pairs[:, 1], scores)


def digest_of(picture: UInt8[np.ndarray, "channels height width"]) -> bytes:
    """Return what is equal only for exact copies.

    Args:
        picture: The pixels of a picture.
    """
    return hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16).digest()


def smaller(pixels: Pixels) -> UInt8[np.ndarray, "n channels small_height small_width"]:
    """Return the pictures averaged down to at most 32 pixels a side, over blocks of whole pixels.

    Args:
        pixels: Pictures of any size, `(n, channels, height, width)`.

    Returns:
        The same array where the pictures are small already, otherwise a new one.
    """
    n, channels, height, width = pixels.shape
    tall, wide = -(-height // SIDE), -(-width // SIDE)
    if tall == wide == 1:
        return pixels
    small = np.empty((n, channels, height // tall, width // wide), dtype=np.uint8)
    for first in range(0, n, BLOCK):
        block = pixels[first : first + BLOCK, :, : height // tall * tall, : width // wide * wide]
        parts = block.reshape(len(block), channels, height // tall, tall, width // wide, wide)
        small[first : first + BLOCK] = np.rint(parts.mean((3, 5), dtype=np.float32))
    return small


def _contrast(small: Joined) -> Float32[np.ndarray, " n"]:
    """Return the standard deviation of each picture's values, in units of 255."""
    contrast = np.empty(len(small), dtype=np.float32)
    for first in range(0, len(small), BLOCK):
        contrast[first : first + BLOCK] = small[first : first + BLOCK].astype(np.float32).std((1, 2, 3))
    return contrast


def blurred(x: Float32[np.ndarray, "n channels h w"]) -> Float32[np.ndarray, "n channels h w"]:
    """Blur with binomial weights over 3x3 pixels; the border is repeated outward."""
    for axis in (2, 3):
        x = np.moveaxis(x, axis, -1)
        mixed = 2 * x
        mixed[..., 1:] += x[..., :-1]
        mixed[..., :1] += x[..., :1]
        mixed[..., :-1] += x[..., 1:]
        mixed[..., -1:] += x[..., -1:]
        x = np.moveaxis(mixed / 4, -1, axis)
    return x


def inside_at(ready: np.ndarray, shift: tuple[int, int]) -> Float32[np.ndarray, "n values"]:
    """Return each picture, without a border of one pixel and moved by the shift, as a row of mean 0 and length 1."""
    (down, right), (height, width) = shift, ready.shape[2:]
    x: np.ndarray = ready[:, :, 1 + down : height - 1 + down, 1 + right : width - 1 + right]
    x = (blurred(x) if is_tiny(x) else x).reshape(len(x), -1)
    x = x - x.mean(1, keepdims=True)
    length: np.ndarray = np.sqrt((x * x).sum(1, keepdims=True) + FLAT**2)
    unit: np.ndarray = (x / length).astype(np.float32)
    return unit


def is_tiny(x: np.ndarray | Joined) -> bool:
    """Whether the pictures are so small that the border must be cut off before blurring."""
    return bool(min(x.shape[2:]) < _TINY - 2)


def ready_for_features(block: Pixels) -> Float32[np.ndarray, "n channels h w"]:
    """Return the pictures blurred twice, as features are made from them; tiny pictures are blurred later."""
    x = block.astype(np.float32)
    return x if is_tiny(x) else blurred(blurred(x))


def _candidates(small: Joined) -> Candidates:
    """Yield rows of pictures whose features are close, with the shift of the second picture that makes them close.

    Features are the directions in which pictures differ most, so distances between them are never larger than those
    between the pictures. Pictures are sorted by the first feature: those far apart in it need no comparison.
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, len(small), BLOCK)]
    directions = directions_of(small)
    features = {shift: np.empty((len(small), directions.shape[1] + 2), dtype=np.float32) for shift in SHIFTS}
    for block in blocks:
        ready = ready_for_features(small[block])
        for shift, rows_of_features in features.items():
            points = inside_at(ready, shift) @ directions
            # With these two columns, the product of two rows is minus half their squared distance.
            halves = -(points * points).sum(1, keepdims=True) / 2
            ones = np.ones_like(halves)
            rows_of_features[block] = np.hstack([points, halves, ones] if shift == (0, 0) else [points, ones, halves])
    order = np.argsort(features[0, 0][:, 0], kind="stable")
    still = features[0, 0][order]
    swapped = np.hstack([still[:, :-2], still[:, -1:], still[:, -2:-1]])
    largest = CANDIDATE_TINY if is_tiny(small) else CANDIDATE
    reach = np.sqrt(np.float32(largest))
    is_few_tiny = is_tiny(small) and len(small) <= 4 * BLOCK
    each = _MOST_TINY if is_few_tiny else _MOST_EACH
    for shift in SHIFTS:
        moved_order = np.argsort(features[shift][:, 0], kind="stable")
        moved = features[shift][moved_order] if shift != (0, 0) else swapped
        for block in blocks:
            rows = still[block]
            low, high = np.searchsorted(moved[:, 0], [rows[0, 0] - reach, rows[-1, 0] + reach], side="right").tolist()
            if shift == (0, 0):
                low = block.start  # visit each pair once
            for begin in range(low, high, 4 * BLOCK):
                others = moved[begin : min(begin + 4 * BLOCK, high)]
                products = rows @ others.T
                near = products > -largest / 2
                if not near.any():
                    continue
                first, second = _nearest(near, products, each)
                first, second = order[first + block.start], moved_order[second + begin]
                different = first != second
                if different.any():
                    yield first[different], second[different], shift


def directions_of(small: Joined) -> Float32[np.ndarray, "values directions"]:
    """Return the directions in which pictures differ most, from a sample of them.

    Args:
        small: Pictures of at most 32 pixels a side.

    Returns:
        One direction in each column, for the pixels of a blurred picture without its border.
    """
    sample = small[np.linspace(0, len(small) - 1, min(_SAMPLE, len(small))).astype(np.int64)]
    inside = inside_at(ready_for_features(sample), (0, 0))
    return main_directions(inside - inside.mean(0), FEATURES, np.random.default_rng(0))


def main_directions(
    centered: Float32[np.ndarray, "n values"], most: int, random: np.random.Generator
) -> Float32[np.ndarray, "values directions"]:
    """Approximate the principal directions: those in which the rows differ most.

    By subspace iteration (Halko, Martinsson and Tropp, "Finding structure with randomness", 2011).

    Args:
        centered: Rows whose columns have a mean of 0.
        most: The number of directions, or fewer if there are fewer values.
        random: Draws the directions to start from.

    Returns:
        One direction of length 1 in each column.
    """
    directions = random.standard_normal((centered.shape[1], min(most, centered.shape[1]))).astype(np.float32)
    for _ in range(4):
        directions, _ = np.linalg.qr(centered.T @ (centered @ directions))
    return directions


def _nearest(near: np.ndarray, products: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns that are near, for each row the `each` + 1 nearest; a row may be its own neighbor."""
    crowded = np.flatnonzero(near.sum(1) > each + 1)
    if len(crowded):
        best = np.argpartition(-products[crowded], each, axis=1)[:, : each + 1]
        near[crowded] = False
        near[crowded[:, None], best] = True
    rows, columns = np.nonzero(near)
    return rows, columns


def _unexplained(first: Pixels, second: Pixels, shift: tuple[int, int]) -> Float64[np.ndarray, " n"]:
    """Return, for each pair, what no blur and no shift within a pixel explains; infinite if contrast or mean differ.

    It is relative to the detail that the explained picture has lost, plus a little of its contrast.
    """
    unexplained = np.empty(len(first), dtype=np.float64)
    (down, right), (height, width) = shift, first.shape[2:]
    still = slice(max(-down, 0), height - max(down, 0)), slice(max(-right, 0), width - max(right, 0))
    moved = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    for start in range(0, len(first), _EXAMINED):
        block = slice(start, start + _EXAMINED)
        a = blurred(first[block, :, still[0], still[1]].astype(np.float32))
        b = blurred(second[block, :, moved[0], moved[1]].astype(np.float32))
        detail_a, detail_b = _detail(a), _detail(b)
        unexplained[block] = np.minimum(
            _residual(a, b) / (ROUNDING + np.maximum(detail_a - detail_b, 0)),
            _residual(b, a) / (ROUNDING + np.maximum(detail_b - detail_a, 0)),
        )
    return unexplained


def _residual(a: np.ndarray, b: np.ndarray) -> Float64[np.ndarray, " n"]:
    """Return how much of `b` no weighted sum of `a`'s pixels and their neighbors gives, as a share of its contrast."""
    n = len(a)
    padded = np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    across = padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:]
    along = padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1]
    terms = np.stack([part.reshape(n, -1) for part in (a, *across, *along)], 1)
    terms = terms - terms.mean(2, keepdims=True)
    values = b.reshape(n, -1)
    target = values - values.mean(1, keepdims=True)
    products = (terms @ terms.transpose(0, 2, 1)).astype(np.float64)
    with_target = (terms @ target[:, :, None])[..., 0].astype(np.float64)
    # Adding a little of each pixel's own energy keeps the weights small where all neighbors are alike.
    size = products.trace(axis1=1, axis2=2) / len(products[0])
    products += np.eye(products.shape[1]) * (1e-3 * size + 1)[:, None, None]
    weights = np.linalg.solve(products, with_target[..., None])[..., 0]
    rest = ((target - (weights[:, None, :].astype(np.float32) @ terms)[:, 0]) ** 2).sum(1, dtype=np.float64)
    gain = weights.sum(1)
    same = (gain >= _GAIN) & (gain <= 1 / _GAIN)
    same &= np.abs(values.mean(1) - a.reshape(n, -1).mean(1)) <= _OFFSET
    return np.where(same, rest / _energy(b), np.inf)


def _detail(x: np.ndarray) -> Float64[np.ndarray, " n"]:
    """Return the share of each picture's contrast that a blur removes."""
    removed: Float64[np.ndarray, " n"] = ((x - blurred(x)) ** 2).sum((1, 2, 3), dtype=np.float64) / _energy(x)
    return removed


def _energy(x: np.ndarray) -> Float64[np.ndarray, " n"]:
    """Return the squared contrast of each picture, summed over its values, plus the noise that does not count."""

    values = x.reshape(len(x), -1).astype(np.float64)
    return np.asarray(values.var(1) + FLAT**2) * values.shape[1]
