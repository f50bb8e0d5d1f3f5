"""Print what an answer loses when each patch of its picture is covered, for `predict --explain`."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from .pixels import colors_of_map
from .terminal import printable

CELL = 7  # columns for a patch


def matters(drops: Float[np.ndarray, "rows columns"]) -> bool:
    """Return whether covering a patch changes the probability, in percentage points with one digit.

    Args:
        drops: Of the probability of the class.
    """
    return bool(np.abs(drops).max() >= 0.0005)


def print_drops(out: Console, name: str, drops: Float[np.ndarray, "rows columns"]) -> None:
    """Print a block for each patch: blue where the class needs it, red where it speaks against the class.

    Args:
        out: The console; without colors the numbers stand alone.
        name: The class.
        drops: Of the probability of the class.
    """
    if not matters(drops):
        out.print(Text(printable(f"  no single patch matters: whichever is covered, {name} keeps its probability")))
        return
    out.print(Text(printable(f"  percentage points that {name} loses when a patch is covered:")))
    for row, colors in zip(drops.tolist(), colors_of_map(drops).tolist(), strict=True):
        line = Text("  ")
        for drop, color in zip(row, colors, strict=True):
            shade = "white" if sum(color) < 300 else "black"
            line.append(f"{_points(drop):>{CELL}}", Style(color=shade, bgcolor=Color.from_rgb(*color)))
        out.print(line)


def _points(drop: float) -> str:
    """Return percentage points with one digit, and 0 without a sign.

    >>> _points(0.123), _points(-0.0001)
    ('12.3', '0.0')
    """
    return f"{round(100 * drop, 1) + 0.0:.1f}"
