"""Class folders, in a folder or in an archive. Only names are looked at; no file is opened.

The name of a class is the name of its folder in Unicode's composed form (NFC). Class folders lie in the source itself
or in split folders (see `layout`), and folders within a class folder belong to that class. A single folder around
everything is looked into. Links to folders are not followed, so nothing outside is read and no loop is possible.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path

from ...base.words import text_of
from ...errors import DataError
from ..class_names import ONE_OR_TWO, difference, plain_form
from ..file_bytes import content_of
from .catalog import (
    CLASS_FOLDER,
    EMPTY,
    OTHER,
    OUTSIDE,
    Bad,
    Catalog,
    Content,
    File,
    in_order,
    in_words,
    is_picture,
    with_groups,
)
from .how import AS_USUAL, How
from .layout import only_folder, refuse_unclear, split_folders, splits_in_classes, within_splits
from .listing import Entries, Entry, Listing, below_of, listed


def scan(folder: Path, how: How = AS_USUAL, chosen: Sequence[str] = ()) -> Catalog:
    """Return the catalog of a folder of class folders.

    Args:
        folder: The folder.
        how: How to read picture files; only `group` matters here.
        chosen: The classes that were asked for; they settle which folders are classes.

    Raises:
        DataError: The folder cannot be read, holds no class folders, or is ambiguous.
    """
    return arranged(folder, partial(entries_of, folder), partial(contents_in, folder), how, chosen)


def arranged(
    path: Path,
    entries: Entries,
    contents: Callable[[Iterable[File]], Iterator[Content]],
    how: How,
    chosen: Sequence[str] = (),
) -> Catalog:
    """Return the catalog of class folders, wherever they lie.

    Args:
        path: The source, for error messages.
        entries: Lists the folder at a path within the source.
        contents: Reads files of the source.
        how: How to read picture files; only `group` matters here.
        chosen: The classes that were asked for; they settle which folders are classes.

    Raises:
        DataError: There are no class folders, or the layout is ambiguous.
    """
    above = ""
    top = listed(entries, "")
    if top.bad and top.bad[0].id == "":
        raise DataError(f"{path} {top.bad[0].reason}.", hint="Check the path and its permissions.")
    ignored, bad = [], {"": list[Bad]()}

    def beside(listing: Listing) -> None:
        """Note what lies next to class folders."""
        ignored.extend([*listing.ignored, *((OUTSIDE if is_picture(file) else OTHER, file) for file in listing.files)])
        bad[""].extend(listing.bad)

    while inner := only_folder(top, entries):
        beside(top)
        above, top = inner, listed(entries, inner)
    beside(top)
    inside = {place: listed(entries, place) for place in top.folders}
    layout = split_folders(path, above, inside, chosen)
    folders: dict[str, list[tuple[str, str, Listing]]] = {}  # of each split: the class folder, where its files lie
    if above not in layout.values():
        ignored += [(EMPTY, place) for place in inside if place not in layout.values()]
        for split, under in within_splits(entries, layout, inside).items():
            listing = inside.get(under) or listed(entries, under)
            for place in dict.fromkeys((layout[split], under)):
                beside(inside.get(place) or listing)
            folders[split] = [(place, place, listed(entries, place)) for place in listing.folders]
    elif in_classes := splits_in_classes(inside):
        for place in inside:
            beside(inside[place])
        for split in (split for split in ("train", "test", "valid") if split in in_classes):
            folders[split] = [(of, place, listed(entries, place)) for place, of in in_classes[split].items()]
    else:
        folders["train"] = [(place, place, listing) for place, listing in inside.items()]
    splits: dict[str, list[File]] = {}
    folder_of: dict[str, str] = {}  # the first folder of each class, by its name without case and extra spaces
    for split, of_split in folders.items():
        refuse_unclear(
            path,
            {place: listing for _, place, listing in of_split},
            chosen,
            how.group,
            has_splits=len(folders) > 1,
        )
        splits[split] = []
        for class_folder, place, listing in of_split:
            below = below_of(entries, listing)
            ignored += below.ignored
            if not below.files and not below.bad:
                ignored.append((EMPTY, place))
                continue
            name = _class_of(path, class_folder, folder_of)
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
    where = f", each with {', '.join(folders)}" if above in layout.values() and len(folders) > 1 else where
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


def entries_of(folder: Path, place: str) -> Sequence[Entry]:
    """List a folder on the disk.

    Args:
        folder: The folder that paths begin in.
        place: A path in it.

    Raises:
        OSError: It cannot be listed.
    """
    with os.scandir(os.path.join(folder, place)) as entries:
        return [Entry(entry.name, kind_of(entry)) for entry in entries]


def kind_of(entry: os.DirEntry[str]) -> str:
    """Return what an entry is, or why it cannot be used.

    Args:
        entry: The entry of a folder.
    """
    try:
        is_link = entry.is_symlink()
        mode = entry.stat().st_mode if is_link or not entry.is_file() else stat.S_IFREG
    except OSError as error:
        return f"is a broken link or cannot be accessed ({error.strerror})"
    if stat.S_ISDIR(mode):
        return "link to a folder" if is_link else "folder"
    return "file" if stat.S_ISREG(mode) else "is a pipe, a socket or a device, not a file"


def _class_of(folder: Path, place: str, folder_of: dict[str, str]) -> str:
    """Return the class of a class folder, and note the folder in `folder_of`.

    Raises:
        DataError: Its name differs from that of another class only in case, spaces or Unicode form.
    """
    written = text_of(place.split("/")[-1])
    before = folder_of.setdefault(plain_form(written), place)
    other = text_of(before.split("/")[-1])
    if other != written:
        raise DataError(
            f"{folder}: the class folders {text_of(before)!a} and {text_of(place)!a} differ only "
            f"{difference(other, written)}.",
            hint=ONE_OR_TWO,
        )
    return unicodedata.normalize("NFC", written)
