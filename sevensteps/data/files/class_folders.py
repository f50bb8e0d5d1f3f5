"""Trees: class folders, in a folder or in an archive, seen from names alone; no file is opened.

A class is a folder, named by its name in Unicode's composed form (NFC). The class folders lie in the source itself, or
in split folders: train or training, valid, val or validation, test or testing, in any case. What lies in folders within
a class folder is of that class. Where all of it lies in a single folder, that folder is what is meant. No link to a
folder is followed, so that there is no way out and no circle.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

from ...base.words import text_of
from ...errors import DataError
from ..decode import content_of
from .catalog import (
    CLASS_FOLDER,
    EMPTY,
    HIDDEN,
    LINKED,
    OTHER,
    OUTSIDE,
    SPLIT_OF,
    Bad,
    Catalog,
    Content,
    File,
    Kind,
    in_order,
    in_words,
    is_picture,
    with_groups,
)
from .how import AS_USUAL, How

# What systems and tools leave behind.
LEFT_BEHIND = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}


class Entry(NamedTuple):
    """Something in a folder: its name and what it is; in words where it cannot be used."""

    name: str
    is_a: Literal["file", "folder", "link to a folder"] | str


Entries = Callable[[str], Sequence[Entry]]  # what lies in the folder at a place; raises OSError


class _Listing(NamedTuple):
    """What a folder holds directly, or below itself."""

    folders: list[str]
    files: list[str]
    bad: list[Bad]
    ignored: list[tuple[Kind, str]]


def scan(folder: Path, how: How = AS_USUAL) -> Catalog:
    """What a folder of class folders holds.

    Raises:
        DataError: it cannot be read, holds no class folders, or its names can be meant in two ways.
    """
    return arranged(folder, partial(_entries, folder), partial(contents_in, folder), how)


def arranged(
    path: Path, entries: Entries, contents: Callable[[Iterable[File]], Iterator[Content]], how: How
) -> Catalog:
    """What class folders hold, from what lies in each.

    Raises:
        DataError: there are no class folders, or names can be meant in two ways.
    """
    above = ""
    top = _listed(entries, "")
    if top.bad and top.bad[0].id == "":
        raise DataError(f"{path} {top.bad[0].reason}.", hint="Check the path and its permissions.")
    ignored, bad = [], {"": list[Bad]()}
    while (inner := _only_folder(top)) and any(_listed(entries, inner).folders):
        ignored += top.ignored + [(OTHER, file) for file in top.files]
        above, top = inner, _listed(entries, inner)
    inside = {place: _listed(entries, place) for place in top.folders}
    layout = _layout(path, above, inside)
    ignored += top.ignored
    bad[""] += top.bad
    ignored += [(OUTSIDE if is_picture(file) else OTHER, file) for file in top.files]
    if above not in layout.values():
        ignored += [(EMPTY, place) for place in inside if place not in layout.values()]
    splits: dict[str, list[File]] = {}
    named: dict[str, str] = {}  # the folders' names that were met, by what tells them apart
    for split, under in layout.items():
        of_split = inside if under == above else {place: _listed(entries, place) for place in inside[under].folders}
        if under != above:
            ignored += inside[under].ignored
            ignored += [(OUTSIDE if is_picture(file) else OTHER, file) for file in inside[under].files]
            bad[""] += inside[under].bad
        splits[split] = []
        for place, listing in of_split.items():
            below = _below(entries, listing)
            ignored += below.ignored
            if not below.files and not below.bad:
                ignored.append((EMPTY, place))
                continue
            name = _class_of(path, place, named)
            bad.setdefault(name, []).extend(below.bad)
            splits[split] += [File(file, name) for file in below.files]
        if "".join([file.path for file in splits[split]]).isascii():
            splits[split].sort(key=itemgetter(0))
        else:
            splits[split].sort(key=lambda file: os.fsencode(file.path))
    classes = in_order(file.name for files in splits.values() for file in files)
    if not classes and not any(bad.values()):
        table = "; or put a table beside them that names files and classes" if path.is_dir() else ""
        there = f"but {in_words(ignored)}" if ignored else "and nothing else"
        raise DataError(
            f"{path} holds no class folders with pictures, {there}.",
            hint=f"Put the pictures of each class into a folder with its name: cat/1.jpg, dog/1.jpg{table}.",
        )
    where = "" if above in layout.values() else f" in {', '.join(place.split('/')[-1] for place in layout.values())}"
    grouped = with_groups(path, splits, how.group)
    return Catalog(path, CLASS_FOLDER, where, classes, grouped, contents, bad, ignored)


def contents_in(folder: Path, files: Iterable[File]) -> Iterator[Content]:
    """What reads each file of a folder."""
    for file in files:
        yield partial(content_of, folder / file.path)


def _only_folder(top: _Listing) -> str:
    """The folder that holds all that there is, where it is no split's."""
    if len(top.folders) != 1 or top.bad or any(map(is_picture, top.files)):
        return ""
    return "" if top.folders[0].split("/")[-1].lower() in SPLIT_OF else top.folders[0]


def _entries(folder: Path, place: str) -> Sequence[Entry]:
    """What lies in a folder on the disk."""
    with os.scandir(os.path.join(folder, place)) as found:
        return [Entry(one.name, _kind_of(one)) for one in found]


def _kind_of(entry: os.DirEntry[str]) -> str:
    try:
        is_link = entry.is_symlink()
        mode = entry.stat().st_mode if is_link or not entry.is_file() else stat.S_IFREG
    except OSError as error:
        return f"leads nowhere or cannot be looked at ({error.strerror})"
    if stat.S_ISDIR(mode):
        return "link to a folder" if is_link else "folder"
    return "file" if stat.S_ISREG(mode) else "is a pipe, a socket or a device, and no file"


def _listed(entries: Entries, place: str) -> _Listing:
    """What lies in a folder, by name."""
    found = _Listing([], [], [], [])
    try:
        there = entries(place)
        # The order of text is that of its bytes in UTF-8 where all of it is some.
        is_plain = "".join([entry.name for entry in there]).isascii()
        there = sorted(there, key=None if is_plain else lambda entry: os.fsencode(entry.name))
    except OSError as error:
        found.bad.append(Bad(text_of(place), f"is a folder that cannot be opened ({error.strerror})"))
        return found
    above = f"{place}/" if place else ""
    for name, is_a in there:
        path = above + name
        if is_a == "file" and name[0] != "." and name.lower() not in LEFT_BEHIND:
            found.files.append(path)
        elif name.lower() in LEFT_BEHIND or name in (".DS_Store", ".ipynb_checkpoints"):
            found.ignored.append(((name, name), path))
        elif name.startswith("."):
            found.ignored.append((HIDDEN, path))
        elif is_a == "folder":
            found.folders.append(path)
        elif is_a == "link to a folder":
            found.ignored.append((LINKED, path))
        else:
            found.bad.append(Bad(text_of(path), is_a))
    return found


def _below(entries: Entries, listing: _Listing) -> _Listing:
    """All that lies below a folder."""
    found = _Listing([], list(listing.files), list(listing.bad), list(listing.ignored))
    waiting = list(listing.folders)
    while waiting:
        below = _listed(entries, waiting.pop())
        waiting += below.folders
        found.files.extend(below.files)
        found.bad.extend(below.bad)
        found.ignored.extend(below.ignored)
    return found


def _layout(folder: Path, above: str, inside: Mapping[str, _Listing]) -> dict[str, str]:
    """The split folders, by split; where there are none, the folder above holds what is to be trained on.

    A folder that is called train is a class where other classes lie beside it and it holds no folders.

    Raises:
        DataError: it can be meant in two ways, or there is nothing to train on.
    """
    filled = {place: listing for place, listing in inside.items() if any((listing.folders, listing.files, listing.bad))}
    last = {place: place.split("/")[-1].lower() for place in filled}
    found = [(SPLIT_OF[last[place]], place) for place in filled if last[place] in SPLIT_OF]
    beside = [place for place in filled if last[place] not in SPLIT_OF]
    splits = dict(found)
    if beside:
        both = [place for _, place in found if filled[place].folders]
        if both:
            raise DataError(
                f"{folder}: {text_of(both[0])} looks like a split and {text_of(beside[0])} beside it like a class.",
                hint="Put every class folder into a split folder, and what is neither elsewhere.",
            )
        return {"train": above}
    if not found:
        return {"train": above}
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
    before = named.setdefault(" ".join(name.lower().split()), place)
    other = text_of(before.split("/")[-1])
    if other != written:
        composed = unicodedata.normalize("NFC", other)
        spaced = " ".join(composed.split()) == " ".join(name.split())
        only = "in upper and lower case" if composed.lower() == name.lower() else "in spaces and case"
        only = "in their Unicode form" if composed == name else "in spaces" if spaced else only
        raise DataError(
            f"{folder}: the class folders {text_of(before)!a} and {text_of(place)!a} differ only {only}.",
            hint="If they are one class, give them one name; if two, names that can be told apart.",
        )
    return name
