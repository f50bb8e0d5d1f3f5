"""Catalog: the labeled picture files that a source names, before any of them is opened.

Class folders, archives, tables and Parquet files each make a catalog; `load` decodes the files that it lists.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ...base.words import counted, text_of
from ...errors import DataError, UsageError, nearest

Say = Callable[[str], None]  # takes a line for the user


# Suffixes of pictures, also of formats that are not supported: those are bad files, and never left out silently.
_PICTURE = re.compile(
    r"\.(png|jpg|jpeg|jpe|jfif|gif|bmp|dib|webp|tif|tiff|pgm|ppm|pbm|pnm"
    r"|heic|heif|avif|jxl|jp2|j2k|ico|svg|psd|tga|dng|cr2|nef|arw)\Z",
    re.IGNORECASE,
)


Kind = tuple[str, str]  # the words for one of a kind and for several


# What is ignored and reported.
HIDDEN, LINKED, EMPTY, OUTSIDE, OTHER, UNNAMED = (
    ("hidden file", "hidden files"),
    ("link to a folder", "links to folders"),
    ("empty folder", "empty folders"),
    ("picture outside the class folders", "pictures outside the class folders"),
    ("file that is not a picture", "files that are not pictures"),
    ("picture that is not in the table", "pictures that are not in the table"),
)


CLASS_FOLDER, CLASS = ("class folder", "class folders"), ("class", "classes")  # what gives the classes


Content = Callable[[], bytes]  # returns the bytes of a file, or raises DataError


class File(NamedTuple):
    """A labeled file: its path below the source as the file system has it, its class `name`, and its group if any."""

    path: str
    name: str
    group: str | None = None


class Bad(NamedTuple):
    """Something that cannot be used: its id, and the reason as the rest of a sentence ("is empty")."""

    id: str
    reason: str


@dataclass(frozen=True)
class Catalog:
    """The files of each split with their classes, and what else the source holds."""

    path: Path
    unit: Kind  # what gives the classes
    layout: str  # how the source is laid out: " in train, test"
    classes: tuple[str, ...]  # those with files, over all splits; numbers are in numerical order
    splits: Mapping[str, Sequence[File]]  # in an order that depends on the source alone
    contents: Callable[[Iterable[File]], Iterator[Content]] = field(repr=False)  # of files in the order of a split
    bad: Mapping[str, Sequence[Bad]] = field(default_factory=dict)  # by class; "" for those without a class
    ignored: Sequence[tuple[Kind, str]] = ()
    base: Path | None = None  # where the paths begin, if the source is a file that names other files
    notes: Sequence[str] = ()  # lines to report
    column: str = ""  # the column of a Parquet file that holds the pictures
    holder_of: Callable[[str], str] | None = None  # maps a path to the file on disk that holds it, such as an archive

    @property
    def name(self) -> str:
        """The last part of the source's path."""
        return self.path.name or self.path.absolute().name

    def holder(self, path: str) -> str:
        """Return the file on disk that holds the picture at a path of this catalog.

        Args:
            path: The path of a `File`.
        """
        return self.holder_of(path) if self.holder_of else os.path.join(self.base or self.path, path)

    def name_of(self, file: File) -> str:
        """Return the name by which errors call a file: its full path, printable.

        Args:
            file: A file of this catalog.
        """
        return text_of(str((self.base or self.path) / file.path))


def in_words(ignored: Sequence[tuple[Kind, str]]) -> str:
    """Return what is ignored as a list in words: the count of each kind, and its first path if that is informative.

    Args:
        ignored: The kind and the path of everything that is ignored.
    """
    paths_of: dict[Kind, list[str]] = {}
    for kind, path in ignored:
        paths_of.setdefault(kind, []).append(path)
    informative = (HIDDEN, LINKED, EMPTY, OUTSIDE, OTHER, UNNAMED)
    return ", ".join(
        f"{counted(len(paths), *kind)}{f' ({text_of(paths[0])})' if kind in informative else ''}"
        for kind, paths in paths_of.items()
    )


def is_picture(path: str) -> bool:
    """Return whether a file has the suffix of a picture.

    Args:
        path: A path or a name.
    """
    return _PICTURE.search(path) is not None


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the different names of classes in natural order: class 2 before class 10.

    Args:
        names: Names of classes, in any order and with repetitions.
    """
    return tuple(sorted(set(names), key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers in a name by value."""
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _group_by(pattern: str) -> Callable[[str], str | None]:
    """Return a function from a path to its group: the parts of the match in parentheses, or the whole match.

    Raises:
        UsageError: The pattern is not a valid regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"group is {pattern!r:.80}, which is not a valid regular expression: {error}.",
            hint=r"Give an expression that finds the group in a picture's path (--group 'person(\d+)'), or the name of "
            "a column of a table.",
        ) from error

    def group_of(path: str) -> str | None:
        match = compiled.search(path)
        return None if match is None else "\0".join(part or "" for part in match.groups()) or match[0]

    return group_of


def with_groups(
    path: Path, files: Mapping[str, Sequence[File]], pattern: str, columns: Sequence[str] = ()
) -> Mapping[str, Sequence[File]]:
    """Return the files of each split, each with the group that a regular expression finds in its path.

    Args:
        path: The source, for error messages.
        files: The files of each split.
        pattern: A regular expression; "" leaves the files as they are, and so does the name of a column, whose groups
            the files have already.
        columns: The columns of the table that names the files, if a table does.

    Raises:
        UsageError: The pattern is not a valid regular expression.
        DataError: The pattern matches no path.
    """
    if not pattern or pattern in columns:
        return files
    group_of = _group_by(pattern)
    grouped = {
        split: [file._replace(group=group_of(text_of(file.path))) for file in of_split]
        for split, of_split in files.items()
    }
    if all(file.group is None for of_split in grouped.values() for file in of_split):
        first = next((file.path for of_split in grouped.values() for file in of_split), "")
        problem = "matches no picture's path"
        if columns:
            problem = f"is neither a column ({', '.join(columns)}) nor matches a picture's path"
        near = f"{nearest(pattern, columns)} " if columns else ""
        raise DataError(
            f"{path}: group is {pattern!r:.80}, which {problem}; the first path is {text_of(first)}.",
            hint=rf"{near}Give a regular expression for a part of the path: --group 'person(\d+)'",
        )
    return grouped
