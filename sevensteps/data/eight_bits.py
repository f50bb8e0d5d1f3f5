"""Pixels of 8 bits from a picture of any depth, with or without transparency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


_HARDLY_SEEN = 32  # of 255: a drawing that is nowhere lighter than this on black counts as dark


_BAND = 1 << 20  # pixels converted at a time, so that large pictures are in memory only once


_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0, section 8


class Meaning(NamedTuple):
    """What the values of a file's pixels mean."""

    largest: float  # the value of white, for more than 8 bits
    is_inverted: bool  # whether that value is black instead
    clear: Any  # the value, color or palette entries that are transparent, in terms of the loaded pixels


def meaning_of(image: Any) -> Meaning:
    """Return what the values of an open file mean, as far as Pillow ignores it; loading the pixels loses this.

    Args:
        image: An open PIL picture that is not loaded yet.
    """
    clear = image.info.get("transparency")
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        bits = image.tag_v2.get(_BITS, (16,))[0]  # Pillow returns 12 bits unscaled, as 16
        return Meaning(2.0**bits - 1, image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO, clear)
    if image.format == "PNG" and clear is not None and image.tile:
        raw = image.tile[0][3]  # Pillow scales the pixels to 8 bits, but not the transparent value
        if raw in ("L;2", "L;4"):
            clear *= 255 // (2 ** int(raw[-1]) - 1)
        elif raw == "RGB;16B":
            clear = tuple(value >> 8 for value in clear)
    return Meaning(65535.0, False, clear)


def in_bytes(image: Image, mode: str, meaning: Meaning) -> Image:
    """Return a picture in 8 bits without transparency; bands of it are converted in turn to save memory.

    Args:
        image: A loaded PIL picture.
        mode: "L" for grey, "RGB" for color.
        meaning: What the values of its file mean.
    """
    from PIL import Image as PILImage

    deep = image.mode.startswith("I") or image.mode == "F"  # 16 bits and more; convert() would clip them
    transparent = image.has_transparency_data
    if image.mode == mode and not transparent:
        return image
    if transparent and not deep:
        image.info["transparency"] = meaning.clear
    bands = _bands(image)
    largest = meaning.largest
    if image.mode in ("F", "I"):
        least = 1.0 if image.mode == "F" else largest
        largest = max([least, *(float(_finite(image.crop(band)).max()) for band in bands)])
    ground = (255, 255, 255, 255) if transparent and not deep and _is_hidden_by_black(image, bands) else (0, 0, 0, 255)
    done = PILImage.new(mode, image.size)
    for band in bands:
        part = image.crop(band)
        if deep:
            values = _finite(part)
            scaled = np.clip(values * (255 / largest), 0, 255).round()
            scaled = 255 - scaled if meaning.is_inverted else scaled
            part = PILImage.fromarray(np.where(values == meaning.clear, 0, scaled).astype(np.uint8))
        elif transparent:
            part = part.convert("RGBA")
            part = PILImage.alpha_composite(PILImage.new("RGBA", part.size, ground), part)
        done.paste(part.convert(mode), band)
    return done


def _is_hidden_by_black(image: Image, bands: Sequence[tuple[int, int, int, int]]) -> bool:
    """Return whether a drawing on a transparent ground is so dark that it would be invisible on black."""
    least, most = 255, 0
    for band in bands:
        pixels = np.asarray(image.crop(band).convert("RGBA"))
        opacity = pixels[:, :, 3].astype(np.uint16)
        least, most = min(least, int(opacity.min())), max(most, int(opacity.max()))
        if (pixels[:, :, :3].max(axis=2) * opacity > _HARDLY_SEEN * 255).any():
            return False
    return least < most  # else it is equally transparent everywhere, so there is no drawing


def _finite(image: Image) -> np.ndarray:
    """Return the values of a deep picture; NaN and infinity become 0."""
    return np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)


def _bands(image: Image) -> list[tuple[int, int, int, int]]:
    """Return bands of rows that cover the picture: left, top, right and bottom of each."""
    width, height = image.size
    rows = max(1, _BAND // max(width, 1))
    return [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
