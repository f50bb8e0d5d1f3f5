"""Parquet: tables that hold the pictures themselves, as the hub's datasets do, or that name files (`table`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import DataError
from .catalog import CLASS, Bad, Catalog, Content, File, in_order, split_named, with_groups
from .how import How
from .table import label_column
from .table_rows import Table, _opened, _picture_column, read_texts

_AT_ONCE = 64  # rows whose pictures are in memory


def holds_pictures(path: Path) -> bool:
    """Whether a Parquet file has a column of pictures' bytes.

    Raises:
        DataError: it is no Parquet file, or pyarrow is missing.
    """
    return path.suffix.lower() == ".parquet" and _picture_column(_opened(path)) is not None


def scan_parquet(source: Path, how: How) -> Catalog:
    """The pictures that a Parquet file holds, or the Parquet files of a folder: train-…, test-… and so on.

    A picture is called by its file and row.

    Raises:
        DataError: a file that cannot be read, or a column that cannot be told.
    """
    parts = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    base = source.parent if source.is_file() else source
    splits: dict[str, list[File]] = {}
    bad: list[Bad] = []
    told = ""
    for part in parts:
        file = _opened(part)
        pictures = _picture_column(file)
        if pictures is None:
            raise DataError(f"{part} holds no pictures.", hint="Put it elsewhere, or name the file that is meant.")
        columns, rows = read_texts(part)
        table = Table(part, columns, rows, first=0)
        label = label_column(table, how)
        if label is None:
            raise DataError(
                f"{part}: which column gives the classes? It has {', '.join(columns)}.",
                hint="{label_column}",
                settings={"label_column": next(iter(columns), "NAME")},
            )
        group = how.group if how.group in columns else None
        split = split_named(os.fspath(part.relative_to(base))) or "train"
        told = told or f", from the column {label} of {'Parquet files' if len(parts) > 1 else part.name}"
        for number, row in enumerate(rows):
            place = f"{part.relative_to(base)}/{number}"
            if row[label]:
                splits.setdefault(split, []).append(File(place, row[label], (row[group] or None) if group else None))
            else:
                bad.append(Bad(place, "has no class"))
    if "train" not in splits:
        raise DataError(f"{source}: there is nothing to train on.", hint="Call a file train-00000-of-00001.parquet.")
    ordered: dict[str, list[File]] = {split: splits[split] for split in ("train", "test", "valid") if split in splits}
    grouped = with_groups(source, ordered, how.group, columns)
    classes = in_order(file.name for files in ordered.values() for file in files)
    return Catalog(
        source,
        CLASS,
        told,
        classes,
        grouped,
        partial(_contents, base),
        {"": bad},
        base=base,
        holder_of=partial(_holder, base),
    )


def _holder(base: Path, path: str) -> str:
    return str(base / path.rsplit("/", 1)[0])


def _contents(base: Path, files: Iterable[File]) -> Iterator[Content]:
    """The bytes of each picture, whose rows are in the order of their file."""
    at: tuple[str, Iterator[tuple[int, Any]]] | None = None
    for file in files:
        part, number = file.path.rsplit("/", 1)
        if at is None or at[0] != part:
            at = part, _pictures(base / part)
        content = next(found for row, found in at[1] if row == int(number))
        yield partial(_bytes, f"{base / part}/{number}", content)


def _pictures(path: Path) -> Iterator[tuple[int, Any]]:
    file = _opened(path)
    column = _picture_column(file)
    row = 0
    try:
        for batch in file.iter_batches(batch_size=_AT_ONCE, columns=[column]):
            for value in batch.column(0).to_pylist():
                yield row, value
                row += 1
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error!s:.200}.", hint="Download or export it again.") from error


def _bytes(name: str, value: Any) -> bytes:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise DataError(f"{name} holds no bytes of a picture.", hint="Export the pictures into the file.")
    return content
