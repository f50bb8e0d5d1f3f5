"""Parquet files that hold the pictures themselves, as datasets on the Hugging Face hub do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..class_names import check_names, class_named
from .catalog import CLASS, Bad, Catalog, Content, File, in_order, with_groups
from .how import How
from .split_names import split_named
from .table import label_column
from .table_rows import Table, open_parquet, picture_column, read_texts

_AT_ONCE = 64  # rows whose pictures are in memory together


def holds_pictures(path: Path) -> bool:
    """Return whether a file is a Parquet file with a column of picture bytes.

    Args:
        path: A file.

    Raises:
        DataError: The file has the suffix .parquet but cannot be read as Parquet, or pyarrow is missing.
    """
    return path.suffix.lower() == ".parquet" and picture_column(open_parquet(path)) is not None


def scan_parquet(source: Path, how: How) -> Catalog:
    """Return the catalog of the pictures in a Parquet file or in the Parquet files of a folder (train-…, test-…).

    The id of a picture is its file and row, as in "train-00000.parquet/17".

    Args:
        source: A Parquet file, or a folder of Parquet files.
        how: How to read picture files: `label_column` and `group`.

    Raises:
        DataError: A file cannot be read, no column gives the classes, or there is no training split.
    """
    parts = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    base = source.parent if source.is_file() else source
    splits: dict[str, list[File]] = {}
    written: dict[str, str] = {}  # each label as it is written, with the first row that has it
    bad: list[Bad] = []
    layout = ""
    for part in parts:
        file = open_parquet(part)
        pictures = picture_column(file)
        if pictures is None:
            raise DataError(
                f"{part} holds no pictures.",
                hint="Move it out of the folder, or name one file as the source.",
            )
        columns, rows = read_texts(part)
        table = Table(part, columns, rows, first=0)
        label = label_column(table, how)
        if label is None:
            raise DataError(
                f"{part}: no column is recognized as the one with the classes; it has {', '.join(columns)}.",
                hint="Name it: {label_column}",
                settings={"label_column": next(iter(columns), "NAME")},
            )
        group = how.group if how.group in columns else None
        split = split_named(os.fspath(part.relative_to(base))) or "train"
        layout = layout or f", from the column {label} of {'Parquet files' if len(parts) > 1 else part.name}"
        for number, row in enumerate(rows):
            place = f"{part.relative_to(base)}/{number}"
            if name := class_named(row[label]):
                written.setdefault(row[label], place)
                of_group = (class_named(row[group]) or None) if group else None
                splits.setdefault(split, []).append(File(place, name, of_group))
            else:
                bad.append(Bad(place, "has no class" + (f": {label} is {row[label]!r}" if row[label] else "")))
    check_names(source, written)
    if "train" not in splits:
        raise DataError(
            f"{source}: no file is for the training split.", hint="Rename one to train-00000-of-00001.parquet."
        )
    ordered: dict[str, list[File]] = {split: splits[split] for split in ("train", "test", "valid") if split in splits}
    grouped = with_groups(source, ordered, how.group, columns)
    classes = in_order(file.name for files in ordered.values() for file in files)
    return Catalog(
        source,
        CLASS,
        layout,
        classes,
        grouped,
        partial(_contents, base),
        {"": bad},
        base=base,
        holder_of=partial(_holder, base),
    )


def _holder(base: Path, path: str) -> str:
    """Return the Parquet file that holds a picture."""
    return str(base / path.rsplit("/", 1)[0])


def _contents(base: Path, files: Iterable[File]) -> Iterator[Content]:
    """Give a function for each picture that returns its bytes; pictures of one file are in the order of its rows."""
    at: tuple[str, Iterator[tuple[int, Any]]] | None = None
    for file in files:
        part, number = file.path.rsplit("/", 1)
        if at is None or at[0] != part:
            at = part, _pictures(base / part)
        content = next(value for row, value in at[1] if row == int(number))
        yield partial(_bytes, f"{base / part}/{number}", content)


def _pictures(path: Path) -> Iterator[tuple[int, Any]]:
    """Give each row's number with the value in its column of pictures."""
    file = open_parquet(path)
    column = picture_column(file)
    row = 0
    try:
        for batch in file.iter_batches(batch_size=_AT_ONCE, columns=[column]):
            for value in batch.column(0).to_pylist():
                yield row, value
                row += 1
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error!s:.200}.", hint="Download or export the file again.") from error


def _bytes(name: str, value: Any) -> bytes:
    """Return the bytes of a picture from the value of its cell."""
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise DataError(
            f"{name} does not hold the bytes of a picture.", hint="Export the file again, with the pictures inside it."
        )
    return content
