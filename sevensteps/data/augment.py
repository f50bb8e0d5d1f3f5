"""Augmentation of whole uint8 batches: each function is drawn from the generator it is given and nothing else."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F


def flip(
    pixels: UInt8[Tensor, "batch channels height width"], generator: torch.Generator
) -> UInt8[Tensor, "batch channels height width"]:
    """Mirror half of the pictures, drawn at random, left to right."""
    chosen = torch.rand(len(pixels), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], pixels.flip(3), pixels)


def shift(
    pixels: UInt8[Tensor, "batch channels height width"], generator: torch.Generator, by: int = 2
) -> UInt8[Tensor, "batch channels height width"]:
    """Move each picture by up to `by` pixels each way, filling with black."""
    batch, _, height, width = pixels.shape
    rows, columns = torch.randint(0, 2 * by + 1, (2, batch), generator=generator)
    padded = F.pad(pixels, (by, by, by, by))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (b, c, row, column, height, width)
    return windows[torch.arange(batch), :, rows, columns]


def flip_and_shift(
    pixels: UInt8[Tensor, "batch channels height width"], generator: torch.Generator
) -> UInt8[Tensor, "batch channels height width"]:
    """Flip, then shift by up to two pixels."""
    return shift(flip(pixels, generator), generator)


AUGMENTATIONS = {"flip": flip, "shift": shift, "flip+shift": flip_and_shift}
