"""A PNG of the plainest kind, read without what Pillow prepares for every kind: half of the time for small pictures.

Such a file has 8 bits of gray or RGB, no interlacing, no palette, no transparency and nothing else that could change
its pixels; every checksum fits. Pillow's own decoder makes the pixels. All other files, also damaged ones, are left to
`Image.open`, which says what is wrong with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 1 << 16  # bytes; Pillow decodes a larger file in several parts, which takes longer than opening it


MOST_PIXELS = 1 << 20


_BEGINNING = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


# Bits, kind of color, compression, filters and interlacing (PNG, third edition, section 11.2.1).
_MODES = {b"\x08\x00\0\0\0": "L", b"\x08\x02\0\0\0": "RGB"}


# Lengths of what may stand before the pixels: gamma, colors, and the size in meters, none of which changes them.
_HARMLESS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}


_END = b"\0\0\0\0IEND\xaeB`\x82"


class PlainPng(NamedTuple):
    """A plain PNG that is not decoded yet."""

    mode: str  # "L" or "RGB"
    width: int
    height: int
    compressed: bytes

    def decoded(self) -> Image | None:
        """Return the picture; None if its pixels are damaged."""
        from PIL import Image as PILImage

        try:
            size = self.width, self.height
            return PILImage.frombytes(self.mode, size, self.compressed, "zip", self.mode, 0)
        except Exception:  # `Image.open` raises the error that is shown
            return None


def plain_png(content: bytes) -> PlainPng | None:
    """Return a file as a plain PNG; None if it is anything else.

    Args:
        content: The bytes of the file.
    """
    if len(content) > LARGEST or content[:16] != _BEGINNING or not content.endswith(_END):
        return None
    mode = _MODES.get(content[24:29])
    width, height = _number(content, 16), _number(content, 20)
    if mode is None or not 0 < width * height <= MOST_PIXELS or crc32(content[12:29]) != _number(content, 29):
        return None
    parts = list[bytes]()
    at, end = 33, len(content) - len(_END)
    while at < end:
        kind, length = content[at + 4 : at + 8], _number(content, at)
        after = at + 12 + length
        is_pixels = kind == b"IDAT"
        if not (is_pixels or (_HARMLESS.get(kind) == length and not parts)):
            return None
        if after > end or crc32(content[at + 4 : after - 4]) != _number(content, after - 4):
            return None
        if is_pixels:
            parts.append(content[at + 8 : after - 4])
        at = after
    if not parts:
        return None
    return PlainPng(mode, width, height, parts[0] if len(parts) == 1 else b"".join(parts))


def _number(content: bytes, at: int) -> int:
    """Return the four bytes at a place as a number."""
    return int.from_bytes(content[at : at + 4], "big")
