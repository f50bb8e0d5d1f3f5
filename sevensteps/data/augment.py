"""Augment whole uint8 batches: each function draws random numbers only from the generator that it is given.

`augmentation("flip+shift")` combines several into one function. How strong each is: see `augment_names`.
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


# Maps a place in the new picture to one in the old picture, in pixels from the middle.
Matrices = Float[Tensor, "batch 3 3"]


Warp = Callable[[Pixels, torch.Generator], Matrices]


def augmentation(names: str) -> Augment | None:
    """Return several augmentations as one function.

    Crop, rotation and scale share one sampling, so that a picture is blurred only once. Mixup is not included, because
    it changes labels too.

    Args:
        names: Names or presets of `augment_names`, joined with `+`.

    Returns:
        A function from a uint8 batch and a generator to a uint8 batch; None if nothing changes pixels alone.

    Raises:
        UsageError: A name is not valid.
    """
    steps: list[Augment] = []
    chosen = [name for name in in_order(names) if name in AUGMENTATIONS]
    warps = [name for name in chosen if name in WARPS]
    for name in chosen:
        if name not in warps:
            steps.append(AUGMENTATIONS[name])
        elif name == warps[0]:
            steps.append(functools.partial(warped, [WARPS[warp_name] for warp_name in warps]))
    return functools.partial(_one_after_the_other, steps) if len(steps) > 1 else next(iter(steps), None)


def _one_after_the_other(steps: Sequence[Augment], pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Apply the steps in their order."""
    for step in steps:
        pixels = step(pixels, generator)
    return pixels


def flip(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Mirror a random half of the pictures left to right.

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        A new batch.
    """
    return _turned(pixels, 3, generator)


def flip_vertical(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Turn a random half of the pictures upside down.

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        A new batch.
    """
    return _turned(pixels, 2, generator)


def _turned(pixels: Pixels, axis: int, generator: torch.Generator) -> Pixels:
    """Reverse an axis of a random half of the pictures."""
    chosen = torch.rand(len(pixels), generator=generator) < 0.5
    both = torch.cat([pixels, pixels.flip(axis)])
    return both.index_select(0, torch.arange(len(pixels)) + len(pixels) * chosen)  # three times as fast as torch.where


def shift(pixels: Pixels, generator: torch.Generator, by: int | None = None) -> Pixels:
    """Move each picture at random, and fill with black.

    Args:
        pixels: A batch.
        generator: The source of random numbers.
        by: The largest move in each direction, in pixels; by default a share of the shorter side.

    Returns:
        A new batch.
    """
    batch, channels, height, width = pixels.shape
    by = pixels_shifted(height, width) if by is None else by
    rows, columns = torch.randint(0, 2 * by + 1, (2, batch), generator=generator)[:, :, None, None]
    padded = F.pad(pixels, (by, by, by, by))
    high, wide = height + 2 * by, width + 2 * by
    # Every run of `width` bytes, wherever it begins, is a row of this view, so one lookup moves every row of pixels.
    runs = padded.as_strided((padded.numel() - width + 1, width), (1, 1))
    planes = torch.arange(batch * channels).view(batch, channels, 1)
    starts = (planes * high + rows + torch.arange(height)) * wide + columns
    return runs.index_select(0, starts.flatten()).view(pixels.shape)


def crop(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Enlarge a random part of each picture to the size of the whole.

    Szegedy et al., "Going deeper with convolutions" (2015); torchvision calls it RandomResizedCrop.

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        A new batch.
    """
    return warped([crops], pixels, generator)


def rotate(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Rotate each picture about its middle, and fill with black.

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        A new batch.
    """
    return warped([rotations], pixels, generator)


def scale(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Zoom each picture in or out, and fill with black.

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        A new batch.
    """
    return warped([scales], pixels, generator)


def crops(pixels: Pixels, generator: torch.Generator) -> Matrices:
    """Draw the parts for `crop`: the area uniformly, and the ratio of the sides uniformly on a logarithmic scale.

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        One matrix for each picture.
    """
    batch, _, height, width = pixels.shape
    area, ratio, down, right = torch.rand((4, batch), generator=generator)
    area = LEAST_AREA + (1 - LEAST_AREA) * area
    ratio = torch.exp((2 * ratio - 1) * -math.log(LEAST_RATIO))
    # As shares of each side; a part that would be longer than the picture is cut to its length.
    wide, high = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    matrices = _identities(batch)
    matrices[:, 0, 0], matrices[:, 0, 2] = wide, (2 * right - 1) * (1 - wide) * width / 2
    matrices[:, 1, 1], matrices[:, 1, 2] = high, (2 * down - 1) * (1 - high) * height / 2
    return matrices


def rotations(pixels: Pixels, generator: torch.Generator) -> Matrices:
    """Draw the angles for `rotate`, uniformly.

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        One matrix for each picture.
    """
    angles = (2 * torch.rand(len(pixels), generator=generator) - 1) * math.radians(DEGREES)
    matrices = _identities(len(pixels))
    matrices[:, 0, 0] = matrices[:, 1, 1] = torch.cos(angles)
    matrices[:, 1, 0] = torch.sin(angles)
    matrices[:, 0, 1] = -matrices[:, 1, 0]
    return matrices


def scales(pixels: Pixels, generator: torch.Generator) -> Matrices:
    """Draw the factors for `scale`, uniformly.

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        One matrix for each picture.
    """
    factors = 1 + ZOOM * (2 * torch.rand(len(pixels), generator=generator) - 1)
    matrices = _identities(len(pixels))
    matrices[:, 0, 0] = matrices[:, 1, 1] = 1 / factors
    return matrices


def _identities(batch: int) -> Matrices:
    """Return one matrix that changes nothing for each picture."""
    return torch.eye(3).repeat(batch, 1, 1)


def warped(warps: Sequence[Warp], pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Apply several warps in one bilinear sampling.

    Args:
        warps: Functions that draw matrices, in the order in which they apply.
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        A new batch.
    """
    return warp(pixels, functools.reduce(torch.matmul, [draw(pixels, generator) for draw in warps]))


def warp(pixels: Pixels, matrices: Matrices) -> Pixels:
    """Sample each picture at the places that its matrix gives.

    A place between four pixels gets their weighted mean, and one outside the picture is black. As in Pillow's
    `Image.transform`, the outermost pixels extend from their middle to the edge of the picture.

    Args:
        pixels: A batch.
        matrices: One matrix for each picture, from a place in the new picture to one in the old.

    Returns:
        A new batch.
    """
    batch, _, height, width = pixels.shape
    grid = torch.empty((batch, height, width, 2))  # what F.affine_grid returns, five times as fast
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
    """Multiply the pixels of each picture by a random factor.

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        A new batch.
    """
    return _bytes(pixels * _light(pixels, generator))


def contrast(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Move the pixels of each picture away from its mean luminance or toward it (ITU-R BT.601, as in Pillow).

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        A new batch.
    """
    factors = _light(pixels, generator)
    means = pixels.float().mean((2, 3))
    if pixels.shape[1] == 3:
        means = means * torch.tensor([0.299, 0.587, 0.114]) * 3
    means = means.mean(1)[:, None, None, None]
    return _bytes(pixels * factors + means * (1 - factors))


def _light(pixels: Pixels, generator: torch.Generator) -> Float[Tensor, "batch 1 1 1"]:
    """Draw a factor around 1 for each picture."""
    return 1 + LIGHT * (2 * torch.rand((len(pixels), 1, 1, 1), generator=generator) - 1)


def _bytes(values: Float[Tensor, "batch channels height width"]) -> Pixels:
    """Round values to bytes, in place where possible."""
    return values.clamp_(0, 255).round_().to(torch.uint8)


def cutout(pixels: Pixels, generator: torch.Generator) -> Pixels:
    """Hide a square of each picture.

    The middle of the square can be anywhere in the picture, so part of the square may lie outside (DeVries and Taylor,
    "Improved regularization of convolutional neural networks with cutout", 2017).

    Args:
        pixels: A batch.
        generator: The source of random numbers.

    Returns:
        A new batch.
    """
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
    """Mix each picture with another of its batch, and return the share of each class as the target.

    The share is drawn from Beta(1/2, 1/2), and each picture keeps the larger part of itself. (Zhang et al., "mixup:
    Beyond empirical risk minimization", 2018, draw from Beta(1/5, 1/5) to Beta(1, 1).)

    Args:
        pixels: A batch.
        labels: Its labels.
        classes: The number of classes.
        generator: The source of random numbers.

    Returns:
        The mixed pictures and their targets: for two classes the share of the second, `(batch,)`, otherwise the share
        of each class, `(batch, classes)`.
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
