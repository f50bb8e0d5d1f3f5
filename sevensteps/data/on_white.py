"""Pictures on a white ground, for networks that were trained on photographs: transparent pixels become white."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from .decode import Shape, as_pixels, opened, upright
from .eight_bits import array_in_bytes, depth_of, meaning_of
from .file_bytes import file_in
from .fit import Fit, Interpolation, fitted
from .value_range import Range

if TYPE_CHECKING:
    from PIL.Image import Image


def decode_on_white(
    content: bytes,
    shape: Shape,
    name: str = "The picture",
    fit: Fit = "squash",
    range: Range | None = None,
    interpolation: Interpolation = "bilinear",
) -> UInt8[np.ndarray, "channels height width"]:
    """Return what `decode` returns, with white instead of black where a picture is transparent.

    Args:
        content: The bytes of the file.
        shape: Channels, height and width of the result.
        name: The name by which errors call the picture.
        fit: How a picture of another size is fitted.
        range: The values of black and white.
        interpolation: How new pixels are computed.

    Raises:
        DataError: As `decode`.
    """
    with opened(content, name) as image:
        return _pixels(image, shape, fit, range, interpolation)


def pixels_on_white(
    picture: Any,
    shape: Shape,
    fit: Fit = "squash",
    range: Range | None = None,
    interpolation: Interpolation = "bilinear",
) -> UInt8[np.ndarray, "channels height width"]:
    """Return what `as_pixels` returns, with white instead of black where a picture is transparent.

    Args:
        picture: As for `as_pixels`.
        shape: Channels, height and width of the result.
        fit: How a picture of another size is fitted.
        range: The values of black and white.
        interpolation: How new pixels are computed.

    Raises:
        DataError: As `as_pixels`.
    """
    if file := file_in(picture):
        return decode_on_white(file[0], shape, file[1], fit, range, interpolation)
    picture = _with_channels_last(picture, shape)
    if hasattr(picture, "convert"):
        return _pixels(picture, shape, fit, range, interpolation)
    return as_pixels(picture, shape, fit, range)


def _pixels(
    image: Image, shape: Shape, fit: Fit, range: Range | None, interpolation: Interpolation
) -> UInt8[np.ndarray, "3 height width"]:
    """Return the pixels of an open picture."""
    _, height, width = shape
    image = upright(_on_white(image), "RGB", range)
    if image.size != (width, height):
        image = fitted(image, width, height, fit, interpolation)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def whole_on_white(picture: Any, range: Range | None = None) -> Image:
    """Return a picture in its own size, as `pixels_on_white` fits it to the shape: upright, in color, 8 bits, on white.

    Values of 8 bits are as in the file; values of more bits are scaled by the range.

    Args:
        picture: As for `as_pixels`; an array whose channels come first is as wide as it is high.
        range: The values of black and white.

    Raises:
        DataError: As `as_pixels`.
    """
    from PIL import Image as PILImage

    if file := file_in(picture):
        with opened(*file) as image:
            return _whole(image, range)
    if not hasattr(picture, "convert"):
        picture = array_in_bytes(picture)
        side = math.isqrt(np.asarray(picture).size // 3)
        shape = (3, side, side)
        picture = _with_channels_last(picture, shape)
    if hasattr(picture, "convert"):
        return _whole(picture, range)
    return PILImage.fromarray(np.ascontiguousarray(as_pixels(picture, shape).transpose(1, 2, 0)))


def _with_channels_last(picture: Any, shape: Shape) -> Any:
    """Return an array as a PIL picture if it has another shape than this, and anything else as it is."""
    from PIL import Image as PILImage

    if hasattr(picture, "convert"):
        return picture
    pixels = np.asarray(picture := array_in_bytes(picture))
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape == shape or not pixels.size:
        return picture
    if pixels.shape[2] not in (1, 3, 4):
        pixels = pixels.transpose(1, 2, 0)  # channels first, as `Images` holds pictures
    if pixels.shape[2] not in (1, 3, 4):
        return picture
    return PILImage.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))


def _whole(image: Image, range: Range | None) -> Image:
    """Return an open picture in its own size, on white, without what the file says of it: it is turned already."""
    from PIL import Image as PILImage

    return PILImage.fromarray(
        np.asarray(upright(_on_white(image), "RGB", None if depth_of(image) == "bytes" else range))
    )


def _on_white(image: Image) -> Image:
    """Return a picture without transparency; one of more than 8 bits stays as it is."""
    from PIL import Image as PILImage

    if depth_of(image) != "bytes" or not image.has_transparency_data:
        return image
    clear = meaning_of(image).clear
    image.load()
    if clear is not None:
        image.info["transparency"] = clear
    opaque = image.convert("RGBA")
    white = PILImage.new("RGBA", image.size, (255, 255, 255, 255))
    white.alpha_composite(opaque)
    done = white.convert("RGB")
    done.info = {key: value for key, value in image.info.items() if key != "transparency"}  # how it is turned
    return done
