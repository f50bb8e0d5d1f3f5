"""Arrays as a source: an `.npz`, or a folder of `.npy`, with pictures and labels for each split.

The shape of an array tells pictures from labels, and its name gives the split: `x_train` and `y_train`, `train_images`
and `train_labels`, or just `images` and `labels`. Arrays that need pickle are never read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from ...base.words import counted
from ...errors import DataError
from ..class_names import check_names, class_named
from ..files.catalog import Say, in_order
from ..files.split_names import split_named
from ..images import Images, Splits
from ..range_ends import Ends
from .array_pixels import as_bytes

_NAMES = ("classes", "class_names", "label_names", "target_names")


def holds_arrays(path: Path) -> bool:
    """Return whether a path is a source of arrays: an `.npz`, an `.npy`, or a folder with an `.npy`.

    Args:
        path: A path.
    """
    if path.is_dir():
        return any(path.glob("*.npy"))
    return path.suffix.lower() in (".npz", ".npy")


def load_arrays(path: Path, say: Say, asked: Ends = (), warn: Say | None = None) -> Splits:
    """Return the splits that arrays hold.

    Args:
        path: An `.npz`, an `.npy`, or a folder with an `.npy`.
        say: Takes the lines that describe the source.
        asked: The values that become black and white; empty: found over all splits.
        warn: Takes a line if values are scaled; `say` takes it unless it is given.

    Raises:
        DataError: A file cannot be read, or the arrays are not pictures with labels.
    """
    arrays = _read(path)
    names = next((_strings(arrays.pop(name)) for name in _NAMES if name in arrays and arrays[name].ndim == 1), None)
    by_split: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        by_split.setdefault(split_named(name) or "train", {})[name] = array
    pairs = {split: _pair(path, split, of_split) for split, of_split in by_split.items()}
    if "train" not in pairs:
        raise DataError(
            f"{path}: no array is for training; it has {_listed(arrays)}.", hint="Name them x_train, y_train."
        )
    labels = {split: of for split, (_, of) in pairs.items()}
    classes, numbers = _numbered(path, labels, names)
    pixels, range = as_bytes(str(path), {split: pictures for split, (pictures, _) in pairs.items()}, asked, warn or say)
    images = {split: Images(pixels[split], numbers[split], classes, split, range=range) for split in pairs}
    return Splits(images["train"], images.get("test"), images.get("valid"), path.name)


def look_at(path: Path) -> tuple[dict[str, int], tuple[int, int, int]]:
    """Return facts about the training pictures without reading a pixel.

    Args:
        path: As for `load_arrays`.

    Returns:
        The number of pictures of each class, and their shape: channels, height, width.

    Raises:
        DataError: As `load_arrays`.
    """
    arrays = _read(path, without_pixels=True)
    names = next((_strings(arrays.pop(name)) for name in _NAMES if name in arrays and arrays[name].ndim == 1), None)
    of_train = {name: array for name, array in arrays.items() if (split_named(name) or "train") == "train"}
    pixels, labels = _pair(path, "train", of_train)
    classes, numbers = _numbered(path, {"train": labels}, names)
    counts = np.bincount(numbers["train"], minlength=len(classes)).tolist()
    if pixels.ndim == 4 and pixels.shape[3] in (1, 3) and pixels.shape[1] not in (1, 3):
        shape = pixels.shape[3], pixels.shape[1], pixels.shape[2]
    else:
        shape = pixels.shape[1:] if pixels.ndim == 4 else (1, *pixels.shape[1:])
    return dict(zip(classes, counts, strict=True)), shape


def _read(path: Path, *, without_pixels: bool = False) -> dict[str, Any]:
    """Return the arrays by name; `without_pixels`, those with two axes or more have the right shape but no values.

    Raises:
        DataError: A file is damaged or needs pickle.
    """
    file_path = path
    try:
        if path.suffix.lower() == ".npz":
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:  # noqa: TID251 - a user's arrays; pickles are refused
                return {name: _unread(file, name) if without_pixels else file[name] for name in file.files}
        folder = path if path.is_dir() else path.parent
        arrays = {}
        for file_path in sorted(folder.glob("*.npy")):
            arrays[file_path.stem] = np.load(file_path, mmap_mode="r" if without_pixels else None, allow_pickle=False)  # noqa: TID251 - as above
        return arrays
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError, SyntaxError) as error:
        reason = "it needs pickle, which could run code" if "allow_pickle" in str(error) else f"{error!s:.200}"
        raise DataError(f"{file_path} cannot be read: {reason}.", hint="Save it again with numpy.savez.") from error


def _unread(file: Any, name: str) -> Any:
    """Return an array of an `.npz`; with two axes or more, it has the right shape but takes no memory."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with file.zip.open(f"{name}.npy") as member:
        read = headers.get(np.lib.format.read_magic(member))
        shape, _, kind = read(member) if read else ((), False, np.dtype(np.uint8))
    return file[name] if len(shape) < 2 else np.broadcast_to(np.zeros((), kind), shape)


def _pair(path: Path, split: str, arrays: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the pictures and the labels of a split.

    Raises:
        DataError: There is not exactly one array of each, or their lengths differ.
    """
    pictures = [array for array in arrays.values() if array.ndim >= 3]
    flat = [array for array in arrays.values() if array.ndim == 2 and array.shape[1] > 1]
    labels = [array for array in arrays.values() if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)]
    if not pictures and len(flat) == 1 and (side := round(flat[0].shape[1] ** 0.5)) ** 2 == flat[0].shape[1]:
        pictures = [flat[0].reshape(-1, side, side)]
    if len(pictures) == 1 and not labels and len(flat) == 1 and len(flat[0]) == len(pictures[0]):
        raise DataError(
            f"{path}: the {split} split has {flat[0].shape[1]} labels a picture, but a picture can have only one.",
            hint="Save one label for each picture; from a 1 for the class and 0 elsewhere: labels.argmax(axis=1)",
        )
    if len(pictures) != 1 or len(labels) != 1:
        raise DataError(
            f"{path}: the {split} split needs one array of pictures and one of labels, but it has {_listed(arrays)}.",
            hint="Save them as x_train and y_train (and x_test, y_test).",
        )
    if len(pictures[0]) != len(labels[0]):
        raise DataError(
            f"{path}: the {split} split has {counted(len(pictures[0]), 'picture')} but "
            f"{counted(len(labels[0]), 'label')}.",
            hint="Check that the arrays belong together.",
        )
    return pictures[0], labels[0].reshape(-1)


def _numbered(
    path: Path, labels: Mapping[str, Any], names: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, Int64[np.ndarray, " n"]]]:
    """Return the names of the classes, and the labels of each split as class indices.

    Raises:
        DataError: The labels are neither names nor whole numbers, or a number has no name.
    """
    for split, of_split in labels.items():
        gaps = np.flatnonzero(np.isnan(of_split)).tolist() if of_split.dtype.kind == "f" else []
        if gaps:
            raise _without_label(path, split, gaps)
        if of_split.dtype.kind not in "buiUS":
            is_whole = of_split.dtype.kind == "f" and bool((of_split % 1 == 0).all())
            raise DataError(
                f"{path}: labels of type {of_split.dtype} are neither names nor whole numbers.",
                hint="Convert them: labels.astype(int)" if is_whole else "Give each class a name or a whole number.",
            )
    if names is not None and all(of_split.dtype.kind in "bui" for of_split in labels.values()):
        for split, of_split in labels.items():
            wrong = np.flatnonzero((of_split.astype(np.int64) < 0) | (of_split.astype(np.int64) >= len(names)))
            if len(wrong):
                raise DataError(
                    f"{path}: {split}/{wrong[0]} has label {of_split[wrong[0]]}, but only the labels 0 to "
                    f"{len(names) - 1} have names.",
                    hint="Correct the label, or add the names.",
                )
        return tuple(names), {split: of_split.astype(np.int64) for split, of_split in labels.items()}
    texts = {split: [class_named(text) for text in _strings(of_split)] for split, of_split in labels.items()}
    for split, of_split in texts.items():
        if gaps := [row for row, text in enumerate(of_split) if not text]:
            raise _without_label(path, split, gaps)
    check_names(path, _first_places({split: _strings(of_split) for split, of_split in labels.items()}))
    classes = in_order(name for of_split in texts.values() for name in of_split)
    places = {name: place for place, name in enumerate(classes)}
    return classes, {
        split: np.array([places[name] for name in of_split], dtype=np.int64) for split, of_split in texts.items()
    }


def _without_label(path: Path, split: str, rows: Sequence[int]) -> DataError:
    """Return the error for pictures whose label is missing."""
    others = f" (and {counted(len(rows) - 1, 'other picture')})" if len(rows) > 1 else ""
    return DataError(f"{path}: {split}/{rows[0]}{others} has no label.", hint="Save only the pictures that have one.")


def _first_places(labels: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return each label with the first picture that has it."""
    places: dict[str, str] = {}
    for split, of_split in labels.items():
        for row, text in enumerate(of_split):
            places.setdefault(text, f"{split}/{row}")
    return places


def _strings(values: Any) -> list[str]:
    """Return labels or names as text."""
    if values.dtype.kind == "S":
        return [value.decode("utf-8", "backslashreplace") for value in values.tolist()]
    return [str(int(value)) if values.dtype.kind == "b" else str(value) for value in values.tolist()]


def _listed(arrays: Mapping[str, Any]) -> str:
    """Return arrays as a list in words: name, type and shape of each."""
    return ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items()) or "none"
