"""Class folders, in a folder or in an archive. Only names are looked at; no file is opened.

The name of a class is the name of its folder in Unicode's composed form (NFC). Class folders lie in the source itself
or in split folders (`SPLIT_OF`, in any case), and folders within a class folder belong to that class. A single folder
around everything is looked into. Links to folders are not followed, so nothing outside is read and no loop is possible.
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
    """An entry of a folder: its name, and what it is or why it cannot be used ("is encrypted")."""

    name: str
    is_a: Literal["file", "folder", "link to a folder"] | str


Entries = Callable[[str], Sequence[Entry]]  # lists the folder at a path; raises OSError


class _Listing(NamedTuple):
    """What a folder holds, either directly or at any depth."""

    folders: list[str]
    files: list[str]
    bad: list[Bad]
    ignored: list[tuple[Kind, str]]


def scan(folder: Path, how: How = AS_USUAL) -> Catalog:
    """Return the catalog of a folder of class folders.

    Args:
        folder: The folder.
        how: How to read picture files; only `group` matters here.

    Raises:
        DataError: The folder cannot be read, holds no class folders, or is ambiguous.
    """
    return arranged(folder, partial(_entries, folder), partial(contents_in, folder), how)


def arranged(
    path: Path, entries: Entries, contents: Callable[[Iterable[File]], Iterator[Content]], how: How
) -> Catalog:
    """Return the catalog of class folders, wherever they lie.

    Args:
        path: The source, for error messages.
        entries: Lists the folder at a path within the source.
        contents: Reads files of the source.
        how: How to read picture files; only `group` matters here.

    Raises:
        DataError: There are no class folders, or the layout is ambiguous.
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
    folder_of: dict[str, str] = {}  # the first folder of each class, by its name without case and extra spaces
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
            name = _class_of(path, place, folder_of)
            bad.setdefault(name, []).extend(below.bad)
            splits[split] += [File(file, name) for file in below.files]
        if "".join([file.path for file in splits[split]]).isascii():
            splits[split].sort(key=itemgetter(0))
        else:
            splits[split].sort(key=lambda file: os.fsencode(file.path))
    classes = in_order(file.name for files in splits.values() for file in files)
    if not classes and not any(bad.values()):
        table = "; or add a table that names the files and their classes" if path.is_dir() else ""
        others = f"but {in_words(ignored)}" if ignored else "and nothing else"
        raise DataError(
            f"{path} holds no class folders with pictures, {others}.",
            hint=f"Put the pictures of each class into a folder with its name: cat/1.jpg, dog/1.jpg{table}.",
        )
    where = "" if above in layout.values() else f" in {', '.join(place.split('/')[-1] for place in layout.values())}"
    grouped = with_groups(path, splits, how.group)
    return Catalog(path, CLASS_FOLDER, where, classes, grouped, contents, bad, ignored)


def contents_in(folder: Path, files: Iterable[File]) -> Iterator[Content]:
    """Give a function for each file that reads it.

    Args:
        folder: Where the paths of the files begin.
        files: The files to read.
    """
    for file in files:
        yield partial(content_of, folder / file.path)


def _only_folder(top: _Listing) -> str:
    """Return the single folder that holds everything, unless it is a split folder; "" without one."""
    if len(top.folders) != 1 or top.bad or any(map(is_picture, top.files)):
        return ""
    return "" if top.folders[0].split("/")[-1].lower() in SPLIT_OF else top.folders[0]


def _entries(folder: Path, place: str) -> Sequence[Entry]:
    """List a folder on the disk."""
    with os.scandir(os.path.join(folder, place)) as entries:
        return [Entry(entry.name, _kind_of(entry)) for entry in entries]


def _kind_of(entry: os.DirEntry[str]) -> str:
    """Return what an entry is, or why it cannot be used."""
    try:
        is_link = entry.is_symlink()
        mode = entry.stat().st_mode if is_link or not entry.is_file() else stat.S_IFREG
    except OSError as error:
        return f"is a broken link or cannot be accessed ({error.strerror})"
    if stat.S_ISDIR(mode):
        return "link to a folder" if is_link else "folder"
    return "file" if stat.S_ISREG(mode) else "is a pipe, a socket or a device, not a file"


def _listed(entries: Entries, place: str) -> _Listing:
    """Sort the entries of a folder into folders, files, bad entries and ignored ones, each by name."""
    listing = _Listing([], [], [], [])
    try:
        all_entries = entries(place)
        # Sorting text and sorting its UTF-8 bytes gives the same order; only names that are not UTF-8 need the bytes.
        is_plain = "".join([entry.name for entry in all_entries]).isascii()
        all_entries = sorted(all_entries, key=None if is_plain else lambda entry: os.fsencode(entry.name))
    except OSError as error:
        listing.bad.append(Bad(text_of(place), f"is a folder that cannot be opened ({error.strerror})"))
        return listing
    above = f"{place}/" if place else ""
    for name, is_a in all_entries:
        path = above + name
        if is_a == "file" and name[0] != "." and name.lower() not in LEFT_BEHIND:
            listing.files.append(path)
        elif name.lower() in LEFT_BEHIND or name in (".DS_Store", ".ipynb_checkpoints"):
            listing.ignored.append(((name, name), path))
        elif name.startswith("."):
            listing.ignored.append((HIDDEN, path))
        elif is_a == "folder":
            listing.folders.append(path)
        elif is_a == "link to a folder":
            listing.ignored.append((LINKED, path))
        else:
            listing.bad.append(Bad(text_of(path), is_a))
    return listing


def _below(entries: Entries, listing: _Listing) -> _Listing:
    """Return everything at any depth below a folder."""
    everything = _Listing([], list(listing.files), list(listing.bad), list(listing.ignored))
    waiting = list(listing.folders)
    while waiting:
        below = _listed(entries, waiting.pop())
        waiting += below.folders
        everything.files.extend(below.files)
        everything.bad.extend(below.bad)
        everything.ignored.extend(below.ignored)
    return everything


def _layout(folder: Path, above: str, inside: Mapping[str, _Listing]) -> dict[str, str]:
    """Return the split folders by split; without any, the folder `above` is the training split.

    A folder named train is a class if it holds no folders and lies next to other classes.

    Raises:
        DataError: The layout is ambiguous, or there is no training split.
    """
    filled = {place: listing for place, listing in inside.items() if any((listing.folders, listing.files, listing.bad))}
    last = {place: place.split("/")[-1].lower() for place in filled}
    split_folders = [(SPLIT_OF[last[place]], place) for place in filled if last[place] in SPLIT_OF]
    classes = [place for place in filled if last[place] not in SPLIT_OF]
    splits = dict(split_folders)
    if classes:
        ambiguous = [place for _, place in split_folders if filled[place].folders]
        if ambiguous:
            raise DataError(
                f"{folder}: {text_of(ambiguous[0])} looks like a split, but {text_of(classes[0])} next to it looks "
                "like a class.",
                hint="Put every class folder into a split folder, and move everything else out of the source.",
            )
        return {"train": above}
    if not split_folders:
        return {"train": above}
    if len(splits) < len(split_folders):
        twice = [place for split, place in split_folders if [s for s, _ in split_folders].count(split) > 1]
        raise DataError(
            f"{folder}: {twice[0]} and {twice[1]} are the same split.", hint="Merge the two folders into one."
        )
    if "train" not in splits:
        raise DataError(
            f"{folder}: there is {', '.join(splits.values())}, but no folder train.",
            hint="Rename the folder with the training pictures to train.",
        )
    return {split: splits[split] for split in ("train", "test", "valid") if split in splits}


def _class_of(folder: Path, place: str, folder_of: dict[str, str]) -> str:
    """Return the class of a class folder, and note the folder in `folder_of`.

    Raises:
        DataError: Its name differs from that of another class only in case, spaces or Unicode form.
    """
    written = text_of(place.split("/")[-1])
    name = unicodedata.normalize("NFC", written)
    before = folder_of.setdefault(" ".join(name.lower().split()), place)
    other = text_of(before.split("/")[-1])
    if other != written:
        composed = unicodedata.normalize("NFC", other)
        spaced = " ".join(composed.split()) == " ".join(name.split())
        only = "in upper and lower case" if composed.lower() == name.lower() else "in spaces and case"
        only = "in their Unicode form" if composed == name else "in spaces" if spaced else only
        raise DataError(
            f"{folder}: the class folders {text_of(before)!a} and {text_of(place)!a} differ only {only}.",
            hint="If they are one class, give both the same name; if they are two, choose names that differ clearly.",
        )
    return name
