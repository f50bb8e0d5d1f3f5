"""Predictions of many pictures as one file of arrays: `predictions.safetensors`, in the form of a model's file.

A million pictures of two classes take 30 MB and a third of a second, where lines of JSON take 103 MB and 12 seconds.
The reader checks the file's header, checksum, sizes and numbers before anything is computed from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ..errors import ModelError, RunError
from ..ship import file as model_file
from .predictions import Predictions, said, wrong_rows

MANY = 100_000  # pictures of all splits, above which the tables are written in this form


_COLUMNS = ("labels", "logits", "probabilities", "ids", "id_lengths")


def to_bytes(tables: Mapping[str, Predictions]) -> bytes:
    """Return the content of a file: the same for the same tables.

    Args:
        tables: The predictions by split, all of the same classes.

    Returns:
        The bytes of a safetensors file.

    Raises:
        ModelError: Numbers are not finite, or the names of classes and splits are too long for a header.
    """
    arrays: dict[str, np.ndarray] = {}
    for number, table in enumerate(tables.values()):
        ids = [*table.ids]
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        columns = {
            "labels": table.labels.astype(np.min_scalar_type(len(table.classes))),
            "logits": table.logits,
            "probabilities": table.probabilities,
            "ids": np.frombuffer("".join(ids).encode("utf-8", "surrogatepass"), dtype=np.uint8),
            "id_lengths": lengths.astype(np.min_scalar_type(int(lengths.max()))),
        }
        arrays |= {f"{number}.{name}": column for name, column in columns.items()}
    classes = next(iter(tables.values())).classes
    return model_file.to_bytes(arrays, {"classes": classes, "splits": [*tables]})


def from_file(path: Path, classes: Sequence[str]) -> dict[str, Predictions]:
    """Read the tables of a run's `predictions.safetensors`.

    Args:
        path: The file.
        classes: The names of the model's classes, in the order of the probabilities.

    Returns:
        The table of each split, with all numbers in double precision.

    Raises:
        RunError: The file is missing or damaged, and what is wrong: its row and its picture, where it is a row.
    """
    hint = f"Write it again: sevensteps judge {path.parent}"
    try:
        arrays, about = model_file.read(path)
        return {table.split: table for table in _tables(arrays, about, tuple(classes))}
    except ModelError as error:
        raise RunError(error.message, hint=hint) from error
    except ValueError as error:
        raise RunError(f"{path}, {error}", hint=hint) from error


def _tables(
    arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], classes: tuple[str, ...]
) -> Iterator[Predictions]:
    """Yield the table of each split.

    Raises:
        ValueError: The file does not hold valid predictions; what is wrong.
    """
    splits = about.get("splits")
    if not isinstance(splits, list) or not splits or not all(isinstance(split, str) and split for split in splits):
        raise ValueError("it does not name its splits.")
    if len(set(splits)) != len(splits):
        raise ValueError("it names a split twice.")
    if about.get("classes") != [*classes]:
        raise ValueError("its classes are not those of the model.")
    if set(arrays) != {f"{number}.{name}" for number in range(len(splits)) for name in _COLUMNS}:
        raise ValueError("it does not hold the columns of its splits.")
    for number, split in enumerate(splits):
        columns = {name: arrays[f"{number}.{name}"] for name in _COLUMNS}
        if wrong := _wrong_columns(columns, len(classes)):
            raise ValueError(f"{split}: {wrong}")
        table = Predictions(
            split=split,
            ids=_ids(columns["ids"], columns["id_lengths"]),
            classes=classes,
            labels=columns["labels"].astype(np.int64),
            logits=columns["logits"].astype(np.float64),
            probabilities=columns["probabilities"].astype(np.float64),
        )
        for row, what in sorted(wrong_rows(table), key=itemgetter(0))[:1]:
            raise ValueError(f"{split}, row {row + 1} ({said(table.ids[row])}): {what}")
        yield table


def _wrong_columns(columns: Mapping[str, np.ndarray], classes: int) -> str:
    """Say which columns do not have the type or size that they must have; return "" if all do."""
    n = len(columns["labels"]) if columns["labels"].ndim == 1 else 0
    if not n:
        return "it has no pictures."
    scores = columns["logits"].shape[1] if columns["logits"].ndim == 2 else 0
    if scores != classes and (scores != 1 or classes != 2):
        return f"it has {scores} logits a picture for {classes} classes."
    shapes = {"labels": (n,), "logits": (n, scores), "probabilities": (n, classes), "id_lengths": (n,)}
    for name, shape in shapes.items():
        if columns[name].shape != shape:
            return f"its {name} have the shape {columns[name].shape}, not {shape}."
        kind = "f" if name in ("logits", "probabilities") else "u"
        if columns[name].dtype.kind != kind:
            return f"its {name} are of type {columns[name].dtype}."
    if columns["ids"].dtype != np.uint8 or columns["ids"].ndim != 1:
        return "its ids are not text."
    return ""


def _ids(text: UInt8[np.ndarray, " bytes"], lengths: np.ndarray) -> list[str]:
    """Return the ids, which stand in one text without gaps.

    Raises:
        ValueError: The text is not UTF-8, or lengths do not fit it.
    """
    try:
        whole = text.tobytes().decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise ValueError("its ids are not text.") from error
    ends = np.cumsum(lengths, dtype=np.uint64)
    if not lengths.all() or int(ends[-1]) != len(whole):
        raise ValueError("the lengths of its ids do not fit their text.")
    places = ends.tolist()
    return [whole[first:last] for first, last in zip([0, *places[:-1]], places, strict=True)]
