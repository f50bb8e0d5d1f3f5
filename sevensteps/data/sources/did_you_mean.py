"""Suggestions for the path of a source that does not exist."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from ...base.words import text_of
from ..files.archive import is_archive
from ..files.table import is_table

LOOKED_AT, SHOWN = 10_000, 5  # names in a folder, and in a sentence


def what_is_there(path: Path, named: Collection[str]) -> str:
    """Return a sentence with the source nearest to what was typed, or else a list of possible sources.

    Possible sources are those with a name, and the folders and files in the last folder of the path that exists.

    Args:
        path: A path that does not exist.
        named: The sources with a name.
    """
    folder, wanted = path.parent, path.name
    while not folder.is_dir() and folder != folder.parent:
        folder, wanted = folder.parent, folder.name
    nearby = {text_of(str(folder / name)): name for name in _sources_in(folder)}
    by_name = {name.lower(): shown for shown, name in nearby.items()}
    if folder == Path() and path.name == wanted:
        by_name |= {name.lower(): name for name in named}
    source_of = {name.split(".")[0]: shown for name, shown in by_name.items()} | by_name
    if close := difflib.get_close_matches(wanted.lower(), source_of, n=1):
        return f"Did you mean {source_of[close[0]]!r}?"
    where = "this folder" if folder == Path() else text_of(str(folder))
    shown = ", ".join(list(nearby)[:SHOWN]) + f" and {len(nearby) - SHOWN:,} more" * (len(nearby) > SHOWN)
    listed = f"In {where} there is {shown}" if nearby else f"{where[0].upper()}{where[1:]} holds no source of pictures"
    *first, last = named
    return f"{listed}; the sources with a name are {', '.join(first)} and {last}."


def _sources_in(folder: Path) -> list[str]:
    """Return the names of folders, then of archives, tables, arrays, IDX files and stores; none if it is unreadable."""
    try:
        with os.scandir(folder) as entries:
            first = sorted(islice(entries, LOOKED_AT), key=lambda entry: (not entry.is_dir(), entry.name))
            return [entry.name for entry in first if _may_be_source(entry)]
    except OSError:
        return []


def _may_be_source(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry can be a source, judged by its name."""
    if entry.name.startswith("."):
        return False
    if is_archive(entry.name) or is_table(entry.name) or "-images-idx" in entry.name:
        return True
    return entry.name.lower().endswith((".npz", ".npy", ".store")) or (entry.is_dir() and entry.name != "runs")
