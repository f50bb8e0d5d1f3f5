"""Images: labelled pictures as one uint8 array, and Splits: the sets that a source gives.

NumPy holds the bytes; torch tensors are views of the same memory, made when something first asks for them, so that
rooms that do not train need no torch. Class *names* are the identity everywhere: a label is a place in `classes`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import numbers
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt8

from ..base.seeds import HOLD_OUT, seed_of
from ..base.words import counted
from ..errors import DataError, UsageError, nearest
from ..records.audit import AuditResult, Corrected
from .decode import Fit

if TYPE_CHECKING:
    import torch


_AS_THEY_COME = np.empty(0, dtype=np.int64)  # stands for rows 0, 1, 2, … until it is known how many


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled pictures of one size.

    `pixels` is `(n, channels, height, width)` uint8, `labels` is `(n,)` int64 and indexes `classes`. `rows` are the
    places the pictures had in the source's own split `origin`; they survive choosing and splitting. `names` has a name
    for each of these places, where the source's pictures have names (a folder's: their paths in it), `groups` a number
    for each, where some belong together (the same person, say) and are to stay on one side of a split: -1 for a picture
    in none. `fit` says how the pictures came to this size, where they had others; a model keeps it for those it is
    given.
    Indexing gives `(float tensor (c, h, w) in [0, 1], int label)`, so this is also a PyTorch dataset; a slice gives
    the `Images` of it.

    Raises:
        DataError: sizes that do not go together, a label that no class has, or a class named twice.
    """

    pixels: UInt8[np.ndarray, "n channels height width"]
    labels: Int64[np.ndarray, " n"]
    classes: tuple[str, ...]
    origin: str = "train"
    rows: Int64[np.ndarray, " n"] = field(default_factory=lambda: _AS_THEY_COME, repr=False)
    names: Sequence[str] = field(default=(), repr=False)
    groups: Int64[np.ndarray, " places"] | None = field(default=None, repr=False)
    fit: Fit | None = field(default=None, repr=False)

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
        if self.rows is _AS_THEY_COME:
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
                f"{index!r:.80} is no place of a picture.", hint="images[3], images[:3], or images.take(rows)."
            ) from error
        if not -len(self) <= row < len(self):
            raise IndexError(f"There is no picture {row}: there are {len(self):,}, from 0.")
        return self.tensors[0][row].float() / 255, int(self.labels[row])

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        channels, height, width = self.shape
        return f"Images({self.origin}: {len(self):,} pictures of {width}x{height}x{channels}: {counts})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every picture."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    @property
    def counts(self) -> dict[str, int]:
        """How many pictures each class has, in the order of `classes`."""
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    @property
    def ids(self) -> Sequence[str]:
        """A name for each picture that stays with it: its own, or the source's split and the row there."""
        return _Ids(self.origin, self.rows, self.names)

    @cached_property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (uint8) and labels (int64) as torch tensors that share the arrays' memory."""
        import torch

        return torch.from_numpy(self.pixels), torch.from_numpy(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, class names, labels and pixels: the same pictures in the same order, and only those."""
        return fingerprint(self.pixels, self.labels, self.classes)

    @cached_property
    def sums(self) -> tuple[list[int], list[int]]:
        """Of each channel, the sum of its values and the sum of their squares."""
        totals, squares = ([0] * self.shape[0] for _ in range(2))
        at_once = max(1, (1 << 17) // max(math.prod(self.shape[1:]), 1))
        for start in range(0, len(self), at_once):
            for channel in range(self.shape[0]):
                # As floats, which multiply fastest; whole numbers under 2^53 are exact in any order.
                values = self.pixels[start : start + at_once, channel].ravel().astype(np.float64)
                totals[channel] += int(values.sum())
                squares[channel] += int(values @ values)
        return totals, squares

    def take(self, rows: Int64[np.ndarray, " m"]) -> Images:
        """The pictures at these places, in this order."""
        return dataclasses.replace(self, pixels=self.pixels[rows], labels=self.labels[rows], rows=self.rows[rows])

    def choose(self, classes: Sequence[str]) -> Images:
        """Only the pictures of these classes; the order given is the label.

        Raises:
            DataError: a class that is not there, named twice, or fewer than two.
        """
        if len(classes) > 1 and tuple(classes) == self.classes:
            return self
        labels = chosen_labels(self.labels, self.classes, classes)
        rows = np.flatnonzero(labels >= 0)
        taken = self.take(rows)
        return dataclasses.replace(taken, labels=labels[rows], classes=tuple(classes))

    def split(self, fraction: float, seed: int = 0) -> tuple[Images, Images]:
        """Two sets, the second with `fraction` of each class (rounded, at least one of a class that has two).

        The order of the pictures is kept; which go to the second set is a pure function of the seed. Those of a group
        stay together, which can move the share of a class.

        Raises:
            DataError: a fraction that is not between 0 and 1.
        """
        groups = None if self.groups is None else self.groups[self.rows]
        held = held_out(self.labels, len(self.classes), fraction, seed, groups)
        return self.take(np.flatnonzero(~held)), self.take(np.flatnonzero(held))


class _Ids(Sequence[str]):
    """The names, each made when it is asked for: those of a million pictures take a hundred megabytes."""

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
        return self._names[row] if self._names else f"{self._origin}/{row}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


def fingerprint(
    pixels: UInt8[np.ndarray, "n channels height width"], labels: Int64[np.ndarray, " n"], classes: tuple[str, ...]
) -> str:
    """SHA-256 over shape, class names, labels and pixels."""
    digest = hashlib.sha256(repr((pixels.shape, classes)).encode())
    digest.update(np.ascontiguousarray(labels).data)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def value_counts(pixels: UInt8[np.ndarray, "n channels height width"]) -> Int64[np.ndarray, "channels 256"]:
    """How often each channel has each of the 256 values."""
    counts = np.zeros((pixels.shape[1], 256), dtype=np.int64)
    for channel, of_one in enumerate(counts):
        for start in range(0, len(pixels), 1024):  # counting makes wide copies, so not all at once
            of_one += np.bincount(pixels[start : start + 1024, channel].ravel(), minlength=256)
    return counts


def chosen_labels(
    labels: Integer[np.ndarray, " n"], known: Sequence[str], classes: Sequence[str]
) -> Int64[np.ndarray, " n"]:
    """Labels as places in `classes`, -1 for a class that is not among them.

    Raises:
        DataError: a class that is not known, named twice, or fewer than two.
    """
    for name in classes:
        if name not in known:
            raise DataError(f"There is no class {name!r} here.", hint=nearest(name, known))
    if len(set(classes)) != len(classes):
        raise DataError(f"A class is chosen twice: {', '.join(classes)}.", hint="Name each class once.")
    if len(classes) < 2:
        raise DataError(
            f"A classifier needs two classes or more, and {len(classes)} was chosen.",
            hint=f"Known: {', '.join(known)}.",
        )
    new_label = np.full(len(known), -1, dtype=np.int64)
    new_label[[known.index(name) for name in classes]] = np.arange(len(classes))
    found: np.ndarray = new_label[labels]
    return found


def held_out(
    labels: Int64[np.ndarray, " n"],
    classes: int,
    fraction: float,
    seed: int,
    groups: Int64[np.ndarray, " n"] | None = None,
) -> Bool[np.ndarray, " n"]:
    """Which pictures are held out: the same share of each class, rounded, and at least one of a class that has two.

    Pictures of the same group (a number from 0 on; -1 is none) are held out together or not at all. Groups are gone
    through at random, and one is taken where it brings the classes nearer to their shares; what is missing then comes
    from pictures in no group. No class is held out as a whole.

    Raises:
        DataError: a fraction that is not between 0 and 1.
    """
    given: Any = fraction
    if not isinstance(given, numbers.Real) or not 0 < float(given) < 1:
        raise DataError(f"hold_out is {fraction!r}, and must be between 0 and 1.", hint="Try hold_out = 0.1.")
    random = np.random.default_rng(seed_of(seed, HOLD_OUT))
    held = np.zeros(len(labels), dtype=bool)
    counts = np.bincount(labels, minlength=classes)
    wanted = np.array([min(max(round(count * fraction), 1), count - 1) for count in counts.tolist()])
    in_group = np.zeros(len(labels), dtype=bool)
    if groups is not None and (together := _together(groups)):
        in_group[np.concatenate(together)] = True
        held[_groups_held_out(together, labels, counts, wanted, random)] = True
    for label in range(classes):
        rows = np.flatnonzero((labels == label) & ~in_group)
        count = min(int(wanted[label]) - int((held & (labels == label)).sum()), len(rows))
        if count > 0:
            random.shuffle(rows)  # in place: of a large set there may be no room for a second copy
            held[rows[:count]] = True
    return held


def _groups_held_out(
    together: Sequence[Int64[np.ndarray, " _"]],
    labels: Int64[np.ndarray, " n"],
    counts: Int64[np.ndarray, " classes"],
    wanted: Int64[np.ndarray, " classes"],
    random: np.random.Generator,
) -> Int64[np.ndarray, " held"]:
    """The rows of the groups that are held out. Where none brings the shares nearer, and all are in groups, the one
    that brings them least far."""
    taken, held = np.zeros_like(counts), [np.zeros(0, dtype=np.int64)]
    least, excess = None, math.inf
    for number in random.permutation(len(together)).tolist():
        rows = together[number]
        adds = np.bincount(labels[rows], minlength=len(counts))
        if ((taken + adds >= counts) & (adds > 0)).any():  # nothing of a class would be left
            continue
        nearer = np.abs(wanted - taken).sum() - np.abs(wanted - taken - adds).sum()
        if nearer > 0:
            taken += adds
            held.append(rows)
        elif -nearer < excess:
            least, excess = rows, -nearer
    if len(held) == 1 and least is not None and sum(map(len, together)) == len(labels):
        held.append(least)
    return np.concatenate(held)


def _together(groups: Int64[np.ndarray, " n"]) -> list[Int64[np.ndarray, " _"]]:
    """The rows of each group that has several, in the order of their first rows."""
    order = np.argsort(groups, kind="stable")
    order = order[groups[order] >= 0]
    begins = np.flatnonzero(np.diff(groups[order], prepend=-1))
    several = [rows for rows in np.split(order, begins[1:]) if len(rows) > 1]
    return sorted(several, key=lambda rows: int(rows[0]))


@dataclass(frozen=True, eq=False)
class Splits:
    """What a source gives: training pictures, and test and validation pictures where there are any.

    `bad_files` are the ids of files that were left out, since they cannot be used, each with its reason. `corrected` is
    what a corrections file has changed, `audited` what was found in the pictures when somebody looked.
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

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is a place in them."""
        return self.train.classes

    def present(self) -> dict[str, Images]:
        """The splits that there are, by name: train, valid, test."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: images for name, images in named.items() if images is not None}

    def choose(self, classes: Sequence[str]) -> Splits:
        """Only these classes, in every split; the order given is the label.

        Raises:
            DataError: see `Images.choose`.
        """
        chosen: dict[str, Any] = {name: images.choose(classes) for name, images in self.present().items()}
        return dataclasses.replace(self, **chosen, audited=None)

    def hold_out(self, fraction: float = 0.1, seed: int = 0) -> Splits:
        """The same, with `.valid` taken from `.train`, the same share of every class.

        Raises:
            DataError: a validation split is there already, or the fraction is not between 0 and 1.
        """
        if self.valid is not None:
            raise DataError("There is a validation split already.", hint="Use .valid as it is.")
        train, valid = self.train.split(fraction, seed)
        return dataclasses.replace(self, train=train, valid=valid)


def mean_and_std(images: Images) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel in [0, 1], exactly."""
    count = len(images) * math.prod(images.shape[1:])
    means, stds = [], []
    for total, squares in zip(*images.sums, strict=True):
        means.append(total / count / 255)
        # A channel without any contrast stays as it is.
        stds.append(math.sqrt((count * squares - total**2) / count**2) / 255 or 1.0)
    return means, stds
