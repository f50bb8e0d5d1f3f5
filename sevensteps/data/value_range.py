"""Range: the values that become black and white. One range holds for all pictures of a source, and for predictions.

Pictures of 8 bits need none. Files of 16 or 32 bits or of floats rarely fill what their type can hold: a camera's 12
bits, a microscope's first thousand values, or the density of a CT, which goes below 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Shaped

from ..errors import DataError
from .range_ends import BY_TYPE, Ends

Depth = Literal["bytes", "integers", "floats"]  # 8 bits and fewer; 16 and 32 bits; floats


DEPTHS: tuple[Depth, ...] = ("bytes", "integers", "floats")


_BITS = (8, 10, 12, 14, 16)  # of cameras, scanners and their files


class Extremes(NamedTuple):
    """The smallest and the largest value in pictures of one depth."""

    depth: Depth
    low: float
    high: float


@dataclass(frozen=True)
class Range:
    """The values that become 0 and 255, and the depths of the files that they hold for."""

    low: float
    high: float
    depths: tuple[Depth, ...]

    def scaled(self, values: Shaped[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        """Return values as whole numbers from 0 to 255; NaN becomes 0.

        Args:
            values: Values of pixels.
        """
        inside = np.clip((values.astype(np.float64) - self.low) * (255 / ((self.high - self.low) or 1.0)), 0, 255)
        rounded: Float64[np.ndarray, "*shape"] = np.nan_to_num(inside).round()
        return rounded

    @property
    def in_words(self) -> str:
        """What happens to the values, as a clause."""
        return f"values from {in_digits(self.low)} to {in_digits(self.high)} become black to white"

    def as_json(self) -> dict[str, Any]:
        """Return what files hold of a range."""
        return {"low": self.low, "high": self.high, "depths": list(self.depths)}

    @classmethod
    def from_json(cls, saved: Any) -> Range | None:
        """Read what `as_json` returned; None for files that were written before there were ranges.

        Args:
            saved: What JSON holds.

        Raises:
            ValueError: `saved` is not a range.
        """
        if saved is None:
            return None
        if not isinstance(saved, Mapping) or set(saved) != {"low", "high", "depths"}:
            raise ValueError("it does not hold a valid range")
        low, high, depths = saved["low"], saved["high"], saved["depths"]
        are_numbers = all(type(value) in (int, float) and math.isfinite(value) for value in (low, high))
        if not are_numbers or not low <= high or not isinstance(depths, list) or set(depths) - set(DEPTHS):
            raise ValueError("it does not hold a valid range")
        return cls(float(low), float(high), tuple(depths))


MASK = Range(0.0, 1.0, ("bytes",))  # what 8-bit pictures of 0 and 1 hold


def in_digits(value: float) -> str:
    """Return a value of a pixel as it is read: "4,095", "0.01".

    Args:
        value: The value.
    """
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


def union(extremes: Iterable[Extremes]) -> Range | None:
    """Return the smallest and the largest value of all pictures of more than 8 bits; None if there are none.

    Args:
        extremes: Those of each picture.
    """
    deep = [each for each in extremes if each.depth != "bytes"]
    if not deep:
        return None
    depths = tuple(depth for depth in DEPTHS if any(each.depth == depth for each in deep))
    return Range(min(each.low for each in deep), max(each.high for each in deep), depths)


def natural(low: float, high: float, depths: tuple[Depth, ...]) -> Range:
    """Return the range for values that lie between two others.

    Values that fill more than half of 8, 10, 12, 14 or 16 bits get the range of these, and so do floats between 0 and
    1: black stays black, and another picture rarely changes the range. Other values go from the smallest to the
    largest.

    Args:
        low: The smallest value.
        high: The largest value.
        depths: The depths of the pictures.

    >>> natural(3.0, 4080.0, ("integers",)).high, natural(-1000.0, 2000.0, ("integers",)).low
    (4095.0, -1000.0)
    """
    tops = [1.0] if depths == ("floats",) else []
    tops += [2.0**bits - 1 for bits in _BITS]
    top = next((top for top in tops if low >= 0 and high <= top and 2 * (high - low) > top), None)
    return Range(low, high, depths) if top is None else Range(0.0, top, depths)


def extremes_in(name: str, values: np.ndarray) -> Extremes:
    """Return the smallest and the largest value of a picture of more than 8 bits; NaN and infinity do not count.

    Args:
        name: The name by which errors call the picture.
        values: Its values.

    Raises:
        DataError: No value is finite.
    """
    depth: Depth = "floats" if values.dtype.kind == "f" else "integers"
    finite = values[np.isfinite(values)] if depth == "floats" else values
    if not finite.size:
        raise DataError(f"{name} holds no finite value.", hint="Export the picture again.")
    return Extremes(depth, float(finite.min()), float(finite.max()))


def decided(values: Range | None, asked: Ends) -> Range | None:
    """Return the range of black and white for a source; None if its pictures are used by their type.

    Args:
        values: The smallest and the largest value of its deep pictures, and their depths; None: none is deep.
        asked: The range that was asked for: two values; or nothing, and it is found.
    """
    if asked == BY_TYPE:
        return None
    if asked:
        return Range(float(asked[0]), float(asked[1]), values.depths if values else ("bytes",))
    return values and (values if values == MASK else natural(values.low, values.high, values.depths))


OF_DEEP = " in files of more than 8 bits"


def range_in_words(name: str, range: Range, values: Range | None, asked: Ends, where: str = "") -> str:
    """Return the line that says which values become black and white, and what is clipped.

    Args:
        name: The source.
        range: Its range.
        values: The smallest and the largest value of its pictures.
        asked: The range that was asked for.
        where: Which of its pictures are meant, if not all.
    """
    where = "" if range.depths == MASK.depths else where
    if values is not None and (values.low < range.low or values.high > range.high):
        ends = f"{in_digits(values.low)} to {in_digits(values.high)}"
        return f"{name}: {range.in_words}{where}; values go from {ends}, and those beyond are clipped"
    other = "" if asked or range == MASK else "; to set others: --range LOW HIGH"
    return f"{name}: {range.in_words}{where}{other}"
