"""Large JPEG files decoded at a half, a quarter or an eighth of their resolution, where the result is far smaller.

The decoder then leaves out the frequencies that the smaller picture does not show (the scaled inverse cosine transform
of libjpeg). The pixels differ a little from those of the whole picture resized, so this is a way to fit that is asked
for by its own name, "letterbox-fast", which recipes, model files, stores and caches record.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .fit import FAST, Box, Fit, way_of
from .orientation import is_sideways, mirrored_sides

if TYPE_CHECKING:
    from PIL.Image import Image

# What is decoded has at least so many times the result's size, so that resizing still averages over several pixels. Of
# 1,600x1200 to 64x48, pixels then differ by 0.3 of 255 on average, and by 4 at most.
TIMES = 3


def at_lower_resolution(image: Image, width: int, height: int, fit: Fit) -> Box | None:
    """Let an open picture be decoded at a lower resolution, if the fit asks for that and it is a large JPEG.

    Args:
        image: A picture that is not decoded yet.
        width: The width of the result, in pixels.
        height: Its height.
        fit: How the picture is fitted.

    Returns:
        Where the picture lies in what will be decoded, turned as it is displayed: its edge may cut pixels. None if it
        is decoded as it is.
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
    _, (_, _, whole_w, whole_h) = drafted
    decoded_w, decoded_h = image.size
    if sideways:
        whole_w, whole_h, decoded_w, decoded_h = whole_h, whole_w, decoded_h, decoded_w
    mirrored_w, mirrored_h = mirrored_sides(image)  # then the edge that cuts pixels comes first
    left, top = decoded_w - whole_w if mirrored_w else 0.0, decoded_h - whole_h if mirrored_h else 0.0
    return left, top, left + whole_w, top + whole_h
