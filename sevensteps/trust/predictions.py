"""Predictions of a split as one table, from which every figure is computed; written, and read back without torch."""

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


LARGEST = 1 << 30  # bytes of a file that is read; a million pictures of ten classes have some 500 MB


LONGEST = 1 << 20  # bytes of a line; a picture of a thousand classes has some 50 KB


TOLERANCE = 1e-4  # by which probabilities may miss the sum of 1: single precision and a thousand classes


_VALUES = 1 << 18  # of the pictures that are predicted at once, at most


_BLOCK = 4096  # rows that wait as Python's numbers, which take ten times the memory of NumPy's


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row a picture: its id, its label, the raw scores and the probabilities of the classes."""

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
        """A line of JSON a picture, with the numbers as they are."""
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
        """All lines."""
        return "".join(self.lines())

    def check(self) -> None:
        """Raise if no figure can be made of this table: what is wrong, in which row, with which value.

        Raises:
            DataError: sizes that do not go together, no pictures, a label that no class has, a number that is not
                finite, probabilities that are none, or an id twice.
        """
        hint = "Judge the model again."
        if wrong := _wrong_size(self):
            raise DataError(f"Predictions of {self.split}: {wrong}", hint=hint)
        for row, what in sorted(_wrong_rows(self), key=itemgetter(0))[:1]:
            raise DataError(f"Predictions of {self.split}, row {row + 1} ({said(self.ids[row])}): {what}", hint=hint)


def from_jsonl(path: Path, classes: Sequence[str]) -> dict[str, Predictions]:
    """The tables of a run's `predictions.jsonl`, by split; `classes` are the model's, in its order.

    The file names the classes of labels only; which probability belongs to which class is what the model's file and
    the recipe say (`classes`). Numbers come back as they were, in double precision.

    Raises:
        RunError: no such file; one that is too large; or a row that is damaged, with its number, its picture and what
            is wrong with it.
    """
    hint = f"sevensteps judge {path.parent} writes it again."
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
        raise RunError(f"{path} has no predictions.", hint=hint)
    return tables


def predict_split(learn: Learner, images: Images, split: str) -> Predictions:
    """What the learner says of every picture of a split."""
    from ..data.batches import Batches  # here and not above: it imports torch, which reading a table does not need

    flat = bool(getattr(learn.dls.train, "flat", False))
    at_once = max(1, min(1000, _VALUES // math.prod(images.shape)))
    logits, _ = learn.get_logits(dl=Batches(images, at_once, flat=flat))
    shares = learn.probabilities(logits)
    return Predictions(split, images.ids, images.classes, images.labels, logits.numpy(), shares.numpy())


class _DamagedError(Exception):
    """A row that cannot be read: where, and what is wrong."""

    def __init__(self, number: int, what: str, name: str = "") -> None:
        super().__init__(f"row {number}{f' ({said(name)})' if name else ''}: {what}")


class _Rows:
    """The rows of one split, as they are read."""

    def __init__(self, split: str, classes: tuple[str, ...]) -> None:
        self._split, self._classes = split, classes
        self._ids: list[str] = []
        self._labels: list[int] = []
        self._numbers: list[int] = []  # each row's place in the file, from 1
        self._waiting: list[list[float]] = []
        self._blocks: list[np.ndarray] = []
        self._scores = 0  # how many a picture has; the first row says it

    def add(self, number: int, name: str, label: int, logits: list[float], probabilities: list[float]) -> None:
        """Take in a row.

        Raises:
            _DamagedError: it has another number of scores than the rows before.
        """
        self._scores = self._scores or len(logits)
        if len(logits) != self._scores:
            raise _DamagedError(number, f"{len(logits)} logits, and {self._scores} in the rows before.", name)
        self._ids.append(name)
        self._labels.append(label)
        self._numbers.append(number)
        self._waiting.append(logits + probabilities)
        if len(self._waiting) == _BLOCK:
            self._pack()

    def table(self) -> Predictions:
        """All rows, checked.

        Raises:
            _DamagedError: the first row that is wrong, and how.
        """
        self._pack()
        numbers = np.concatenate(self._blocks)
        found = Predictions(
            self._split,
            self._ids,
            self._classes,
            np.array(self._labels, dtype=np.int64),
            numbers[:, : self._scores],
            numbers[:, self._scores :],
        )
        for row, what in sorted(_wrong_rows(found), key=itemgetter(0))[:1]:
            raise _DamagedError(self._numbers[row], what, self._ids[row])
        return found

    def _pack(self) -> None:
        """Turn the rows that wait into an array."""
        if self._waiting:
            self._blocks.append(np.array(self._waiting, dtype=np.float64))
            self._waiting = []


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, none of which fills the memory.

    Raises:
        OSError: it cannot be read, or is too large.
        _DamagedError: a line is too long.
    """
    with files.regular(path, LARGEST) as (file, _):
        number = 0
        while line := file.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                raise _DamagedError(number, f"a line of more than {LONGEST:,} bytes.")
            yield line


def _row(line: bytes, number: int, index: Mapping[str, int]) -> tuple[str, tuple[str, int, list[float], list[float]]]:
    """The split of a line, and its id, label, logits and probabilities.

    Raises:
        _DamagedError: it is none that `to_jsonl` writes.
    """
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _DamagedError(number, f"it is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise _DamagedError(number, f"it is {_short(row)}, and must be an object.")
    name = row["id"] if isinstance(row.get("id"), str) else ""
    for key in ("id", "split", "label"):
        if not isinstance(row.get(key), str) or not row[key]:
            what = f"its {key} is {_short(row[key])}, and must be text." if key in row else f"it has no {key!r}."
            raise _DamagedError(number, what, name)
    label = index.get(row["label"])
    if label is None:
        raise _DamagedError(
            number, f"the model knows no class {_short(row['label'])}. {nearest(row['label'][:100], index)}", name
        )
    logits, probabilities = (_numbers(row, key, number) for key in ("logits", "probabilities"))
    if len(probabilities) != len(index):
        raise _DamagedError(number, f"{len(probabilities)} probabilities for {len(index)} classes.", name)
    if len(logits) != len(index) and (len(logits) != 1 or len(index) != 2):
        raise _DamagedError(number, f"{len(logits)} logits for {len(index)} classes.", name)
    return row["split"], (row["id"], label, logits, probabilities)


def _numbers(row: Mapping[str, Any], key: str, number: int) -> list[float]:
    """A row's list of numbers; NaN and infinity are still among them.

    Raises:
        _DamagedError: it is another thing, or has an integer that no float holds.
    """
    found = row.get(key)
    if not isinstance(found, list) or not {*map(type, found)} <= {int, float}:
        what = f"its {key} are {_short(found)}, and must be a list of numbers." if key in row else f"it has no {key!r}."
        raise _DamagedError(number, what, row["id"])
    try:
        return [float(value) for value in found]
    except OverflowError:
        raise _DamagedError(number, f"an integer among its {key} is too large.", row["id"]) from None


def said(name: str) -> str:
    """An id as it can be printed: a file's name may hold bytes that are no text, and be long."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= 100 else f"{text[:97]}..."


def _short(value: Any) -> str:
    """What stands in a file, as JSON, cut where it is long."""
    try:
        text = said(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return "lists in lists"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wrong_size(table: Predictions) -> str:
    """What does not go together in a table, in words; nothing where all does."""
    n, classes = len(table.labels), len(table.classes)
    if not n:
        return "it has no pictures."
    if len(set(table.classes)) != classes:
        return "a class is named twice."
    sizes = {"ids": len(table.ids), "logits": len(table.logits), "probabilities": len(table.probabilities)}
    for name, size in sizes.items():
        if size != n:
            return f"{size:,} {name} for {n:,} labels."
    if table.probabilities.shape != (n, classes):
        return f"probabilities of shape {table.probabilities.shape} for {classes} classes."
    return ""


def _wrong_rows(table: Predictions) -> Iterator[tuple[int, str]]:
    """The rows of a table that no figure can be made of, with what is wrong: of each kind the first."""
    labels, shares = table.labels, table.probabilities
    if len(bad := np.flatnonzero((labels < 0) | (labels >= len(table.classes)))):
        yield int(bad[0]), f"label {labels[bad[0]]}, and there are {len(table.classes)} classes."
    for name, numbers in (("logit", table.logits), ("probability", shares)):
        if len(places := np.argwhere(~np.isfinite(numbers))):
            row, column = map(int, places[0])
            of = table.classes[column] if numbers.shape[1] == len(table.classes) else table.classes[-1]
            yield row, f"the {name} of {of!r} is {numbers[row, column]}, and must be a number."
    if len(places := np.argwhere((shares < 0) | (shares > 1))):
        row, column = map(int, places[0])
        yield row, f"the probability of {table.classes[column]!r} is {shares[row, column]:g}, not between 0 and 1."
    sums = shares.sum(1, dtype=np.float64)
    if len(bad := np.flatnonzero(np.abs(sums - 1) > TOLERANCE)):
        yield int(bad[0]), f"the probabilities add up to {sums[bad[0]]:g}, and must to 1."
    if len(set(table.ids)) != len(table.ids):
        seen: set[str] = set()
        for row, name in enumerate(table.ids):
            if name in seen:
                yield row, "the same picture is in a row before."
                return
            seen.add(name)
