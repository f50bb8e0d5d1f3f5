"""The one function that turns a file's bytes into pixels, for training, prediction and all else."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from ..base import files
from ..errors import DataError
from .fit import FITS as FITS
from .fit import Fit as Fit
from .fit import fitted

if TYPE_CHECKING:
    from PIL.Image import Image


FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


LARGEST_FILE = 512 << 20  # bytes


MOST_PIXELS = 100_000_000  # read from the header, before anything is decoded


LONGEST_SIDE = 1_000_000  # pixels; resizing keeps some numbers for each


# What a small file can ask for beyond its pixels, a hundred times what pictures have, so that none takes minutes.
MOST_PIXELS_SLOWLY = 4_000_000  # where Pillow decodes byte by byte in Python, at some millions a second


SLOW_DECODERS = ("bmp_rle", "ppm", "ppm_plain")


MOST_SCANNED = 10 * MOST_PIXELS  # pixels times scans of a progressive JPEG; each scan goes through all pixels


MOST_TIMES = 8  # that the tiles of a TIFF may cover it; a plane for each channel is one time each


MOST_COMMENTS = 1000  # in a PPM of digits; Pillow copies a megabyte to take one out


MOST_PROFILES = 16  # in a PNG; each is unpacked, to a megabyte, and one is used


Shape = tuple[int, int, int]  # channels, height, width


_HARDLY_SEEN = 32  # of 255: what is no lighter than this on black is a dark drawing


_BAND = 1 << 20  # pixels that are converted at once, so that large pictures stay in memory once


# How a picture is to be turned (EXIF 2.3, tag 0x0112), by the names of PIL's Transpose.
_ORIENTATION = 0x0112


_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


_SIDEWAYS = (5, 6, 7, 8)  # those that make a wide picture a tall one


_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF 6.0, section 8


class Seen(NamedTuple):
    """What a picture's header says: its size as it is shown, and whether it has no color."""

    width: int
    height: int
    is_grey: bool


class _Meaning(NamedTuple):
    """What the numbers of a file's pixels mean."""

    largest: float  # of those deeper than 8 bits, which is white
    is_inverted: bool  # where it is black instead
    clear: Any  # the value, color or palette's entries that are transparent, as the loaded pixels have them


def decode(
    content: bytes, shape: Shape, name: str = "the picture", fit: Fit = "squash"
) -> UInt8[np.ndarray, "channels height width"]:
    """Pixels of a picture file, in the shape that a model takes.

    The first frame, turned as its EXIF orientation says, and grey or RGB as the channels ask. What is transparent is
    black, and white where nothing would be seen of the drawing on black. More than 8 bits are scaled, never clipped:
    16 and 12 bits by the largest value they can have, floats and 32 bits by the largest there is if that is over 1, or
    over 65535. Color profiles (ICC) and gamma are ignored: the numbers are those of the file, which is what PyTorch's,
    OpenCV's and most other readers give, so that an exported model sees elsewhere what it saw here. CMYK becomes
    (1 - ink) * (1 - key).

    Where it has another size (bilinear, with antialiasing) `fit` says what becomes of its sides: "letterbox" keeps
    all of it and fills up with black, "crop" fills all and cuts off what is too long, the same at both ends, and
    "squash" changes them.

    Raises:
        DataError: not a picture of a known format, damaged, of too many pixels, or made to take long.
    """
    with _opened(content, name) as image:
        return from_image(image, shape, fit)


def look(content: bytes, name: str = "the picture") -> Seen:
    """What the header of a picture file says; no pixel is decoded.

    Grey is what has no place for color, or a palette of greys; not a picture in color whose pixels happen to be grey.

    Raises:
        DataError: empty, or as `decode`, as far as the header tells.
    """
    with _opened(content, name) as image:
        return seen_in(image)


def decode_and_look(
    content: bytes, shape: Shape, name: str = "the picture", fit: Fit = "squash"
) -> tuple[Seen, UInt8[np.ndarray, "channels height width"]]:
    """What `look` and `decode` say, in one go.

    Raises:
        DataError: as they.
    """
    with _opened(content, name) as image:
        return seen_in(image), from_image(image, shape, fit)


def seen_in(image: Image) -> Seen:
    """What an open picture's header says."""
    width, height = image.size
    # Of a PNG only what stands before the pixels, since Pillow decodes all to look behind them; of a TIFF Pillow
    # says the size as it is shown.
    if image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info):
        turned = image.getexif().get(_ORIENTATION, 1) in _SIDEWAYS
        width, height = (height, width) if turned else (width, height)
    is_grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    if image.mode in ("P", "PA") and (palette := image.getpalette()):
        is_grey = palette[0::3] == palette[1::3] == palette[2::3]
    return Seen(width, height, is_grey)


@contextlib.contextmanager
def _opened(content: bytes, name: str) -> Iterator[Image]:
    """An open picture, of which nothing is decoded yet, and that is not made to take long.

    Raises:
        DataError: in the place of whatever goes wrong with it.
    """
    from PIL import Image as PILImage
    from PIL import UnidentifiedImageError

    if not content:
        raise DataError(f"{name} is empty.", hint="Copy or export the picture again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about metadata that has no bearing on the pixels
            if content.count(b"iCCP") > MOST_PROFILES:
                raise ValueError(f"more than {MOST_PROFILES} color profiles")
            with PILImage.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise PILImage.DecompressionBombError(f"{width:,} x {height:,} pixels")
                _check_effort(image, content)
                yield image
    except PILImage.DecompressionBombError as error:  # Pillow's own, of twice as many, says the like
        raise DataError(f"{name} has more than {MOST_PIXELS:,} pixels: {error}", hint="Make it smaller.") from error
    except UnidentifiedImageError as error:
        if content[:4] in (b"II*\0", b"MM\0*"):
            raise DataError(
                f"{name} is damaged, or a TIFF of a kind that is not read.", hint="Save it as PNG."
            ) from error
        raise DataError(
            f"{name} is not a picture in a known format.", hint=f"Known formats: {', '.join(FORMATS)}."
        ) from error
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise whatever their format's parsing runs into
        raise DataError(f"{name} is damaged: {error!s:.200}", hint="Copy or export the picture again.") from error


def _check_effort(image: Any, content: bytes) -> None:
    """Hold an open picture, of which nothing is decoded yet, against what decoding it would take.

    Raises:
        ValueError: more than a picture of its size does.
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


def from_image(image: Image, shape: Shape, fit: Fit = "squash") -> UInt8[np.ndarray, "channels height width"]:
    """The same from an open PIL image.

    Raises:
        DataError: a model of neither one nor three channels.
    """
    from PIL import Image as PILImage

    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"A picture has 1 or 3 channels, and {channels} are asked for.", hint="Give an array instead.")
    meaning = _meaning(image)
    image.load()
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    if turn is not None:
        image = image.transpose(PILImage.Transpose[turn])
    image = _in_bytes(image, "L" if channels == 1 else "RGB", meaning)
    if image.size != (width, height):
        image = fitted(image, width, height, fit)
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))


def _meaning(image: Any) -> _Meaning:
    """What the numbers of an open file mean, where Pillow leaves that to others; once loaded, that is lost."""
    clear = image.info.get("transparency")
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        bits = image.tag_v2.get(_BITS, (16,))[0]  # Pillow gives 12 bits as they are, as 16
        return _Meaning(2.0**bits - 1, image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO, clear)
    if image.format == "PNG" and clear is not None and image.tile:
        raw = image.tile[0][3]  # Pillow makes 8 bits of the pixels, and leaves the transparent value as the file has it
        if raw in ("L;2", "L;4"):
            clear *= 255 // (2 ** int(raw[-1]) - 1)
        elif raw == "RGB;16B":
            clear = tuple(value >> 8 for value in clear)
    return _Meaning(65535.0, False, clear)


def _in_bytes(image: Image, mode: str, meaning: _Meaning) -> Image:
    """The picture as grey or RGB, without transparency: some rows at a time, as converting takes many copies."""
    from PIL import Image as PILImage

    deep = image.mode.startswith("I") or image.mode == "F"  # 16 bits and more: scaled, where convert() would clip
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
    """Whether what is drawn on a transparent ground is so dark that nothing would be seen of it on black."""
    least, most = 255, 0
    for band in bands:
        pixels = np.asarray(image.crop(band).convert("RGBA"))
        opacity = pixels[:, :, 3].astype(np.uint16)
        least, most = min(least, int(opacity.min())), max(most, int(opacity.max()))
        if (pixels[:, :, :3].max(axis=2) * opacity > _HARDLY_SEEN * 255).any():
            return False
    return least < most  # else it is as dark, or as transparent, all over


def _finite(image: Image) -> np.ndarray:
    """The numbers of a deep picture; what is none, or has no end, is black."""
    return np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)


def _bands(image: Image) -> list[tuple[int, int, int, int]]:
    """The picture cut into stretches of rows: left, top, right, bottom of each."""
    width, height = image.size
    rows = max(1, _BAND // max(width, 1))
    return [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]


def read_picture(path: Path, shape: Shape, fit: Fit = "squash") -> UInt8[np.ndarray, "channels height width"]:
    """Pixels of the picture file at `path`; see `decode`.

    Raises:
        DataError: missing, unreadable, no regular file, too large, or as `decode`.
    """
    return decode(content_of(path), shape, str(path), fit)


def content_of(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: missing, unreadable, no regular file, or too large.
    """
    try:
        with files.regular(path, LARGEST_FILE) as (file, size):
            return file.read(size)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.", hint="Check the path.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).", hint="Name a picture file.") from error


def as_pixels(picture: Any, shape: Shape, fit: Fit = "squash") -> UInt8[np.ndarray, "channels height width"]:
    """Pixels of a path, a PIL image, bytes, or a uint8 array `(h, w)`, `(c, h, w)` or of that many values.

    Raises:
        DataError: none of these, or an array of another size.
    """
    if isinstance(picture, (str, Path)):
        return read_picture(Path(picture), shape, fit)
    if isinstance(picture, bytes):
        return decode(picture, shape, fit=fit)
    if hasattr(picture, "convert"):
        return from_image(picture, shape, fit)
    pixels = np.asarray(picture)
    fitting = {shape, (int(np.prod(shape)),), shape[1:] if shape[0] == 1 else shape}
    if pixels.dtype != np.uint8 or pixels.shape not in fitting:
        raise DataError(
            f"The picture is {pixels.dtype} {pixels.shape}, and {shape} uint8 is needed.",
            hint="Give a path or a PIL image to have it resized; channels come first: array.transpose(2, 0, 1).",
        )
    return pixels.reshape(shape)
