"""A PyTorch dataset as a source: anything with a length whose items are a picture and its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from ...base.words import counted
from ...errors import DataError, UsageError
from ..class_names import check_names, class_named, is_missing
from ..decode import from_image, seen_in
from ..eight_bits import extremes_of
from ..files.catalog import Say, in_order
from ..files.common_shape import common_shape
from ..files.how import How
from ..files.summary import SHOWN
from ..images import Images, Splits
from ..value_range import OF_DEEP, Range, decided, range_in_words, union
from .array_pixels import as_bytes


def is_dataset(source: Any) -> bool:
    """Return whether a source is a dataset with a length.

    Args:
        source: As for `load`.
    """
    return hasattr(source, "__getitem__") and hasattr(source, "__len__") and not isinstance(source, (str, Mapping))


def load_dataset(dataset: Any, how: How, say: Say, warn: Say | None = None) -> Splits:
    """Return all items of a dataset as training pictures.

    The classes are the dataset's `classes` if it has them and the labels are numbers, else the labels as text. Those of
    a `Subset` are the classes of the dataset that it is a part of.

    Args:
        dataset: Anything with a length whose items are a picture and its label. Pictures are PIL pictures, or tensors
            or arrays of one size.
        how: The size and the fit for PIL pictures, the range of values, and what to do with items without a label.
        say: Takes the lines that describe the source.
        warn: Takes a line if values are scaled; `say` takes it unless it is given.

    Raises:
        UsageError: A size or a fit is given for pictures that have one already.
        DataError: An item cannot be read, or is not a picture with one label.
    """
    name = type(dataset).__name__
    pictures, labels, rows, bad = [], [], [], []
    for number in range(_length(name, dataset)):
        item = _item(name, dataset, number)
        if not isinstance(item, (tuple, list)) or len(item) < 2:
            raise DataError(
                f"Item {number} of {name} is of type {type(item).__name__}, but must be a picture and its label.",
                hint="Return (picture, label) for each item.",
            )
        label = _label(name, number, item[1])
        if is_missing(label) or (isinstance(label, str) and not class_named(label)):
            bad.append((f"train/{number}", f"has no class: its label is {label!r}"))
            continue
        pictures.append(item[0])
        labels.append(label)
        rows.append(number)
    if bad:
        _stop_or_skip(name, bad, len(rows), how, say)
    names = _names_of(dataset)
    if names is not None and all(isinstance(label, int) and 0 <= label < len(names) for label in labels):
        classes = tuple(map(str, names))
        numbers = labels
    else:
        texts = [class_named(str(label)) for label in labels]
        first = dict(zip(reversed([str(label) for label in labels]), reversed(rows), strict=True))
        check_names(name, {text: f"item {number}" for text, number in sorted(first.items(), key=itemgetter(1))})
        classes = in_order(texts)
        numbers = [classes.index(text) for text in texts]
    pixels, used = _pixels(name, pictures, how, warn or say)
    images = Images(
        pixels,
        np.array(numbers, dtype=np.int64),
        classes,
        rows=np.array(rows, dtype=np.int64),
        fit=how.fit,
        range=used,
    )
    return Splits(images, source=name, bad_files=tuple(bad))


def _length(name: str, dataset: Any) -> int:
    """Return the number of items.

    Raises:
        DataError: The dataset cannot tell it.
    """
    try:
        return len(dataset)
    except Exception as error:  # whatever a dataset of the user's raises
        raise DataError(
            f"{name} cannot tell how many items it has: {_in_words(error)}.", hint="Check the dataset: len(dataset)"
        ) from error


def _item(name: str, dataset: Any, number: int) -> Any:
    """Return an item.

    Raises:
        DataError: The dataset cannot read it.
    """
    try:
        return dataset[number]
    except Exception as error:  # whatever a dataset of the user's raises
        raise DataError(
            f"Item {number} of {name} cannot be read: {_in_words(error)}.",
            hint=f"Check the dataset: dataset[{number}]",
        ) from error


def _in_words(error: Exception) -> str:
    """Return the kind and the message of an error that someone else's code raised."""
    return f"{type(error).__name__}: {error!s:.200}".rstrip(".: ")


def _names_of(dataset: Any) -> Sequence[Any] | None:
    """Return the names of the classes of a dataset, or of the one that it is a part of; None without any."""
    for _ in range(10):  # a Subset of a Subset, and so on
        names = getattr(dataset, "classes", None)
        if isinstance(names, Sequence) and not isinstance(names, str):
            return names
        parts = getattr(dataset, "datasets", None) or []
        if parts and len({repr(_names_of(part)) for part in parts}) == 1:
            return _names_of(parts[0])
        if (dataset := getattr(dataset, "dataset", None)) is None:
            return None
    return None


def _label(name: str, number: int, label: Any) -> Any:
    """Return the one label of an item.

    Raises:
        DataError: It has several, or something else in their place.
    """
    plain = label.tolist() if hasattr(label, "tolist") else label
    if isinstance(plain, (list, tuple)) and len(plain) == 1:
        (plain,) = plain
    if isinstance(plain, (list, tuple, set, dict)):
        raise DataError(
            f"Item {number} of {name} has the label {plain!r:.80}, and a picture can have only one class.",
            hint="Return one name or one number as the label of each item.",
        )
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def _stop_or_skip(name: str, bad: Sequence[tuple[str, str]], good: int, how: How, say: Say) -> None:
    """Raise for items without a label, or report that they are left out.

    Raises:
        DataError: They are not to be skipped.
    """
    listed = "; ".join(f"{place} {reason}" for place, reason in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
    if not how.leaves_out(len(bad), len(bad) + good):
        raise DataError(
            f"{name}: {counted(len(bad), 'item')} cannot be used: {listed}{more}.",
            hint="Give them labels, or continue without them: {bad_files}",
            settings={"bad_files": "skip"},
        )
    say(f"{name}: {counted(len(bad), 'item')} left out: {listed}{more}")


def _pixels(name: str, pictures: list[Any], how: How, warn: Say) -> tuple[Any, Range | None]:
    """Return the pictures as one array, and the range of their values.

    Raises:
        DataError: They are neither PIL pictures nor arrays of one size.
    """
    if pictures and all(hasattr(picture, "convert") for picture in pictures):
        shape = common_shape(map(seen_in, pictures), how.size)
        values = union(map(extremes_of, pictures))
        if range := decided(values, how.range):
            warn(range_in_words(name, range, values, how.range, OF_DEEP))
        return np.stack([from_image(picture, shape, how.fit, range) for picture in pictures]), range
    for key in (key for key in ("size", "fit") if key in how.changed()):
        raise UsageError(
            f"{key} is for PIL pictures, but those of {name} are arrays.",
            hint=f"Leave {key} out, and resize them in the dataset.",
        )
    try:
        arrays = np.stack([np.asarray(picture) for picture in pictures])
        if arrays.dtype.kind not in "buif":
            raise TypeError(f"values of type {arrays.dtype} are not pixels")
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The pictures of {name} are neither PIL pictures nor arrays of one size: {error!s:.200}.",
            hint="Resize them in the dataset, or return PIL pictures.",
        ) from error
    pixels, range = as_bytes(f"The pictures of {name}", {"": arrays}, how.range, warn)
    return pixels[""], range
