"""Pixels of 8 bits from arrays of numbers, with one range of values for all splits of a source."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped, UInt8

from ...errors import DataError
from ..files.catalog import Say
from ..range_ends import BY_TYPE, Ends
from ..value_range import (
    MASK,
    Depth,
    Extremes,
    Range,
    decided,
    extremes_in,
    in_digits,
    range_in_words,
    union,
)

_DARKEST = 16  # whole numbers up to this are not 8-bit pixels but those of 4 bits, or masks

_AT_ONCE = 256  # pictures


_NEARLY_BLACK = 1 / 16


_APART = 8  # splits whose largest values differ by more, in numbers of different types, have two scales


def as_bytes(
    name: str, arrays: Mapping[str, Shaped[np.ndarray, "n ..."]], asked: Ends, warn: Say
) -> tuple[dict[str, UInt8[np.ndarray, "n channels height width"]], Range | None]:
    """Return the pictures of each split as bytes with the channels first, and the range of their values.

    Bytes, and whole numbers that look like bytes, stay as they are. Everything else is scaled by one range for all
    splits, and this is reported.

    Args:
        name: The source, for the report and for errors.
        arrays: The pictures of each split, or of "" without splits, of shape (n, height, width), (n, height, width,
            channels) or (n, channels, height, width), with 1 or 3 channels.
        asked: The values that become black and white; empty: found.
        warn: Takes a line if values are scaled.

    Raises:
        DataError: Pictures cannot have this shape or these values.
    """
    pictures = {split: _channels_first(_named(name, split), of_split) for split, of_split in arrays.items()}
    filled = {split: of_split for split, of_split in pictures.items() if of_split.size}
    values = _values(name, filled, bool(asked))
    range = _range(filled, values, asked)
    if range is None:
        return {split: np.ascontiguousarray(of_split, dtype=np.uint8) for split, of_split in pictures.items()}, None
    warn(range_in_words(name, range, values, asked))
    for split, of_split in filled.items():
        if (largest := float(of_split.max())) - range.low < _NEARLY_BLACK * (range.high - range.low):
            warn(f"{_named(name, split)} has values only up to {in_digits(largest)}: nearly black on this scale")
    scaled = {split: np.ascontiguousarray(_scaled(of_split, range)) for split, of_split in pictures.items()}
    return scaled, range


def _named(name: str, split: str) -> str:
    """Return the name by which errors call the pictures of a split."""
    return f"{name}: {split}" if split else name


def _channels_first(name: str, pixels: Shaped[np.ndarray, "n ..."]) -> Shaped[np.ndarray, "n channels height width"]:
    """Return pictures with the channels as the second axis.

    Raises:
        DataError: Pictures cannot have this shape, or values of this type.
    """
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and pixels.shape[3] in (1, 3) and pixels.shape[1] not in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise DataError(
            f"{name}: an array of shape {pixels.shape} does not hold gray or color pictures.",
            hint="Use the shape (n, height, width), (n, height, width, 3) or (n, 3, height, width).",
        )
    if pixels.dtype.kind not in "buif":
        raise DataError(f"{name}: values of type {pixels.dtype} are not pixels.", hint="Use numbers from 0 to 255.")
    return pixels


def _values(name: str, pictures: Mapping[str, np.ndarray], is_asked: bool) -> Range | None:
    """Return the smallest and the largest value of all splits, and their depths; None without pictures.

    Raises:
        DataError: A value is not finite, or one range cannot be right for all.
    """
    found: dict[str, Extremes] = {}
    for split, pixels in pictures.items():
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            raise DataError(
                f"{_named(name, split)}: values that are not finite are not pixels.", hint="Replace NaN and infinity."
            )
        low, high = extremes_in(name, pixels.view(np.uint8) if pixels.dtype == np.bool_ else pixels)[1:]
        depth: Depth = "floats" if pixels.dtype.kind == "f" else "integers"
        found[split] = Extremes(depth, low, high)
        if low < 0 and depth == "floats" and not is_asked:
            raise DataError(
                f"{_named(name, split)}: values from {low:g} to {high:g} are not pixels.",
                hint="Do not normalize pictures: training does that. If these are as measured, give the range: {range}",
                settings={"range": (round(low, 3), round(high, 3))},
            )
    for first, one in found.items():
        for second, other in found.items():
            if one.depth != other.depth and one.high > _APART * other.high > 0 and not is_asked:
                raise DataError(
                    f"{_named(name, first)} has values up to {in_digits(one.high)} and {second} only up to "
                    f"{in_digits(other.high)}, in numbers of another type.",
                    hint="Save all splits on one scale.",
                )
    return union(found.values())


def _range(pictures: Mapping[str, np.ndarray], values: Range | None, asked: Ends) -> Range | None:
    """Return the values of black and white; None if the pictures are bytes, or stay as they are."""
    if values is None or asked:
        return None if asked == BY_TYPE else values and decided(values, asked)
    if all(of_split.dtype == np.uint8 for of_split in pictures.values()):
        return Range(0.0, 1.0, MASK.depths) if values.high == 1 else None
    if values.low >= 0 and values.high <= 255:
        is_whole = all(of_split.dtype.kind in "bui" or _is_whole(of_split) for of_split in pictures.values())
        if is_whole and values.high > _DARKEST:
            return None
    return decided(values, ())


def _is_whole(pixels: np.ndarray) -> bool:
    """Return whether all values are whole numbers."""
    return all(bool((part == np.rint(part)).all()) for part in pixels)


def _scaled(pixels: np.ndarray, range: Range) -> UInt8[np.ndarray, "n channels height width"]:
    """Return pictures scaled by a range, some at a time, so that the wide copies are small."""
    scaled = np.empty(pixels.shape, dtype=np.uint8)
    first = 0
    for block in np.array_split(pixels, -(-len(pixels) // _AT_ONCE)) if len(pixels) else []:
        scaled[first : first + len(block)] = range.scaled(block)
        first += len(block)
    return scaled
