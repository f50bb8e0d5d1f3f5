"""Images: what a picture is, how classes are chosen, and how pictures are held out."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import unchecked
from torch.utils.data import DataLoader

from sevensteps.data.images import Images, Splits
from sevensteps.data.sources import fashion
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError, UsageError

# Of the bytes of the original's pullovers (0) and dresses (1), in its own order.
ORIGINAL = {
    "train": (
        "bcaa9c3d3e86e6e0a0687845666e6c669b3dcc906b4f0302435b3b88bec34425",
        "dd81f4ebaa21160710e60563fe5ef4e36d2c19e9ab1999840ef401485e43eab4",
    ),
    "test": (
        "0317a86f83efdb644a852760920800c3e5a5f4001aa1a06a8ec5618afb4c6591",
        "630c72a550c2db9fdfe18ea1eac5f1b7a956fe13a739c806f8d945da21c7b97f",
    ),
}


def made(labels: list[int], classes: tuple[str, ...] = ("a", "b", "c"), seed: int = 0) -> Images:
    """Return small pictures of noise with these labels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 1, 3, 4), dtype=np.uint8)
    return Images(pixels, np.array(labels, dtype=np.int64), classes)


# The whole set is looked at too where the system has a copy; the tests download nothing.
@pytest.mark.parametrize("source", ["pullover-dress", *["fashion-mnist"] * fashion.SYSTEM.is_dir()])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_pictures_are_those_of_the_original(source: str, split: str) -> None:
    images = getattr(load(source, classes=["Pullover", "Dress"]), split)
    pixels, labels = (hashlib.sha256(array.tobytes()).hexdigest() for array in (images.pixels, images.labels))
    assert (pixels, labels) == ORIGINAL[split]


def test_the_embedded_pictures_have_the_shape_and_counts_of_the_walk_through(splits: Splits) -> None:
    assert splits.train.pixels.shape == (12_000, 1, 28, 28)
    assert splits.train.counts == {"Pullover": 6_000, "Dress": 6_000}
    assert splits.test is not None
    assert splits.test.counts == {"Pullover": 1_000, "Dress": 1_000}
    assert splits.valid is None
    assert repr(splits.test) == "Images(test: 2,000 pictures of 28x28x1: 1,000 Pullover, 1,000 Dress)"


def test_indexing_gives_a_float_picture_between_0_and_1_and_a_whole_number(splits: Splits) -> None:
    picture, label = splits.train[7]
    assert picture.shape == (1, 28, 28)
    assert picture.dtype == torch.float32
    assert type(label) is int
    assert label == splits.train.labels[7]
    np.testing.assert_allclose(picture.numpy() * 255, splits.train.pixels[7], rtol=1e-6)
    assert picture.max() <= 1


def test_the_last_picture_is_at_minus_one_and_there_is_none_after_it() -> None:
    images = made([0, 1, 2])
    assert torch.equal(images[-1][0], images[2][0])
    assert images[np.int64(2)][1] == 2
    with pytest.raises(IndexError, match="no picture 3: there are 3"):
        images[3]


def test_a_slice_gives_its_images() -> None:
    images = made([0, 1, 2, 0, 1])
    for some in (slice(3), slice(-2, None), slice(None, None, -2), slice(9, 12)):
        taken = images[some]
        assert isinstance(taken, Images)
        np.testing.assert_array_equal(taken.labels, images.labels[some])
        assert taken.ids == images.ids[some]


@pytest.mark.parametrize("index", ["train/3", 1.5, None, [0, 1], np.array([0, 1])])
def test_what_is_no_place_is_no_index(index: object) -> None:
    with unchecked(), pytest.raises(UsageError, match="not the index of a picture") as caught:
        made([0, 1, 2])[index]  # type: ignore[call-overload]
    assert "take" in caught.value.hint


def test_iterating_gives_every_picture_once_and_ends() -> None:
    images = made([2, 0, 1, 1])
    assert [label for _, label in images] == [2, 0, 1, 1]
    assert all(torch.equal(picture, images[row][0]) for row, (picture, _) in enumerate(images))


def test_images_are_a_dataset_for_pytorchs_data_loader(splits: Splits) -> None:
    assert splits.test is not None
    x, y = next(iter(DataLoader(splits.test, batch_size=64)))
    assert x.shape == (64, 1, 28, 28)
    assert x.dtype == torch.float32
    assert y.tolist() == splits.test.labels[:64].tolist()


def test_torch_tensors_share_the_arrays_memory() -> None:
    images = made([0, 1])
    pixels, labels = images.tensors
    images.pixels[0, 0, 0, 0] = 7
    images.labels[1] = 2
    assert pixels[0, 0, 0, 0] == 7
    assert labels[1] == 2
    assert pixels.dtype == torch.uint8
    assert labels.dtype == torch.int64


def test_changing_a_picture_that_was_given_changes_nothing() -> None:
    images = made([0, 1])
    before = images.pixels.copy()
    images[0][0].zero_()
    np.testing.assert_array_equal(images.pixels, before)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("pixels", "labels", "classes", "message"),
    [
        (np.zeros((2, 3, 4), np.uint8), [0, 1], ("a", "b"), "uint8 array (n, channels, height, width)"),
        (np.zeros((2, 1, 3, 4), np.float32), [0, 1], ("a", "b"), "not float32"),
        (np.zeros((2, 1, 3, 4), np.uint8), [0], ("a", "b"), "2 pictures but 1 label"),
        (np.zeros((2, 1, 3, 4), np.uint8), [0, 2], ("a", "b"), "Label 2 of picture train/1 is out of range"),
        (np.zeros((2, 1, 3, 4), np.uint8), [-1, 1], ("a", "b"), "Label -1 of picture train/0 is out of range"),
        (np.zeros((2, 1, 3, 4), np.uint8), [0, 1], ("a", "a"), "named twice"),
        (np.zeros((2, 1, 3, 4), np.uint8), [[0], [1]], ("a", "b"), "int64 array (n,)"),
        (np.zeros((2, 1, 3, 4), np.uint8), [0.0, 1.0], ("a", "b"), "not float64"),
    ],
)
def test_arrays_that_do_not_go_together_are_refused(
    pixels: np.ndarray, labels: list[int], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        Images(pixels, np.array(labels), classes)
    assert message in caught.value.message
    assert caught.value.hint


def test_splits_of_different_classes_or_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="All splits need the same"):
        Splits(made([0, 1]), made([0, 1], ("a", "b", "d")))
    with pytest.raises(DataError, match=r"^The test pictures have"):  # wherever they were taken from
        Splits(made([0, 1]), dataclasses.replace(made([0, 1], ("a", "b", "d")), origin="train"))
    small = Images(np.zeros((1, 1, 2, 2), np.uint8), np.zeros(1, np.int64), ("a", "b", "c"), "valid")
    with pytest.raises(DataError, match="All splits need the same"):
        Splits(made([0, 1]), valid=small)


def test_the_order_in_which_classes_are_chosen_is_the_label() -> None:
    images = made([0, 1, 2, 0, 2])
    chosen = images.choose(["c", "a"])
    assert chosen.classes == ("c", "a")
    assert chosen.labels.tolist() == [1, 0, 1, 0]
    assert chosen.rows.tolist() == [0, 2, 3, 4]
    np.testing.assert_array_equal(chosen.pixels, images.pixels[[0, 2, 3, 4]])


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["Pulover", "Dress"], ("no class 'Pulover'", "Did you mean 'Pullover'?")),
        (["pullover", "Dress"], ("no class 'pullover'", "Did you mean 'Pullover'?")),
        (["Zeppelin", "Dress"], ("no class 'Zeppelin'", "Known: Pullover, Dress.")),
        (["Dress", "Dress"], ("chosen twice", "once")),
        (["Dress"], ("at least two classes, but 1 was chosen", "Known: Pullover, Dress.")),
    ],
)
def test_classes_that_cannot_be_meant_are_refused_with_a_suggestion(
    splits: Splits, classes: list[str], words: tuple[str, str]
) -> None:
    with pytest.raises(DataError) as caught:
        load("pullover-dress", classes=classes)
    assert words[0] in caught.value.message
    assert words[1] in caught.value.hint


def test_every_split_has_its_classes_chosen_even_an_empty_one() -> None:
    chosen = Splits(made([0, 1, 2]), made([]), made([2, 1])).choose(["c", "b"])
    assert chosen.train.labels.tolist() == [1, 0]
    assert chosen.test is not None
    assert chosen.test.classes == ("c", "b")
    assert len(chosen.test) == 0
    assert chosen.valid is not None
    assert chosen.valid.labels.tolist() == [0, 1]


def test_holding_out_takes_the_same_share_of_every_class(splits: Splits) -> None:
    held = splits.hold_out(0.1, seed=0)
    assert held.valid is not None
    assert held.train.counts == {"Pullover": 5_400, "Dress": 5_400}
    assert held.valid.counts == {"Pullover": 600, "Dress": 600}
    assert held.test is splits.test


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.integers(0, 2**40),
)
def test_holding_out_parts_the_pictures_without_loss_or_overlap(labels: list[int], fraction: float, seed: int) -> None:
    images = made(labels)
    train, valid = images.split(fraction, seed)
    assert sorted([*train.rows, *valid.rows]) == list(range(len(labels)))
    for part in (train, valid):
        assert (np.diff(part.rows) > 0).all()
        np.testing.assert_array_equal(part.pixels, images.pixels[part.rows])
        np.testing.assert_array_equal(part.labels, images.labels[part.rows])
    for name, count in images.counts.items():
        held = valid.counts[name]
        assert abs(held - count * fraction) <= 1
        assert held < count or count == 0
        assert held >= 1 or count < 2
    again = images.split(fraction, seed)[1]
    assert again.rows.tolist() == valid.rows.tolist()


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 8)), min_size=1, max_size=80),
    st.floats(0.05, 0.6),
    st.integers(0, 2**40),
)
def test_a_group_is_never_on_two_sides_and_no_class_is_held_out_whole(
    pictures: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    labels, groups = (np.array(of, dtype=np.int64) for of in zip(*pictures, strict=True))
    images = dataclasses.replace(made(labels.tolist()), groups=groups)
    train, valid = images.split(fraction, seed)
    assert sorted([*train.rows, *valid.rows]) == list(range(len(labels)))
    assert not ({*groups[train.rows]} & {*groups[valid.rows]}) - {-1}
    for name, count in images.counts.items():
        assert valid.counts[name] < count or count == 0
    assert images.split(fraction, seed)[1].rows.tolist() == valid.rows.tolist()


def test_groups_hardly_move_the_share_that_is_held_out() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), random.integers(1, 12, 200))
    images = dataclasses.replace(made(random.integers(0, 3, len(groups)).tolist()), groups=groups)
    valid = images.split(0.2, 0)[1]
    for name, count in images.counts.items():
        assert abs(valid.counts[name] / count - 0.2) < 0.02


def test_where_every_group_is_too_large_the_smallest_is_held_out() -> None:
    images = dataclasses.replace(made([0, 1] * 10), groups=np.repeat([0, 1], [12, 8]))
    assert len(images.split(0.1, 0)[1]) == 8


def test_groups_of_one_hold_out_what_no_groups_do() -> None:
    images = made([0, 1, 2] * 30)
    alone = dataclasses.replace(images, groups=np.arange(90))
    assert alone.split(0.3, 5)[1].rows.tolist() == images.split(0.3, 5)[1].rows.tolist()


def test_another_seed_holds_out_other_pictures(splits: Splits) -> None:
    one, other = (splits.train.split(0.1, seed)[1] for seed in (0, 1))
    assert one.rows.tolist() != other.rows.tolist()


def test_global_random_state_neither_decides_nor_is_used() -> None:
    images = made([0, 1] * 20)
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    one = images.split(0.3, 5)[1].rows.tolist()
    assert np.random.get_state()[1].tolist() == before
    np.random.seed(2)
    assert images.split(0.3, 5)[1].rows.tolist() == one


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan"), "x", None])
def test_a_fraction_that_is_none_is_refused(splits: Splits, fraction: float) -> None:
    with unchecked(), pytest.raises(DataError, match="between 0 and 1"):
        splits.hold_out(fraction)


def test_holding_out_twice_is_refused(splits: Splits) -> None:
    with pytest.raises(DataError, match="already a validation split"):
        splits.hold_out(0.1).hold_out(0.1)


def test_ids_stay_with_their_pictures_through_choosing_and_splitting() -> None:
    images = made([0, 1, 2] * 10)
    train, valid = images.choose(["c", "b"]).split(0.3, seed=1)
    for part in (train, valid):
        assert part.ids == [f"train/{row}" for row in part.rows]
        np.testing.assert_array_equal(part.pixels, images.pixels[part.rows])
        assert [images.classes[label] for label in images.labels[part.rows]] == [
            part.classes[label] for label in part.labels
        ]


def test_the_fingerprint_is_of_the_content_and_not_of_the_object() -> None:
    assert made([0, 1]).fingerprint == made([0, 1]).fingerprint
    strided = Images(np.repeat(made([0, 1]).pixels, 2, axis=0)[::2], made([0, 1]).labels, ("a", "b", "c"))
    assert strided.fingerprint == made([0, 1]).fingerprint


@pytest.mark.parametrize("what", ["pixel", "label", "class name", "class order", "picture order", "shape"])
def test_the_fingerprint_changes_with_any_part_of_the_content(what: str) -> None:
    images = made([0, 1, 2])
    pixels, labels = images.pixels.copy(), images.labels.copy()
    if what == "pixel":
        pixels[1, 0, 2, 3] ^= 1
    elif what == "label":
        labels[1] = 2
    elif what == "picture order":
        pixels = pixels[::-1].copy()
    elif what == "shape":
        pixels = pixels.reshape(3, 1, 4, 3)
    classes = {"class name": ("a", "b", "d"), "class order": ("b", "a", "c")}.get(what, images.classes)
    assert replace(images, pixels=pixels, labels=labels, classes=classes).fingerprint != images.fingerprint


@pytest.mark.parametrize(
    "module", ["data.images", "data.sources.idx", "data.sources.fashion", "data.sources.load", "data.decode"]
)
def test_reading_pictures_needs_no_torch(module: str) -> None:
    program = f"import sys, sevensteps.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_loading_the_embedded_pictures_needs_no_torch() -> None:
    program = (
        "import sys; from sevensteps.data.sources.load import load\n"
        "s = load().hold_out(0.1); s.train.fingerprint; s.train.counts\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
