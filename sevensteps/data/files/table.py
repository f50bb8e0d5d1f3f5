"""Tables that name picture files and their classes: CSV, TSV, JSON lines, Parquet, or a pandas data frame.

The role of a column is found from its name and its values, and reported; if that fails, the error lists the columns.
A table may have a column that gives the split, or there is one table for each split.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ...base.words import counted, text_of
from ...errors import DataError
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
from .split_names import read, split_named, splits_of
from .table_columns import Class, Roles, file_column, is_label, roles_in
from .table_files import NamedFiles, about_missing, all_below, folder_split
from .table_rows import Table, read_table, text_of_cell

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


_SHOWN = 5  # tables that one message lists

_LOOKED_AT = 100  # rows that decide where the files lie


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
        DataError: There are several tables for one split; or as `scan_table`.
    """
    below = all_below(folder)
    tables = [name for name in below if is_table(name) and name.count(os.sep) <= 1]
    if not tables:
        return None
    used = _by_split(folder, tables)
    by_split = {split: read_table(folder / name) for split, name in used.items()}
    catalog = listed(folder, by_split, folder, NamedFiles(folder, below), how)
    more = [(OTHER, name) for name in below if not is_picture(name) and name not in used.values()]
    return dataclasses.replace(catalog, ignored=[*catalog.ignored, *more])


def _by_split(folder: Path, tables: Sequence[str]) -> dict[str, str]:
    """Return the table of each split, told by the names of the tables; a single other one is that of training.

    Raises:
        DataError: Several tables could be that of a split.
    """
    split_of = splits_of(tables)
    by_split: dict[str, list[str]] = {}
    for name in tables:
        by_split.setdefault(split_of[name] or "", []).append(name)
    others = by_split.pop("", [])
    if "train" not in by_split and others:
        by_split["train"] = others
    for split, names in by_split.items():
        if len(names) > 1 and names is not others:  # train.csv beside train_sizes.csv
            by_split[split] = [name for name in names if not read(Path(name).stem).rest] or names
        if len(by_split[split]) > 1:
            shown = ", ".join(names[:_SHOWN])
            problem = "no name says which split a table is for" if names is others else f"{len(names)} are for {split}"
            raise DataError(
                f"{folder} holds {len(tables)} tables ({shown}), but {problem}.",
                hint=f"Name the table to use: sevensteps train {folder / names[0]}",
            )
    return {split: name for split, (name,) in sorted(by_split.items(), key=lambda item: item[0] != "train")}


def refuse_other_classes(catalog: Catalog, how: How) -> None:
    """Raise if a table next to class folders labels the same files in another way, so that either may be meant.

    Args:
        catalog: The class folders.
        how: How to read picture files.

    Raises:
        DataError: The folders and the table; the hint says what to type for either.
    """
    beside = [place for kind, place in catalog.ignored if kind is OTHER and is_table(place)]
    try:
        tables = [read_table(catalog.path / place) for place in beside]
        labels = {column for table in tables for column in table.columns if is_label(column)}
        others = scan_folder_of_tables(catalog.path, how) if labels else None
    except DataError:
        return  # a table that cannot be read gives no classes
    if others is None:
        return
    of_table = {file.path: file.name for files in others.splits.values() for file in files}
    every = [file for files in catalog.splits.values() for file in files]
    pairs = {(file.name, of_table[file.path]) for file in every if file.path in of_table}
    follows = [len(pairs) == len({pair[side] for pair in pairs}) for side in (0, 1)]
    if sum(file.path in of_table for file in every) * 2 >= len(every) and not any(follows):
        raise DataError(
            f"{catalog.path}: the folders give the classes {', '.join(catalog.classes[:_SHOWN])}, but {beside[0]} "
            f"gives the same files the classes {', '.join(others.classes[:_SHOWN])}.",
            hint="For those of the table: {label_column}. For those of the folders: {classes}",
            settings={"label_column": min(labels), "classes": list(catalog.classes)},
        )


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
    table = Table(Path("table"), columns, rows)
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
    rows = _Rows(candidates)
    notes: list[str] = []
    layout, first_column = "", ""
    first: Class | None = None  # what gives the class in the first table
    for of_table, table in tables.items():
        files = file_column(table, how, candidates.is_known)
        roles = roles_in(table, how, files, first)
        if roles is None:
            notes.append(f"{table.path.name} has no classes and is not used")
            continue
        if roles.note:
            notes.append(roles.note)
        if first is None:
            first, first_column = roles.label, f"{files} of {table.path.name}"
            layout = f", from {table.path.name}: {files} names the files, {roles.in_words}"
        is_of_split = len(tables) > 1 or split_named(table.path.name) is not None
        taken = rows.taken(table, files, roles, of_table, of_table if is_of_split else "")
        if len(tables) == 1 and roles.split is None:
            taken, by_folder = _split_by_folders(taken)
            layout += ", the folders of the files the split" if by_folder else ""
        for file, into in taken:
            splits.setdefault(into, []).append(file)
    check_names(path, rows.written)
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
    unnamed = [file for file in candidates.pictures if file not in rows.class_of]
    ignored: list[tuple[Kind, str]] = [(UNNAMED, file) for file in unnamed] if path == base else []
    notes = [*about_missing(path, first_column, base, rows.missing, len(rows.class_of)), *notes]
    if rows.repeated:
        notes += [f"{counted(rows.repeated, 'row repeats', 'rows repeat')} a file with the same class"]
    classes = in_order(name for name, _ in rows.class_of.values())
    contents = partial(contents_in, base)
    return Catalog(path, CLASS, layout, classes, grouped, contents, {"": rows.bad}, ignored, base=base, notes=notes)


@dataclass
class _Rows:
    """What the rows of all tables have said so far of the files that they name."""

    candidates: NamedFiles
    class_of: dict[str, tuple[str, str]] = field(default_factory=dict)  # of each file, with the row that gave it
    split_of: dict[str, str] = field(default_factory=dict)  # of each file
    written: dict[str, str] = field(default_factory=dict)  # each label as it is written, with the first row that has it
    bad: list[Bad] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    repeated: int = 0

    def taken(self, table: Table, files: str, roles: Roles, of_table: str, only: str) -> list[tuple[File, str]]:
        """Return the files that the rows of a table name, each with its split.

        Args:
            table: The table.
            files: The column that names the files.
            roles: What its other columns stand for.
            of_table: The split of rows that do not say one.
            only: The split whose files the table names, if its name says so: it decides between files of one name.

        Raises:
            DataError: Rows contradict each other, or a cell can mean several files.
        """
        label, split, group, _ = roles
        labels = [label.of(row) for row in table.rows]
        names = [class_named(text) for text in labels]
        classes = set(names)
        found: list[tuple[File, str]] = []
        for number, row in enumerate(table.rows):
            place, name = table.place(number), names[number]
            if not row[files] or not name:
                empty = "file" if not row[files] else "class"
                but = f": {label.column} is {labels[number]!r}" if row[files] and labels[number] else ""
                self.bad.append(Bad(row[files] or place, f"has no {empty} ({place}{but})"))
                continue
            self.written.setdefault(labels[number], f"{table.path.name} row {table.number(number)}")
            into = split.of_row[number] if split else of_table
            file, exists = self.candidates.find(row[files], table.path, only, name, classes)
            if file in self.class_of:
                self._refuse_contradiction(file, name, into, place)
                self.repeated += 1
                continue
            self.class_of[file], self.split_of[file] = (name, place), into
            self.missing += [] if exists else [row[files]]
            of_group = (class_named(row[group]) or None) if group else None
            found.append((File(file, name, of_group), into))
        return found

    def _refuse_contradiction(self, file: str, name: str, into: str, place: str) -> None:
        """Raise if a row gives a file another class or split than an earlier row.

        Raises:
            DataError: Both rows.
        """
        before, where = self.class_of[file]
        if before != name:
            raise DataError(
                f"{place}: {text_of(file)} is {name!r} here and {before!r} in {where}.",
                hint="Keep the correct row and remove the other.",
            )
        if self.split_of[file] != into:
            raise DataError(
                f"{place}: {text_of(file)} is in {into} here and in {self.split_of[file]} in {where}.",
                hint="A picture can be in one split only: keep one of the rows.",
            )


def _split_by_folders(rows: Sequence[tuple[File, str]]) -> tuple[list[tuple[File, str]], bool]:
    """Return the files with the splits of their folders, if every file lies in a split folder and there are several.

    Returns:
        The files, and whether their folders give the splits.
    """
    splits = [folder_split(file.path) for file, _ in rows]
    is_class = any(split_named(file.name) for file, _ in rows)
    by_folder = "train" in splits and len(set(splits)) > 1 and all(splits) and not is_class
    return (
        [(file, into) for (file, _), into in zip(rows, splits, strict=True)] if by_folder else list(rows)
    ), by_folder
