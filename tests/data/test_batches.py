"""Batches and DataLoaders: every picture once in an epoch, in an order that depends only on (seed, epoch)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from small import images, unchecked
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from sevensteps.data.augment import AUGMENTATIONS, flip
from sevensteps.data.batches import Batches, DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.errors import DataError, UsageError


def numbered(count: int) -> Images:
    """Return pictures whose two pixels encode their number (up to 65,535), with labels 0 and 1 in turn."""
    numbers = np.arange(count)
    pixels = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8).reshape(count, 1, 1, 2)
    return Images(pixels, numbers % 2, ("even", "odd"))


def numbers_in(x: Tensor) -> list[int]:
    """Return the numbers of the pictures in a batch of `numbered`."""
    high, low = (x.flatten(1) * 255).round().int().unbind(1)
    return (high * 256 + low).tolist()


@given(st.integers(1, 300), st.integers(1, 70), st.booleans(), st.integers(-(2**70), 2**70), st.integers(0, 100))
def test_every_picture_comes_once_an_epoch_with_its_label(
    count: int, batch_size: int, shuffle: bool, seed: int, epoch: int
) -> None:
    batches = Batches(numbered(count), batch_size, shuffle=shuffle)
    given_out = list(batches.epoch_batches(seed, epoch))
    assert len(given_out) == len(batches)
    assert [len(y) for _, y in given_out[:-1]] == [batch_size] * (len(given_out) - 1)
    numbers = [number for x, _ in given_out for number in numbers_in(x)]
    assert sorted(numbers) == list(range(count))
    assert [number % 2 for number in numbers] == [label for _, y in given_out for label in y.tolist()]
    assert shuffle or numbers == list(range(count))


def test_pixels_are_floats_between_0_and_1_and_labels_whole_numbers(splits: Splits) -> None:
    x, y = next(iter(Batches(splits.train)))
    assert x.shape == (256, 1, 28, 28)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    np.testing.assert_array_equal(x.numpy(), splits.train.pixels[:256].astype(np.float32) / 255)
    assert (x.min(), x.max()) == (0, 1)


def test_flat_batches_are_rows_of_pixels(splits: Splits) -> None:
    x, _ = next(iter(Batches(splits.train, flat=True)))
    assert x.shape == (256, 784)
    assert torch.equal(x, next(iter(Batches(splits.train)))[0].flatten(1))


def test_the_last_batch_holds_what_is_left() -> None:
    assert [len(y) for _, y in Batches(numbered(10), 4)] == [4, 4, 2]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    one, other = (Batches(numbered(100), 7, shuffle=True) for _ in range(2))
    list(one)
    torch.manual_seed(5)
    assert torch.equal(one.order(1, 3), other.order(1, 3))
    for pair in ((1, 4), (2, 3), (3, 1)):
        assert not torch.equal(one.order(1, 3), one.order(*pair))


def test_drawing_an_order_leaves_the_global_random_state_alone() -> None:
    state = torch.get_rng_state()
    for augment in [*AUGMENTATIONS, "mixup"]:
        list(Batches(numbered(100), 7, shuffle=True, augment=augment))
    assert torch.equal(torch.get_rng_state(), state)


def test_each_pass_has_a_new_order_and_another_object_repeats_them() -> None:
    one, other = (Batches(numbered(100), 100, shuffle=True, seed=3) for _ in range(2))
    passes = [numbers_in(x) for _ in range(3) for x, _ in one]
    assert passes[0] != passes[1] != passes[2]
    assert passes == [numbers_in(x) for _ in range(3) for x, _ in other]
    assert passes != [numbers_in(x) for _ in range(3) for x, _ in Batches(numbered(100), 100, shuffle=True, seed=4)]


@pytest.mark.parametrize("augment", [None, *AUGMENTATIONS, "flip+shift", "digits+cutout+mixup"])
def test_an_epoch_entered_at_any_batch_is_its_tail(splits: Splits, augment: object) -> None:
    assert splits.test is not None
    batches = Batches(splits.test, 300, shuffle=True, augment=augment)
    whole = list(batches.epoch_batches(7, 2))
    for start in range(len(batches) + 1):
        tail = list(batches.epoch_batches(7, 2, start))
        assert len(tail) == len(whole) - start
        for (x, y), (whole_x, whole_y) in zip(tail, whole[start:], strict=True):
            assert torch.equal(x, whole_x)
            assert torch.equal(y, whole_y)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("augment", [None, "flip", "photos+mixup"])
def test_unscaled_batches_are_the_same_as_bytes(splits: Splits, shuffle: bool, augment: str | None) -> None:
    assert splits.test is not None
    batches = Batches(splits.test, 300, shuffle=shuffle, flat=True, augment=augment)
    pairs = zip(batches.epoch_batches(7, 2, 1), batches.unscaled_batches(7, 2, 1), strict=True)
    for (x, y), (unscaled, labels) in pairs:
        assert torch.equal(unscaled / 255, x)
        assert torch.equal(y, labels)


def test_what_an_augmentation_changes_in_place_is_no_picture_of_the_source() -> None:
    images = numbered(6)
    for x, _ in Batches(images, 3, augment=lambda pixels, _: pixels.zero_()):
        assert not x.any()
    assert images.pixels.sum() == sum(range(6))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_is_nobody_elses_memory(shuffle: bool) -> None:
    images = numbered(6)
    batches = Batches(images, 3, shuffle=shuffle)
    kept = list(batches.epoch_batches(0, 0))
    copies = [(x.clone(), y.clone()) for x, y in kept]
    for x, y in batches.epoch_batches(0, 0):
        x.zero_()
        y.zero_()
    for (x, y), (x_copy, y_copy) in zip(kept, copies, strict=True):
        assert torch.equal(x, x_copy)
        assert torch.equal(y, y_copy)
    assert images.pixels.sum() == sum(range(6))
    assert images.labels.tolist() == [0, 1] * 3


def test_augmentation_changes_with_the_epoch_and_the_position(splits: Splits) -> None:
    same = splits.train.take(np.zeros(256, dtype=np.int64))
    batches = Batches(same, 128, augment="flip+shift")
    draws = [x for epoch in range(2) for x, _ in batches.epoch_batches(0, epoch)]
    for index, draw in enumerate(draws):
        assert all(not torch.equal(draw, other) for other in draws[:index])


def test_augmentation_gets_whole_batches_of_bytes() -> None:
    seen = []

    def look(pixels: Tensor, generator: torch.Generator) -> Tensor:
        seen.append((tuple(pixels.shape), pixels.dtype))
        return 255 - pixels

    x = torch.cat([x for x, _ in Batches(numbered(5), 4, augment=look)])
    assert seen == [((4, 1, 1, 2), torch.uint8), ((1, 1, 1, 2), torch.uint8)]
    assert torch.equal(x, 1 - torch.cat([x for x, _ in Batches(numbered(5), 4)]))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batches_of_nothing_are_refused(batch_size: int) -> None:
    with pytest.raises(UsageError, match="must be 1 or more") as caught:
        Batches(numbered(3), batch_size)
    assert caught.value.hint
    with pytest.raises(DataError, match="no pictures"):
        Batches(numbered(0))


def test_loaders_shuffle_training_and_leave_validation_in_order(splits: Splits) -> None:
    held = splits.hold_out(0.1)
    dls = DataLoaders.from_images(held, batch_size=128)
    assert isinstance(dls.train, Batches)
    assert isinstance(dls.valid, Batches)
    assert (dls.train.images, dls.valid.images) == (held.train, held.valid)
    assert (dls.train.shuffle, dls.valid.shuffle) == (True, False)
    assert dls[0] is dls.train
    assert dls[1] is dls.valid
    assert dls.classes == ("Pullover", "Dress")
    assert len(next(iter(dls.train))[1]) == 128


def test_only_training_pictures_are_augmented(splits: Splits) -> None:
    dls = DataLoaders.from_images(splits.hold_out(0.1), flat=True, augment=flip)
    assert isinstance(dls.train, Batches)
    assert isinstance(dls.valid, Batches)
    assert dls.train.augment is flip
    assert dls.valid.augment is None
    assert dls.train.flat
    assert dls.valid.flat


def test_the_test_pictures_are_not_looked_at_unless_asked(splits: Splits) -> None:
    assert DataLoaders.from_images(splits).valid is None
    asked = DataLoaders.from_images(splits.hold_out(0.1), valid="test").valid
    assert isinstance(asked, Batches)
    assert asked.images is splits.test


@pytest.mark.usefixtures("without_shape_checks")
def test_a_validation_split_that_is_not_there_is_refused(splits: Splits) -> None:
    with pytest.raises(DataError, match="no test split"):
        DataLoaders.from_images(Splits(splits.train), valid="test")
    with pytest.raises(UsageError, match="'valid' or 'test'"):
        DataLoaders.from_images(splits, valid="train")  # type: ignore[arg-type]


def test_an_empty_validation_split_is_refused_and_not_taken_for_a_loader() -> None:
    none = Images(numbered(0).pixels, numbered(0).labels, ("even", "odd"), "test")
    with pytest.raises(DataError, match="no pictures"):
        DataLoaders.from_images(Splits(numbered(4), test=none), valid="test")


@pytest.mark.parametrize("loaders", [(1, 2), ([], 2), (images(4), Splits(images(4)))])
def test_what_cannot_be_iterated_is_no_loader(loaders: tuple[Any, Any]) -> None:
    with unchecked(), pytest.raises(UsageError, match="which cannot be iterated") as caught:
        DataLoaders(*loaders)
    assert "from_images" in caught.value.hint


def test_batches_are_made_of_splits() -> None:
    with unchecked(), pytest.raises(UsageError, match="but got Images") as caught:
        DataLoaders.from_images(images(4))  # type: ignore[arg-type]
    assert "Splits" in caught.value.hint


def test_any_loader_of_pairs_will_do() -> None:
    loader = DataLoader(TensorDataset(torch.arange(6.0).view(3, 2), torch.arange(3)), batch_size=2)
    dls = DataLoaders(loader)
    assert dls.valid is None
    assert dls.classes is None
    x, y = dls.one_batch()
    assert x.tolist() == [[0, 1], [2, 3]]
    assert y.tolist() == [0, 1]


@pytest.mark.parametrize("flat", [False, True])
def test_a_batch_can_be_shown(splits: Splits, flat: bool) -> None:
    figure = DataLoaders.from_images(splits, flat=flat).show_batch(max_n=4)
    assert isinstance(figure, Figure)
    assert {ax.get_title() for ax in figure.axes if ax.get_title()} <= {"Pullover", "Dress"}


def test_a_batch_without_pictures_cannot_be_shown() -> None:
    with pytest.raises(DataError, match="does not hold pictures"):
        DataLoaders([(torch.zeros(2, 5), torch.zeros(2, dtype=torch.int64))]).show_batch()
