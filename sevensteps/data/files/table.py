"""Tables that name picture files and their classes: CSV, TSV, JSON lines, Parquet, or a pandas data frame.

The role of a column is found from its name and its values, and reported; if that fails, the error lists the columns.
A table may have a column that gives the split, or there is one table for each split.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...base.words import counted, text_of
from ...errors import DataError, nearest
from ..class_names import check_names, class_named
from .catalog import (
    CLASS,
    OTHER,
    UNNAMED,
    Bad,
    Catalog,
    File,
    Kind,
    in_order,
    is_picture,
    with_groups,
)
from .class_folders import contents_in
from .how import How
from .split_names import split_named, splits_of
from .table_files import NamedFiles, about_missing, all_below
from .table_rows import Table, read_table, text_of_cell

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


# Names of columns; the first that a table has counts.
_FILE = ("file_name", "filename", "file", "path", "file_path", "filepath", "image_path", "image", "img", "picture",
         "photo", "image_id", "id")  # fmt: skip


_LABEL = ("label", "labels", "class", "class_name", "category", "target", "y", "species", "breed")


_SPLIT = ("split", "set", "subset", "partition")


_LOOKED_AT = 100  # rows that decide what a column holds


_SHOWN = 5


def is_table(path: str) -> bool:
    """Return whether a file has the suffix of a supported table.

    Args:
        path: A path or a name.
    """
    return path.lower().endswith(SUFFIXES)


# From a table to a catalog


def scan_table(path: Path, how: How) -> Catalog:
    """Return the catalog of the files that a table names; their paths begin in the folder of the table.

    Args:
        path: The table.
        how: How to read picture files: the columns and the group.

    Raises:
        DataError: The table cannot be read, or a column or a row cannot be used.
    """
    table, base = read_table(path), path.parent
    candidates = NamedFiles(base, [])
    if not any(candidates.is_known(cell) for row in table.rows[:_LOOKED_AT] for cell in row.values()):
        candidates = NamedFiles(base, all_below(base))
    return listed(path, {"train": table}, base, candidates, how)


def scan_folder_of_tables(folder: Path, how: How) -> Catalog | None:
    """Return the catalog of the files that tables in a folder, or in its split folders, name; None without tables.

    Args:
        folder: The folder.
        how: How to read picture files: the columns and the group.

    Raises:
        DataError: There are several tables whose names give no split; or as `scan_table`.
    """
    below = all_below(folder)
    tables = [name for name in below if is_table(name) and name.count(os.sep) <= 1]
    by_split = {split: name for name in tables if (split := split_named(name))}
    if not by_split and len(tables) > 1:
        shown = ", ".join(tables[:_SHOWN])
        raise DataError(
            f"{folder} holds {len(tables)} tables ({shown}), but no name says which split a table is for.",
            hint=f"Name the table to use: sevensteps train {folder / tables[0]}",
        )
    if not tables:
        return None
    used = by_split or {"train": tables[0]}
    read = {split: read_table(folder / name) for split, name in used.items()}
    label = label_column(read["train"], how) if "train" in read else None
    unlabeled = [split for split in read if split != "train" and label not in read[split].columns]
    for split in unlabeled:  # a contest's test set
        del read[split]
    catalog = listed(folder, read, folder, NamedFiles(folder, below), how)
    more = [(OTHER, name) for name in below if not is_picture(name) and name not in used.values()]
    notes = [f"{used[split]} has no classes and is not used" for split in unlabeled]
    return Catalog(**{**vars(catalog), "ignored": [*catalog.ignored, *more], "notes": [*catalog.notes, *notes]})


def scan_frame(frame: Any, how: How) -> Catalog:
    """Return the catalog of the files that a pandas data frame names; paths begin in the working directory.

    Args:
        frame: A pandas data frame.
        how: How to read picture files: the columns and the group.

    Raises:
        DataError: A column or a row cannot be used.
    """
    columns = tuple(map(str, frame.columns))
    rows = [dict(zip(columns, map(text_of_cell, row), strict=True)) for row in frame.itertuples(index=False)]
    table = Table(Path("table"), columns, rows, first=0)
    return listed(table.path, {"train": table}, Path(), NamedFiles(Path(), []), how)


def listed(path: Path, tables: Mapping[str, Table], base: Path, candidates: NamedFiles, how: How) -> Catalog:
    """Return the catalog of the files that tables name.

    Args:
        path: The source, for error messages.
        tables: The table of each split, or one for "train" that may have a column with the split.
        base: Where the paths begin.
        candidates: The files that the tables may name.
        how: How to read picture files: the columns and the group.

    Raises:
        DataError: A column is missing or not recognized, or a row cannot be used.
    """
    splits: dict[str, list[File]] = {}
    class_of: dict[str, tuple[str, str]] = {}  # of each file, with the row that gave it
    written: dict[str, str] = {}  # each label as it is written, with the first row that has it
    bad: list[Bad] = []
    missing: list[str] = []
    layout, first_column, repeated = "", "", 0
    for of_table, table in tables.items():
        files, label = _file_column(table, how, candidates), label_column(table, how)
        if label is None:
            raise DataError(
                f"{table.path}: no column is recognized as the one with the classes; it has {_columns(table)}.",
                hint="Name it: {label_column}",
                settings={"label_column": next((c for c in table.columns if c != files), "NAME")},
            )
        split = next((c for c in table.columns if c.lower() in _SPLIT and c not in (files, label)), None)
        split = split if split and _says_splits(table, split) else None
        split_of = splits_of(row[split] for row in table.rows) if split else {}
        group = how.group if how.group in table.columns else None
        layout = layout or f", from {table.path.name}: {files} names the files, {label} gives the class"
        first_column = first_column or f"{files} of {table.path.name}"
        layout += f", {split} the split" if split and of_table == "train" else ""
        for number, row in enumerate(table.rows):
            place = table.place(number)
            name = class_named(row[label])
            if not row[files] or not name:
                empty = "file" if not row[files] else "class"
                but = f": {label} is {row[label]!r}" if row[files] and row[label] else ""
                bad.append(Bad(row[files] or place, f"has no {empty} ({place}{but})"))
                continue
            written.setdefault(row[label], f"{table.path.name} row {number + table.first}")
            file, exists = candidates.find(row[files], table.path, of_table)
            if file in class_of:
                before, where = class_of[file]
                if before != name:
                    raise DataError(
                        f"{place}: {text_of(file)} is {name!r} here and {before!r} in {where}.",
                        hint="Keep the correct row and remove the other.",
                    )
                repeated += 1
                continue
            class_of[file] = name, place
            missing += [] if exists else [row[files]]
            into = str(split_of[row[split]]) if split else of_table
            splits.setdefault(into, []).append(File(file, name, (class_named(row[group]) or None) if group else None))
    check_names(path, written)
    if not splits:
        raise DataError(f"{path}: no row names a file and its class.", hint="Add a row for each picture.")
    if "train" not in splits:
        raise DataError(
            f"{path}: there is a split {', '.join(splits)}, but no split train.",
            hint="Name the split with the training pictures train.",
        )
    ordered: dict[str, list[File]] = {split: splits[split] for split in ("train", "test", "valid") if split in splits}
    columns = dict.fromkeys(column for table in tables.values() for column in table.columns)
    grouped = with_groups(path, ordered, how.group, tuple(columns))
    unnamed = [file for file in candidates.pictures if file not in class_of]
    ignored: list[tuple[Kind, str]] = [(UNNAMED, file) for file in unnamed] if path == base else []
    notes = about_missing(path, first_column, base, missing, len(class_of))
    if repeated:
        notes += [f"{counted(repeated, 'row repeats', 'rows repeat')} a file with the same class"]
    classes = in_order(name for name, _ in class_of.values())
    contents = partial(contents_in, base)
    return Catalog(path, CLASS, layout, classes, grouped, contents, {"": bad}, ignored, base=base, notes=notes)


def _file_column(table: Table, how: How, candidates: NamedFiles) -> str:
    """Return the column that names the files.

    Raises:
        DataError: It is missing or not recognized.
    """
    if how.file_column:
        return _given(table, "file_column", how.file_column)
    named = _first_of(table, _FILE)
    looked_at = table.rows[:_LOOKED_AT]
    holds = {c: sum(is_picture(row[c]) or candidates.is_known(row[c]) for row in looked_at) for c in table.columns}
    if named and (holds[named] or not any(holds.values())):
        return named
    best = max(table.columns, key=lambda column: holds[column], default="")
    if not best or not holds[best]:
        raise DataError(
            f"{table.path}: no column is recognized as the one with the files; it has {_columns(table)}.",
            hint="Name it: {file_column}",
            settings={"file_column": next(iter(table.columns), "NAME")},
        )
    return best


def label_column(table: Table, how: How) -> str | None:
    """Return the column that gives the classes; None if none is recognized.

    Args:
        table: The table.
        how: How to read picture files: the columns and the group.

    Raises:
        DataError: The column that `how` names is missing.
    """
    if how.label_column:
        return _given(table, "label_column", how.label_column)
    if named := _first_of(table, _LABEL):
        return named
    taken = {*_FILE, *_SPLIT, how.file_column.lower(), how.group.lower()}
    others = [c for c in table.columns if c.lower() not in taken and not any(is_picture(r[c]) for r in table.rows[:9])]
    return others[0] if len(others) == 1 else None


def _given(table: Table, key: str, column: str) -> str:
    """Return a column that was asked for by name.

    Raises:
        DataError: The table does not have it.
    """
    if column not in table.columns:
        raise DataError(
            f"{table.path} has no column {column!r} ({key}); it has {_columns(table)}.",
            hint=nearest(column, table.columns),
        )
    return column


def _first_of(table: Table, names: Sequence[str]) -> str | None:
    """Return the column with the first of these names, in any case; None without one."""
    by_name = {column.lower(): column for column in reversed(table.columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def _says_splits(table: Table, column: str) -> bool:
    """Return whether the values of a column are splits.

    Raises:
        DataError: Only some of them are.
    """
    split_of = splits_of(row[column] for row in table.rows)
    is_split = [split_of[row[column]] is not None for row in table.rows]
    if any(is_split) and not all(is_split):
        number = is_split.index(False)
        raise DataError(
            f"{table.place(number)}: {column} is {table.rows[number][column]!r}, but a split in other rows.",
            hint="Use train, valid and test.",
        )
    return any(is_split)


def _columns(table: Table) -> str:
    """Return the names of the columns as a list in words."""
    return ", ".join(table.columns) or "none"
