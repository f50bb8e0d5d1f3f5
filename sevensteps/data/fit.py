"""Fit: how a picture gets another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

Fit = Literal["letterbox", "squash", "crop", "letterbox-fast", "squash-fast", "crop-fast"]


FITS: tuple[Fit, ...] = ("letterbox", "squash", "crop", "letterbox-fast", "squash-fast", "crop-fast")


FAST = "-fast"  # how a fit ends that decodes large JPEG files at a lower resolution: see `lower_resolution`


Interpolation = Literal["bilinear", "bicubic"]


Box = tuple[float, float, float, float]  # left, top, right and bottom, in pixels


def way_of(fit: Fit) -> str:
    """Return what a fit does where the proportions differ: "letterbox", "squash" or "crop".

    Args:
        fit: How a picture is fitted.
    """
    return fit.removesuffix(FAST)


def fitted(
    image: Image,
    width: int,
    height: int,
    fit: Fit,
    interpolation: Interpolation = "bilinear",
    whole: Box | None = None,
) -> Image:
    """Return the picture in another size.

    Args:
        image: A grey or RGB picture.
        width: Its new width, in pixels.
        height: Its new height, in pixels.
        fit: What to do where the proportions differ: "letterbox" keeps the whole picture and pads it with black, "crop"
            fills the frame and cuts the same amount off both ends of the longer side, "squash" stretches it.
        interpolation: How new pixels are computed, with antialiasing.
        whole: Where the picture lies in the image, if it does not fill the pixels at the edge.

    Returns:
        A picture of `width` x `height` pixels.
    """
    from PIL import Image as PILImage

    box = whole or (0.0, 0.0, float(image.width), float(image.height))
    begin_x, begin_y, end_x, end_y = box
    before_w, before_h = end_x - begin_x, end_y - begin_y
    resized = PILImage.Resampling[interpolation.upper()]
    if way_of(fit) == "letterbox":
        scale = min(width / before_w, height / before_h)
        size = max(1, round(before_w * scale)), max(1, round(before_h * scale))
        framed = PILImage.new(image.mode, (width, height))
        framed.paste(image.resize(size, resized, box=box), ((width - size[0]) // 2, (height - size[1]) // 2))
        return framed
    if way_of(fit) == "crop":
        scale = max(width / before_w, height / before_h)
        left, top = max((before_w - width / scale) / 2, 0.0), max((before_h - height / scale) / 2, 0.0)
        box = begin_x + left, begin_y + top, end_x - left, end_y - top
    return image.resize((width, height), resized, box=box)
