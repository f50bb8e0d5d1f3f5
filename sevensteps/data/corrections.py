"""Corrections: a table of pictures that get another class or are left out. The picture files themselves do not change.

`read` reads such a file, and `corrected` applies it; `trust.audit.suggest` proposes corrections from an audit.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import hashlib
import io
import os
import shlex
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base import files
from ..base.addresses import is_address
from ..base.files import regular
from ..base.words import counted, text_of
from ..errors import DataError, FileError, UsageError, nearest
from ..records.audit import Change, Corrected
from .files.catalog import Catalog
from .files.cells import rows_in, text_in
from .images import Splits
from .store.store import StoredImages, is_store

HEADER = ("picture", "now", "was", "why")


LARGEST = 1 << 28  # bytes; a million rows have about 50 MB


_FORMAT = f"The first line must be {','.join(HEADER)}; sevensteps data SOURCE --suggest FILE writes such a file."


MANY = 0.2  # share of the labels: a file that changes more is applied only if the user says so


class Correction(NamedTuple):
    """The id of a picture, the class that it has `now` ("" leaves it out), the class that it `was`, and why."""

    picture: str
    now: str
    was: str = ""
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Corrections:
    """The rows of a corrections file, each with the number of its last line, and the bytes of the file."""

    path: Path
    rows: tuple[tuple[int, Correction], ...]
    content: bytes


def read(path: str | Path) -> Corrections:
    """Read corrections from a CSV file in UTF-8 with the columns `picture`, `now`, `was` and `why`.

    Args:
        path: The file.

    Raises:
        DataError: The file does not exist or is not such a CSV file, or a row names no picture or one that another row
            names already.
    """
    path = Path(path)
    try:
        with regular(path, LARGEST) as (file, _):
            content = file.read()
    except OSError as error:
        raise DataError(
            f"The corrections file {str(path)!r} cannot be read: {error.strerror}.",
            hint="sevensteps data SOURCE --suggest FILE writes such a file.",
        ) from error
    try:
        text = text_in(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, row {line}: byte 0x{content[error.start]:02x} is not valid UTF-8.",
            hint="Save it as CSV in UTF-8.",
        ) from error
    rows: list[tuple[int, Correction]] = []
    first: dict[str, int] = {}
    lines = _lines(path, text)
    line, header = next(lines, (1, []))
    if tuple(header) != HEADER:
        problem = f"the header is {','.join(header)!r:.80}" if header else "the file is empty"
        raise DataError(f"{path}, row {line}: {problem}.", hint=_FORMAT)
    for line, cells in lines:
        if len(cells) != len(HEADER):
            raise DataError(
                f"{path}, row {line} has {counted(len(cells), 'cell')}, but there are {len(HEADER)} columns.",
                hint='Put a name that contains a comma in quotation marks: "a,b.png". ' + _FORMAT,
            )
        row = Correction(*cells)
        if not row.picture:
            raise DataError(f"{path}, row {line} names no picture.", hint="Name one, or remove the row.")
        if row.picture in first:
            raise DataError(
                f"{path}, row {line}: {row.picture!r} is already in row {first[row.picture]}.",
                hint="Keep only one row for each picture.",
            )
        first[row.picture] = line
        rows.append((line, row))
    return Corrections(path, tuple(rows), content)


def corrected(splits: Splits, corrections: Corrections, classes: Collection[str] = ()) -> Splits:
    """Return the pictures with corrected labels and without those that are left out, in the same order.

    Args:
        splits: The pictures.
        corrections: What to change.
        classes: The classes that will be chosen afterwards, if not all; only these must keep pictures.

    Raises:
        DataError: A picture or class does not exist, a picture was not of the class that the row says, a split or a
            class of the training pictures would be empty; or the pictures come from a store.
    """
    present = splits.present()
    if any(isinstance(images, StoredImages) for images in present.values()):
        raise DataError(
            f"{splits.source or 'The source'} is a store, which cannot be corrected.",
            hint="Train on the pictures from which it was prepared: "
            f"sevensteps train PICTURES --fix {shlex.quote(str(corrections.path))}",
        )
    before = {
        split: {name: splits.classes[label] for name, label in zip(images.ids, images.labels.tolist(), strict=True)}
        for split, images in present.items()
    }
    now, counts = _decided(before, splits.classes, corrections, classes, dict(splits.bad_files))
    changed: dict[str, Any] = {}
    for split, images in present.items():
        after = [now.get(name, of_class) for name, of_class in before[split].items()]
        rows = np.flatnonzero([name != "" for name in after])
        labels = images.labels.copy()
        labels[rows] = [splits.classes.index(after[row]) for row in rows.tolist()]
        relabeled = dataclasses.replace(images, labels=labels)
        # If all are kept, their pixels are not copied.
        changed[split] = relabeled if len(rows) == len(images) else relabeled.take(rows)
    return dataclasses.replace(splits, **changed, corrected=counts)


def corrected_files(
    catalog: Catalog, corrections: Corrections, classes: Collection[str] = ()
) -> tuple[Catalog, Corrected]:
    """Return the corrected catalog of picture files, before any is opened, and what was changed.

    So a file that is left out cannot stop training as a bad file, or decide the size of the pictures.

    Args:
        catalog: The picture files.
        corrections: As for `corrected`.
        classes: As for `corrected`.

    Raises:
        DataError: As `corrected`.
    """
    before = {split: {text_of(file.path): file.name for file in files} for split, files in catalog.splits.items()}
    bad = {entry.id: entry.reason for of_class in catalog.bad.values() for entry in of_class}
    now, counts = _decided(before, catalog.classes, corrections, classes, bad)
    splits = {
        split: [file._replace(name=name) for file in files if (name := now.get(text_of(file.path), file.name))]
        for split, files in catalog.splits.items()
    }
    return dataclasses.replace(catalog, splits=splits), counts


def _decided(
    before: Mapping[str, Mapping[str, str]],
    classes: Sequence[str],
    corrections: Corrections,
    chosen: Collection[str],
    bad: Mapping[str, str],
) -> tuple[dict[str, str], Corrected]:
    """Return the new class of each corrected picture, "" to leave it out, and what was changed.

    Raises:
        DataError: As `corrected`.
    """
    of_picture = {name: of_class for of_split in before.values() for name, of_class in of_split.items()}
    split_of = {name: split for split, of_split in before.items() for name in of_split}
    changes: list[Change] = []
    decided: dict[str, str] = {}
    relabeled = excluded = elsewhere = 0
    composed = {unicodedata.normalize("NFC", name): name for name in of_picture if not name.isascii()}
    for line, (written, now, was, _) in corrections.rows:
        where = f"{corrections.path}, row {line}"
        # A spreadsheet may write a name in the composed form, and a disk in the decomposed one.
        other_form = composed.get(unicodedata.normalize("NFC", written), written)
        picture = written if written in of_picture else other_form
        if picture not in of_picture:
            raise DataError(
                f"{where}: the source has no picture {picture!r}.",
                hint=_nearest_picture(picture, of_picture, bad),
            )
        of_class = of_picture[picture]
        if was and was != of_class:
            raise DataError(
                f"{where}: {picture!r} is of class {of_class!r}, but the row says that it was {was!r}.",
                hint="The pictures have changed since then. Look at this one again, then correct or remove the row.",
            )
        if now and now not in classes:
            raise DataError(
                f"{where}: {picture!r} is to become {now!r}, which is not a class of the source.",
                hint=f"{nearest(now, classes)} An empty cell leaves the picture out.",
            )
        decided[picture] = now
        if chosen and of_class not in chosen and now not in chosen:
            elsewhere += 1
        else:
            excluded += not now
            relabeled += now not in ("", of_class)
            if now != of_class:
                changes.append(Change(split_of[picture], picture, of_class, now))
    _refuse_emptied(corrections.path, before, decided, [name for name in classes if not chosen or name in chosen])
    digest = hashlib.sha256(corrections.content).hexdigest()
    return decided, Corrected(relabeled, excluded, digest, corrections.content, elsewhere, tuple(changes))


def refuse_many(splits: Splits, fix: str | Path) -> None:
    """Raise if corrections have changed more than a fifth of the labels: a proposal that nobody read may do that.

    Args:
        splits: The corrected pictures.
        fix: The file.

    Raises:
        UsageError: It changes so many.
    """
    counts = splits.corrected
    count = sum(map(len, splits.present().values())) + (counts.excluded if counts else 0)
    if counts is not None and counts.relabeled > MANY * count:
        raise UsageError(
            f"{fix} changes {counts.relabeled:,} of {count:,} labels ({counts.relabeled / count:.0%}).",
            hint="Look through it first: most labels are usually right. To apply it as it is, add {yes}.",
            settings={"yes": True},
        )


def save(rows: Sequence[Correction], path: Path, source: str | Path) -> None:
    """Write corrections to a new file.

    Args:
        rows: The corrections.
        path: The file.
        source: The source of the pictures.

    Raises:
        UsageError, FileError: As `refuse_if_in_the_way`; or the file cannot be written.
    """
    refuse_if_in_the_way(path, source)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(rows)
    files.write(path, text.getvalue())


def refuse_if_in_the_way(path: Path, source: str | Path) -> None:
    """Raise if a corrections file must not be written to a path.

    Args:
        path: The file.
        source: The source of the pictures.

    Raises:
        UsageError: The file would lie among the pictures of the source, or the source is a store.
        FileError: The path exists.
    """
    if os.path.lexists(path):
        raise FileError(f"{path} already exists; nothing was changed.", hint="Choose another name, or remove the file.")
    if source and (is_address(source) or is_store(Path(source))):
        raise UsageError(
            f"{source} is a store, which cannot be corrected.",
            hint="Look at the pictures from which it was prepared: "
            f"sevensteps data PICTURES --suggest {shlex.quote(str(path))}",
        )
    if Path(source).is_dir() and path.resolve().is_relative_to(Path(source).resolve()):
        raise UsageError(
            f"{path} would lie among the pictures of {source}, where nothing is ever written.",
            hint=f"Write it outside that folder: --suggest {Path(source).absolute().name or 'source'}-fix.csv",
        )


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a CSV text that are not empty, each with the number of its last line.

    Raises:
        DataError: The text is not valid CSV.
    """
    try:
        yield from rows_in(text)
    except csv.Error as error:
        raise DataError(f"{path}, row {error.args[1]} is not valid CSV: {error.args[0]}.", hint=_FORMAT) from error


def _refuse_emptied(
    path: Path, before: Mapping[str, Mapping[str, str]], decided: Mapping[str, str], classes: Sequence[str]
) -> None:
    """Raise if corrections leave nothing of a split or of a class, among these classes.

    Raises:
        DataError: The name of the split or the class.
    """
    count, left = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for split, of_split in before.items():
        for picture, of_class in of_split.items():
            count[split, of_class] += 1
            left[split, decided.get(picture, of_class)] += 1
    for split in before:
        if any(count[split, name] for name in classes) and not any(left[split, name] for name in classes):
            raise DataError(f"{path} leaves out every picture of the {split} split.", hint="Keep some of them.")
    taught = [name for name in classes if left["train", name]]
    for name in classes:
        if not left["train", name] and (count["train", name] or any(left[split, name] for split in before)):
            others = f", or choose the other classes: --classes {shlex.join(taught)}" if len(taught) > 1 else ""
            raise DataError(
                f"{path} leaves no training picture of class {name!r}.",
                hint=f"Remove some of its rows{others}.",
            )


def _nearest_picture(picture: str, pictures: Mapping[str, str], bad: Mapping[str, str]) -> str:
    """Return a hint for the id of a picture that does not exist."""
    if reason := bad.get(picture):
        return f"It is already left out as a bad file: {reason}. Remove the row."
    close = difflib.get_close_matches(picture, pictures, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Name pictures as sevensteps data prints them, such as {next(iter(pictures), '')!r}."
