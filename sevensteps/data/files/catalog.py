"""Catalog: the labelled picture files that a source names, before any of them is opened.

Class folders, archives, tables and Parquet files each make one (`tree`, `archive`, `table`, `parquet`); `folder`
decodes what it lists. What can be known of a file is its path below the source, its class and perhaps its group.
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

Say = Callable[[str], None]


SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("valid", "val", "validation"), "valid"),
}


# How the names of pictures end, also of kinds that are not read here: those are bad files, and never left out silently.
_PICTURE = re.compile(
    r"\.(png|jpg|jpeg|jpe|jfif|gif|bmp|dib|webp|tif|tiff|pgm|ppm|pbm|pnm"
    r"|heic|heif|avif|jxl|jp2|j2k|ico|svg|psd|tga|dng|cr2|nef|arw)\Z",
    re.IGNORECASE,
)


# What is ignored, and said: one of it and several.
HIDDEN, LINKED, EMPTY, OUTSIDE, OTHER, UNNAMED = (
    ("hidden file", "hidden files"),
    ("link to a folder", "links to folders"),
    ("empty folder", "empty folders"),
    ("picture in no class folder", "pictures in no class folder"),
    ("file that is no picture", "files that are no pictures"),
    ("picture that the table does not name", "pictures that the table does not name"),
)


Kind = tuple[str, str]


CLASS_FOLDER, CLASS = ("class folder", "class folders"), ("class", "classes")  # what gives the classes


Content = Callable[[], bytes]  # gives the bytes of a file, or raises DataError


class File(NamedTuple):
    """A file of a class: its path below the source as the system has it, the class, and its group where it has one."""

    path: str
    name: str
    group: str | None = None


class Bad(NamedTuple):
    """Something that cannot be used: its id, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Catalog:
    """The files of each split with their classes, and what else was found there."""

    path: Path
    unit: Kind  # what gives the classes
    layout: str  # what was understood of them: " in train, test"
    classes: tuple[str, ...]  # that have files, over all splits, with numbers in the order of numbers
    splits: Mapping[str, Sequence[File]]  # in an order that depends on nothing but the source
    contents: Callable[[Iterable[File]], Iterator[Content]] = field(repr=False)  # of files in the order of a split
    bad: Mapping[str, Sequence[Bad]] = field(default_factory=dict)  # by class; "" for those of none
    ignored: Sequence[tuple[Kind, str]] = ()
    base: Path | None = None  # where the paths lie: the source itself unless it is a file that names others
    notes: Sequence[str] = ()  # that are to be said
    holder_of: Callable[[str], str] | None = None  # the file on the disk that holds a path, where it is another

    @property
    def name(self) -> str:
        """What the source is called: the last part of its path."""
        return self.path.name or self.path.absolute().name

    def holder(self, path: str) -> str:
        """The file on the disk that holds a path: another one, if that is changed."""
        return self.holder_of(path) if self.holder_of else os.path.join(self.base or self.path, path)

    def name_of(self, file: File) -> str:
        """What errors call a file."""
        return text_of(str((self.base or self.path) / file.path))


def in_words(ignored: Sequence[tuple[Kind, str]]) -> str:
    """What is not used, by kind, with the first of each where names tell something."""
    kinds: dict[Kind, list[str]] = {}
    for kind, path in ignored:
        kinds.setdefault(kind, []).append(path)
    named = (HIDDEN, LINKED, EMPTY, OUTSIDE, OTHER, UNNAMED)
    return ", ".join(
        f"{counted(len(paths), *kind)}{f' ({text_of(paths[0])})' if kind in named else ''}"
        for kind, paths in kinds.items()
    )


def is_picture(path: str) -> bool:
    """Whether a file's name ends as that of a picture."""
    return _PICTURE.search(path) is not None


def split_named(name: str) -> str | None:
    """The split that a word of a name says: "x_train", "test-00000-of-00001"."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLIT_OF[word] for word in words if word in SPLIT_OF), None)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes in their order, in which class 2 comes before class 10."""
    return tuple(sorted(set(names), key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _group_by(pattern: str) -> Callable[[str], str | None]:
    """The group of a path: what the parentheses of a regular expression find in it, or else all that it finds.

    Raises:
        UsageError: it is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"group is {pattern!r:.80}, and no regular expression: {error}.",
            hint=r"It finds the group in a picture's path: --group 'person(\d+)'; or it names a column of a table.",
        ) from error

    def group_of(path: str) -> str | None:
        found = compiled.search(path)
        return None if found is None else "\0".join(part or "" for part in found.groups()) or found[0]

    return group_of


def with_groups(
    path: Path, files: Mapping[str, Sequence[File]], pattern: str, columns: Sequence[str] = ()
) -> Mapping[str, Sequence[File]]:
    """The files of each split, each with the group that a regular expression finds in its path.

    Where it is one of the `columns` of a table the files have their groups already.

    Raises:
        UsageError: it is no regular expression.
        DataError: it finds nothing anywhere.
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
        in_none = "is found in no picture's path"
        if columns:
            in_none = f"is neither a column ({', '.join(columns)}) nor found in a picture's path"
        near = f"{nearest(pattern, columns)} " if columns else ""
        raise DataError(
            f"{path}: group is {pattern!r:.80}, and {in_none} ({text_of(first)}).",
            hint=rf"{near}A regular expression is for a part of the path: --group 'person(\d+)'",
        )
    return grouped
