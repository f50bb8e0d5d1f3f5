"""What a folder holds, in a folder of the disk or in an archive: folders, files, and what is bad or ignored."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from ...base.words import text_of
from .catalog import HIDDEN, LINKED, Bad, Kind

# What systems and tools leave behind.
LEFT_BEHIND = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}


class Entry(NamedTuple):
    """An entry of a folder: its name, and what it is or why it cannot be used ("is encrypted")."""

    name: str
    is_a: Literal["file", "folder", "link to a folder"] | str


Entries = Callable[[str], Sequence[Entry]]  # lists the folder at a path; raises OSError


class Listing(NamedTuple):
    """What a folder holds, either directly or at any depth."""

    folders: list[str]
    files: list[str]
    bad: list[Bad]
    ignored: list[tuple[Kind, str]]


def listed(entries: Entries, place: str) -> Listing:
    """Sort the entries of a folder into folders, files, bad entries and ignored ones, each by name."""
    listing = Listing([], [], [], [])
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


def below_of(entries: Entries, listing: Listing) -> Listing:
    """Return everything at any depth below a folder."""
    everything = Listing([], list(listing.files), list(listing.bad), list(listing.ignored))
    waiting = list(listing.folders)
    while waiting:
        below = listed(entries, waiting.pop())
        waiting += below.folders
        everything.files.extend(below.files)
        everything.bad.extend(below.bad)
        everything.ignored.extend(below.ignored)
    return everything
