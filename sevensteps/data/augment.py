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
    both = torch.cat([pixels, pixels.flip(3)])
    return both.index_select(0, torch.arange(len(pixels)) + len(pixels) * chosen)  # a third of the time of torch.where


def shift(
    pixels: UInt8[Tensor, "batch channels height width"], generator: torch.Generator, by: int = 2
) -> UInt8[Tensor, "batch channels height width"]:
    """Move each picture by up to `by` pixels each way, filling with black."""
    batch, channels, height, width = pixels.shape
    rows, columns = torch.randint(0, 2 * by + 1, (2, batch), generator=generator)[:, :, None, None]
    padded = F.pad(pixels, (by, by, by, by))
    high, wide = height + 2 * by, width + 2 * by
    # Every run of `width` bytes, wherever it begins, is a row of this view: one lookup moves all lines of all pictures.
    runs = padded.as_strided((padded.numel() - width + 1, width), (1, 1))
    planes = torch.arange(batch * channels).view(batch, channels, 1)
    starts = (planes * high + rows + torch.arange(height)) * wide + columns
    return runs.index_select(0, starts.flatten()).view(pixels.shape)


def flip_and_shift(
    pixels: UInt8[Tensor, "batch channels height width"], generator: torch.Generator
) -> UInt8[Tensor, "batch channels height width"]:
    """Flip, then shift by up to two pixels."""
    return shift(flip(pixels, generator), generator)


AUGMENTATIONS = {"flip": flip, "shift": shift, "flip+shift": flip_and_shift}
