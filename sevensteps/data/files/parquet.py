"""Parquet files that hold the pictures themselves, as datasets on the Hugging Face hub do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import DataError, nearest
from ..class_names import check_names, class_named
from .catalog import CLASS, Bad, Catalog, Content, File, in_order, with_groups
from .how import AS_USUAL, How
from .split_names import splits_of
from .table_columns import given, is_label, roles_in, usual_file_column
from .table_rows import Table, open_parquet, picture_columns, read_texts

_AT_ONCE = 64  # rows whose pictures are in memory together


def holds_pictures(path: Path, how: How = AS_USUAL) -> bool:
    """Return whether a file is a Parquet file with a column of picture bytes.

    Args:
        path: A file.
        how: How to read picture files; a `file_column` of text makes the file a table that names files.

    Raises:
        DataError: The file has the suffix .parquet but cannot be read as Parquet, or pyarrow is missing.
    """
    if path.suffix.lower() != ".parquet":
        return False
    file = open_parquet(path)
    columns = picture_columns(file)
    return bool(columns) and (how.file_column in columns or how.file_column not in file.schema_arrow.names)


def scan_parquet(source: Path, how: How) -> Catalog:
    """Return the catalog of the pictures in a Parquet file or in the Parquet files of a folder (train-…, test-…).

    The id of a picture is its file and row, as in "train-00000.parquet/17".

    Args:
        source: A Parquet file, or a folder of Parquet files.
        how: How to read picture files: the columns and the group.

    Raises:
        DataError: A file cannot be read, no column gives the classes, or there is no training split.
    """
    parts = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    base = source.parent if source.is_file() else source
    split_of = _splits_of_files(source, [os.fspath(part.relative_to(base)) for part in parts])
    splits: dict[str, list[File]] = {}
    written: dict[str, str] = {}  # each label as it is written, with the first row that has it
    bad: list[Bad] = []
    notes: list[str] = []
    layout, pictures = "", ""
    columns: tuple[str, ...] = ()
    for part in parts:
        name = os.fspath(part.relative_to(base))
        pictures = _column_of_pictures(part, how)
        columns, rows = read_texts(part, lambda column: is_label(column) or column == how.label_column)
        table = Table(part, columns, rows)
        roles = roles_in(table, how, pictures)
        assert roles is not None  # there is no table of another split before it
        label, split, group, note = roles
        if not layout:
            where = "Parquet files" if len(parts) > 1 else part.name
            layout = f", from {where}: {pictures} holds the pictures, {roles.in_words}"
        if note and split_of[name] is None:
            notes.append(note)
        for number, row in enumerate(rows):
            place, label_text = f"{name}/{number}", label.of(row)
            into = split.of_row[number] if split else split_of[name] or "train"
            if of_class := class_named(label_text):
                written.setdefault(label_text, place)
                of_group = (class_named(row[group]) or None) if group else None
                splits.setdefault(into, []).append(File(place, of_class, of_group))
            else:
                bad.append(Bad(place, "has no class" + (f": {label.column} is {label_text!r}" if label_text else "")))
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
        partial(_contents, base, how),
        {"": bad},
        base=base,
        notes=notes,
        column=pictures,
        holder_of=partial(_holder, base),
    )


def _splits_of_files(source: Path, names: Sequence[str]) -> dict[str, str | None]:
    """Return the split that each file is for, by its name, else by the nearest of its folders that says one.

    Raises:
        DataError: Some names say a split and others do not.
    """
    split_of: dict[str, str | None] = dict.fromkeys(names)
    for depth in range(max(name.count(os.sep) for name in names) + 1):
        parts = {
            name: name.split(os.sep)[-1 - depth] for name in names if not split_of[name] and name.count(os.sep) >= depth
        }
        by_part = splits_of(parts.values())
        split_of |= {name: by_part[part] for name, part in parts.items()}
    without = [name for name, split in split_of.items() if split is None]
    if without and len(without) < len(split_of):
        raise DataError(
            f"{source}: the name of {without[0]} does not say which split it is for, but other names do.",
            hint="Begin its name with train-, valid- or test-, or move it out of the folder.",
        )
    return split_of


def _column_of_pictures(part: Path, how: How) -> str:
    """Return the column that holds the pictures: the one that was typed, or else one with a usual name, or the first.

    Raises:
        DataError: There is none.
    """
    file = open_parquet(part)
    columns = picture_columns(file)
    if not columns:
        raise DataError(
            f"{part} holds no pictures.",
            hint="Move it out of the folder, or name one file as the source.",
        )
    if not how.file_column:
        return usual_file_column(columns) or columns[0]
    column = given(Table(part, tuple(file.schema_arrow.names), []), "file_column", how.file_column)
    if column not in columns:
        raise DataError(
            f"{part}: the column {column} (file_column) holds no pictures.", hint=nearest(how.file_column, columns)
        )
    return column


def _holder(base: Path, path: str) -> str:
    """Return the Parquet file that holds a picture."""
    return str(base / path.rsplit("/", 1)[0])


def _contents(base: Path, how: How, files: Iterable[File]) -> Iterator[Content]:
    """Give a function for each picture that returns its bytes; pictures of one file are in the order of its rows."""
    at: tuple[str, Iterator[tuple[int, Any]]] | None = None
    for file in files:
        part, number = file.path.rsplit("/", 1)
        if at is None or at[0] != part:
            at = part, _pictures(base / part, _column_of_pictures(base / part, how))
        content = next(value for row, value in at[1] if row == int(number))
        yield partial(_bytes, f"{base / part}/{number}", content)


def _pictures(path: Path, column: str) -> Iterator[tuple[int, Any]]:
    """Give each row's number with the value in its column of pictures."""
    file = open_parquet(path)
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
