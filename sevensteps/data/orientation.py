"""Orientation: how a picture is turned before it is displayed (EXIF 2.3, tag 0x0112)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


_ORIENTATION = 0x0112


# By the names of PIL's Transpose.
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


_SIDEWAYS = (5, 6, 7, 8)  # these turn a wide picture into a tall one


def turn_of(image: Image) -> str | None:
    """Return the name of the turn that a picture asks for; None if it stays as it is.

    Args:
        image: An open PIL picture.
    """
    return _TURNS.get(image.getexif().get(_ORIENTATION, 1))


def is_sideways(image: Image) -> bool:
    """Return whether a picture is displayed with width and height exchanged.

    Args:
        image: An open PIL picture.
    """
    return image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS


def mirrored_sides(image: Image) -> tuple[bool, bool]:
    """Return whether the width and the height of a picture, as it is displayed, run against those in the file.

    Args:
        image: An open PIL picture.
    """
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
