"""Augmentation of whole batches, against one picture at a time in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sevensteps.data.augment import AUGMENTATIONS, flip, flip_and_shift, shift


def drawn(seed: int) -> torch.Generator:
    """A generator at the start of its numbers."""
    return torch.Generator().manual_seed(seed)


def noise(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    """Pictures without a symmetry and without black."""
    return torch.from_numpy(np.random.default_rng(1).integers(1, 256, (batch, channels, height, width), dtype=np.uint8))


def shifted(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """One picture `(c, h, w)`, moved pixel by pixel, black where nothing comes in."""
    moved = np.zeros_like(picture)
    _, height, width = picture.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[:, row, column] = picture[:, row - down, column - right]
    return moved


SIZES = st.tuples(st.integers(1, 9), st.sampled_from([1, 3]), st.integers(4, 7), st.integers(4, 7))


@given(SIZES, st.integers(0, 2**32))
def test_a_flip_mirrors_the_pictures_that_were_drawn(size: tuple[int, int, int, int], seed: int) -> None:
    pixels = noise(*size)
    chosen = torch.rand(len(pixels), generator=drawn(seed)) < 0.5
    expected = [
        picture[:, :, ::-1] if mirrored else picture for picture, mirrored in zip(pixels.numpy(), chosen, strict=True)
    ]
    np.testing.assert_array_equal(flip(pixels, drawn(seed)).numpy(), np.stack(expected))


@given(SIZES, st.integers(0, 2**32), st.integers(1, 3))
def test_a_shift_moves_each_picture_as_it_was_drawn(size: tuple[int, int, int, int], seed: int, by: int) -> None:
    pixels = noise(*size)
    rows, columns = torch.randint(0, 2 * by + 1, (2, len(pixels)), generator=drawn(seed)).tolist()
    expected = [
        shifted(picture, by - row, by - column)
        for picture, row, column in zip(pixels.numpy(), rows, columns, strict=True)
    ]
    np.testing.assert_array_equal(shift(pixels, drawn(seed), by).numpy(), np.stack(expected))


def test_all_shifts_are_drawn_and_about_as_often() -> None:
    picture = noise(1, 1, 6, 6)
    possible = {shifted(picture[0].numpy(), down, right).tobytes() for down in range(-2, 3) for right in range(-2, 3)}
    assert len(possible) == 25
    moved = shift(picture.expand(5_000, 1, 6, 6), drawn(0)).numpy()
    counts = dict.fromkeys(possible, 0)
    for one in moved:
        counts[one.tobytes()] += 1  # a KeyError would be a picture that no shift makes
    assert min(counts.values()) > 140  # 200 expected, standard deviation 14
    assert max(counts.values()) < 260


def test_half_of_the_pictures_are_mirrored() -> None:
    picture = noise(1, 1, 4, 4).expand(5_000, 1, 4, 4)
    mirrored = (flip(picture, drawn(0)) != picture).flatten(1).any(1).sum()
    assert 2_300 < mirrored < 2_700


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_generator_alone_decides(name: str) -> None:
    pixels = noise(64, 3, 8, 8)
    before = pixels.clone()
    one, other = AUGMENTATIONS[name](pixels, drawn(3)), AUGMENTATIONS[name](pixels, drawn(3))
    assert torch.equal(one, other)
    assert not torch.equal(one, AUGMENTATIONS[name](pixels, drawn(4)))
    assert torch.equal(pixels, before)
    assert one.shape == pixels.shape
    assert one.dtype == torch.uint8


def test_flip_and_shift_is_one_after_the_other() -> None:
    pixels = noise(32, 1, 8, 8)
    generator = drawn(5)
    assert torch.equal(flip_and_shift(pixels, drawn(5)), shift(flip(pixels, generator), generator))
