"""Pixels of 8 bits from a picture of any depth, with or without transparency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .deep_color import deep_values, is_deep_color
from .value_range import Depth, Extremes, Range, extremes_in

if TYPE_CHECKING:
    from PIL.Image import Image


_HARDLY_SEEN = 32  # of 255: a drawing that is nowhere lighter than this on black counts as dark


_HARDLY_ANY = 0.02  # of a drawing: a highlight, or a stray pixel


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


def depth_of(image: Any) -> Depth:
    """Return the depth of a picture, judged by its header.

    Args:
        image: A PIL picture.
    """
    if image.mode.startswith("I") or is_deep_color(image):
        return "integers"
    return "floats" if image.mode == "F" else "bytes"


def extremes_of(image: Any, name: str = "The picture") -> Extremes:
    """Return the depth of a picture and, if that is more than 8 bits, the smallest and the largest of its values.

    Args:
        image: An open PIL picture, whose pixels are decoded only if they are deep.
        name: The name by which errors call the picture.

    Raises:
        DataError: It is deep and has no finite value.
    """
    if depth_of(image) == "bytes":
        return Extremes("bytes", 0.0, 255.0)
    if is_deep_color(image):
        return extremes_in(name, deep_values(image)[:, :, :3])
    image.load()
    bands = [extremes_in(name, np.asarray(image.crop(band))) for band in _bands(image)]
    return Extremes(bands[0].depth, min(band.low for band in bands), max(band.high for band in bands))


def in_bytes(image: Image, mode: str, meaning: Meaning, range: Range | None = None) -> Image:
    """Return a picture in 8 bits without transparency; bands of it are converted in turn to save memory.

    Args:
        image: A loaded PIL picture.
        mode: "L" for grey, "RGB" for color.
        meaning: What the values of its file mean.
        range: The values of black and white for pictures of some depths; others are scaled by their type.
    """
    if range is not None and depth_of(image) not in range.depths:
        range = None
    done = _in_bytes(image, mode, meaning, range)
    if range is not None and depth_of(image) == "bytes":
        table = range.scaled(np.arange(256)).astype(int).tolist()
        done = done.point(table * len(done.getbands()))
    return done


def color_in_bytes(image: Image, range: Range) -> Image:
    """Return a picture of 16 bits for each channel of color in 8 bits; transparent pixels become black.

    Args:
        image: A PIL picture for which `deep_color.is_deep_color` is true.
        range: The values of black and white.
    """
    from PIL import Image as PILImage

    bands = _bands(image)
    values = deep_values(image)
    pixels = np.empty((*values.shape[:2], 3), dtype=np.uint8)
    for _, top, _, bottom in bands:
        band = values[top:bottom]
        opacity = band[:, :, 3:] / 65535 if band.shape[2] == 4 else 1.0
        pixels[top:bottom] = (range.scaled(band[:, :, :3]) * opacity).round()
    return PILImage.fromarray(pixels)


def _in_bytes(image: Image, mode: str, meaning: Meaning, range: Range | None) -> Image:
    """Return a picture in 8 bits; a range is for its depth, and those of 8 bits are not scaled here."""
    from PIL import Image as PILImage

    if meaning.clear is None:  # a PNG may name a transparent color behind its pixels, where it does not count
        image.info.pop("transparency", None)
    deep = depth_of(image) != "bytes"  # convert() would clip these
    transparent = image.has_transparency_data
    if image.mode == mode and not transparent:
        return image
    if meaning.clear is not None and not deep:
        image.info["transparency"] = meaning.clear
    bands = _bands(image)
    largest = meaning.largest
    if image.mode in ("F", "I") and range is None:
        least = 1.0 if image.mode == "F" else largest
        largest = max([least, *(float(_finite(image.crop(band)).max()) for band in bands)])
    ground = (255, 255, 255, 255) if transparent and not deep and _is_hidden_by_black(image, bands) else (0, 0, 0, 255)
    done = PILImage.new(mode, image.size)
    for band in bands:
        part = image.crop(band)
        if deep:
            values = np.asarray(part) if range else _finite(part)
            scaled = range.scaled(values) if range else np.clip(values * (255 / largest), 0, 255).round()
            scaled = 255 - scaled if meaning.is_inverted else scaled
            part = PILImage.fromarray(np.where(values == meaning.clear, 0, scaled).astype(np.uint8))
        elif transparent:
            part = part.convert("RGBA")
            part = PILImage.alpha_composite(PILImage.new("RGBA", part.size, ground), part)
        done.paste(part.convert(mode), band)
    return done


def _is_hidden_by_black(image: Image, bands: Sequence[tuple[int, int, int, int]]) -> bool:
    """Return whether a drawing on a transparent ground is so dark that hardly any of it would be visible on black."""
    least, most, drawn, visible = 255, 0, 0.0, 0.0
    for band in bands:
        pixels = np.asarray(image.crop(band).convert("RGBA"))
        opacity = pixels[:, :, 3].astype(np.uint16)
        least, most = min(least, int(opacity.min())), max(most, int(opacity.max()))
        drawn += float(opacity.sum())
        visible += float(opacity[pixels[:, :, :3].max(axis=2) * opacity > _HARDLY_SEEN * 255].sum())
    # If it is equally transparent everywhere, there is no drawing.
    return least < most and visible <= _HARDLY_ANY * drawn


def _finite(image: Image) -> np.ndarray:
    """Return the values of a deep picture; NaN and infinity become 0."""
    return np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)


def _bands(image: Image) -> list[tuple[int, int, int, int]]:
    """Return bands of rows that cover the picture: left, top, right and bottom of each."""
    width, height = image.size
    rows = max(1, _BAND // max(width, 1))
    return [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]


def array_in_bytes(picture: Any) -> Any:
    """Return an array of numbers from 0 to 1 as uint8, from 0 to 255; anything else as it is.

    Args:
        picture: A picture of any kind, or one with its label, as `Images` gives it.
    """
    picture = picture[0] if isinstance(picture, tuple) and len(picture) == 2 else picture
    if not hasattr(picture, "dtype"):
        return picture
    pixels = np.asarray(picture)
    if pixels.dtype.kind != "f" or not bool(((pixels >= 0) & (pixels <= 1)).all()):
        return picture
    return (pixels * 255).round().astype(np.uint8)
