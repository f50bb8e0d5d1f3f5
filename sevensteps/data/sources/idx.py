"""IDX files as a source: a folder of the four files of MNIST, or one file of pictures with its labels next to it."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ...base.words import counted
from ...errors import DataError
from ..images import Images, Splits
from ..store.streams import Chunk, Stream, Streams
from .idx_format import picture_shape, read_chunks, read_idx, read_shape

_ENDINGS = ("", ".gz")


def load_idx(path: Path) -> Splits:
    """Load pictures and labels from a folder of IDX files, or from one file of pictures with its labels next to it.

    Files are named as those of MNIST: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with `t10k` or
    `test` for the test split; each may end in `.gz`. Classes are named by their numbers, those of Fashion-MNIST
    (recognized by the content of its labels) by their names.

    Args:
        path: The folder, or the file of pictures.

    Raises:
        DataError: Files are missing, damaged or do not belong together.
    """
    pictures = find_pictures(path)
    sets = {split: (read_pixels(file), read_labels(labels_beside(file))) for split, file in pictures.items()}
    classes = class_names([labels for _, labels in sets.values()])
    images = {
        split: Images(pixels, labels.astype(np.int64), classes, split) for split, (pixels, labels) in sets.items()
    }
    splits = Splits(images["train"], images.get("test"), images.get("valid"), path.name)
    present = without_gaps(classes, [of_split.counts for of_split in images.values()])
    return splits if present == classes else splits.choose(present)


def find_pictures(path: Path) -> dict[str, Path]:
    """Return the file of pictures of each split.

    Args:
        path: A folder, or a single file of pictures, which is for training.

    Raises:
        DataError: The folder has no file of training pictures.
    """
    if path.is_file():
        return {"train": path}
    pictures = {
        split: file
        for split, names in {"train": ("train",), "test": ("t10k", "test"), "valid": ("valid",)}.items()
        for name in names
        for ending in _ENDINGS
        if (file := path / f"{name}-images-idx3-ubyte{ending}").is_file()
    }
    if "train" not in pictures:
        raise DataError(
            f"{path} does not hold train-images-idx3-ubyte or train-images-idx3-ubyte.gz.",
            hint="Name a folder of IDX files with the names that MNIST uses, or one file of pictures.",
        )
    return pictures


def read_pixels(path: Path) -> UInt8[np.ndarray, "n 1 height width"]:
    """Read pictures from an IDX file of three dimensions, and add the channel axis.

    Args:
        path: The file.

    Raises:
        DataError: As `read_idx`; or the file does not have three dimensions, or a side of the pictures is 0.
    """
    pixels = read_idx(path)
    picture_shape(pixels.shape, path)
    return pixels[:, None]


def read_picture_shape(path: Path) -> tuple[int, ...]:
    """Return the number, the height and the width of the pictures that the header of a file promises.

    Args:
        path: The file.

    Raises:
        DataError: As `read_pixels`.
    """
    return picture_shape(read_shape(path), path)


def read_labels(path: Path) -> UInt8[np.ndarray, " n"]:
    """Read labels from an IDX file of one dimension.

    Args:
        path: The file.

    Raises:
        DataError: As `read_idx`; or the file does not have one dimension.
    """
    labels = read_idx(path)
    if labels.ndim != 1:
        raise DataError(
            f"{path} has {counted(labels.ndim, 'dimension')}, but labels have 1.",
            hint="Replace it with the file of labels.",
        )
    return labels


def without_gaps(classes: tuple[str, ...], counts: Sequence[Mapping[str, int]]) -> tuple[str, ...]:
    """Return the numbered classes that have pictures; classes with real names all stay.

    Args:
        classes: The names of the classes.
        counts: The number of pictures of each class, for each split.
    """
    if not all(name.isdecimal() for name in classes):
        return classes
    present = tuple(name for name in classes if any(of_split[name] for of_split in counts))
    return present if len(present) >= 2 else classes


def labels_beside(pictures: Path) -> Path:
    """Return the labels file that belongs to a file of pictures, by the names that MNIST uses.

    Args:
        pictures: The file of pictures.

    Raises:
        DataError: There is no such file next to it.
    """
    name = pictures.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for ending in _ENDINGS:
        labels = pictures.with_name(name + ending)
        if labels.is_file() and labels != pictures:
            return labels
    raise DataError(
        f"{pictures} has no labels next to it (neither {name} nor {name}.gz).",
        hint="Put the labels file into the same folder under that name.",
    )


def class_names(label_sets: list[UInt8[np.ndarray, " _"]]) -> tuple[str, ...]:
    """Return the names of the classes: those of Fashion-MNIST if the labels are its own, else numbers.

    Args:
        label_sets: The labels of each split.
    """
    import hashlib

    from .fashion_facts import CLASSES, SHA256

    first = struct.pack(">2I", 0x801, len(label_sets[0])) + label_sets[0].tobytes()
    if hashlib.sha256(first).hexdigest() in SHA256.values():
        return CLASSES
    largest = max((int(labels.max()) for labels in label_sets if len(labels)), default=0)
    return tuple(str(number) for number in range(largest + 1))


def of_idx(path: Path) -> Streams:
    """Return the streams of IDX files; only the labels are read now.

    Args:
        path: The folder, or the file of pictures.

    Raises:
        DataError: Files are missing, damaged or do not belong together.
    """
    pictures = find_pictures(path)
    streams, shapes, used = {}, set(), []
    for split, file in pictures.items():
        label_file = labels_beside(file)
        count, height, width = read_picture_shape(file)
        labels = read_labels(label_file)
        if len(labels) != count:
            raise DataError(
                f"{file} has {counted(count, 'picture')} but {counted(len(labels), 'label')}.",
                hint="Check that the two files belong together.",
            )
        shapes.add((1, height, width))
        streams[split] = Stream(labels, _chunks_in(file))
        for part in (file, label_file):
            status = os.stat(part)
            used.append((str(part.absolute()), status.st_size, status.st_mtime_ns))
    if len(shapes) > 1:
        raise DataError(
            f"{path}: the pictures of its splits have different sizes.", hint="Give all splits the same picture size."
        )
    classes = class_names([stream.labels for stream in streams.values()])
    counts = [
        dict(zip(classes, np.bincount(stream.labels, minlength=len(classes)).tolist(), strict=True))
        for stream in streams.values()
    ]
    return Streams(streams, classes, without_gaps(classes, counts), shapes.pop(), path.name, tuple(used))


def _chunks_in(file: Path) -> Callable[[int, int], Iterator[Chunk]]:
    """Return what reads the pictures of a file in chunks of `at_once`, from number `start` on."""
    return lambda at_once, start: read_chunks(file, at_once, start)
