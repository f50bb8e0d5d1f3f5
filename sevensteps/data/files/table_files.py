"""Named: the files that the rows of a table mean, and what is said where they are not there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...base.words import counted, text_of
from ...errors import DataError
from .catalog import SPLIT_OF, is_picture

SHOWN = 5  # names that a line lists


class NamedFiles:
    """The files that a table may mean: by their paths from where it lies, or where nothing is there, by their names."""

    def __init__(self, base: Path, below: Sequence[str]) -> None:
        self._base = base
        self.pictures = [name for name in below if is_picture(name)]
        self._by_name: dict[str, list[str]] = {}
        for name in self.pictures:
            last = os.path.basename(name)
            for key in {last, os.path.splitext(last)[0], os.path.splitext(name)[0]}:
                self._by_name.setdefault(key, []).append(name)

    def find(self, written: str, table: Path, split: str) -> tuple[str, bool]:
        """The path of a file as a table writes it, and whether it is there; else it is as written, and a bad file.

        Raises:
            DataError: it can be one of several.
        """
        path = os.path.normpath(written) if "://" not in written else written
        beside = os.path.relpath(table.parent, self._base) if table.is_absolute() or self._base.name else ""
        for place in dict.fromkeys((os.path.normpath(os.path.join(beside, path)), path)):
            if self.is_there(place):
                return place, True
        found = self._by_name.get(path) or self._by_name.get(os.path.basename(path)) or []
        of_split = [name for name in found if SPLIT_OF.get(name.split(os.sep)[0].lower()) == split]
        found = of_split if len(of_split) == 1 else found
        if len(found) > 1:
            raise DataError(
                f"{table}: {written} can be {' or '.join(found[:SHOWN])}.",
                hint="Write the path from the folder in which the table lies.",
            )
        return (found[0], True) if found else (path, False)

    def is_there(self, path: str) -> bool:
        """Whether this path leads to a file."""
        return os.path.isfile(os.path.join(self._base, path))

    def is_known(self, written: str) -> bool:
        """Whether a cell names a file."""
        return bool(written) and (self.is_there(written) or written in self._by_name)


def about_missing(path: Path, column: str, base: Path, missing: Sequence[str], named: int) -> list[str]:
    """What is to be said of files that a column names and that are not there.

    Raises:
        DataError: none of them is.
    """
    if not missing:
        return []
    first = ", ".join(map(text_of, missing[:SHOWN])) + ", …" * (len(missing) > SHOWN)
    where = f"looked for in {text_of(str(base.absolute()))}{' and the folders below it' * bool(base.name)}"
    if len(missing) == named:
        raise DataError(
            f"{path}: none of {counted(named, 'file')} that the column {column} names is there ({first}); {where}.",
            hint="A path is whole, or from the folder in which the table lies. Where another column names the files: "
            "{file_column}",
            settings={"file_column": "NAME"},
        )
    return [
        f"of {counted(named, 'file')} that the column {column} names {len(missing):,} are missing ({first}); {where}"
    ]


def all_below(folder: Path) -> list[str]:
    """The paths of all files below a folder that are not hidden; no link to a folder is followed."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.relpath(os.path.join(at, name), folder) for name in names if not name.startswith(".")]
    return sorted(found)
