"""The files that the rows of a table name, and the lines that report missing ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...base.words import counted, text_of
from ...errors import DataError
from .catalog import is_picture
from .split_names import split_named

SHOWN = 5  # names that one line lists


class NamedFiles:
    """Finds the file that a table names: by its path from the table's folder, or else by its name alone."""

    def __init__(self, base: Path, below: Sequence[str]) -> None:
        self._base = base
        self.pictures = [name for name in below if is_picture(name)]
        self._by_name: dict[str, list[str]] = {}
        for name in self.pictures:
            last = os.path.basename(name)
            for key in {last, os.path.splitext(last)[0], os.path.splitext(name)[0]}:
                self._by_name.setdefault(key, []).append(name)

    def find(self, written: str, table: Path, split: str) -> tuple[str, bool]:
        """Find the file that a cell of a table names.

        Args:
            written: The cell.
            table: The table's path.
            split: The split of the row; it decides between files of the same name.

        Returns:
            The path and whether a file exists there; if not, the path is as written.

        Raises:
            DataError: The cell can mean several files.
        """
        path = os.path.normpath(written) if "://" not in written else written
        beside = os.path.relpath(table.parent, self._base) if table.is_absolute() or self._base.name else ""
        for place in dict.fromkeys((os.path.normpath(os.path.join(beside, path)), path)):
            if self.is_there(place):
                return place, True
        matches = self._by_name.get(path) or self._by_name.get(os.path.basename(path)) or []
        of_split = [name for name in matches if split_named(name.split(os.sep)[0]) == split]
        matches = of_split if len(of_split) == 1 else matches
        if len(matches) > 1:
            raise DataError(
                f"{table}: {written} can be {' or '.join(matches[:SHOWN])}.",
                hint="Write the path relative to the folder of the table.",
            )
        return (matches[0], True) if matches else (path, False)

    def is_there(self, path: str) -> bool:
        """Return whether a file exists at a path.

        Args:
            path: A path from the base.
        """
        return os.path.isfile(os.path.join(self._base, path))

    def is_known(self, written: str) -> bool:
        """Return whether a cell names a file that exists.

        Args:
            written: The cell.
        """
        return bool(written) and (self.is_there(written) or written in self._by_name)


def about_missing(path: Path, column: str, base: Path, missing: Sequence[str], named: int) -> list[str]:
    """Return the lines that report missing files.

    Args:
        path: The source, for error messages.
        column: The column and its table, in words.
        base: Where the paths begin.
        missing: The files that do not exist, as the table writes them.
        named: How many files the table names.

    Raises:
        DataError: No file exists.
    """
    if not missing:
        return []
    first = ", ".join(map(text_of, missing[:SHOWN])) + ", …" * (len(missing) > SHOWN)
    where = f"looked for in {text_of(str(base.absolute()))}{' and the folders below it' * bool(base.name)}"
    if len(missing) == named:
        raise DataError(
            f"{path}: none of the {counted(named, 'file')} in the column {column} exists ({first}); {where}.",
            hint="Write absolute paths, or paths relative to the folder of the table. If another column names the "
            "files: {file_column}",
            settings={"file_column": "NAME"},
        )
    return [f"{len(missing):,} of the {counted(named, 'file')} in the column {column} are missing ({first}); {where}"]


def all_below(folder: Path) -> list[str]:
    """Return the paths of all files below a folder that are not hidden; links to folders are not followed.

    Args:
        folder: The folder.
    """
    paths = []
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [os.path.relpath(os.path.join(at, name), folder) for name in names if not name.startswith(".")]
    return sorted(paths)
