"""The roles of a table's columns: which one names the files, which gives the class, and which the split.

A role is found from the column's name and its values, and reported. What is typed (`file_column`, …) is used as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from ...errors import DataError, UsageError, nearest
from .catalog import is_picture
from .how import How
from .split_names import read, splits_of
from .table_rows import Row, Table

# Names of columns; the first that a table has counts.
_FILE = ("file_name", "filename", "file", "path", "file_path", "filepath", "image_path", "image", "img", "picture",
         "photo", "image_id", "id")  # fmt: skip

_LABEL = ("label", "labels", "class", "class_name", "category", "target", "species", "breed")

_SPLIT = ("split", "set", "subset", "partition")
_MAYBE_SPLIT = ("data_split", "dataset", "phase", "usage")  # or a class: the phase of the moon

# What says where something lies in a picture. The y of a box, or of a point, is not a class.
_PLACES = ("x", "w", "h", "width", "height", "x1", "y1", "x2", "y2", "xmin", "ymin", "xmax", "ymax", "left", "top",
           "right", "bottom", "bbox", "box", "boxes")  # fmt: skip

_YES, _NO = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})

# Where each of many columns is a pixel, as in the tables of handwritten digits that contests give.
_MANY = 64
_PIXELS = 'If its columns are pixels, save them as arrays: numpy.savez("pictures.npz", x_train=…, y_train=…)'

_SHOWN = 12  # columns that an error lists
_LOOKED_AT = 100  # rows that decide what a column holds


class Class(NamedTuple):
    """What gives the class of a row: the name for it in messages, and a function that reads it."""

    column: str
    of: Callable[[Row], str]


class Split(NamedTuple):
    """What gives the split of a row: its columns, and the split of each row."""

    columns: tuple[str, ...]
    of_row: Sequence[str]


class Roles(NamedTuple):
    """What the columns of a table stand for, apart from the one with the files or pictures."""

    label: Class
    split: Split | None
    group: str | None
    note: str  # about a column that could have been that of the split; "" without one

    @property
    def in_words(self) -> str:
        """What gives the class, and what the split if a column does: the rest of a sentence."""
        split = f", {' and '.join(self.split.columns)} the split" if self.split else ""
        return f"{self.label.column} gives the class{split}"


def roles_in(table: Table, how: How, files: str, first: Class | None = None) -> Roles | None:
    """Return what the columns of a table stand for.

    Args:
        table: The table.
        how: How to read picture files: the columns and the group.
        files: The column that names the files or holds the pictures.
        first: What gives the classes in the table of the training split, if this is the table of another one.

    Returns:
        The roles; None if the table of another split has no classes, as the test set of a contest.

    Raises:
        UsageError: One column is typed as both that of the files and that of the classes.
        DataError: A column is missing, or none is recognized as the one with the classes.
    """
    typed = {how.label_column.lower(), how.group.lower()}
    others = {files, *(column for column in table.columns if column.lower() in typed or is_label(column))}
    split = split_columns(table, how, others)
    taken = split.columns if split else ()
    label = class_like(first, table, how, files) if first else class_column(table, how, files, taken)
    if label is None and first:
        return None
    if label is None:
        raise DataError(
            f"{table.path}: no column is recognized as the one with the classes; it has {in_words(table)}.",
            hint="Name it: {label_column}",
            settings={"label_column": likely_class(table, (files, *taken))},
        )
    note = "" if split else unread_splits(table, {files, label.column})
    return Roles(label, split, how.group if how.group in table.columns else None, note)


def file_column(table: Table, how: How, is_known: Callable[[str], bool]) -> str:
    """Return the column that names the files.

    Args:
        table: The table.
        how: How to read picture files: the columns that were typed.
        is_known: Whether a cell names a file that exists.

    Raises:
        UsageError: One column is typed as both that of the files and that of the classes.
        DataError: It is missing or not recognized.
    """
    if how.file_column:
        return given(table, "file_column", how.file_column)
    label = given(table, "label_column", how.label_column) if how.label_column else ""
    columns = [column for column in table.columns if column != label]
    named = _first_of(columns, _FILE)
    looked_at = table.rows[:_LOOKED_AT]
    holds = {c: sum(is_picture(row[c]) or is_known(row[c]) for row in looked_at) for c in columns}
    if named and (holds[named] or not any(holds.values())):
        return named
    others = [c for c in columns if c.lower() not in _LABEL] or columns  # a label may be the name of a file by chance
    best = max(others, key=lambda column: holds[column], default="")
    if not best or not holds[best]:
        raise DataError(
            f"{table.path}: no column is recognized as the one with the files; it has {in_words(table)}.",
            hint=_PIXELS if len(columns) >= _MANY else "Name it: {file_column}",
            settings={"file_column": next((c for c in columns if not is_label(c)), "NAME")},
        )
    return best


def usual_file_column(columns: Sequence[str]) -> str | None:
    """Return the column with a usual name for pictures or their files; None without one.

    Args:
        columns: The names of columns.
    """
    return _first_of(columns, _FILE)


def class_column(table: Table, how: How, files: str = "", taken: Collection[str] = ()) -> Class | None:
    """Return what gives the classes; None if nothing is recognized.

    Args:
        table: The table.
        how: How to read picture files: the columns and the group.
        files: The column that names the files, if one does.
        taken: Other columns with a role.

    Raises:
        UsageError: One column is typed as both that of the files and that of the classes.
        DataError: The column that `how` names is missing.
    """
    if how.label_column:
        column = given(table, "label_column", how.label_column)
        if column == files:
            raise UsageError(
                f"{table.path}: the column {column} cannot name the files and give their classes.",
                hint="Name two columns: {file_column} and {label_column}.",
                settings={"file_column": files, "label_column": next((c for c in table.columns if c != files), "NAME")},
            )
        return _one(column)
    used = {files, *taken, how.group}
    free = [column for column in table.columns if column not in used and column.lower() != how.group.lower()]
    if named := _first_of(free, _LABEL):
        return _one(named)
    has_places = any(column.lower() in _PLACES for column in free)
    if not has_places and (named := _first_of(free, ("y",))):
        return _one(named)
    aside = {*_FILE, *_SPLIT, *((*_PLACES, "y") if has_places else ())}
    others = [c for c in free if c.lower() not in aside and not any(is_picture(row[c]) for row in table.rows[:9])]
    return _one(others[0]) if len(others) == 1 else _one_for_each(table, others)


def likely_class(table: Table, taken: Collection[str]) -> str:
    """Return the column that a hint proposes for the classes: the one whose values repeat most, "NAME" without any.

    Args:
        table: The table.
        taken: Columns with another role.
    """
    values = {column: len({row[column] for row in table.rows}) for column in table.columns if column not in taken}
    several = [column for column, count in values.items() if count > 1]
    return min(several or values, key=values.__getitem__, default="NAME")


def is_label(column: str) -> bool:
    """Return whether a column has the usual name of one with classes.

    Args:
        column: The name of the column.
    """
    return column.lower() in (*_LABEL, "y")


def _one(column: str) -> Class:
    """Return a column as what gives the classes."""
    return Class(column, lambda row: row[column])


def _one_for_each(table: Table, columns: Sequence[str]) -> Class | None:
    """Return the columns with a 1 for the class of a row and 0 for all other classes (one-hot); None without any.

    Raises:
        DataError: Rows have several classes.
    """
    numbers = {row[column] for row in table.rows for column in columns}
    if not numbers <= {"0", "1", "0.0", "1.0", ""} or len(columns) < 2:
        columns = [c for c in columns if {row[c] for row in table.rows} <= {"0", "1", "0.0", "1.0", ""}]
    if len(columns) < 2:
        return None

    def classes_of(row: Row) -> list[str]:
        return [column for column in columns if row[column] in ("1", "1.0")]

    counts = [len(classes_of(row)) for row in table.rows]
    if max(counts, default=0) > 1:
        number = next(number for number, count in enumerate(counts) if count > 1)
        raise DataError(
            f"{table.place(number)} has a 1 in {counts[number]} columns ({', '.join(classes_of(table.rows[number]))}), "
            "but with a column for each class (one-hot), a picture has exactly one.",
            hint="Keep the pictures of one class, or name the column with the classes: {label_column}",
            settings={"label_column": columns[0]},
        )
    return Class(f"one of {', '.join(columns)}", lambda row: next(iter(classes_of(row)), "")) if any(counts) else None


def split_columns(table: Table, how: How, taken: Collection[str]) -> Split | None:
    """Return what gives the splits: a column whose values are names of splits, or columns such as is_valid.

    Args:
        table: The table.
        how: How to read picture files: the columns that were typed.
        taken: Columns with another role.

    Raises:
        DataError: The column that `how` names is missing, or a value in it is not a split.
    """
    if how.split_column:
        column = given(table, "split_column", how.split_column)
        return _true_in(table, [column]) or Split((column,), _read_all(table, column))
    free = [column for column in table.columns if column not in taken]
    if (named := _first_of(free, _SPLIT)) and any(splits_of(row[named] for row in table.rows).values()):
        return Split((named,), _read_all(table, named))
    for column in free:
        values = {row[column] for row in table.rows}
        split_of = splits_of(values)
        is_plain = None not in split_of.values() and not any(read(value).rest for value in values)
        if is_plain and "train" in split_of.values() and len(values) > 1:
            return Split((column,), [str(split_of[row[column]]) for row in table.rows])
    marked = _true_in(table, [column for column in free if column.lower().startswith("is")])
    # Where most rows are true, is_valid rather says that a picture can be used.
    return marked if marked and 2 * marked.of_row.count("train") >= len(table.rows) else None


def unread_splits(table: Table, taken: Collection[str]) -> str:
    """Return a line about a column that is named like a split but whose values are not names of splits; else "".

    Args:
        table: The table, in which no column gives the split.
        taken: Columns with another role.
    """
    for column in table.columns:
        values = list(dict.fromkeys(row[column] for row in table.rows))
        is_named = column.lower() in (*_SPLIT, *_MAYBE_SPLIT) or _flag(column) or "fold" in column.lower()
        if column not in taken and is_named and 1 < len(values) <= 20:
            shown = ", ".join(values[:3]) + ", …" * (len(values) > 3)
            return f"the column {column} ({shown}) is not used to split the pictures"
    return ""


def class_like(first: Class, table: Table, how: How, files: str) -> Class | None:
    """Return what gives the classes in the table of another split; None if it has none, as the test set of a contest.

    Args:
        first: What gives them in the table of the training split.
        table: The other table.
        how: How to read picture files: the columns and the group.
        files: The column that names the files.
    """
    if same := [column for column in table.columns if column.lower() == first.column.lower() and column != files]:
        return _one(same[0])
    found = class_column(table, dataclasses.replace(how, label_column=""), files)
    return found if found and (found.column.lower() in _LABEL or found.column == first.column) else None


def _true_in(table: Table, columns: Sequence[str]) -> Split | None:
    """Return the split of each row from columns such as is_valid and is_test, which are true for the rows of a split.

    A row for which all are false is for training; for is_train, it is a test row. None if the columns do not hold that.
    """
    split_of = {column: flag for column in columns if (flag := _flag(column))}
    values = {row[column].lower() for row in table.rows for column in split_of}
    if not split_of or not values <= _YES | _NO or not values & _YES or not values & _NO:
        return None
    rest = next(split for split in ("train", "test", "valid") if split not in split_of.values())
    rows = [[split_of[c] for c in split_of if row[c].lower() in _YES] for row in table.rows]
    for number, splits in enumerate(rows):
        if len(splits) > 1:
            raise DataError(
                f"{table.place(number)}: {' and '.join(split_of)} are both true.", hint="Each row is for one split."
            )
    return Split(tuple(split_of), [splits[0] if splits else rest for splits in rows])


def _flag(column: str) -> str:
    """Return the split whose rows a column such as is_valid or validation marks; "" for another column."""
    reading = read(column)
    return "" if reading.rest else splits_of([column])[column] or ""


def _read_all(table: Table, column: str) -> list[str]:
    """Return the split that a column gives each row.

    Raises:
        DataError: A value is not a split.
    """
    split_of = splits_of(row[column] for row in table.rows)
    for number, row in enumerate(table.rows):
        if split_of[row[column]] is None:
            raise DataError(
                f"{table.place(number)}: {column} is {row[column]!r}, which is not the name of a split.",
                hint="Use train, valid and test.",
            )
    return [str(split_of[row[column]]) for row in table.rows]


def given(table: Table, key: str, column: str) -> str:
    """Return a column that was asked for by name, in upper or lower case.

    Args:
        table: The table.
        key: The setting that names it.
        column: Its name as it was typed.

    Raises:
        DataError: The table does not have it.
    """
    if column in table.columns:
        return column
    same = [known for known in table.columns if known.lower() == column.lower()]
    if len(same) == 1:
        return same[0]
    raise DataError(
        f"{table.path} has no column {column!r} ({key}); it has {in_words(table)}.",
        hint=nearest(column, table.columns),
    )


def _first_of(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the column with the first of these names, in any case; None without one."""
    by_name = {column.lower(): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def in_words(table: Table) -> str:
    """Return the names of the columns as a list in words.

    Args:
        table: The table.
    """
    more = len(table.columns) - _SHOWN
    return ", ".join([*table.columns[:_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]) or "none"
