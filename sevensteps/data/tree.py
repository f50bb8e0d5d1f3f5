"""Tree: what a folder of class folders holds, seen from names alone; no file is opened.

A class is a folder, named by its name in Unicode's composed form (NFC). The class folders lie in the folder itself, or
in split folders: train or training, valid, val or validation, test or testing, in any case. What lies in folders within
a class folder is of that class. No link to a folder is followed, so that there is no way out and no circle.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError

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
# What systems and tools leave behind.
LEFT_BEHIND = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}
# What is ignored, and said: one of it and several.
HIDDEN, LINKED, EMPTY, OUTSIDE, OTHER = (
    ("hidden file", "hidden files"),
    ("link to a folder", "links to folders"),
    ("empty folder", "empty folders"),
    ("picture in no class folder", "pictures in no class folder"),
    ("file that is no picture", "files that are no pictures"),
)
Kind = tuple[str, str]


class File(NamedTuple):
    """A file of a class: its path below the folder as the system has it, and the class."""

    path: str
    name: str


class Bad(NamedTuple):
    """Something that cannot be used: its id, and why."""

    id: str
    reason: str


class _Listing(NamedTuple):
    """What a folder holds directly, or below itself."""

    folders: list[str]
    files: list[str]
    bad: list[Bad]
    ignored: list[tuple[Kind, str]]


@dataclass(frozen=True)
class Tree:
    """The files of each split with their classes, and what else lies there."""

    folder: Path
    layout: Mapping[str, str]  # the split folder of each split; "" where the class folders lie in the folder itself
    classes: tuple[str, ...]  # that have files, over all splits, with numbers in the order of numbers
    splits: Mapping[str, Sequence[File]]  # in the order of their ids
    bad: Mapping[str, Sequence[Bad]]  # by class
    ignored: Sequence[tuple[Kind, str]]


def scan(folder: Path) -> Tree:
    """What a folder holds.

    Raises:
        DataError: it cannot be read, holds no class folders, or its names can be meant in two ways.
    """
    top = _listed(folder, "")
    if top.bad and top.bad[0].id == "":
        raise DataError(f"{folder} {top.bad[0].reason}.", hint="Check the path and its permissions.")
    inside = {place: _listed(folder, place) for place in top.folders}
    layout = _layout(folder, inside)
    ignored, bad = list(top.ignored), {"": list(top.bad)}
    ignored += [(OUTSIDE if is_picture(file) else OTHER, file) for file in top.files]
    if "" not in layout.values():
        ignored += [(EMPTY, place) for place in inside if place not in layout.values()]
    splits: dict[str, list[File]] = {}
    named: dict[str, str] = {}  # the folders' names that were met, by what tells them apart
    for split, above in layout.items():
        of_split = inside if above == "" else {place: _listed(folder, place) for place in inside[above].folders}
        if above:
            ignored += inside[above].ignored
            ignored += [(OUTSIDE if is_picture(file) else OTHER, file) for file in inside[above].files]
            bad[""] += inside[above].bad
        splits[split] = []
        for place, listing in of_split.items():
            below = _below(folder, listing)
            ignored += below.ignored
            if not below.files and not below.bad:
                ignored.append((EMPTY, place))
                continue
            name = _class_of(folder, place, named)
            bad.setdefault(name, []).extend(below.bad)
            splits[split] += [File(path, name) for path in below.files]
        splits[split].sort(key=lambda file: os.fsencode(file.path))
    classes = tuple(sorted({file.name for files in splits.values() for file in files}, key=_natural))
    if not classes and not any(bad.values()):
        outside, linked = (sum(kind == of for kind, _ in ignored) for of in (OUTSIDE, LINKED))
        more = f"; {outside:,} pictures lie in no class folder" if outside else ""
        more += f"; {linked:,} links to folders are not followed" if linked else ""
        raise DataError(
            f"{folder}: holds no train-images-idx3-ubyte or train-images-idx3-ubyte.gz, and no class folders with "
            f"pictures{more}.",
            hint="Put the pictures of each class into a folder with its name: cat/1.jpg, dog/1.jpg.",
        )
    return Tree(folder, layout, classes, splits, bad, ignored)


def is_picture(path: str) -> bool:
    """Whether a file's name ends as that of a picture."""
    return _PICTURE.search(path) is not None


def text_of(path: str) -> str:
    """A path as text that can be written anywhere: a byte that is no UTF-8 stands as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _listed(folder: Path, place: str) -> _Listing:
    """What lies in a folder, by name."""
    found = _Listing([], [], [], [])
    try:
        with os.scandir(os.path.join(folder, place)) as entries:
            names = sorted((entry.name for entry in entries), key=os.fsencode)
    except OSError as error:
        found.bad.append(Bad(text_of(place), f"is a folder that cannot be opened ({error.strerror})"))
        return found
    for name in names:
        path = f"{place}/{name}" if place else name
        if name.lower() in LEFT_BEHIND or name in (".DS_Store", ".ipynb_checkpoints"):
            found.ignored.append(((name, name), path))
        elif name.startswith("."):
            found.ignored.append((HIDDEN, path))
        else:
            _sort_in(folder, path, found)
    return found


def _sort_in(folder: Path, path: str, found: _Listing) -> None:
    """Put an entry where it belongs, by what kind of file it is."""
    full = os.path.join(folder, path)
    try:
        mode = os.lstat(full).st_mode
        is_link = stat.S_ISLNK(mode)
        mode = os.stat(full).st_mode if is_link else mode
    except OSError as error:
        found.bad.append(Bad(text_of(path), f"leads nowhere or cannot be looked at ({error.strerror})"))
        return
    if stat.S_ISDIR(mode) and is_link:
        found.ignored.append((LINKED, path))
    elif stat.S_ISDIR(mode):
        found.folders.append(path)
    elif stat.S_ISREG(mode):
        found.files.append(path)
    else:
        found.bad.append(Bad(text_of(path), "is a pipe, a socket or a device, and no file"))


def _below(folder: Path, listing: _Listing) -> _Listing:
    """All that lies below a folder."""
    found = _Listing([], list(listing.files), list(listing.bad), list(listing.ignored))
    waiting = list(listing.folders)
    while waiting:
        below = _listed(folder, waiting.pop())
        waiting += below.folders
        found.files.extend(below.files)
        found.bad.extend(below.bad)
        found.ignored.extend(below.ignored)
    return found


def _layout(folder: Path, inside: Mapping[str, _Listing]) -> dict[str, str]:
    """The split folders, by split; where there are none, the folder itself holds what is to be trained on.

    A folder that is called train is a class where other classes lie beside it and it holds no folders.

    Raises:
        DataError: it can be meant in two ways, or there is nothing to train on.
    """
    filled = {place: listing for place, listing in inside.items() if any((listing.folders, listing.files, listing.bad))}
    found = [(SPLIT_OF[place.lower()], place) for place in filled if place.lower() in SPLIT_OF]
    beside = [place for place in filled if place.lower() not in SPLIT_OF]
    splits = dict(found)
    if beside:
        both = [place for _, place in found if filled[place].folders]
        if both:
            raise DataError(
                f"{folder}: {text_of(both[0])} looks like a split and {text_of(beside[0])} beside it like a class.",
                hint="Put every class folder into a split folder, and what is neither elsewhere.",
            )
        return {"train": ""}
    if not found:
        return {"train": ""}
    if len(splits) < len(found):
        twice = [place for split, place in found if [s for s, _ in found].count(split) > 1]
        raise DataError(
            f"{folder}: {twice[0]} and {twice[1]} are the same split.", hint="Put what they hold into one of them."
        )
    if "train" not in splits:
        raise DataError(
            f"{folder}: there is {', '.join(splits.values())}, and no folder train.",
            hint="Call the folder with the pictures to train on train.",
        )
    return {split: splits[split] for split in ("train", "test", "valid") if split in splits}


def _class_of(folder: Path, place: str, named: dict[str, str]) -> str:
    """The class of a class folder; `named` are the folders of all classes so far.

    Raises:
        DataError: its name differs from that of another class in a way that is rarely meant.
    """
    written = text_of(place.split("/")[-1])
    name = unicodedata.normalize("NFC", written)
    before = named.setdefault(name.lower(), place)
    other = text_of(before.split("/")[-1])
    if other != written:
        only = "in upper and lower case" if unicodedata.normalize("NFC", other) != name else "in their Unicode form"
        raise DataError(
            f"{folder}: the class folders {text_of(before)!a} and {text_of(place)!a} differ only {only}.",
            hint="If they are one class, give them one name; if two, names that can be told apart.",
        )
    return name


def _natural(name: str) -> list[tuple[int, str]]:
    """What puts class 2 before class 10."""
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
