"""Fit: how a picture gets another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image

Fit = Literal["letterbox", "squash", "crop", "letterbox-fast", "squash-fast", "crop-fast"]


FITS: tuple[Fit, ...] = ("letterbox", "squash", "crop", "letterbox-fast", "squash-fast", "crop-fast")


FAST = "-fast"  # how a fit ends that decodes large JPEG files at a lower resolution: see `lower_resolution`


Interpolation = Literal["bilinear", "bicubic"]


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
    whole: tuple[float, float] | None = None,
) -> Image:
    """Return the picture in another size.

    Args:
        image: A grey or RGB picture.
        width: Its new width, in pixels.
        height: Its new height, in pixels.
        fit: What to do where the proportions differ: "letterbox" keeps the whole picture and pads it with black, "crop"
            fills the frame and cuts the same amount off both ends of the longer side, "squash" stretches it.
        interpolation: How new pixels are computed, with antialiasing.
        whole: Width and height of the picture, where it does not fill the last pixels; as the image has them if None.

    Returns:
        A picture of `width` x `height` pixels.
    """
    from PIL import Image as PILImage

    before_w, before_h = whole or image.size
    resized = PILImage.Resampling[interpolation.upper()]
    box = (0.0, 0.0, float(before_w), float(before_h))
    if way_of(fit) == "letterbox":
        scale = min(width / before_w, height / before_h)
        size = max(1, round(before_w * scale)), max(1, round(before_h * scale))
        framed = PILImage.new(image.mode, (width, height))
        framed.paste(image.resize(size, resized, box=box), ((width - size[0]) // 2, (height - size[1]) // 2))
        return framed
    if way_of(fit) == "crop":
        scale = max(width / before_w, height / before_h)
        left, top = (before_w - width / scale) / 2, (before_h - height / scale) / 2
        box = (max(left, 0.0), max(top, 0.0), min(before_w - left, before_w), min(before_h - top, before_h))
    return image.resize((width, height), resized, box=box)
