"""Drawing: what every figure is made with, whatever it shows: its style, its colors, and how it is saved and shown.

Nothing here touches pyplot: no window opens, no figure stays behind, and the user's own settings neither change these
figures nor are changed by them.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib.style
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageShow

from ..base import files
from ..errors import UsageError
from .epochs import in_notebook, one_line

# Okabe and Ito's colors, which people with any kind of color vision tell apart.
BLUE, VERMILION, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"


# Fonts that systems bring for the scripts that matplotlib's own font lacks.
_OTHER_FONTS = (
    "Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei", "PingFang SC", "Malgun Gothic",
    "Apple SD Gothic Neo", "Noto Sans Devanagari", "Nirmala UI", "Noto Sans Thai", "Arial Unicode MS",
)  # fmt: skip


_lock = threading.RLock()  # matplotlib's settings are global, and the studio draws in several threads


class Picture(Figure):
    """A figure that shows itself in a notebook, also where nobody has set matplotlib up for that."""

    def _repr_png_(self) -> bytes:
        return _png(self)

    def show(self, warn: bool = True) -> None:
        """Show the figure: in a notebook in place, elsewhere with the system's program for pictures.

        Args:
            warn: Whether to say so where there is nothing to show it with.
        """
        if in_notebook():
            show(self)
        elif not (_has_screen() and ImageShow.show(Image.open(io.BytesIO(_png(self))), "sevensteps")) and warn:
            print('There is no screen to show the figure on; figure.savefig("figure.png") saves it.')


def _has_screen() -> bool:
    """Return whether a window can open: MPLBACKEND=agg says that none should."""
    if os.environ.get("MPLBACKEND", "").lower() in ("agg", "pdf", "ps", "svg", "template"):
        return False
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextlib.contextmanager
def our_style() -> Iterator[None]:
    """Inside, matplotlib's own settings with a few of ours, whatever the user's are."""
    ours = {
        "font.family": _fonts(),
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e4e4e4",
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
    }
    with _lock, matplotlib.style.context(["default", ours]), warnings.catch_warnings():
        # A letter that no font has is drawn as a box; a line on stderr for each helps nobody.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        yield


@functools.cache
def _fonts() -> list[str]:
    present = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _OTHER_FONTS if name in present)]


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure as a PNG file, and say where; the same figure gives the same bytes on every day.

    Raises:
        UsageError: a file name that promises another format.
        FileError: the file cannot be written.
    """
    path = Path(path)
    must_be_png(path)
    files.write(path, _png(figure, dpi=150))
    return path


def must_be_png(path: Path) -> None:
    """Raise where a figure would be saved under a name that promises another format.

    Raises:
        UsageError: it does.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"A figure is saved as PNG, and {path} would not say so.", hint=f"Use {path.stem}.png.")


def show(figure: Figure) -> None:
    """Show the figure at once if this is a notebook; elsewhere there is nothing to show it on."""
    if in_notebook():
        from IPython.display import display

        display(figure)  # type: ignore[no-untyped-call]


@our_style()
def _png(figure: Figure, dpi: int = 100) -> bytes:
    content = io.BytesIO()
    # matplotlib would write its version.
    figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()


def new_axes(figsize: tuple[float | int, float | int] = (6.4, 4.2)) -> tuple[Picture, Axes]:
    """A figure with one place to draw on; `figsize` in inches."""
    figure = Picture(figsize=figsize)
    return figure, figure.subplots()


def message(text: str) -> Figure:
    """A figure for when there is nothing to draw, that says so."""
    figure = Picture(figsize=(5, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center", parse_math=False)
    return figure


MOST_LETTERS = 16  # of a class name in a figure; longer ones are cut


def short(name: str, most: int = MOST_LETTERS) -> str:
    """Return a name in one line of at most `most` letters."""
    name = one_line(name)
    return name if len(name) <= most else name[: most - 1] + "…"
