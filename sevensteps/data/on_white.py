"""Pictures on a white ground, for networks that were trained on photographs: transparent pixels become white."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from .decode import Shape, as_pixels, content_in, content_of, from_image, opened
from .eight_bits import depth_of
from .fit import Fit
from .value_range import Range

if TYPE_CHECKING:
    from PIL.Image import Image


def decode_on_white(
    content: bytes, shape: Shape, name: str = "the picture", fit: Fit = "squash", range: Range | None = None
) -> UInt8[np.ndarray, "channels height width"]:
    """Return what `decode` returns, with white instead of black where a picture is transparent.

    Args:
        content: The bytes of the file.
        shape: Channels, height and width of the result.
        name: The name by which errors call the picture.
        fit: How a picture of another size is fitted.
        range: The values of black and white.

    Raises:
        DataError: As `decode`.
    """
    with opened(content, name) as image:
        return from_image(_on_white(image), shape, fit, range)


def pixels_on_white(
    picture: Any, shape: Shape, fit: Fit = "squash", range: Range | None = None
) -> UInt8[np.ndarray, "channels height width"]:
    """Return what `as_pixels` returns, with white instead of black where a picture is transparent.

    Args:
        picture: As for `as_pixels`.
        shape: Channels, height and width of the result.
        fit: How a picture of another size is fitted.
        range: The values of black and white.

    Raises:
        DataError: As `as_pixels`.
    """
    if isinstance(picture, (str, Path)):
        return decode_on_white(content_of(Path(picture)), shape, str(picture), fit, range)
    if hasattr(picture, "read"):
        picture = content_in(picture)
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return decode_on_white(bytes(picture), shape, fit=fit, range=range)
    if hasattr(picture, "convert"):
        return from_image(_on_white(picture), shape, fit, range)
    return as_pixels(picture, shape, fit, range)


def _on_white(image: Image) -> Image:
    """Return a picture without transparency; one of more than 8 bits stays as it is."""
    from PIL import Image as PILImage

    if depth_of(image) != "bytes" or not image.has_transparency_data:
        return image
    opaque = image.convert("RGBA")
    white = PILImage.new("RGBA", image.size, (255, 255, 255, 255))
    white.alpha_composite(opaque)
    done = white.convert("RGB")
    done.info = {key: value for key, value in image.info.items() if key != "transparency"}  # how it is turned
    return done
