"""Large JPEG files decoded at a half, a quarter or an eighth of their resolution, where the result is far smaller.

The decoder then leaves out the frequencies that the smaller picture does not show (the scaled inverse cosine transform
of libjpeg). The pixels differ a little from those of the whole picture resized, so this is a way to fit that is asked
for by its own name, "letterbox-fast", which recipes, model files, stores and caches record.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .fit import FAST, Fit, way_of
from .orientation import is_sideways

if TYPE_CHECKING:
    from PIL.Image import Image

# What is decoded has at least so many times the result's size, so that resizing still averages over several pixels. Of
# 1,600x1200 to 64x48, pixels then differ by 0.3 of 255 on average, and by 4 at most.
TIMES = 3


def at_lower_resolution(image: Image, width: int, height: int, fit: Fit) -> tuple[float, float] | None:
    """Let an open picture be decoded at a lower resolution, if the fit asks for that and it is a large JPEG.

    Args:
        image: A picture that is not decoded yet.
        width: The width of the result, in pixels.
        height: Its height.
        fit: How the picture is fitted.

    Returns:
        Width and height of the picture as it will be decoded and displayed, where they need not be whole pixels; None
        if it is decoded as it is.
    """
    if not fit.endswith(FAST) or image.format not in ("JPEG", "MPO"):
        return None
    sideways = is_sideways(image)
    before_w, before_h = image.size[::-1] if sideways else image.size
    scale_w, scale_h = width / before_w, height / before_h
    if way_of(fit) != "squash":
        scale_w = scale_h = (min if way_of(fit) == "letterbox" else max)(scale_w, scale_h)
    needed = math.ceil(TIMES * before_w * scale_w), math.ceil(TIMES * before_h * scale_h)
    drafted = image.draft(None, needed[::-1] if sideways else needed)
    if drafted is None:
        return None
    _, (_, _, decoded_w, decoded_h) = drafted
    return (decoded_h, decoded_w) if sideways else (decoded_w, decoded_h)
