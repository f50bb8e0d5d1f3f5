"""IDX files: read like those of MNIST, and every kind of damage is named."""

from __future__ import annotations

import contextlib
import gzip
import os
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sevensteps.data.sources import fashion_facts
from sevensteps.data.sources.idx import load_idx, read_labels, read_pixels
from sevensteps.data.sources.idx_format import read_idx
from sevensteps.data.sources.load import load
from sevensteps.errors import DataError


def packed(array: np.ndarray) -> bytes:
    """Return the array as the bytes of an IDX file, written independently of the reader."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


PICTURES = np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3)
LABELS = np.array([0, 1, 2, 2, 1, 0], dtype=np.uint8)


def write_split(folder: Path, split: str, pictures: np.ndarray, labels: np.ndarray, *, zipped: bool = False) -> None:
    """Write a pair of files with the names that MNIST uses."""
    for name, array in {f"{split}-images-idx3-ubyte": pictures, f"{split}-labels-idx1-ubyte": labels}.items():
        content = packed(array)
        (folder / f"{name}{'.gz' * zipped}").write_bytes(gzip.compress(content) if zipped else content)


def written(folder: Path, content: bytes) -> Path:
    """Write a file with these bytes."""
    path = folder / "some-idx3-ubyte"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", [(5,), (4, 3), (3, 2, 5), (2, 3, 2, 2)])
def test_an_array_is_read_as_it_was_written(tmp_path: Path, shape: tuple[int, ...], zipped: bool) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    content = packed(array)
    read = read_idx(written(tmp_path, gzip.compress(content) if zipped else content))
    np.testing.assert_array_equal(read, array)
    assert read.flags.writeable  # torch warns about arrays that are not


def test_every_truncation_is_named(tmp_path: Path) -> None:
    content = packed(PICTURES)
    for length in range(len(content)):
        with pytest.raises(DataError) as caught:
            read_idx(written(tmp_path, content[:length]))
        assert "some-idx3-ubyte" in caught.value.message
        assert caught.value.hint


def test_every_truncation_of_a_gzipped_file_is_named(tmp_path: Path) -> None:
    content = gzip.compress(packed(PICTURES))
    for length in range(len(content)):
        with pytest.raises(DataError) as caught:
            read_idx(written(tmp_path, content[:length]))
        assert "some-idx3-ubyte" in caught.value.message


def test_every_flipped_bit_in_gzipped_data_is_found_or_harmless(tmp_path: Path) -> None:
    content = gzip.compress(packed(PICTURES), mtime=0)
    found = 0
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            np.testing.assert_array_equal(read_idx(written(tmp_path, bytes(flipped))), PICTURES)
        except DataError:
            found += 1
    assert found > 8 * len(content) * 0.7  # what is harmless is in gzip's header: a time, a system, a level


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it starts with nothing"),
        (b"\x89PNG\r\n\x1a\n", "it starts with 89 50 4e 47"),
        (b"\0\0\x08\0", "not an IDX file"),
        (b"\0\0\x08\x05" + bytes(40), "not an IDX file"),
        (b"\0\1\x08\1\0\0\0\0", "not an IDX file"),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "type 0x0d"),
        (b"\0\0\x08\3\0\0\0\1", "ends inside its header"),
        (packed(PICTURES)[:-1], "too short: it has 35 of 36"),
        (packed(PICTURES) + b"\0", "longer than its header says"),
        (gzip.compress(packed(PICTURES) + b"\0"), "longer than its header says"),
        (b"\x1f\x8b", "gzip data ends too early"),
        (b"\x1f\x8b\x07" + bytes(20), "damaged gzip"),
        (gzip.compress(packed(PICTURES)) + b"garbage", "damaged gzip"),
        (b"\0\0\x08\4" + b"\xff" * 16, "its header promises"),
        (
            b"\0\0\x08\3" + b"\xff" * 8 + bytes(4),
            "no array can have the shape",
        ),  # an empty array, and dimensions too large for NumPy
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_of_damage_has_its_words(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_idx(written(tmp_path, content))
    assert caught.value.hint


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "file" / "below")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
def test_a_pipe_a_device_and_a_giant_are_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for a writer forever
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="a pipe or a device"):
            read_idx(path)
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(1 << 33)  # a sparse file takes no room on the disk
    with pytest.raises(DataError, match="at most"):
        read_idx(tmp_path / "giant")


def test_a_gzipped_file_of_several_members_is_read(tmp_path: Path) -> None:
    content = packed(PICTURES)
    zeros = bytes(100_000)  # padding as on tapes, longer than one read
    several = gzip.compress(content[:3]) + gzip.compress(b"") + gzip.compress(content[3:40]) + zeros
    read = read_idx(written(tmp_path, several + gzip.compress(content[40:]) + zeros))
    np.testing.assert_array_equal(read, PICTURES)


@pytest.mark.parametrize("ratio", [100, 1000])
def test_gzipped_data_may_be_200_times_the_file(tmp_path: Path, ratio: int) -> None:
    """80 MiB of some noise and many zeros, beyond the 64 MiB that any file may hold."""
    size = 80 << 20
    noise = np.random.default_rng(0).integers(0, 256, size // ratio, dtype=np.uint8).tobytes()
    content = gzip.compress(struct.pack(">HBB1I", 0, 8, 1, size) + noise + bytes(size - len(noise)))
    assert (size > 200 * len(content)) == (ratio == 1000)
    path = written(tmp_path, content)
    if ratio == 100:
        assert len(read_idx(path)) == size
        return
    with pytest.raises(DataError, match="a file of its size can hold") as caught:
        read_idx(path)
    assert "gunzip" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 20_000_000, id="a long name"),
        pytest.param(gzip.compress(b"") * 250_000, id="a hundred thousand times nothing"),
    ],
)
def test_a_gzipped_file_cannot_take_long(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    start = time.process_time()
    with pytest.raises(DataError):
        read_idx(path)
    assert time.process_time() - start < 1  # gzip.GzipFile takes several seconds


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(packed(np.zeros(10))[:8] + bytes(1 << 26), id="more than promised, plain"),
        pytest.param(gzip.compress(packed(np.zeros(10))[:8] + bytes(1 << 26)), id="a gzip bomb"),
        pytest.param(struct.pack(">HBB1I", 0, 8, 1, (1 << 32) - 1) + b"x", id="gigabytes promised, plain"),
        pytest.param(gzip.compress(struct.pack(">HBB1I", 0, 8, 1, (1 << 32) - 1)), id="gigabytes promised, gzipped"),
    ],
)
def test_a_file_cannot_fill_the_memory(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


@given(st.binary(max_size=200))
@example(gzip.compress(b""))
@example(b"\0\0\x08\1\0\0\0\0")
@example(b"\0\0\x08\4" + bytes(16))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_raise_nothing_but_data_errors(tmp_path: Path, content: bytes) -> None:
    for head in (b"", b"\0\0\x08\1\0\0\0", b"\0\0\x08\3\0\0\0\1\0\0\0", b"\x1f\x8b\x08\0"):
        with contextlib.suppress(DataError):
            assert read_idx(written(tmp_path, head + content)).dtype == np.uint8


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("test", ["t10k", "test"])
def test_a_folder_gives_its_splits_with_numbers_for_names(tmp_path: Path, test: str, zipped: bool) -> None:
    write_split(tmp_path, "train", PICTURES, LABELS, zipped=zipped)
    write_split(tmp_path, test, PICTURES[:2], LABELS[:2], zipped=zipped)
    write_split(tmp_path, "valid", PICTURES[2:5], LABELS[2:5], zipped=not zipped)
    splits = load(tmp_path)
    assert splits.classes == ("0", "1", "2")
    np.testing.assert_array_equal(splits.train.pixels, PICTURES[:, None])
    assert splits.train.labels.tolist() == LABELS.tolist()
    assert splits.test is not None
    assert splits.test.ids == ["test/0", "test/1"]
    assert splits.valid is not None
    np.testing.assert_array_equal(splits.valid.pixels, PICTURES[2:5, None])
    assert splits.source == tmp_path.name


def test_classes_of_a_folder_are_chosen_by_their_numbers(tmp_path: Path) -> None:
    write_split(tmp_path, "train", PICTURES, LABELS)
    assert load(str(tmp_path), classes=["2", "0"]).train.labels.tolist() == [1, 0, 0, 1]


def test_a_class_that_only_the_test_split_has_is_a_class(tmp_path: Path) -> None:
    write_split(tmp_path, "train", PICTURES, LABELS)
    write_split(tmp_path, "test", PICTURES[:1], np.array([3]))
    assert load_idx(tmp_path).classes == ("0", "1", "2", "3")


def test_one_file_of_pictures_is_enough_with_its_labels_next_to_it(tmp_path: Path) -> None:
    write_split(tmp_path, "mine", PICTURES, LABELS, zipped=True)
    splits = load(tmp_path / "mine-images-idx3-ubyte.gz")
    assert splits.train.labels.tolist() == LABELS.tolist()
    assert splits.test is None
    (tmp_path / "mine-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="no labels next to it") as caught:
        load(tmp_path / "mine-images-idx3-ubyte.gz")
    assert "mine-labels-idx1-ubyte" in caught.value.message


def test_a_file_of_another_kind_is_not_its_own_labels(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError):
        load(tmp_path / "notes.txt")


@pytest.mark.parametrize("split", ["train", "t10k"])
def test_fashion_mnists_labels_give_the_classes_their_names(
    tmp_path: Path, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    name = f"{split}-labels-idx1-ubyte"
    monkeypatch.setitem(fashion_facts.SHA256, name, hashlib.sha256(packed(LABELS)).hexdigest())
    write_split(tmp_path, "mine", PICTURES, LABELS)
    assert load(tmp_path / "mine-images-idx3-ubyte").classes == fashion_facts.CLASSES


def test_a_folder_without_training_pictures_says_what_it_should_hold(tmp_path: Path) -> None:
    write_split(tmp_path, "t10k", PICTURES, LABELS)
    with pytest.raises(DataError, match="does not hold train-images-idx3-ubyte"):
        load(tmp_path)


def test_pictures_and_labels_in_each_others_place_are_named(tmp_path: Path) -> None:
    (tmp_path / "pictures").write_bytes(packed(PICTURES))
    (tmp_path / "labels").write_bytes(packed(LABELS))
    with pytest.raises(DataError) as caught:
        read_pixels(tmp_path / "labels")
    assert "Name the file of pictures" in caught.value.hint
    with pytest.raises(DataError) as caught:
        read_labels(tmp_path / "pictures")
    assert "Replace it with the file of labels." in caught.value.hint


@pytest.mark.parametrize("more_labels", [False, True])
@pytest.mark.usefixtures("without_shape_checks")
def test_another_number_of_labels_than_pictures_is_refused(tmp_path: Path, more_labels: bool) -> None:
    pictures, labels = (PICTURES[:5], LABELS) if more_labels else (PICTURES, LABELS[:5])
    write_split(tmp_path, "train", pictures, labels)
    with pytest.raises(DataError, match="pictures but"):
        load(tmp_path)


def test_splits_of_another_picture_size_are_refused(tmp_path: Path) -> None:
    write_split(tmp_path, "train", PICTURES, LABELS)
    write_split(tmp_path, "test", PICTURES[:, :, :2], LABELS)
    with pytest.raises(DataError, match="All splits need the same"):
        load(tmp_path)


def test_no_pictures_and_one_class_are_nothing_to_train_on(tmp_path: Path) -> None:
    write_split(tmp_path, "train", PICTURES[:0], LABELS[:0])
    with pytest.raises(DataError, match="no pictures at all"):
        load(tmp_path)
    write_split(tmp_path, "train", PICTURES, np.full(6, 1))
    with pytest.raises(DataError, match="only pictures of '1'"):
        load(tmp_path)
    write_split(tmp_path, "train", PICTURES[:, :0], LABELS)
    with pytest.raises(DataError, match="no pixels"):
        load(tmp_path)


def test_numbers_that_no_label_has_are_not_classes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, labels=(3, 7))
    splits = load(folder)
    assert splits.classes == ("3", "7")
    assert set(splits.train.labels.tolist()) == {0, 1}


def test_a_class_that_is_only_in_the_test_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, labels=(3, 7), test_labels=(3, 9))
    with pytest.raises(DataError, match="no training pictures of 9, although other splits have some") as caught:
        load(folder)
    assert "3, 7" in caught.value.hint
    assert load(folder, classes=["7", "3"]).classes == ("7", "3")


def write_folder(folder: Path, labels: tuple[int, ...], test_labels: tuple[int, ...] = ()) -> Path:
    """Write a folder of IDX files with two pictures of each label."""
    for split, numbers in (("train", labels), ("t10k", test_labels)):
        if numbers:
            rows = bytes(2 * list(numbers))
            head = len(rows).to_bytes(4, "big")
            pictures = b"\0\0\x08\x03" + head + (4).to_bytes(4, "big") * 2 + bytes(16 * len(rows))
            (folder / f"{split}-images-idx3-ubyte").write_bytes(pictures)
            (folder / f"{split}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + head + rows)
    return folder
