"""Color pictures of 16 bits a channel, of which Pillow keeps only the upper 8 bits: here, the others are read as well.

The picture is decoded a second time by Pillow with the two bytes of each value taken for their opposite order.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt16

if TYPE_CHECKING:
    from PIL.Image import Image

# How Pillow names the order of bytes, and the name of the opposite one; N is that of the machine.
_OPPOSITE = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def is_deep_color(image: Any) -> bool:
    """Return whether an open picture that is not loaded yet has 16 bits for each channel of color.

    Args:
        image: A PIL picture.
    """
    if image.mode not in ("RGB", "RGBA") or "transparency" in image.info or not getattr(image, "tile", None):
        return False
    return all(_raw(tile).partition(";")[::2] in [(image.mode, order) for order in _OPPOSITE] for tile in image.tile)


def deep_values(image: Image) -> UInt16[np.ndarray, "height width channels"]:
    """Return all 16 bits of each value of a picture for which `is_deep_color` is true; this loads it.

    Args:
        image: A PIL picture that is not loaded yet.
    """
    from PIL import Image as PILImage

    file: Any = image.fp  # type: ignore[attr-defined]
    at = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(at)
    high = np.asarray(image)
    with PILImage.open(io.BytesIO(content), formats=(str(image.format),)) as again:
        again.tile = [_with_opposite(tile) for tile in again.tile]
        again.load()
        low = np.asarray(again)
    values: UInt16[np.ndarray, "height width channels"] = high.astype(np.uint16)
    values <<= 8
    values += low
    return values


def _raw(tile: Any) -> str:
    """Return how the bytes of a tile are laid out: "RGB;16B", for example."""
    return str(tile[3] if isinstance(tile[3], str) else tile[3][0])


def _with_opposite(tile: Any) -> Any:
    """Return a tile with the opposite order of bytes."""
    mode, _, order = _raw(tile).partition(";")
    raw = f"{mode};{_OPPOSITE[order]}"
    layout = raw if isinstance(tile[3], str) else (raw, *tile[3][1:])
    # Pillow has named tiles since version 11.
    return tile._replace(args=layout) if hasattr(tile, "_replace") else (*tile[:3], layout)
