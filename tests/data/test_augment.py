"""Augmentation of whole batches, compared with one picture at a time in NumPy and Pillow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from sevensteps.data import augment
from sevensteps.data.augment import AUGMENTATIONS, augmentation, flip, flip_vertical, mixup, shift
from sevensteps.data.augment_names import DEGREES, HOLE, LEAST_AREA, LIGHT, ZOOM, pixels_shifted
from sevensteps.data.images import Splits


def drawn(seed: int) -> torch.Generator:
    """Return a new generator with a fixed seed."""
    return torch.Generator().manual_seed(seed)


def noise(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    """Return pictures without symmetry and without black."""
    return torch.from_numpy(np.random.default_rng(1).integers(1, 256, (batch, channels, height, width), dtype=np.uint8))


@pytest.fixture(scope="module")
def real() -> torch.Tensor:
    """Return parts of scikit-learn's photographs, in color and not square."""
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images
    cuttings = [
        np.asarray(Image.fromarray(photo[top : top + 300, left : left + 420]).resize((42, 30)))
        for photo in photos
        for top in range(0, 120, 60)
        for left in range(0, 200, 50)
    ]
    return torch.from_numpy(np.stack(cuttings).transpose(0, 3, 1, 2).copy())


def as_images(pixels: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(picture) for picture in pixels.numpy().transpose(0, 2, 3, 1)]


def assert_close(pixels: torch.Tensor, images: list[Image.Image], most_apart: float = 0.0) -> None:
    """Check that pixels differ from Pillow by at most 1 (Pillow truncates); a share `most_apart` may differ more."""
    expected = np.stack([np.asarray(image) for image in images]).transpose(0, 3, 1, 2).astype(int)
    apart = np.abs(pixels.numpy().astype(int) - expected) > 1
    assert apart.mean() <= most_apart, f"{apart.mean():.3%} of the pixels differ by more than one"


def shifted(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move one picture `(c, h, w)` pixel by pixel, and fill with black."""
    moved = np.zeros_like(picture)
    _, height, width = picture.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[:, row, column] = picture[:, row - down, column - right]
    return moved


SIZES = st.tuples(st.integers(1, 9), st.sampled_from([1, 3]), st.integers(4, 7), st.integers(4, 7))
ANY_SIZE = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))


@pytest.mark.parametrize(("function", "axis"), [(flip, 2), (flip_vertical, 1)])
@given(SIZES, st.integers(0, 2**32))
def test_a_flip_mirrors_the_pictures_that_were_drawn(
    function: augment.Augment, axis: int, size: tuple[int, int, int, int], seed: int
) -> None:
    pixels = noise(*size)
    chosen = torch.rand(len(pixels), generator=drawn(seed)) < 0.5
    expected = [
        np.flip(picture, axis) if mirrored else picture
        for picture, mirrored in zip(pixels.numpy(), chosen, strict=True)
    ]
    np.testing.assert_array_equal(function(pixels, drawn(seed)).numpy(), np.stack(expected))


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
    moved = shift(picture.expand(5_000, 1, 6, 6), drawn(0), 2).numpy()
    counts = dict.fromkeys(possible, 0)
    for one in moved:
        counts[one.tobytes()] += 1  # a KeyError would be a picture that no shift makes
    assert min(counts.values()) > 140  # 200 expected, standard deviation 14
    assert max(counts.values()) < 260


@pytest.mark.parametrize(
    ("height", "width", "by"),
    [(8, 8, 1), (14, 14, 1), (27, 28, 1), (28, 28, 2), (28, 60, 2), (64, 64, 4), (300, 300, 4)],
)
def test_a_shift_is_a_share_of_the_side(height: int, width: int, by: int) -> None:
    pixels = noise(40, 3, height, width)
    assert pixels_shifted(height, width) == by
    assert torch.equal(shift(pixels, drawn(1)), shift(pixels, drawn(1), by))


def test_half_of_the_pictures_are_mirrored() -> None:
    picture = noise(1, 1, 4, 4).expand(5_000, 1, 4, 4)
    mirrored = (flip(picture, drawn(0)) != picture).flatten(1).any(1).sum()
    assert 2_300 < mirrored < 2_700


def test_a_rotation_is_pillows(real: torch.Tensor) -> None:
    angles = (2 * torch.rand(len(real), generator=drawn(2)) - 1) * DEGREES
    assert angles.abs().max() > 8
    expected = [
        image.rotate(angle, Image.Resampling.BILINEAR)
        for image, angle in zip(as_images(real), angles.tolist(), strict=True)
    ]
    # A pixel on the very edge is inside or outside by a rounding.
    assert_close(augment.rotate(real, drawn(2)), expected, most_apart=0.002)


def test_a_scale_is_pillows(real: torch.Tensor) -> None:
    factors = 1 + ZOOM * (2 * torch.rand(len(real), generator=drawn(2)) - 1)
    expected = []
    for image, factor in zip(as_images(real), factors.tolist(), strict=True):
        (width, height), inside = image.size, 1 / factor
        box = [side * (1 + sign * inside) / 2 for sign in (-1, 1) for side in (width, height)]
        expected.append(image.transform(image.size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR))
    assert_close(augment.scale(real, drawn(2)), expected, most_apart=0.002)


def test_a_crop_is_pillows(real: torch.Tensor) -> None:
    matrices = augment.crops(real, drawn(2)).double().numpy()
    expected = []
    for image, matrix in zip(as_images(real), matrices, strict=True):
        width, height = image.size
        box = [
            side / 2 + matrix[axis, 2] + sign * matrix[axis, axis] * side / 2
            for sign in (-1, 1)
            for axis, side in ((0, width), (1, height))
        ]
        assert box[0] >= -1e-4
        assert box[1] >= -1e-4
        box = [max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)]
        expected.append(image.resize(image.size, Image.Resampling.BILINEAR, box))
    assert_close(augment.crop(real, drawn(2)), expected)


def test_crops_are_of_the_areas_and_ratios_that_are_said() -> None:
    matrices = augment.crops(noise(1, 1, 30, 40).expand(4_000, 1, 30, 40), drawn(0))
    wide, high = matrices[:, 0, 0], matrices[:, 1, 1]
    area, ratio = wide * high, wide / high
    assert LEAST_AREA * 0.93 < area.min() < LEAST_AREA * 1.01  # less where a side was cut to that of the picture
    assert area.max() > 0.99
    assert 0.74 < ratio.min() < 0.78
    assert 1.28 < ratio.max() < 1.34
    assert (matrices[:, 0, 2].abs() <= (1 - wide) * 20 + 1e-4).all()
    assert abs(float(matrices[:, 1, 2].mean())) < 0.2


def test_several_warps_are_one_after_the_other_and_blur_once() -> None:
    # A slope keeps its form when it is sampled between pixels, so that sampling thrice differs by roundings alone.
    down, right = np.mgrid[0:40, 0:40]
    slope = torch.from_numpy((100 + 2 * right + down).astype(np.uint8)).expand(50, 1, 40, 40)
    generator = drawn(4)
    thrice = augment.scale(augment.rotate(augment.crop(slope, generator), generator), generator)
    together = augmentation("rotate+scale+crop")
    assert together is not None
    inner = (slice(None), slice(None), slice(10, 30), slice(10, 30))
    assert (together(slope, drawn(4))[inner].int() - thrice[inner].int()).abs().max() <= 2

    lines = torch.from_numpy((255 * (right % 2)).astype(np.uint8)).expand(50, 1, 40, 40)
    generator = drawn(4)
    thrice = augment.scale(augment.rotate(augment.crop(lines, generator), generator), generator)
    assert together(lines, drawn(4))[inner].float().std() > 1.3 * thrice[inner].float().std()


@pytest.mark.parametrize(
    ("function", "enhance"),
    [(augment.brightness, ImageEnhance.Brightness), (augment.contrast, ImageEnhance.Contrast)],
)
def test_light_is_pillows(
    real: torch.Tensor, function: augment.Augment, enhance: type[ImageEnhance.Brightness]
) -> None:
    factors = (1 + LIGHT * (2 * torch.rand(len(real), generator=drawn(2)) - 1)).tolist()
    assert min(factors) < 0.9
    assert max(factors) > 1.1
    expected = [enhance(image).enhance(factor) for image, factor in zip(as_images(real), factors, strict=True)]
    assert_close(function(real, drawn(2)), expected)


@given(SIZES, st.integers(0, 2**32))
def test_cutout_hides_a_square_where_it_was_drawn(size: tuple[int, int, int, int], seed: int) -> None:
    pixels = noise(*size)
    _, _, height, width = size
    side = max(round(HOLE * min(height, width)), 1)
    middles = torch.rand((2, len(pixels)), generator=drawn(seed))
    expected = pixels.numpy().copy()
    for picture, down, right in zip(expected, *middles.tolist(), strict=True):
        top, left = math.floor(down * height) - side // 2, math.floor(right * width) - side // 2
        picture[:, max(top, 0) : top + side, max(left, 0) : left + side] = 0
    np.testing.assert_array_equal(augment.cutout(pixels, drawn(seed)).numpy(), expected)


@pytest.mark.parametrize("classes", [2, 5])
def test_mixup_mixes_pictures_and_labels_alike(classes: int) -> None:
    pixels, labels = noise(200, 3, 6, 5), torch.arange(200) % classes
    generator = drawn(1)
    other = torch.randperm(200, generator=generator).numpy()
    share = np.sin(torch.rand(200, generator=generator).double().numpy() * np.pi / 2) ** 2
    share = np.maximum(share, 1 - share)
    weights = share[:, None, None, None]
    mixed, targets = mixup(pixels, labels, classes, drawn(1))
    expected = weights * pixels.numpy() + (1 - weights) * pixels.numpy()[other]
    assert np.abs(mixed.numpy() - expected).max() < 0.501
    shares = np.eye(classes)[labels]
    shares = share[:, None] * shares + (1 - share[:, None]) * shares[other]
    np.testing.assert_allclose(targets.numpy(), shares[:, 1] if classes == 2 else shares, atol=1e-6)


def test_the_shares_of_mixup_are_of_the_beta_distribution() -> None:
    from scipy import stats

    _, targets = mixup(noise(3_000, 1, 1, 1), torch.arange(3_000), 3_000, drawn(0))
    kept = targets.max(1).values.numpy()
    law = stats.beta(0.5, 0.5)
    assert stats.kstest(kept[kept < 1], lambda k: 2 * law.cdf(k) - 1).pvalue > 0.01


@pytest.mark.parametrize("name", [*AUGMENTATIONS, "flip+shift", "digits", "clothes", "photos", "photos+digits+cutout"])
def test_the_generator_alone_decides(name: str) -> None:
    pixels = noise(64, 3, 8, 8)
    before = pixels.clone()
    function = augmentation(name)
    assert function is not None
    one, other = function(pixels, drawn(3)), function(pixels, drawn(3))
    assert torch.equal(one, other)
    assert not torch.equal(one, function(pixels, drawn(4)))
    assert torch.equal(pixels, before)
    assert one.shape == pixels.shape
    assert one.dtype == torch.uint8


@given(ANY_SIZE, st.permutations([*AUGMENTATIONS]), st.integers(1, 9), st.integers(0, 2**32))
def test_any_names_in_any_order_take_and_give_bytes(
    size: tuple[int, int, int, int], order: list[str], count: int, seed: int
) -> None:
    names, pixels = order[:count], noise(*size)
    before = pixels.clone()
    one, other = augmentation("+".join(names)), augmentation("+".join(sorted(names)))
    assert one is not None
    assert other is not None
    made = one(pixels, drawn(seed))
    assert (made.shape, made.dtype) == (pixels.shape, torch.uint8)
    assert torch.equal(made, other(pixels, drawn(seed)))
    assert torch.equal(pixels, before)


def test_flip_and_shift_is_one_after_the_other() -> None:
    pixels = noise(32, 1, 8, 8)
    generator = drawn(5)
    together = augmentation("shift+flip")
    assert together is not None
    assert torch.equal(together(pixels, drawn(5)), shift(flip(pixels, generator), generator))
    assert augmentation("none") is augmentation("mixup") is None


def test_a_warp_that_changes_nothing_gives_the_picture(splits: Splits) -> None:
    pixels = splits.train.tensors[0][:100]
    assert torch.equal(augment.warp(pixels, torch.eye(3).repeat(100, 1, 1)), pixels)
