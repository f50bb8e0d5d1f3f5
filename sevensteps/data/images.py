"""Images: labeled pictures as one uint8 array, and Splits: the training, validation and test pictures of a source.

NumPy holds the bytes. Torch tensors are views of the same memory and are created on first use, so that code that does
not train needs no torch. Classes are identified by *name* everywhere: a label is an index into `classes`.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from jaxtyping import Int64, UInt8

from ..base.words import counted
from ..errors import DataError, UsageError
from ..records.audit import AuditResult, Corrected
from .decode import Fit
from .features import Features
from .hold_out import held_out
from .image_arrays import chosen_labels, fingerprint
from .value_range import Range

if TYPE_CHECKING:
    import torch


_NAMED = 12  # classes that a short description names

_IN_ORDER = np.empty(0, dtype=np.int64)  # stands for rows 0, 1, 2, … until their number is known


@dataclass(frozen=True, eq=False)
class Images:
    """Labeled pictures of one size.

    Indexing returns `(float tensor (c, h, w) in [0, 1], int label)`, so this is also a PyTorch dataset; a slice
    returns `Images`.

    Args:
        pixels: `(n, channels, height, width)` uint8.
        labels: `(n,)` int64, indices into `classes`.
        classes: The names of the classes.
        origin: The split of the source that the pictures come from.
        rows: The rows that the pictures had in `origin`; they stay the same when pictures are chosen or split.
        names: A name for each row of `origin`, if the source names its pictures: for a folder, their paths in it.
        groups: A number for each row of `origin`, -1 for none. Pictures with the same number belong together (the same
            person, for example) and must stay on one side of a split.
        fit: How the pictures were brought to this size, if they were; a model keeps it for the pictures it predicts.
        range: The values that became black and white, if the pictures had more than 8 bits; a model keeps it, too.
        features: A row for each row of `origin`, if models take features of the pictures in place of their pixels.

    Raises:
        DataError: The sizes do not fit together, a label has no class, or a class is named twice.
    """

    pixels: UInt8[np.ndarray, "n channels height width"]
    labels: Int64[np.ndarray, " n"]
    classes: tuple[str, ...]
    origin: str = "train"
    rows: Int64[np.ndarray, " n"] = field(default_factory=lambda: _IN_ORDER, repr=False)
    names: Sequence[str] = field(default=(), repr=False)
    groups: Int64[np.ndarray, " places"] | None = field(default=None, repr=False)
    fit: Fit | None = field(default=None, repr=False)
    range: Range | None = field(default=None, repr=False)
    features: Features | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.dtype != np.uint8:
            raise DataError(
                f"Pixels must be a uint8 array (n, channels, height, width), not {self.pixels.dtype} "
                f"{self.pixels.shape}.",
                hint="Add the channel axis with pixels[:, None], and keep values in 0..255.",
            )
        if self.labels.ndim != 1 or self.labels.dtype != np.int64:
            raise DataError(
                f"Labels must be an int64 array (n,), not {self.labels.dtype} {self.labels.shape}.",
                hint="Convert them with labels.astype(np.int64).",
            )
        if len(self.pixels) != len(self.labels):
            raise DataError(
                f"{counted(len(self.pixels), 'picture')} but {counted(len(self.labels), 'label')}.",
                hint="Check that the two files belong together.",
            )
        if len(set(self.classes)) != len(self.classes):
            raise DataError(f"A class is named twice: {', '.join(self.classes)}.", hint="Give each class its own name.")
        if len(self.labels):
            row = int(self.labels.argmax()) if self.labels.max() >= len(self.classes) else int(self.labels.argmin())
            if not 0 <= self.labels[row] < len(self.classes):
                raise DataError(
                    f"Label {self.labels[row]} of picture {self.origin}/{row} is out of range: there are "
                    f"{len(self.classes)} classes, numbered 0 to {len(self.classes) - 1}.",
                    hint="Check the labels file, or give the names of all classes.",
                )
        if self.rows is _IN_ORDER:
            object.__setattr__(self, "rows", np.arange(len(self.labels), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: slice) -> Images: ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> tuple[torch.Tensor, int]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Images | tuple[torch.Tensor, int]:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        try:
            row = operator.index(index)
        except TypeError as error:
            raise UsageError(
                f"{index!r:.80} is not the index of a picture.", hint="images[3], images[:3], or images.take(rows)."
            ) from error
        if not -len(self) <= row < len(self):
            raise IndexError(f"There is no picture {row}: there are {len(self):,}, counted from 0.")
        import torch

        return torch.from_numpy(self.inputs[row]).float() / 255, int(self.labels[row])

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        counts = [f"{count:,} {name}" for name, count in self.counts.items()]
        if len(counts) > _NAMED:
            counts = [*counts[:_NAMED], f"and {len(counts) - _NAMED:,} more classes"]
        return f"Images({self.origin}: {len(self):,} pictures of {self._size}: {', '.join(counts)})"

    def _repr_html_(self) -> str:
        """Return the counts of the classes and some pictures, as a notebook shows them."""
        from .notebook import images_html

        return images_html(self)

    @property
    def _size(self) -> str:
        """Width, height and channels: "28x28x1"."""
        channels, height, width = self.shape
        return f"{width}x{height}x{channels}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every picture."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    @cached_property
    def inputs(self) -> UInt8[np.ndarray, "n channels height width"]:
        """What models take: the pixels, or the features of each picture as channels of 1x1 or more pixels."""
        return self.pixels if self.features is None else self.features.of(self.rows)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of `inputs`."""
        return self.shape if self.features is None else self.features.picture_shape

    @property
    def counts(self) -> dict[str, int]:
        """The number of pictures of each class, in the order of `classes`."""
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    @property
    def ids(self) -> Sequence[str]:
        """A lasting name for each picture: its own, or the source's split and row, such as "train/7"."""
        return _Ids(self.origin, self.rows, self.names)

    @cached_property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (uint8) and labels (int64) as torch tensors that share the memory of the arrays."""
        import torch

        return torch.from_numpy(np.asarray(self.inputs)), torch.from_numpy(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of shape, class names, labels and pixels: equal only for the same pictures in the same order."""
        return fingerprint(self.pixels, self.labels, self.classes)

    @cached_property
    def sums(self) -> tuple[list[int], list[int]]:
        """For each channel, the sum of its values (0 to 255), and for each the sum of their squares."""
        inputs = self.inputs
        totals, squares = ([0] * inputs.shape[1] for _ in range(2))
        at_once = max(1, (1 << 17) // max(math.prod(inputs.shape[2:]), 1))
        for start in range(0, len(self), at_once):
            for channel in range(inputs.shape[1]):
                # Floats multiply fastest, and integers under 2^53 are exact in any order.
                values = inputs[start : start + at_once, channel].ravel().astype(np.float64)
                totals[channel] += int(values.sum())
                squares[channel] += int(values @ values)
        return totals, squares

    def take(self, rows: Int64[np.ndarray, " m"]) -> Images:
        """Return the pictures at these places.

        Args:
            rows: Places in this set, in the order wanted.

        Returns:
            A copy of the pictures.
        """
        return dataclasses.replace(self, pixels=self.pixels[rows], labels=self.labels[rows], rows=self.rows[rows])

    def choose(self, classes: Sequence[str]) -> Images:
        """Return only the pictures of some classes.

        Args:
            classes: The names; a label becomes the index in this list.

        Returns:
            The pictures, in their old order.

        Raises:
            DataError: A class does not exist or is named twice, or there are fewer than two.
        """
        if len(classes) > 1 and tuple(classes) == self.classes:
            return self
        labels = chosen_labels(self.labels, self.classes, classes)
        rows = np.flatnonzero(labels >= 0)
        taken = self.take(rows)
        return dataclasses.replace(taken, labels=labels[rows], classes=tuple(classes))

    def split(self, fraction: float, seed: int = 0) -> tuple[Images, Images]:
        """Split the pictures into two sets, with the same share of each class.

        Pictures keep their order. Those of a group stay together, which can change the share of a class.

        Args:
            fraction: The share of each class in the second set, rounded, with at least one picture of each class that
                has two.
            seed: Decides which pictures go into the second set.

        Returns:
            The rest, and the fraction.

        Raises:
            DataError: `fraction` is not between 0 and 1.
        """
        groups = None if self.groups is None else self.groups[self.rows]
        held = held_out(self.labels, len(self.classes), fraction, seed, groups)
        return self.take(np.flatnonzero(~held)), self.take(np.flatnonzero(held))


class _Ids(Sequence[str]):
    """The names of pictures, each created on demand: those of a million pictures take a hundred megabytes."""

    def __init__(self, origin: str, rows: Int64[np.ndarray, " n"], names: Sequence[str] = ()) -> None:
        self._origin, self._rows, self._names = origin, rows, names

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return list(_Ids(self._origin, self._rows[index], self._names))
        return self._named(int(self._rows[index]))

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), 1024):
            yield from map(self._named, self._rows[first : first + 1024].tolist())

    def _named(self, row: int) -> str:
        """Return the name of a row of the source's split."""
        return self._names[row] if self._names else f"{self._origin}/{row}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


@dataclass(frozen=True, eq=False)
class Splits:
    """The pictures of a source: for training, and for test and validation if there are any.

    Args:
        train: The training pictures.
        test: The test pictures.
        valid: The validation pictures.
        source: The name of the source.
        bad_files: The ids of files that cannot be used and were left out, each with its reason.
        corrected: What a corrections file has changed.
        audited: What an audit has found in the pictures.

    Raises:
        DataError: The splits differ in their classes or the size of their pictures.
    """

    train: Images
    test: Images | None = None
    valid: Images | None = None
    source: str = ""
    bad_files: tuple[tuple[str, str], ...] = ()
    corrected: Corrected | None = None
    audited: AuditResult | None = None

    def __post_init__(self) -> None:
        for name, images in (("test", self.test), ("valid", self.valid)):
            if images is not None and (images.classes, images.shape) != (self.train.classes, self.train.shape):
                raise DataError(
                    f"The {name} pictures have classes {images.classes} and shape {images.shape}, the "
                    f"training pictures {self.train.classes} and {self.train.shape}.",
                    hint="All splits need the same classes and picture size.",
                )

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(images):,} {name}" for name, images in self.present().items())
        named = [*self.classes[:_NAMED], "..."] if len(self.classes) > _NAMED else self.classes
        return f"Splits({self.source}: {counts} pictures of {self.train._size}; {', '.join(named)})"

    def _repr_html_(self) -> str:
        """Return the counts of splits and classes and some pictures, as a notebook shows them."""
        from .notebook import splits_html

        return splits_html(self.source, self.present(), self.corrected, self.bad_files)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; a label is an index into them."""
        return self.train.classes

    def present(self) -> dict[str, Images]:
        """Return the splits that exist, by name: train, valid, test."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: images for name, images in named.items() if images is not None}

    def choose(self, classes: Sequence[str]) -> Splits:
        """Return only some classes, in every split.

        Args:
            classes: The names; a label becomes the index in this list.

        Returns:
            The pictures of these classes, without an audit.

        Raises:
            DataError: A class does not exist or is named twice, or there are fewer than two.
        """
        chosen: dict[str, Any] = {name: images.choose(classes) for name, images in self.present().items()}
        return dataclasses.replace(self, **chosen, audited=None)

    def hold_out(self, fraction: float = 0.1, seed: int = 0) -> Splits:
        """Take a validation split from the training pictures, the same share of every class.

        Args:
            fraction: The share, between 0 and 1.
            seed: Decides which pictures.

        Returns:
            New splits with `.valid` and a smaller `.train`.

        Raises:
            DataError: There is a validation split already, or `fraction` is not between 0 and 1.
        """
        if self.valid is not None:
            raise DataError("There is already a validation split.", hint="Use .valid as it is.")
        train, valid = self.train.split(fraction, seed)
        return dataclasses.replace(self, train=train, valid=valid)


def mean_and_std(images: Images) -> tuple[list[float], list[float]]:
    """Return the exact mean and standard deviation of each channel, for pixels in [0, 1].

    Args:
        images: The pictures.

    Returns:
        The means and the standard deviations, one number for each channel. A channel without contrast has 1.
    """
    count = len(images) * math.prod(images.input_shape[1:])
    means, stds = [], []
    for total, squares in zip(*images.sums, strict=True):
        means.append(total / count / 255)
        # Dividing by 1 leaves a channel without contrast as it is.
        stds.append(math.sqrt((count * squares - total**2) / count**2) / 255 or 1.0)
    return means, stds
