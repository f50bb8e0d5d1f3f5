"""Copy picture files into a folder for each class, or for each reason not to answer."""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..base import files
from ..data.files.unlabeled import is_pattern
from ..errors import FileError, TakenError, UsageError
from ..records.scores import REFUSALS
from ..ship.answer import Answer

LARGEST = 1 << 30  # bytes of a picture file


LONGEST = 100  # bytes of a folder's name


_NOT_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]')


_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of its devices


def refuse_no_folder(folder: Path, pictures: Iterable[Path] = ()) -> None:
    """Raise if pictures cannot be sorted into this folder.

    Args:
        folder: Where the folders of the classes are made.
        pictures: Files, folders and patterns that are sorted.

    Raises:
        UsageError: It is a file; or it is in a folder of pictures or contains one, where copies would be taken for
            pictures of their own.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, and --sort-into takes a folder.", hint="Name a folder.")
    for place in pictures:
        # Files that match ** are looked for while others are copied.
        searched = Path(str(place).partition("**")[0]) if is_pattern(str(place)) and "**" in str(place) else place
        if not searched.is_dir():
            continue
        if folder.resolve().is_relative_to(searched.resolve()):
            raise UsageError(
                f"--sort-into {folder} would put copies among the pictures of {place}.",
                hint="Name a folder outside of it.",
            )
        if searched.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"--sort-into {folder} would put copies beside {place}, which is in that folder.",
                hint="Name a folder that does not contain it.",
            )


def unless_around(folder: Path, picture: Path) -> Path | Answer:
    """Return a path that is about to be sorted, or an answer with an error as `refuse_no_folder` raises it.

    Args:
        folder: Where the folders of the classes are made.
        picture: A file, a folder or a pattern.
    """
    try:
        refuse_no_folder(folder, [picture])
    except UsageError as error:
        return Answer(str(picture), error=error.message, hint=error.hint)
    return picture


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
    source, names = Path(answer.file), folder_names(answer.probabilities)
    place = folder / (answer.reason or names[answer.best])
    try:
        number, copy = 1, place / source.name
        while True:
            while os.path.lexists(copy):
                if copy.exists() and filecmp.cmp(source, copy, shallow=False):
                    return copy
                number += 1
                copy = place / f"{source.stem}-{number}{source.suffix}"
            with (
                contextlib.suppress(TakenError),  # by another process, since it was looked for
                files.regular(source, LARGEST) as (content, _),
                files.replacing(copy, lasting=False, is_new=True) as written,
            ):
                shutil.copyfileobj(content, written)
                return copy
    except FileError as error:
        raise FileError(f"{source} cannot be copied. {error.message}", hint=error.hint) from error
    except OSError as error:
        raise FileError(f"{source} cannot be copied: {error.strerror or error}.", hint="Check the paths.") from error


def folder_names(classes: Iterable[str]) -> dict[str, str]:
    """Return the name of a folder for each class: a name of its own, safe on any system, that leads nowhere else.

    Args:
        classes: The names, from a model's file that anyone may have written.
    """
    names, taken = dict[str, str](), set(REFUSALS)
    for of_class in classes:
        plain = _NOT_IN_NAMES.sub("_", of_class).encode()[:LONGEST].decode(errors="ignore").strip(" .") or "_"
        plain = f"{plain}_" if _OF_WINDOWS.fullmatch(plain) else plain
        name, number = plain, 1
        while name.casefold() in taken:  # two classes, or a class and a reason
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        names[of_class] = name
    return names
