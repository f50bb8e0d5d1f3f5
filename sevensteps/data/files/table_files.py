"""The files that the rows of a table name, and the lines that report missing ones."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PureWindowsPath

from ...base.words import counted, text_of
from ...errors import DataError
from .catalog import is_picture
from .split_names import read, splits_of

SHOWN = 5  # names that one line lists


class NamedFiles:
    """Finds the file that a table names: at its path from the table's folder, or else at another place.

    Elsewhere, the folders that the table names must agree. A file that is gone stays gone, and no other file with the
    same last name takes its place: its label would be that of another picture.
    """

    def __init__(self, base: Path, below: Sequence[str]) -> None:
        self._base = base
        self._above = tuple(map(_composed, base.absolute().parts))
        self.pictures = [name for name in below if is_picture(name)]
        self._by_name: dict[str, list[str]] = {}
        for name in self.pictures:
            last = _composed(os.path.basename(name))
            for key in dict.fromkeys((last, os.path.splitext(last)[0])):
                self._by_name.setdefault(key, []).append(name)
        self._splits = {split for name in self.pictures if (split := folder_split(name))}
        lasts = [_composed(os.path.basename(name)) for name in self.pictures]
        self._is_name_enough = len(set(lasts)) == len(lasts)

    def find(
        self, written: str, table: Path, split: str = "", label: str = "", classes: Collection[str] = ()
    ) -> tuple[str, bool]:
        """Find the file that a cell of a table names.

        Args:
            written: The cell.
            table: The table's path.
            split: The split that the table is for, if its name says one; it decides between files of the same name.
            label: The class of the row.
            classes: All classes of the table.

        Returns:
            The path and whether a file exists there; if not, the path is as written.

        Raises:
            DataError: The cell can mean several files.
        """
        beside = os.path.relpath(table.parent, self._base) if table.is_absolute() or self._base.name else ""
        for path in _spellings(written):
            for place in dict.fromkeys((os.path.normpath(os.path.join(beside, path)), path)):
                if self.is_there(place):
                    return place, True
        matches = self._elsewhere(written)
        if not _folders(written):
            matches = self._with_name(matches, split, label, classes)
        elif len(matches) > 1:
            matches = [name for name in matches if folder_split(name) == split] or matches
        if len(matches) > 1:
            raise DataError(
                f"{table}: {written} can be {' or '.join(matches[:SHOWN])}.",
                hint="Write the path relative to the folder of the table.",
            )
        return (matches[0], True) if matches else (next(_spellings(written)), False)

    def _elsewhere(self, written: str) -> list[str]:
        """Return the files with the name of a cell in folders that agree with those it names."""
        last = _composed(os.path.basename(_slashed(written)))
        return [name for name in self._by_name.get(last, ()) if self._agree(_folders(written), name)]

    def _agree(self, folders: Sequence[str], name: str) -> bool:
        """Return whether the folders that a cell names are those of a file, as far as both are known."""
        if not folders:
            return True
        below = _folders(name)
        whole = (*self._above, *below)
        if tuple(whole[-len(folders) :]) == tuple(folders):
            return True
        common = len(below) if below else 1  # a path from another machine, such as /home/me/pets/cat/1.png
        rest = folders[: len(folders) - common]
        is_same = tuple(folders[-common:]) == tuple(below or self._above[-1:])
        return is_same and common <= len(folders) and not any(map(_split_of, rest))

    def _with_name(self, matches: Sequence[str], split: str, label: str, classes: Collection[str]) -> list[str]:
        """Return the files that a name without folders can mean: none of another split or, if in doubt, another class.

        If several folders have files of the same names, a name alone does not say which file is meant.
        """
        split = split or ("" if self._is_name_enough or "train" not in self._splits else "train")
        if split in self._splits:
            matches = [name for name in matches if folder_split(name) in ("", split)]
        if self._is_name_enough:
            return list(matches)
        others = {_composed(of_class) for of_class in classes} - {_composed(label)}
        return [name for name in matches if not others & set(_folders(name)[-1:])]

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
        return bool(written) and (any(map(self.is_there, _spellings(written))) or bool(self._elsewhere(written)))


def folder_split(path: str) -> str:
    """Return the split that a folder in a path stands for, as in train/cat/1.png; "" without one.

    Args:
        path: The path of a file.
    """
    return next(filter(None, map(_split_of, _folders(path))), "")


def _split_of(folder: str) -> str:
    """Return the split that the name of a folder stands for; "" without one."""
    return "" if read(folder).rest else splits_of([folder])[folder] or ""


def _spellings(written: str) -> Iterator[str]:
    """Give the paths that a cell can mean: as written, with the slashes of Windows, composed and decomposed."""
    if "://" in written:
        yield written
        return
    for path in dict.fromkeys((written, _slashed(written))):
        path = os.path.normpath(path)
        yield path
        if not path.isascii():
            yield from (unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))


def _slashed(written: str) -> str:
    """Return a path with slashes, also one that Windows wrote."""
    return PureWindowsPath(written).as_posix() if "\\" in written else written


def _folders(path: str) -> tuple[str, ...]:
    """Return the names of the folders in a path."""
    parts = os.path.normpath(_slashed(path)).split(os.sep)[:-1]
    return tuple(_composed(part) for part in parts if part not in ("", ".", "..") and not part.endswith(":"))


def _composed(name: str) -> str:
    """Return a name in Unicode's composed form: some systems store the decomposed form."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


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
    are = "is" if len(missing) == 1 else "are"
    return [f"{len(missing):,} of the {counted(named, 'file')} in the column {column} {are} missing ({first}); {where}"]


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
