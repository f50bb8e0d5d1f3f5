"""Arrays as pictures without a drawing library: small PNG files for a page, colored half blocks for a terminal.

A picture is what the model was given: `(c, h, w)`, uint8 or floats in [0, 1]. A map has a sign: evidence for
something is blue and evidence against it red, on one scale from zero.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image

LARGEST = 64  # pixels a side in the report: a hundred pictures of noise in color then stay under 2 MB


MOST_CHANNELS = 64  # of a picture; a layer of a pretrained network has more


SHADES = " .:-=+*#%@"


SIGNS = "=- +#"  # strongly against, against, neither, for, strongly for


# Matplotlib's RdBu at its ends and quarters, as in `show.figures.weights`.
_RED_TO_BLUE = np.array([[103, 0, 31], [214, 96, 77], [247, 247, 247], [67, 147, 195], [5, 48, 97]], dtype=float)


Colors = UInt8[np.ndarray, "h w 3"]


def colors_of(picture: Shaped[np.ndarray, "channels height width"], side: int = LARGEST) -> Colors:
    """The picture in color, at most `side` pixels large; of other than three channels the mean."""
    numbers = np.nan_to_num(picture / 255 if picture.dtype == np.uint8 else np.asarray(picture, dtype=float))
    low, high = min(float(numbers.min(initial=0.0)), 0.0), max(float(numbers.max(initial=1.0)), 1.0)
    numbers = (numbers - low) / (high - low)
    if len(numbers) != 3:
        numbers = np.repeat(numbers.mean(0, keepdims=True), 3, axis=0)
    found: np.ndarray = np.rint(255 * _fitted(numbers, side)).astype(np.uint8).transpose(1, 2, 0)
    return found


def colors_of_map(numbers: Float[np.ndarray, "height width"], most: float | None = None, side: int = LARGEST) -> Colors:
    """A map of signed numbers in color; `most` is what the darkest color stands for, the largest unless given."""
    share = _share(numbers, most, side)
    places = 2 * (share + 1)
    bands = [np.interp(places, range(5), _RED_TO_BLUE[:, band]) for band in range(3)]
    found: np.ndarray = np.rint(np.stack(bands, axis=-1)).astype(np.uint8)
    return found


def shades_of(picture: Shaped[np.ndarray, "c h w"], side: int) -> list[str]:
    """The picture in plain characters, two for each pixel; the brighter a pixel, the more ink."""
    gray = colors_of(picture, side).mean(2) / 255
    places = np.minimum((gray * len(SHADES)).astype(int), len(SHADES) - 1)
    return ["".join(2 * SHADES[place] for place in row).rstrip() for row in places.tolist()]


def signs_of(numbers: Float[np.ndarray, "h w"], side: int, most: float | None = None) -> list[str]:
    """A map in plain characters, two for each number: `#` and `+` are evidence for it, `=` and `-` against it."""
    share = _share(numbers, most, side)
    rows = np.digitize(share, [-0.5, -0.1, 0.1, 0.5]).tolist()
    return ["".join(2 * SIGNS[place] for place in row).rstrip() for row in rows]


def data_uri(colors: Colors) -> str:
    """The picture as a PNG file inside a link: the same bytes for the same picture."""
    gray = bool((colors == colors[:, :, :1]).all())
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colors[:, :, 0] if gray else colors)).save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def as_picture(pixels: np.ndarray) -> Shaped[np.ndarray, "c h w"] | None:
    """Pixels in the shape of a picture, also where they are a row of a square one; None where they are none."""
    if pixels.ndim == 3:
        is_features = len(pixels) > 4 and (pixels.shape[1:] == (1, 1) or len(pixels) > MOST_CHANNELS)
        return None if is_features else pixels
    for channels in (1, 3) if pixels.ndim == 1 else ():
        side = math.isqrt(pixels.size // channels)
        if channels * side * side == pixels.size:
            return pixels.reshape(channels, side, side)
    return None


def weight_maps(
    parameters: Mapping[str, np.ndarray], shape: tuple[int, int, int], most: int = 16
) -> tuple[str, Float[np.ndarray, "n h w"]] | None:
    """The weights of the layer that sees the pixels as maps, and that parameter's name: the first `most` of them.

    Of pictures in color the sum over the channels: what a brighter gray pixel does. None where no layer's weights are
    as large as a picture, or are filters.
    """
    for name, weights in parameters.items():
        if weights.ndim == 2 and weights.shape[1] == math.prod(shape):
            maps = weights[:most].reshape(-1, *shape)
        elif weights.ndim == 4 and weights.shape[1] == shape[0]:
            maps = weights[:most]
        else:
            continue
        return name, np.nan_to_num(maps.astype(float)).sum(1)
    return None


def _share(numbers: Float[np.ndarray, "h w"], most: float | None, side: int) -> Float[np.ndarray, "rows columns"]:
    numbers = np.nan_to_num(np.asarray(numbers, dtype=float))
    most = most or float(np.abs(numbers).max(initial=0.0)) or 1.0
    share: np.ndarray = np.clip(_fitted(numbers[None] / most, side)[0], -1, 1)
    return share


def _fitted(numbers: Float[np.ndarray, "c h w"], side: int) -> Float[np.ndarray, "c rows columns"]:
    """Means over blocks, so that neither side is larger than `side`."""
    block = max(math.ceil(max(numbers.shape[1:]) / side), 1)
    if block == 1:
        return numbers
    for axis in (1, 2):
        starts = np.arange(0, numbers.shape[axis], block)
        widths = np.diff([*starts, numbers.shape[axis]])
        shape = [1, 1, 1]
        shape[axis] = len(widths)
        numbers = np.add.reduceat(numbers, starts, axis=axis) / widths.reshape(shape)
    return numbers
