"""Arrays and datasets as sources, compared with the arrays from which they were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders import loaded
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset
from typed import sevensteps

from sevensteps.data.decode import Seen
from sevensteps.data.files.common_shape import common_shape
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError, UsageError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (12, 8, 6), dtype=np.uint8)
COLOR = RANDOM.integers(0, 256, (12, 8, 6, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2] * 4)


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)  # noqa: TID251 - what users have
    return folder / "a.npz"


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X-train", "Y-train", "X-test", "Y-test"),
    ],
)
def test_the_arrays_of_each_split_are_known_by_shape_and_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrays = (GREY, LABELS, GREY[:6], LABELS[:6, None])
    splits = load(saved(tmp_path, **dict(zip(names, arrays, strict=True))))
    np.testing.assert_array_equal(splits.train.pixels[:, 0], GREY)
    assert splits.classes == ("0", "1", "2")
    assert splits.test is not None
    np.testing.assert_array_equal(splits.test.labels, LABELS[:6])


@pytest.mark.parametrize(
    ("pixels", "wanted"),
    [
        (GREY, GREY[:, None]),
        (COLOR, COLOR.transpose(0, 3, 1, 2)),
        (COLOR.transpose(0, 3, 1, 2), COLOR.transpose(0, 3, 1, 2)),
        (GREY[..., None], GREY[:, None]),
        (GREY / 255, GREY[:, None]),
        (GREY.astype(np.float32), GREY[:, None]),
        (GREY.astype(np.int64), GREY[:, None]),
        (GREY.astype(np.uint16) * 257, GREY[:, None]),
        (GREY > 99, 255 * (GREY > 99)[:, None]),
        (RANDOM.integers(0, 256, (12, 49)).astype(np.uint8), None),
    ],
    ids=["grey", "nhwc", "nchw", "one channel", "fractions", "floats", "ints", "16 bits", "bools", "flat"],
)
def test_pixels_become_bytes_with_channels_first(tmp_path: Path, pixels: Any, wanted: Any) -> None:
    found = load(saved(tmp_path, images=pixels, labels=LABELS)).train.pixels
    np.testing.assert_array_equal(found, pixels.reshape(-1, 1, 7, 7) if wanted is None else wanted)


def test_classes_have_names_where_the_arrays_say_them(tmp_path: Path) -> None:
    for arrays in ({"labels": LABELS, "classes": np.array(["c", "a", "b"])}, {"labels": np.array(["c", "a", "b"] * 4)}):
        splits = load(saved(tmp_path, images=GREY, **arrays))
        assert [splits.classes[label] for label in splits.train.labels] == ["c", "a", "b"] * 4
    assert splits.classes == ("a", "b", "c")


def test_a_folder_of_npy_is_a_source(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", GREY)  # noqa: TID251 - what users have
    np.save(tmp_path / "labels.npy", LABELS)  # noqa: TID251
    for source in (tmp_path, tmp_path / "images.npy"):
        np.testing.assert_array_equal(load(source).train.pixels[:, 0], GREY)


def test_digits_of_17_levels_are_spread_over_all_of_8_bits(tmp_path: Path) -> None:
    digits = load_digits()
    splits, said = loaded(saved(tmp_path, images=digits.images, labels=digits.target))
    np.testing.assert_array_equal(splits.train.pixels[:, 0], np.rint(digits.images * 255 / 16))
    assert "values from 0 to 16 become black to white" in said


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": GREY}, "needs one array of pictures and one of labels, but it has images uint8"),
        ({"images": GREY, "labels": LABELS[:5]}, "12 pictures but 5 labels"),
        ({"images": GREY - 0.5, "labels": LABELS}, "not pixels"),
        ({"images": np.full((12, 4, 4), np.nan), "labels": LABELS}, "not pixels"),
        ({"images": GREY, "labels": LABELS / 2}, "labels of type float64"),
        (
            {"images": GREY, "labels": LABELS, "classes": np.array(["a", "b"])},
            "train/2 has label 2, but only the labels 0 to 1",
        ),
        ({"images": np.zeros((12, 4, 4, 5)), "labels": LABELS}, "does not hold gray or color"),
        ({"x_test": GREY, "y_test": LABELS}, "no array is for training"),
        ({"images": np.array([{}] * 12), "labels": LABELS}, "needs pickle, which could run code"),
    ],
)
def test_arrays_that_are_not_pictures_are_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        load(saved(tmp_path, **arrays))
    assert caught.value.hint


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, images=GREY, labels=LABELS)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"a.npz cannot be read"):
        load(path)
    with pytest.raises(UsageError, match="size is for picture files"):
        load(path, size=9)


@pytest.mark.slow
def test_digits_are_trained_on_by_command(tmp_path: Path) -> None:
    digits = load_digits()
    saved(tmp_path, images=(digits.images * 255 / 16).astype(np.uint8), labels=digits.target)
    done = sevensteps("train", "a.npz", "--epochs", "3", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "10" in done.out


# Datasets


class Pictures(torch.utils.data.Dataset[Any]):
    """A dataset of PIL pictures, as torchvision's are without a transform."""

    classes = ("cat", "dog", "bird")

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(COLOR[index]), int(LABELS[index])


def test_a_pytorch_dataset_is_a_source() -> None:
    splits = load(Pictures())
    assert splits.classes == ("cat", "dog", "bird")
    np.testing.assert_array_equal(splits.train.pixels, COLOR.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(splits.train.labels, LABELS)
    assert load(Pictures(), size=16).train.shape == (3, 16, 16)
    tensors = TensorDataset(torch.from_numpy(GREY)[:, None] / 255, torch.from_numpy(LABELS))
    splits, said = loaded(tensors)
    np.testing.assert_array_equal(splits.train.pixels[:, 0], GREY)
    assert splits.classes == ("0", "1", "2")
    assert "values from 0 to 1 become black to white" in said


class Turned(Pictures):
    """Pictures with a palette of greys that their EXIF orientation turns on their side."""

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        picture = Image.fromarray(np.tile(GREY[index], (1, 2))).convert("P")
        picture.putpalette([value for value in range(256) for _ in range(3)])
        picture.getexif()[0x0112] = 6
        return picture, int(LABELS[index])


def test_size_and_grey_of_a_dataset_follow_the_rule_for_files() -> None:
    shape = load(Turned()).train.shape
    assert shape == (1, 12, 8)
    files = [Seen(8, 12, True)] * 3
    assert common_shape(files, 0) == shape
    assert common_shape([*files, Seen(8, 12, False)], 0) == (3, *shape[1:])
    assert common_shape([*files, Seen(9, 9, True)], 0) == (1, 64, 64)
    assert common_shape([Seen(65, 9, True)], 0) == (1, 64, 64)
    assert common_shape(files, 5) == (1, 5, 5)


def test_images_are_a_dataset_of_themselves(splits: Any) -> None:
    some = splits.train[:50]
    np.testing.assert_array_equal(load(some).train.pixels, some.pixels)
    assert load(some).classes == some.classes


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ([1, 2], "Item 0 of list is of type int, but must be a picture"),
        ([("x", 1)], "neither PIL pictures nor arrays"),
        ([(torch.randn(1, 4, 4), n) for n in (0, 1)], "are not pixels"),
        ([(np.zeros((4, n)), n) for n in (4, 5)], "neither PIL pictures nor arrays of one size"),
    ],
)
def test_a_dataset_without_pictures_is_refused(dataset: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(dataset)
