"""Nearby: what may have been meant by the path of a source that is not there."""

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
    """A sentence with the source nearest to what was typed, or else with those that there are.

    These are the sources that have a name of their own, and the folders and files that can be one in the folder where
    the path ends to be there.
    """
    folder, wanted = path.parent, path.name
    while not folder.is_dir() and folder != folder.parent:
        folder, wanted = folder.parent, folder.name
    there = {text_of(str(folder / name)): name for name in _sources_in(folder)}
    by_name = {name.lower(): shown for shown, name in there.items()}
    if folder == Path() and path.name == wanted:
        by_name |= {name.lower(): name for name in named}
    known = {name.split(".")[0]: shown for name, shown in by_name.items()} | by_name
    if close := difflib.get_close_matches(wanted.lower(), known, n=1):
        return f"Did you mean {known[close[0]]!r}?"
    where = "this folder" if folder == Path() else text_of(str(folder))
    shown = ", ".join(list(there)[:SHOWN]) + f" and {len(there) - SHOWN:,} more" * (len(there) > SHOWN)
    listed = f"In {where} there is {shown}" if there else f"In {where} there is nothing that holds pictures"
    return f"{listed}; by name there are {' and '.join(named)}."


def _sources_in(folder: Path) -> list[str]:
    """The names of folders, then of archives, tables, arrays, IDX files and stores; none where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            some = sorted(islice(found, LOOKED_AT), key=lambda one: (not one.is_dir(), one.name))
            return [one.name for one in some if _may_be_one(one)]
    except OSError:
        return []


def _may_be_one(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        return False
    if is_archive(entry.name) or is_table(entry.name) or "-images-idx" in entry.name:
        return True
    return entry.name.lower().endswith((".npz", ".npy", ".store")) or (entry.is_dir() and entry.name != "runs")
