"""A PyTorch dataset as a source: anything with a length whose items are a picture and its label."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import DataError
from ..decode import from_image, seen_in
from ..files.catalog import Say, in_order
from ..files.common_shape import common_shape
from ..files.how import How
from ..images import Images, Splits
from .arrays import as_bytes


def is_dataset(source: Any) -> bool:
    """Return whether a source is a dataset with a length.

    Args:
        source: As for `load`.
    """
    return hasattr(source, "__getitem__") and hasattr(source, "__len__") and not isinstance(source, str)


def load_dataset(dataset: Any, how: How, say: Say) -> Splits:
    """Return all items of a dataset as training pictures.

    The classes are the dataset's `classes` if it has them and the labels are numbers, else the labels as text.

    Args:
        dataset: Anything with a length whose items are a picture and its label. Pictures are PIL pictures, or tensors
            or arrays of one size.
        how: The size and the fit for PIL pictures.
        say: Takes a line if values are scaled.

    Raises:
        DataError: An item is not a picture with a label.
    """
    name = type(dataset).__name__
    pictures, labels = [], []
    for number in range(len(dataset)):
        item = dataset[number]
        if not isinstance(item, (tuple, list)) or len(item) < 2:
            raise DataError(
                f"Item {number} of {name} is of type {type(item).__name__}, but must be a picture and its label.",
                hint="Return (picture, label) for each item.",
            )
        pictures.append(item[0])
        labels.append(item[1].item() if hasattr(item[1], "item") else item[1])
    names = getattr(dataset, "classes", None)
    if names is not None and all(isinstance(label, int) and 0 <= label < len(names) for label in labels):
        classes = tuple(map(str, names))
        numbers = labels
    else:
        texts = [str(label) for label in labels]
        classes = in_order(texts)
        numbers = [classes.index(text) for text in texts]
    pixels = _pixels(name, pictures, how, say)
    return Splits(Images(pixels, np.array(numbers, dtype=np.int64), classes, fit=how.fit), source=name)


def _pixels(name: str, pictures: list[Any], how: How, say: Say) -> Any:
    """Return the pictures as one array.

    Raises:
        DataError: They are neither PIL pictures nor arrays of one size.
    """
    if pictures and all(hasattr(picture, "convert") for picture in pictures):
        shape = common_shape(map(seen_in, pictures), how.size)
        return np.stack([from_image(picture, shape, how.fit) for picture in pictures])
    try:
        arrays = np.stack([np.asarray(picture) for picture in pictures])
        if arrays.dtype.kind not in "buif":
            raise TypeError(f"values of type {arrays.dtype} are not pixels")
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The pictures of {name} are neither PIL pictures nor arrays of one size: {error!s:.200}.",
            hint="Resize them in the dataset, or return PIL pictures.",
        ) from error
    return as_bytes(f"The pictures of {name}", arrays, say)
