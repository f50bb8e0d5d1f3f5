"""Facts of pictures that need only their arrays: a fingerprint, how often values occur, labels for other classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, Integer, UInt8

from ..errors import DataError, nearest


def fingerprint(
    pixels: UInt8[np.ndarray, "n channels height width"], labels: Int64[np.ndarray, " n"], classes: tuple[str, ...]
) -> str:
    """Return the SHA-256 of shape, class names, labels and pixels.

    Args:
        pixels: The pictures.
        labels: Their labels.
        classes: The names of the classes.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(repr((pixels.shape, classes)).encode())
    digest.update(np.ascontiguousarray(labels).data)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def value_counts(pixels: UInt8[np.ndarray, "n channels height width"]) -> Int64[np.ndarray, "channels 256"]:
    """Count how often each channel has each of the 256 values.

    Args:
        pixels: The pictures.

    Returns:
        One row for each channel.
    """
    counts = np.zeros((pixels.shape[1], 256), dtype=np.int64)
    for channel, row in enumerate(counts):
        for start in range(0, len(pixels), 1024):  # counting makes wide copies, so not all at once
            row += np.bincount(pixels[start : start + 1024, channel].ravel(), minlength=256)
    return counts


def chosen_labels(
    labels: Integer[np.ndarray, " n"], known: Sequence[str], classes: Sequence[str]
) -> Int64[np.ndarray, " n"]:
    """Renumber labels for a choice of classes.

    Args:
        labels: Indices into `known`.
        known: The names of all classes.
        classes: The names of the chosen classes.

    Returns:
        Indices into `classes`, -1 for pictures of other classes.

    Raises:
        DataError: A class is not known or is named twice, or there are fewer than two.
    """
    for name in classes:
        if name not in known:
            raise DataError(f"There is no class {name!r} here.", hint=nearest(name, known), kind="class")
    if len(set(classes)) != len(classes):
        raise DataError(f"A class is chosen twice: {', '.join(classes)}.", hint="Name each class once.")
    if len(classes) < 2:
        raise DataError(
            f"A classifier needs at least two classes, but {len(classes)} was chosen.",
            hint=f"Known: {', '.join(known)}.",
        )
    new_label = np.full(len(known), -1, dtype=np.int64)
    new_label[[known.index(name) for name in classes]] = np.arange(len(classes))
    renumbered: np.ndarray = new_label[labels]
    return renumbered
