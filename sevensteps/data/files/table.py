"""Tables that name picture files and their classes: CSV, TSV, JSON lines, Parquet, or a pandas table.

Which column holds what is found by its name and its values, and said; where that cannot be told, the error lists the
columns. A table may have a column that says the split, or there is one table for each split.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...base.words import counted, text_of
from ...errors import DataError, nearest
from .catalog import (
    CLASS,
    OTHER,
    SPLIT_OF,
    UNNAMED,
    Bad,
    Catalog,
    File,
    Kind,
    in_order,
    is_picture,
    split_named,
    with_groups,
)
from .class_folders import contents_in
from .how import How
from .table_files import NamedFiles, about_missing, all_below
from .table_rows import Table, read_table, text_of_cell

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


# Names of columns, the first that is there counts.
_FILE = ("file_name", "filename", "file", "path", "file_path", "filepath", "image_path", "image", "img", "picture",
         "photo", "image_id", "id")  # fmt: skip


_LABEL = ("label", "labels", "class", "class_name", "category", "target", "y", "species", "breed")


_SPLIT = ("split", "set", "subset", "partition")


_LOOKED_AT = 100  # rows from which it is told what a column holds


_SHOWN = 5


def is_table(path: str) -> bool:
    """Whether a file's name ends as that of a table that is read here."""
    return path.lower().endswith(SUFFIXES)


# From a table to a catalog


def scan_table(path: Path, how: How) -> Catalog:
    """The files that a table names, in the folder in which it lies.

    Raises:
        DataError: the table cannot be read, or what it says cannot be used.
    """
    table, base = read_table(path), path.parent
    there = NamedFiles(base, [])
    if not any(there.is_known(cell) for row in table.rows[:_LOOKED_AT] for cell in row.values()):
        there = NamedFiles(base, all_below(base))
    return listed(path, {"train": table}, base, there, how)


def scan_folder_of_tables(folder: Path, how: How) -> Catalog | None:
    """The files that the tables in a folder, or in its split folders, name; None where there are none.

    Raises:
        DataError: there are several tables and nothing says which is meant; or as `scan_table`.
    """
    below = all_below(folder)
    tables = [name for name in below if is_table(name) and name.count(os.sep) <= 1]
    by_split = {split: name for name in tables if (split := split_named(name))}
    if not by_split and len(tables) > 1:
        shown = ", ".join(tables[:_SHOWN])
        raise DataError(
            f"{folder} holds {len(tables)} tables ({shown}), and no name says what each is for.",
            hint=f"Name the one that is meant: sevensteps train {folder / tables[0]}",
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
    notes = [f"{used[split]} gives no classes, and is not used" for split in unlabeled]
    return Catalog(**{**vars(catalog), "ignored": [*catalog.ignored, *more], "notes": [*catalog.notes, *notes]})


def scan_frame(frame: Any, how: How) -> Catalog:
    """The files that a pandas table names, below this folder or by whole paths.

    Raises:
        DataError: what it says cannot be used.
    """
    columns = tuple(map(str, frame.columns))
    rows = [dict(zip(columns, map(text_of_cell, row), strict=True)) for row in frame.itertuples(index=False)]
    table = Table(Path("table"), columns, rows, first=0)
    return listed(table.path, {"train": table}, Path(), NamedFiles(Path(), []), how)


def listed(path: Path, tables: Mapping[str, Table], base: Path, there: NamedFiles, how: How) -> Catalog:
    """The catalog of what tables name: the table of each split, or one with a column that says it.

    Raises:
        DataError: a column that is not there or cannot be told, or a row that cannot be used.
    """
    splits: dict[str, list[File]] = {}
    named: dict[str, tuple[str, str]] = {}  # the class of each file, and the row that gave it
    bad: list[Bad] = []
    gone: list[str] = []
    told, first_column, twice = "", "", 0
    for of_table, table in tables.items():
        files, label = _file_column(table, how, there), label_column(table, how)
        if label is None:
            raise DataError(
                f"{table.path}: which column gives the classes? It has {_columns(table)}.",
                hint="{label_column}",
                settings={"label_column": next((c for c in table.columns if c != files), "NAME")},
            )
        split = next((c for c in table.columns if c.lower() in _SPLIT and c not in (files, label)), None)
        split = split if split and _says_splits(table, split) else None
        group = how.group if how.group in table.columns else None
        told = told or f", from {table.path.name}: {files} names the files, {label} gives the class"
        first_column = first_column or f"{files} of {table.path.name}"
        told += f", {split} the split" if split and of_table == "train" else ""
        for number, row in enumerate(table.rows):
            place = table.place(number)
            if not row[files] or not row[label]:
                missing = "file" if not row[files] else "class"
                bad.append(Bad(row[files] or place, f"has no {missing} ({place})"))
                continue
            file, is_there = there.find(row[files], table.path, of_table)
            if file in named:
                before, where = named[file]
                if before != row[label]:
                    raise DataError(
                        f"{place}: {text_of(file)} is {row[label]!r} here and {before!r} in {where}.",
                        hint="Leave the row that is right.",
                    )
                twice += 1
                continue
            named[file] = row[label], place
            gone += [] if is_there else [row[files]]
            into = SPLIT_OF[row[split].lower()] if split else of_table
            splits.setdefault(into, []).append(File(file, row[label], (row[group] or None) if group else None))
    if not splits:
        raise DataError(f"{path}: no row names a file and its class.", hint="Give it a row for each picture.")
    if "train" not in splits:
        raise DataError(
            f"{path}: there is {', '.join(splits)}, and nothing to train on.", hint="Name the split to train on train."
        )
    ordered: dict[str, list[File]] = {split: splits[split] for split in ("train", "test", "valid") if split in splits}
    columns = dict.fromkeys(column for table in tables.values() for column in table.columns)
    grouped = with_groups(path, ordered, how.group, tuple(columns))
    unnamed = [file for file in there.pictures if file not in named]
    ignored: list[tuple[Kind, str]] = [(UNNAMED, file) for file in unnamed] if path == base else []
    notes = about_missing(path, first_column, base, gone, len(named))
    notes += [f"{counted(twice, 'row names', 'rows name')} a file a second time, and the same class"] if twice else []
    classes = in_order(name for name, _ in named.values())
    contents = partial(contents_in, base)
    return Catalog(path, CLASS, told, classes, grouped, contents, {"": bad}, ignored, base=base, notes=notes)


def _file_column(table: Table, how: How, there: NamedFiles) -> str:
    """The column that names the files.

    Raises:
        DataError: it is not there, or cannot be told.
    """
    if how.file_column:
        return _given(table, "file_column", how.file_column)
    named = _first_of(table, _FILE)
    looked_at = table.rows[:_LOOKED_AT]
    holds = {c: sum(is_picture(row[c]) or there.is_known(row[c]) for row in looked_at) for c in table.columns}
    if named and (holds[named] or not any(holds.values())):
        return named
    best = max(table.columns, key=lambda column: holds[column], default="")
    if not best or not holds[best]:
        raise DataError(
            f"{table.path}: which column names the files? It has {_columns(table)}.",
            hint="{file_column}",
            settings={"file_column": next(iter(table.columns), "NAME")},
        )
    return best


def label_column(table: Table, how: How) -> str | None:
    """The column that gives the classes; None where it cannot be told.

    Raises:
        DataError: the one that was asked for is not there.
    """
    if how.label_column:
        return _given(table, "label_column", how.label_column)
    if named := _first_of(table, _LABEL):
        return named
    taken = {*_FILE, *_SPLIT, how.file_column.lower(), how.group.lower()}
    others = [c for c in table.columns if c.lower() not in taken and not any(is_picture(r[c]) for r in table.rows[:9])]
    return others[0] if len(others) == 1 else None


def _given(table: Table, key: str, column: str) -> str:
    if column not in table.columns:
        raise DataError(
            f"{table.path} has no column {column!r}: it has {_columns(table)}.",
            hint=nearest(column, table.columns),
        )
    return column


def _first_of(table: Table, names: Sequence[str]) -> str | None:
    by_name = {column.lower(): column for column in reversed(table.columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def _says_splits(table: Table, column: str) -> bool:
    """Whether a column says splits.

    Raises:
        DataError: in some rows it does, in others not.
    """
    known = [row[column].lower() in SPLIT_OF for row in table.rows]
    if any(known) and not all(known):
        number = known.index(False)
        raise DataError(
            f"{table.place(number)}: {column} is {table.rows[number][column]!r}, and in other rows a split.",
            hint=f"Splits are {', '.join(SPLIT_OF)}.",
        )
    return any(known)


def _columns(table: Table) -> str:
    return ", ".join(table.columns) or "none"
