"""Pictures and maps as lines of characters for a terminal.

A terminal with colors shows two pixels in each character, one above the other: an upper half block in the color of the
first, on a background in the color of the second. Otherwise each pixel is two plain characters, which can be piped.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from .pixels import colors_of, colors_of_map, shades_of, signs_of

Block = list[Text]


def picture_block(out: Console, picture: np.ndarray, side: int) -> Block:
    """Return a picture; of other than three channels, the mean."""
    if has_colors(out):
        return half_blocks(colors_of(picture, side))
    return [Text(line) for line in shades_of(picture, side)]


def map_block(out: Console, numbers: Float[np.ndarray, "h w"], side: int, most: float | None = None) -> Block:
    """Return a map of signed numbers; `most` is what the strongest color stands for."""
    if has_colors(out):
        return half_blocks(colors_of_map(numbers, most, side))
    return [Text(line) for line in signs_of(numbers, side, most)]


def half_blocks(colors: UInt8[np.ndarray, "h w 3"]) -> Block:
    """Return two rows of pixels in one of characters; of an odd number, the last stands alone."""
    lines = []
    for row in range(0, len(colors), 2):
        line = Text()
        for column, upper in enumerate(colors[row].tolist()):
            lower = colors[row + 1, column].tolist() if row + 1 < len(colors) else None
            below = None if lower is None else Color.from_rgb(*lower)
            line.append("▀", Style(color=Color.from_rgb(*upper), bgcolor=below))
        lines.append(line)
    return lines


def has_colors(out: Console) -> bool:
    """Return whether pictures can be in color: in a terminal with 256 colors or more that knows the half block."""
    many = out.color_system in ("256", "truecolor")
    return out.is_terminal and many and not out.no_color and out.encoding.lower().startswith("utf")
