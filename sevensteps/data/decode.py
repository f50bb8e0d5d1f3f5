"""Decoding: the one function that turns the bytes of a picture file into pixels, for training and for prediction."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from ..errors import DataError
from .deep_color import is_deep_color
from .eight_bits import array_in_bytes, color_in_bytes, depth_of, extremes_of, in_bytes, meaning_of
from .file_bytes import content_of, file_in
from .fit import FITS as FITS
from .fit import Box, fitted
from .fit import Fit as Fit
from .jpeg_end import is_without_end, with_end
from .lower_resolution import at_lower_resolution
from .orientation import is_sideways, turn_of
from .parts import has_many_parts
from .plain_png import PlainPng, plain_png
from .value_range import Depth, Extremes, Range

if TYPE_CHECKING:
    from PIL.Image import Image


FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


MOST_PIXELS = 100_000_000  # read from the header, before anything is decoded


LONGEST_SIDE = 1_000_000  # pixels; resizing keeps some numbers for each


# Limits on what a small file can ask for beyond its pixels, a hundred times what real pictures need, so that decoding
# never takes minutes.
MOST_PIXELS_SLOWLY = 4_000_000  # where Pillow decodes byte by byte in Python, at a few million a second


SLOW_DECODERS = ("bmp_rle", "ppm", "ppm_plain")


MOST_SCANNED = 10 * MOST_PIXELS  # pixels times scans of a progressive JPEG; each scan goes through all pixels


MOST_TIMES = 8  # how often the tiles of a TIFF may cover it; a plane for each channel covers it once


MOST_COMMENTS = 1000  # in a PPM of digits; Pillow copies a megabyte to remove one


_PNG = b"\x89PNG\r\n\x1a\n"


MOST_PROFILES = 16  # in a PNG; each is unpacked to as much as a megabyte, and one is used


Shape = tuple[int, int, int]  # channels, height, width


_MODES = {1: "L", 3: "RGB"}  # of Pillow, by the number of channels


class Seen(NamedTuple):
    """What a header says: the size of the picture as it is displayed, whether it is grey, and its depth."""

    width: int
    height: int
    is_grey: bool
    depth: Depth = "bytes"


def decode(
    content: bytes, shape: Shape, name: str = "The picture", fit: Fit = "squash", range: Range | None = None
) -> UInt8[np.ndarray, "channels height width"]:
    """Decode a picture file into pixels of the shape that a model takes.

    The first frame is used, turned as its EXIF orientation says. Transparent pixels become black, or white if the
    drawing would be invisible on black. Values of more than 8 bits are scaled by the range, which `load` finds over all
    pictures. Without one, a picture alone is scaled by its type, never clipped: 16 and 12 bits by their largest
    possible value; floats by the largest value in the picture if that is over 1, and 32 bits if it is over 65535. Color
    profiles (ICC) and gamma are ignored, as in PyTorch's, OpenCV's and most other readers, so that an exported model
    sees elsewhere what it saw here. CMYK becomes (1 - ink) * (1 - key).

    Args:
        content: The bytes of the file.
        shape: Channels (1: grey, 3: RGB), height and width of the result.
        name: The name by which errors call the picture.
        fit: How a picture of another size is fitted: see `fit.fitted`.
        range: The values of black and white.

    Returns:
        Pixels from 0 to 255.

    Raises:
        DataError: The file is not a picture in a known format, is damaged, has too many pixels, or would take too long.
    """
    plain = plain_png(content)
    if plain is not None and (image := plain.decoded()) is not None:
        return _from_plain(image, shape, fit, range)
    with opened(content, name) as image:
        return _at_lower_resolution(image, shape, fit, range)


def look(content: bytes, name: str = "The picture") -> Seen:
    """Return what the header of a picture file says; no pixel is decoded.

    A picture is grey if its format has no room for color or its palette holds only greys, not if the pixels of a color
    picture happen to be grey.

    Args:
        content: The bytes of the file.
        name: The name by which errors call the picture.

    Raises:
        DataError: As `decode`, as far as the header tells.
    """
    if (plain := plain_png(content)) is not None:
        return _seen_in_plain(plain)
    with opened(content, name) as image:
        return seen_in(image)


def extremes(content: bytes, name: str = "The picture") -> Extremes:
    """Return the depth of a picture file and, if that is more than 8 bits, its smallest and its largest value.

    Args:
        content: The bytes of the file.
        name: The name by which errors call the picture.

    Raises:
        DataError: As `decode`; pixels of 8 bits are not decoded.
    """
    if content[:8] == _PNG and content[24:25] < b"\x10":  # the depth, without opening the file
        return Extremes("bytes", 0.0, 255.0)
    with opened(content, name) as image:
        return extremes_of(image, name)


def largest_value(content: bytes, name: str = "The picture") -> int:
    """Return the largest value of a gray picture of 8 bits; 255 for every other picture.

    Args:
        content: The bytes of the file.
        name: The name by which errors call the picture.

    Raises:
        DataError: As `decode`.
    """
    with opened(content, name) as image:
        return int(np.asarray(image).max()) if image.mode == "L" and not image.has_transparency_data else 255


def decode_and_look(
    content: bytes, shape: Shape, name: str = "The picture", fit: Fit = "squash", range: Range | None = None
) -> tuple[Seen, UInt8[np.ndarray, "channels height width"]]:
    """Return the results of `look` and `decode` for a file that is opened once.

    Args:
        content: The bytes of the file.
        shape: Channels, height and width of the pixels.
        name: The name by which errors call the picture.
        fit: How a picture of another size is fitted.
        range: The values of black and white.

    Raises:
        DataError: As `decode`.
    """
    plain = plain_png(content)
    if plain is not None and (image := plain.decoded()) is not None:
        return _seen_in_plain(plain), _from_plain(image, shape, fit, range)
    with opened(content, name) as image:
        return seen_in(image), _at_lower_resolution(image, shape, fit, range)


def _seen_in_plain(png: PlainPng) -> Seen:
    """Return what the header of a plain PNG says."""
    return Seen(png.width, png.height, png.mode == "L")


def seen_in(image: Image) -> Seen:
    """Return what the header of an open PIL picture says.

    Args:
        image: A picture; its pixels are not decoded.
    """
    width, height = image.size
    # In a PNG, only an orientation before the pixels counts, since Pillow decodes everything to look behind them. For a
    # TIFF, Pillow gives the size as it is displayed.
    if image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info):
        width, height = (height, width) if is_sideways(image) else (width, height)
    is_grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    if image.mode in ("P", "PA") and (palette := image.getpalette()):
        is_grey = palette[0::3] == palette[1::3] == palette[2::3]
    return Seen(width, height, is_grey, depth_of(image))


@contextlib.contextmanager
def opened(content: bytes, name: str) -> Iterator[Image]:
    """Open a picture without decoding it, and check that decoding cannot take long.

    Raises:
        DataError: Anything goes wrong inside the block.
    """
    from PIL import Image as PILImage
    from PIL import UnidentifiedImageError

    if not content:
        raise DataError(f"{name} is empty.", hint="Copy or export the picture again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about metadata that does not affect the pixels
            if content.count(b"iCCP") > MOST_PROFILES:
                raise ValueError(f"more than {MOST_PROFILES} color profiles")
            if has_many_parts(content):
                raise ValueError("its head has too many parts")
            with PILImage.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise PILImage.DecompressionBombError(f"{width:,} x {height:,} pixels")
                _check_effort(image, content)
                if image.format not in ("JPEG", "MPO") or not is_without_end(content):
                    yield image
                    return
            with PILImage.open(io.BytesIO(with_end(content)), formats=FORMATS) as image:
                yield image
    except PILImage.DecompressionBombError as error:  # Pillow itself raises this for twice as many
        by_pillow = re.match(r"Image size \((\d+) pixels\)", str(error))
        size = f"{int(by_pillow[1]):,}" if by_pillow else str(error)
        raise DataError(f"{name} has more than {MOST_PIXELS:,} pixels: {size}.", hint="Reduce its size.") from error
    except UnidentifiedImageError as error:
        if content[:4] in (b"II*\0", b"MM\0*"):
            raise DataError(f"{name} is damaged, or a TIFF of an unsupported kind.", hint="Save it as PNG.") from error
        raise DataError(
            f"{name} is not a picture in a known format.",
            hint=f"Save it as one of these: {', '.join(FORMATS)}.",
        ) from error
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{name} does not fit into the memory that is free.", hint="Reduce its size.") from error
    except Exception as error:  # Pillow's readers raise many kinds of errors for damaged files
        reason = f"{error!s:.200}".rstrip(".")
        raise DataError(f"{name} is damaged: {reason}.", hint="Copy or export the picture again.") from error


def _check_effort(image: Any, content: bytes) -> None:
    """Raise if decoding an open picture would take far longer than its size suggests.

    Raises:
        ValueError: The limit that it exceeds.
    """
    width, height = image.size
    if max(width, height) > LONGEST_SIDE:
        raise ValueError(f"a side of more than {LONGEST_SIDE:,} pixels")
    tiles = [(tile[0], tile[1]) for tile in image.tile]
    if any(decoder in SLOW_DECODERS for decoder, _ in tiles) and width * height > MOST_PIXELS_SLOWLY:
        raise ValueError(f"more than {MOST_PIXELS_SLOWLY:,} pixels in a form that is slow to read; export it as PNG")
    if any(decoder == "ppm_plain" for decoder, _ in tiles) and content.count(b"#") > MOST_COMMENTS:
        raise ValueError(f"more than {MOST_COMMENTS:,} comments")
    if image.format in ("JPEG", "MPO") and content.count(b"\xff\xda") * width * height > MOST_SCANNED:
        raise ValueError("many scans of many pixels")
    covered = sum(abs(right - left) * abs(bottom - top) for _, (left, top, right, bottom) in tiles)
    if covered > MOST_TIMES * width * height:
        raise ValueError("its tiles cover it many times")


def from_image(
    image: Image, shape: Shape, fit: Fit = "squash", range: Range | None = None
) -> UInt8[np.ndarray, "channels height width"]:
    """Return the pixels of an open PIL picture, as `decode` does.

    Args:
        image: The picture.
        shape: Channels, height and width of the result.
        fit: How a picture of another size is fitted.
        range: The values of black and white.

    Raises:
        DataError: The shape does not have one or three channels.
    """
    if shape[0] not in _MODES:
        raise DataError(f"A picture has 1 or 3 channels, but {shape[0]} are needed.", hint="Pass an array instead.")
    return _in_shape(upright(image, _MODES[shape[0]], range), shape, fit)


def _at_lower_resolution(
    image: Image, shape: Shape, fit: Fit, range: Range | None
) -> UInt8[np.ndarray, "channels height width"]:
    """Return what `from_image` does for an open file, of which no more is decoded than the fit asks for."""
    _, height, width = shape
    whole = at_lower_resolution(image, width, height, fit)
    if whole is None or shape[0] not in _MODES:
        return from_image(image, shape, fit, range)
    return _in_shape(upright(image, _MODES[shape[0]], range), shape, fit, whole)


def _from_plain(
    image: Image, shape: Shape, fit: Fit, range: Range | None
) -> UInt8[np.ndarray, "channels height width"]:
    """Return what `from_image` does for the picture of a plain PNG, where nothing need be turned or converted."""
    is_as_needed = range is None and image.mode == _MODES.get(shape[0])
    return _in_shape(image, shape, fit) if is_as_needed else from_image(image, shape, fit, range)


def _in_shape(
    image: Image, shape: Shape, fit: Fit, whole: Box | None = None
) -> UInt8[np.ndarray, "channels height width"]:
    """Return the pixels of a gray or RGB picture in the size of the shape."""
    channels, height, width = shape
    if whole is not None or image.size != (width, height):
        image = fitted(image, width, height, fit, whole=whole)
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))


def upright(image: Image, mode: str, range: Range | None = None) -> Image:
    """Return an open PIL picture in its own size: turned as it is displayed, in 8 bits, without transparency.

    Args:
        image: The picture.
        mode: "L" for gray, "RGB" for color.
        range: The values of black and white.
    """
    from PIL import Image as PILImage

    meaning = meaning_of(image)
    is_deep = range is not None and "integers" in range.depths and is_deep_color(image)  # loading loses this
    scaled = color_in_bytes(image, range) if range is not None and is_deep else None
    image.load()
    turn = turn_of(image)
    image = image if scaled is None else scaled
    if turn is not None:
        image = image.transpose(PILImage.Transpose[turn])
    return in_bytes(image, mode, meaning, range)


def read_picture(
    path: Path, shape: Shape, fit: Fit = "squash", range: Range | None = None
) -> UInt8[np.ndarray, "channels height width"]:
    """Read and decode a picture file.

    Args:
        path: The file.
        shape: Channels, height and width of the result.
        fit: How a picture of another size is fitted.
        range: The values of black and white.

    Raises:
        DataError: The file does not exist, cannot be read, is not a regular file or is too large; or as `decode`.
    """
    return decode(content_of(path), shape, str(path), fit, range)


def as_pixels(
    picture: Any, shape: Shape, fit: Fit = "squash", range: Range | None = None
) -> UInt8[np.ndarray, "channels height width"]:
    """Return the pixels of a picture in any of several forms.

    Args:
        picture: A path, the bytes of a file, an open file (such as `io.BytesIO`), a PIL picture, a uint8 array of shape
            `(height, width)`, `(channels, height, width)` or with as many values, or a picture of any size as a uint8
            array of shape `(height, width, 3)`; 1 for gray or 4 with transparency will do, too. Arrays of floats hold
            numbers from 0 to 1.
        shape: Channels, height and width of the result.
        fit: How a picture of another size is fitted; arrays must have the right size, unless channels come last.
        range: The values of black and white.

    Raises:
        DataError: The picture is none of these, or an array of another size.
    """
    if file := file_in(picture):
        return decode(file[0], shape, file[1], fit, range)
    if hasattr(picture, "convert"):
        return from_image(picture, shape, fit, range)
    pixels = np.asarray(array_in_bytes(picture))
    allowed = {shape, (int(np.prod(shape)),), shape[1:] if shape[0] == 1 else shape}
    if pixels.dtype == np.uint8 and pixels.shape not in allowed and pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4):
        from PIL import Image as PILImage

        if pixels.size:
            image = PILImage.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
            return from_image(image, shape, fit, range)
    if pixels.dtype != np.uint8 or pixels.shape not in allowed:
        needed = "(height, width, 3)" if shape[0] == 3 else shape
        raise DataError(
            f"The picture is an array of {pixels.dtype} {pixels.shape}, but uint8 {needed} is needed.",
            hint="Pass a path, a PIL picture or an array (height, width, 3) to have it resized.",
        )
    return pixels.reshape(shape)
