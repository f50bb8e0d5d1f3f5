"""Pictures without labels, for prediction: all picture files in a folder, or those whose paths match a pattern."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from ...base.sorted_names import sorted_names
from ...errors import DataError
from .catalog import is_picture
from .class_folders import kind_of
from .listing import LEFT_BEHIND


def pictures_in(folder: Path) -> Iterator[Path]:
    """Yield the picture files in a folder, at any depth, by name. Hidden files and linked folders are left out.

    However many there are, few of their names are in memory.

    Args:
        folder: The folder.

    Raises:
        DataError: It cannot be opened, or holds no pictures.
    """
    count = 0
    for path in _below(folder, in_order=True):
        yield path
        count += 1
    if not count:
        raise DataError(f"{folder} cannot be read: the folder holds no pictures.", hint="Name a picture file.")


def count_pictures(folder: Path) -> int:
    """Return how many files `pictures_in` yields.

    Args:
        folder: The folder.

    Raises:
        DataError: It cannot be opened.
    """
    return sum(1 for _ in _below(folder, in_order=False))


def matches(pattern: str) -> Iterator[str]:
    """Yield the files and folders whose paths match a pattern, by name: what a shell does with `photos/*.png`.

    Args:
        pattern: With *, ? or [...] in it; ** stands for folders at any depth.
    """
    return sorted_names(glob.iglob(pattern, recursive=True))


def is_pattern(path: str) -> bool:
    """Return whether a path that does not exist is a pattern.

    Args:
        path: As it was typed.
    """
    return glob.has_magic(path) and not os.path.lexists(path)


def _below(folder: Path, in_order: bool) -> Iterator[Path]:
    """Yield the pictures below a folder, and what cannot be opened: reading it will say why."""
    waiting = [iter([""])]  # of each folder from the top to the present one, what comes next
    while waiting:
        place = next(waiting[-1], None)
        if place is None:
            waiting.pop()
        elif place and not place.endswith("/"):
            yield folder / place
        else:
            try:
                names = _names(folder, place)
                # A folder as its name with a slash comes where the paths of its files come.
                waiting.append(sorted_names(names) if in_order else names)
            except OSError as error:
                if not place:
                    why = f"is a folder that cannot be opened ({error.strerror})"
                    raise DataError(f"{folder} {why}.", hint="Check the path and its permissions.") from error
                yield folder / place


def _names(folder: Path, place: str) -> Iterator[str]:
    """Yield the paths of pictures, folders (with a slash at the end) and what cannot be read directly in a place.

    Raises:
        OSError: It cannot be opened, before anything is yielded.
    """
    entries = os.scandir(os.path.join(folder, place))

    def each() -> Iterator[str]:
        with entries:
            for entry in entries:
                name, kind = entry.name, kind_of(entry)
                if name.startswith(".") or name.lower() in LEFT_BEHIND or kind == "link to a folder":
                    continue
                if kind == "folder":
                    yield f"{place}{name}/"
                elif kind != "file" or is_picture(name):
                    yield place + name

    return each()
