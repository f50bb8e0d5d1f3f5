"""The predictions of a split as one table, from which every metric is computed. Written and read without torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int64

from ..base import files
from ..errors import DataError, RunError, nearest
from ..records.scores import Score
from .intervals import score

if TYPE_CHECKING:
    from ..data.images import Images
    from ..learner.learner import Learner


LARGEST = 1 << 30  # bytes of a file; a million pictures of ten classes take about 500 MB


LONGEST = 1 << 20  # bytes of a line; a picture of a thousand classes takes about 50 KB


TOLERANCE = 1e-4  # how far the sum of probabilities may be from 1: single precision, a thousand classes


_VALUES = 1 << 18  # pixel values that are predicted at once, at most


_BLOCK = 4096  # rows kept as Python numbers, which take ten times the memory of NumPy's


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """One row for each picture: its id, its label, its logits, and the probabilities of the classes.

    A model of two classes may have one column of logits, which is that of the second class.
    """

    split: str
    ids: Sequence[str]
    classes: tuple[str, ...]
    labels: Int64[np.ndarray, " n"]
    logits: Float[np.ndarray, "n scores"]
    probabilities: Float[np.ndarray, "n classes"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> Int64[np.ndarray, " n"]:
        """The class with the highest probability."""
        best: np.ndarray = self.probabilities.argmax(1)
        return best

    @property
    def right(self) -> np.ndarray:
        """Whether each picture is classified correctly."""
        return np.asarray(self.predicted == self.labels)

    @property
    def score(self) -> Score:
        """Accuracy with its interval."""
        return score(self.split, int(self.right.sum()), len(self))

    def lines(self) -> Iterator[str]:
        """Yield one line of JSON for each picture, with the numbers in full precision."""
        for first in range(0, len(self), _BLOCK):
            some = slice(first, first + _BLOCK)
            columns = (self.labels[some], self.logits[some], self.probabilities[some])
            for name, label, scores, shares in zip(self.ids[some], *(c.tolist() for c in columns), strict=True):
                row = {
                    "id": name,
                    "split": self.split,
                    "label": self.classes[label],
                    "logits": scores,
                    "probabilities": shares,
                }
                yield json.dumps(row) + "\n"

    def to_jsonl(self) -> str:
        """Return all lines as one text."""
        return "".join(self.lines())

    def check(self) -> None:
        """Raise if metrics cannot be computed from this table, with what is wrong, the row and the value.

        Raises:
            DataError: If sizes differ, there are no pictures, a label has no class, a number is not finite,
                probabilities are not valid, or an id occurs twice.
        """
        hint = "Run sevensteps judge on the model again."
        if wrong := _wrong_size(self):
            raise DataError(f"Predictions of {self.split}: {wrong}", hint=hint)
        for row, what in sorted(wrong_rows(self), key=itemgetter(0))[:1]:
            raise DataError(f"Predictions of {self.split}, row {row + 1} ({said(self.ids[row])}): {what}", hint=hint)


def from_jsonl(path: Path, classes: Sequence[str]) -> dict[str, Predictions]:
    """Read the tables of a run's `predictions.jsonl`.

    Args:
        path: The file. It names the classes of labels, but not of probabilities.
        classes: The names of the model's classes, in the order of the probabilities.

    Returns:
        The table of each split, with all numbers in double precision.

    Raises:
        RunError: If the file is missing or too large, or a row is damaged: its number, its picture, what is wrong.
    """
    hint = f"Write it again: sevensteps judge {path.parent}"
    index = {name: label for label, name in enumerate(classes)}
    splits: dict[str, _Rows] = {}
    try:
        for number, line in enumerate(_lines(path), 1):
            split, row = _row(line, number, index)
            splits.setdefault(split, _Rows(split, tuple(classes))).add(number, *row)
        tables = {split: rows.table() for split, rows in splits.items()}
    except _DamagedError as damage:
        raise RunError(f"{path}, {damage}", hint=hint) from damage
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}", hint=hint) from error
    if not tables:
        raise RunError(f"{path} contains no predictions.", hint=hint)
    return tables


def predict_split(learn: Learner, images: Images, split: str) -> Predictions:
    """Predict every picture of a split.

    Args:
        learn: The learner.
        images: The pictures.
        split: The name of the split.
    """
    from ..data.batches import Batches  # imported here because it needs torch, and reading a table does not

    at_once = max(1, min(1000, _VALUES // math.prod(images.input_shape)))
    logits, _ = learn.get_logits(dl=Batches(images, at_once, flat=learn.flat))
    shares = learn.probabilities(logits)
    return Predictions(
        split=split,
        ids=images.ids,
        classes=images.classes,
        labels=images.labels,
        logits=logits.numpy(),
        probabilities=shares.numpy(),
    )


class _DamagedError(Exception):
    """A row that cannot be read: its number, and what is wrong."""

    def __init__(self, number: int, what: str, name: str = "") -> None:
        super().__init__(f"row {number}{f' ({said(name)})' if name else ''}: {what}")


class _Rows:
    """The rows of one split while they are read."""

    def __init__(self, split: str, classes: tuple[str, ...]) -> None:
        self._split, self._classes = split, classes
        self._ids: list[str] = []
        self._labels: list[int] = []
        self._numbers: list[int] = []  # each row's number in the file, from 1
        self._waiting: list[list[float]] = []
        self._blocks: list[np.ndarray] = []
        self._scores = 0  # logits of a picture; the first row sets it

    def add(self, number: int, name: str, label: int, logits: list[float], probabilities: list[float]) -> None:
        """Add a row.

        Raises:
            _DamagedError: If it does not have as many logits as the rows before.
        """
        self._scores = self._scores or len(logits)
        if len(logits) != self._scores:
            raise _DamagedError(number, f"it has {len(logits)} logits, and the rows before have {self._scores}.", name)
        self._ids.append(name)
        self._labels.append(label)
        self._numbers.append(number)
        self._waiting.append(logits + probabilities)
        if len(self._waiting) == _BLOCK:
            self._pack()

    def table(self) -> Predictions:
        """Return all rows as a table.

        Raises:
            _DamagedError: If a row is wrong; the first one, and what is wrong with it.
        """
        self._pack()
        numbers = np.concatenate(self._blocks)
        table = Predictions(
            split=self._split,
            ids=self._ids,
            classes=self._classes,
            labels=np.array(self._labels, dtype=np.int64),
            logits=numbers[:, : self._scores],
            probabilities=numbers[:, self._scores :],
        )
        for row, what in sorted(wrong_rows(table), key=itemgetter(0))[:1]:
            raise _DamagedError(self._numbers[row], what, self._ids[row])
        return table

    def _pack(self) -> None:
        """Turn the rows that are kept as Python numbers into an array."""
        if self._waiting:
            self._blocks.append(np.array(self._waiting, dtype=np.float64))
            self._waiting = []


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, with a limit on the length of each.

    Raises:
        OSError: If the file cannot be read, or is too large.
        _DamagedError: If a line is too long.
    """
    with files.regular(path, LARGEST) as (file, _):
        number = 0
        while line := file.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                raise _DamagedError(number, f"it is longer than {LONGEST:,} bytes.")
            yield line


def _row(line: bytes, number: int, index: Mapping[str, int]) -> tuple[str, tuple[str, int, list[float], list[float]]]:
    """Return the split of a line, and its id, label, logits and probabilities.

    Raises:
        _DamagedError: If it is not a line that `to_jsonl` writes.
    """
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _DamagedError(number, f"it is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise _DamagedError(number, f"it is {_short(row)}, not a JSON object.")
    name = row["id"] if isinstance(row.get("id"), str) else ""
    for key in ("id", "split", "label"):
        if not isinstance(row.get(key), str) or not row[key]:
            what = f"its {key} is {_short(row[key])}, not text." if key in row else f"it has no {key!r}."
            raise _DamagedError(number, what, name)
    label = index.get(row["label"])
    if label is None:
        raise _DamagedError(
            number,
            f"its label {_short(row['label'])} is not a class of the model. {nearest(row['label'][:100], index)}",
            name,
        )
    logits, probabilities = (_numbers(row, key, number) for key in ("logits", "probabilities"))
    if len(probabilities) != len(index):
        raise _DamagedError(number, f"it has {len(probabilities)} probabilities for {len(index)} classes.", name)
    if len(logits) != len(index) and (len(logits) != 1 or len(index) != 2):
        raise _DamagedError(number, f"it has {len(logits)} logits for {len(index)} classes.", name)
    return row["split"], (row["id"], label, logits, probabilities)


def _numbers(row: Mapping[str, Any], key: str, number: int) -> list[float]:
    """Return a list of numbers of a row, which may contain NaN and infinity.

    Raises:
        _DamagedError: If it is not a list of numbers, or an integer is too large for a float.
    """
    values = row.get(key)
    if not isinstance(values, list) or not {*map(type, values)} <= {int, float}:
        what = f"its {key} are {_short(values)}, not a list of numbers." if key in row else f"it has no {key!r}."
        raise _DamagedError(number, what, row["id"])
    try:
        return [float(value) for value in values]
    except OverflowError:
        raise _DamagedError(number, f"an integer in its {key} is too large.", row["id"]) from None


def said(name: str) -> str:
    """Return an id in a form that can be printed.

    Args:
        name: The id, which may be a file's name with bytes that are not text.

    Returns:
        At most 100 characters, in which such bytes are escaped.
    """
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= 100 else f"{text[:97]}..."


def _short(value: Any) -> str:
    """Return a value of the file as JSON, shortened if it is long."""
    try:
        text = said(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return "deeply nested lists"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wrong_size(table: Predictions) -> str:
    """Say which sizes of a table do not match; return "" if all do."""
    n, classes = len(table.labels), len(table.classes)
    if not n:
        return "it has no pictures."
    if len(set(table.classes)) != classes:
        return "a class name occurs twice."
    sizes = {"ids": len(table.ids), "logits": len(table.logits), "probabilities": len(table.probabilities)}
    for name, size in sizes.items():
        if size != n:
            return f"{size:,} {name} for {n:,} labels."
    if table.probabilities.shape != (n, classes):
        return f"probabilities of shape {table.probabilities.shape} for {classes} classes."
    return ""


def wrong_rows(table: Predictions) -> Iterator[tuple[int, str]]:
    """Yield rows from which no metric can be computed: the first of each kind.

    Args:
        table: The predictions of a split.

    Yields:
        The row, counted from 0, and what is wrong with it.
    """
    labels, shares = table.labels, table.probabilities
    if len(bad := np.flatnonzero((labels < 0) | (labels >= len(table.classes)))):
        yield int(bad[0]), f"label {labels[bad[0]]} is out of range for {len(table.classes)} classes."
    for name, numbers in (("logit", table.logits), ("probability", shares)):
        if numbers.size and not (np.isfinite(numbers.min()) and np.isfinite(numbers.max())):
            row, column = map(int, np.argwhere(~np.isfinite(numbers))[0])
            of_class = table.classes[column] if numbers.shape[1] == len(table.classes) else table.classes[-1]
            yield row, f"the {name} of {of_class!r} is {numbers[row, column]}, not a finite number."
    if shares.size and (shares.min() < 0 or shares.max() > 1):
        row, column = map(int, np.argwhere((shares < 0) | (shares > 1))[0])
        yield row, f"the probability of {table.classes[column]!r} is {shares[row, column]:g}, not between 0 and 1."
    sums = shares.sum(1, dtype=np.float64)
    if len(bad := np.flatnonzero(np.abs(sums - 1) > TOLERANCE)):
        yield int(bad[0]), f"the probabilities add up to {sums[bad[0]]:g} instead of 1."
    if len(set(table.ids)) != len(table.ids):
        seen: set[str] = set()
        for row, name in enumerate(table.ids):
            if name in seen:
                yield row, "the same picture is in an earlier row."
                return
            seen.add(name)
