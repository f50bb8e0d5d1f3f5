"""The one function that turns a file's bytes into pixels, for training, prediction and all else."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from ..errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
MOST_PIXELS = 100_000_000  # read from the header, before anything is decoded
Shape = tuple[int, int, int]  # channels, height, width


def decode(content: bytes, shape: Shape, name: str = "the picture") -> UInt8[np.ndarray, "channels height width"]:
    """Pixels of a picture file, in the shape that a model takes.

    The first frame, turned as its EXIF orientation says, transparency on black, grey or RGB as the channels ask, and
    squashed to height and width where it has another size (bilinear, with antialiasing).

    Raises:
        DataError: not a picture of a known format, damaged, or of too many pixels.
    """
    from PIL import Image as PILImage
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about metadata that has no bearing on the pixels
            with PILImage.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise PILImage.DecompressionBombError(f"{width:,} x {height:,} pixels")
                return from_image(image, shape)
    except PILImage.DecompressionBombError as error:  # Pillow's own, of twice as many, says the like
        raise DataError(f"{name} has more than {MOST_PIXELS:,} pixels: {error}", hint="Make it smaller.") from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name} is not a picture in a known format.", hint=f"Known formats: {', '.join(FORMATS)}."
        ) from error
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise whatever their format's parsing runs into
        raise DataError(f"{name} is damaged: {error}", hint="Copy or export the picture again.") from error


def from_image(image: Image, shape: Shape) -> UInt8[np.ndarray, "channels height width"]:
    """The same from an open PIL image.

    Raises:
        DataError: a model of neither one nor three channels.
    """
    from PIL import Image as PILImage
    from PIL import ImageOps

    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"A picture has 1 or 3 channels, and {channels} are asked for.", hint="Give an array instead.")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more: scaled, where convert() would clip
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
        largest = 65535 if image.mode.startswith("I") else max(float(values.max()), 1.0)
        image = PILImage.fromarray(np.clip(values * (255 / largest), 0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = PILImage.alpha_composite(PILImage.new("RGBA", image.size, (0, 0, 0, 255)), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), PILImage.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))


def read_picture(path: Path, shape: Shape) -> UInt8[np.ndarray, "channels height width"]:
    """Pixels of the picture file at `path`.

    Raises:
        DataError: missing, unreadable, or as `decode`.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.", hint="Check the path.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).", hint="Name a picture file.") from error
    return decode(content, shape, str(path))


def as_pixels(picture: Any, shape: Shape) -> UInt8[np.ndarray, "channels height width"]:
    """Pixels of a path, a PIL image, bytes, or a uint8 array `(h, w)`, `(c, h, w)` or of that many values.

    Raises:
        DataError: none of these, or an array of another size.
    """
    if isinstance(picture, (str, Path)):
        return read_picture(Path(picture), shape)
    if isinstance(picture, bytes):
        return decode(picture, shape)
    if hasattr(picture, "convert"):
        return from_image(picture, shape)
    pixels = np.asarray(picture)
    fitting = {shape, (int(np.prod(shape)),), shape[1:] if shape[0] == 1 else shape}
    if pixels.dtype != np.uint8 or pixels.shape not in fitting:
        raise DataError(
            f"The picture is {pixels.dtype} {pixels.shape}, and {shape} uint8 is needed.",
            hint="Give a path or a PIL image to have it resized; channels come first: array.transpose(2, 0, 1).",
        )
    return pixels.reshape(shape)
