"""Pictures without labels: all picture files in a folder, for prediction."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ...errors import DataError
from .catalog import is_picture
from .class_folders import entries_of
from .listing import below_of, listed


def pictures_in(folder: Path) -> list[Path]:
    """Return the picture files in a folder, at any depth, by name. Hidden files and linked folders are left out.

    Args:
        folder: The folder.

    Raises:
        DataError: It cannot be opened, or holds no pictures.
    """
    entries = partial(entries_of, folder)
    top = listed(entries, "")
    if top.bad and not top.bad[0].id:
        raise DataError(f"{folder} {top.bad[0].reason}.", hint="Check the path and its permissions.")
    below = below_of(entries, top)
    # What cannot be opened is named, too: reading it will say why.
    found = sorted([*filter(is_picture, below.files), *(bad.id for bad in below.bad)])
    if not found:
        raise DataError(f"{folder} cannot be read: the folder holds no pictures.", hint="Name a picture file.")
    return [folder / path for path in found]
