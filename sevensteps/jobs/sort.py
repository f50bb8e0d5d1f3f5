"""Copy picture files into a folder for each class, or for each reason not to answer."""

from __future__ import annotations

import filecmp
import re
import shutil
from pathlib import Path

from ..base import files
from ..errors import FileError
from ..ship.answer import Answer

LARGEST = 1 << 30  # bytes of a picture file


_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')


def sort_into(folder: Path, answer: Answer) -> Path | None:
    """Copy the file of an answer to FOLDER/CLASS/NAME; the file itself stays where it is.

    A file of this name is not replaced: the copy gets a number, unless it is already there.

    Args:
        folder: Where the folders of the classes are made.
        answer: The answer. One with a reason to doubt it goes into the folder "not sure" or "none of these".

    Returns:
        The copy; None for a file that could not be classified.

    Raises:
        FileError: The file cannot be read or the copy cannot be written.
    """
    if answer.probabilities is None:
        return None
    source = Path(answer.file)
    place = folder / folder_name(answer.reason or answer.best)
    number, copy = 1, place / source.name
    while copy.exists():
        if filecmp.cmp(source, copy, shallow=False):
            return copy
        number += 1
        copy = place / f"{source.stem}-{number}{source.suffix}"
    try:
        with files.regular(source, LARGEST) as (content, _), files.replacing(copy, lasting=False) as written:
            shutil.copyfileobj(content, written)
    except OSError as error:
        raise FileError(f"{source} cannot be copied ({error.strerror or error}).", hint="Check the disk.") from error
    return copy


def folder_name(of_class: str) -> str:
    """Return the name of a class as the name of a folder on any system, inside the folder that it is made in.

    Args:
        of_class: The name, from a model's file that anyone may have written.
    """
    name = _NOT_IN_NAMES.sub("_", of_class).strip(" .")[:200]
    return name or "_"
