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
    """Whether a source is a dataset with a length."""
    return hasattr(source, "__getitem__") and hasattr(source, "__len__") and not isinstance(source, str)


def load_dataset(dataset: Any, how: How, say: Say) -> Splits:
    """All items of a dataset, as training pictures. Pictures are PIL's, or tensors or arrays of one size.

    Classes are the dataset's `classes`, where it has them and the labels are numbers.

    Raises:
        DataError: an item that is no picture with a label.
    """
    name = type(dataset).__name__
    pictures, labels = [], []
    for number in range(len(dataset)):
        item = dataset[number]
        if not isinstance(item, (tuple, list)) or len(item) < 2:
            raise DataError(
                f"Item {number} of {name} is {type(item).__name__}, and must be a picture and its label.",
                hint="A dataset gives (picture, label).",
            )
        pictures.append(item[0])
        labels.append(item[1].item() if hasattr(item[1], "item") else item[1])
    known = getattr(dataset, "classes", None)
    if known is not None and all(isinstance(label, int) and 0 <= label < len(known) for label in labels):
        classes = tuple(map(str, known))
        numbers = labels
    else:
        texts = [str(label) for label in labels]
        classes = in_order(texts)
        numbers = [classes.index(text) for text in texts]
    pixels = _pixels(name, pictures, how, say)
    return Splits(Images(pixels, np.array(numbers, dtype=np.int64), classes, fit=how.fit), source=name)


def _pixels(name: str, pictures: list[Any], how: How, say: Say) -> Any:
    """The pictures as one array.

    Raises:
        DataError: they are of several kinds or sizes, and no PIL pictures.
    """
    if pictures and all(hasattr(picture, "convert") for picture in pictures):
        shape = common_shape(map(seen_in, pictures), how.size)
        return np.stack([from_image(picture, shape, how.fit) for picture in pictures])
    try:
        arrays = np.stack([np.asarray(picture) for picture in pictures])
        if arrays.dtype.kind not in "buif":
            raise TypeError(f"values of type {arrays.dtype} are no pixels")
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The pictures of {name} are neither PIL pictures nor arrays of one size: {error!s:.200}.",
            hint="Resize them in the dataset, or give PIL pictures.",
        ) from error
    return as_bytes(f"The pictures of {name}", arrays, say)
