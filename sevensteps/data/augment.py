"""Augmentation of whole uint8 batches: each function is drawn from the generator it is given and nothing else.

`augmentation("flip+shift")` makes one function of several. How strong each is stands in `presets`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from .augment_names import DEGREES, HOLE, LEAST_AREA, LEAST_RATIO, LIGHT, ZOOM, in_order, pixels_shifted

Augment = Callable[[Tensor, torch.Generator], Tensor]


Pixels = UInt8[Tensor, "batch channels height width"]


Matrices = Float[Tensor, "batch 3 3"]  # from a place in the new picture to one in the old, in pixels from the middle


Warp = Callable[[Pixels, torch.Generator], Matrices]


def augmentation(names: str) -> Augment | None:
    """All of these, joined with `+`, as one function of a batch and a generator; None for "none".

    Crop, rotation and scale are one sampling, so that a picture is blurred once. Mixup is not a part of it: it changes
    labels, too.

    Raises:
        UsageError: a name that there is not.
    """
    steps: list[Augment] = []
    wanted = [name for name in in_order(names) if name in AUGMENTATIONS]
    warps = [name for name in wanted if name in WARPS]
    for name in wanted:
        if name not in warps:
            steps.append(AUGMENTATIONS[name])
        elif name == warps[0]:
            steps.append(functools.partial(warped, [WARPS[one] for one in warps]))
    return functools.partial(_one_after_the_other, steps) if len(steps) > 1 else next(iter(steps), None)


def _one_after_the_other(steps: Sequence[Augment], pixels: Pixels, generator: torch.Generator) -> Pixels:
    for step in steps:
        pixels = step(pixels, generator)
    return pixels


def flip(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Mirror half of the pictures, drawn at random, left to right."""
    return _turned(pixels, 3, generator)


def flip_vertical(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Turn half of the pictures, drawn at random, upside down."""
    return _turned(pixels, 2, generator)


def _turned(pixels: Pixels, axis: int, generator: torch.Generator) -> Pixels:
    chosen = torch.rand(len(pixels), generator=generator) < 0.5
    both = torch.cat([pixels, pixels.flip(axis)])
    return both.index_select(0, torch.arange(len(pixels)) + len(pixels) * chosen)  # a third of the time of torch.where


def shift(pixels: Pixels, generator: torch.Generator, by: int | None = None) -> Pixels:
    """Move each picture by up to `by` pixels each way (None: a share of its size), filling with black."""
    batch, channels, height, width = pixels.shape
    by = pixels_shifted(height, width) if by is None else by
    rows, columns = torch.randint(0, 2 * by + 1, (2, batch), generator=generator)[:, :, None, None]
    padded = F.pad(pixels, (by, by, by, by))
    high, wide = height + 2 * by, width + 2 * by
    # Every run of `width` bytes, wherever it begins, is a row of this view: one lookup moves all lines of all pictures.
    runs = padded.as_strided((padded.numel() - width + 1, width), (1, 1))
    planes = torch.arange(batch * channels).view(batch, channels, 1)
    starts = (planes * high + rows + torch.arange(height)) * wide + columns
    return runs.index_select(0, starts.flatten()).view(pixels.shape)


def crop(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """A part of each picture, somewhere, made as large as the whole (Szegedy et al., "Going deeper with convolutions",
    2015; torchvision's RandomResizedCrop)."""
    return warped([crops], pixels, generator)


def rotate(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Turn each picture about its middle, filling with black."""
    return warped([rotations], pixels, generator)


def scale(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Make what each picture shows larger or smaller, filling with black."""
    return warped([scales], pixels, generator)


def crops(pixels: Pixels, generator: torch.Generator) -> Matrices:
    """Where the parts are: their area drawn evenly, the ratio of their sides evenly on a logarithmic scale."""
    batch, _, height, width = pixels.shape
    area, ratio, down, right = torch.rand((4, batch), generator=generator)
    area = LEAST_AREA + (1 - LEAST_AREA) * area
    ratio = torch.exp((2 * ratio - 1) * -math.log(LEAST_RATIO))
    # Shares of each side; a part that would be longer than the picture is as long as it.
    wide, high = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    found = _identities(batch)
    found[:, 0, 0], found[:, 0, 2] = wide, (2 * right - 1) * (1 - wide) * width / 2
    found[:, 1, 1], found[:, 1, 2] = high, (2 * down - 1) * (1 - high) * height / 2
    return found


def rotations(pixels: Pixels, generator: torch.Generator) -> Matrices:
    """Turns by angles drawn evenly."""
    angles = (2 * torch.rand(len(pixels), generator=generator) - 1) * math.radians(DEGREES)
    found = _identities(len(pixels))
    found[:, 0, 0] = found[:, 1, 1] = torch.cos(angles)
    found[:, 1, 0] = torch.sin(angles)
    found[:, 0, 1] = -found[:, 1, 0]
    return found


def scales(pixels: Pixels, generator: torch.Generator) -> Matrices:
    """Zooms by factors drawn evenly."""
    factors = 1 + ZOOM * (2 * torch.rand(len(pixels), generator=generator) - 1)
    found = _identities(len(pixels))
    found[:, 0, 0] = found[:, 1, 1] = 1 / factors
    return found


def _identities(batch: int) -> Matrices:
    return torch.eye(3).repeat(batch, 1, 1)


def warped(warps: Sequence[Warp], pixels: Pixels, generator: torch.Generator) -> Pixels:
    """The pictures after these warps, the first first, in one bilinear sampling."""
    return warp(pixels, functools.reduce(torch.matmul, [draw(pixels, generator) for draw in warps]))


def warp(pixels: Pixels, matrices: Matrices) -> Pixels:
    """Each pixel as it is at the place that the matrix says, between four pixels; black outside of the picture.

    As Pillow's `Image.transform` does it, beyond the outermost pixels' middles the picture goes on with these to its
    edge.
    """
    batch, _, height, width = pixels.shape
    grid = torch.empty((batch, height, width, 2))  # as F.affine_grid makes it, in a fifth of the time
    columns, rows = (2 * torch.arange(side) + 1 - side for side in (width, height))
    for axis, side in enumerate((width, height)):
        of_column, of_row, offset = (matrices[:, axis] / side).unbind(1)
        across = of_column[:, None] * columns
        down = of_row[:, None] * rows + 2 * offset[:, None]
        torch.add(across[:, None, :], down[:, :, None], out=grid[..., axis])
    sampled = F.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    inside = (grid[..., 0].abs() <= 1) & (grid[..., 1].abs() <= 1)
    return sampled.mul_(inside[:, None]).round_().to(torch.uint8)


def brightness(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Multiply each picture's pixels by a number of its own."""
    return _bytes(pixels * _light(pixels, generator))


def contrast(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Move each picture's pixels away from its mean luminance, or towards it (ITU-R BT.601, as Pillow has it)."""
    factors = _light(pixels, generator)
    means = pixels.float().mean((2, 3))
    if pixels.shape[1] == 3:
        means = means * torch.tensor([0.299, 0.587, 0.114]) * 3
    means = means.mean(1)[:, None, None, None]
    return _bytes(pixels * factors + means * (1 - factors))


def _light(pixels: Pixels, generator: torch.Generator) -> Float[Tensor, "batch 1 1 1"]:
    return 1 + LIGHT * (2 * torch.rand((len(pixels), 1, 1, 1), generator=generator) - 1)


def _bytes(values: Float[Tensor, "batch channels height width"]) -> Pixels:
    return values.clamp_(0, 255).round_().to(torch.uint8)


def cutout(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Hide a square of each picture; its middle is anywhere in it, so that less than all of the square may hide some
    (DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017)."""
    batch, _, height, width = pixels.shape
    side = max(round(HOLE * min(height, width)), 1)
    down, right = torch.rand((2, batch, 1), generator=generator)
    top, left = (down * height).long() - side // 2, (right * width).long() - side // 2
    rows, columns = torch.arange(height), torch.arange(width)
    hidden_rows = (rows >= top) & (rows < top + side)
    hidden_columns = (columns >= left) & (columns < left + side)
    hidden = hidden_rows[:, None, :, None] & hidden_columns[:, None, None, :]
    return pixels.masked_fill(hidden, 0)


def mixup(
    pixels: Pixels, labels: Int64[Tensor, " batch"], classes: int, generator: torch.Generator
) -> tuple[Pixels, Float[Tensor, " batch"] | Float[Tensor, "batch classes"]]:
    """Mix each picture with another of its batch, and give the share of each class as the target.

    A share is drawn from Beta(1/2, 1/2), and each picture keeps the larger part of itself. Of two classes the target is
    the share of the second, else one number a class. (Zhang et al., "mixup: Beyond empirical risk minimization", 2018,
    who draw from Beta(1/5, 1/5) to Beta(1, 1).)
    """
    other = torch.randperm(len(pixels), generator=generator)
    # The arcsine law is Beta(1/2, 1/2).
    kept = torch.sin(torch.rand(len(pixels), generator=generator) * (math.pi / 2)).square()
    kept = torch.maximum(kept, 1 - kept)
    mixed = torch.lerp(pixels[other].float(), pixels.float(), kept[:, None, None, None])
    if classes == 2:
        return mixed.round_().to(torch.uint8), torch.lerp(labels[other].float(), labels.float(), kept)
    shares = F.one_hot(labels, classes).float()
    return mixed.round_().to(torch.uint8), torch.lerp(shares[other], shares, kept[:, None])


WARPS: dict[str, Warp] = {"crop": crops, "rotate": rotations, "scale": scales}


AUGMENTATIONS: dict[str, Augment] = {
    function.__name__: function
    for function in (flip, flip_vertical, crop, rotate, scale, shift, brightness, contrast, cutout)
}
