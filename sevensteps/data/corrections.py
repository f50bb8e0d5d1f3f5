"""Corrections: a table of pictures that are to count as another class, or not at all; the pictures stay as they are.

`read` a file of them, hold them against the pictures with `corrected`; `suggested` makes some of what an audit found.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import hashlib
import io
import os
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..base import files
from ..base.files import regular
from ..base.words import counted, text_of
from ..errors import DataError, FileError, UsageError, nearest
from ..records.audit import Corrected
from .files.catalog import Catalog
from .images import Splits
from .store.store import StoredImages, is_store

HEADER = ("picture", "now", "was", "why")


LARGEST = 1 << 28  # bytes; a row of a million pictures each has some 50 MB


_FORMAT = f"The first line is {','.join(HEADER)}; sevensteps data SOURCE --suggest FILE writes such a file."


class Correction(NamedTuple):
    """A picture by its id, the class that it is `now` ("" leaves the picture out), the one it `was`, and why."""

    picture: str
    now: str
    was: str = ""
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Corrections:
    """The rows of a file, each with the line it ends on, and the file's own bytes."""

    path: Path
    rows: tuple[tuple[int, Correction], ...]
    content: bytes


def read(path: str | Path) -> Corrections:
    """The corrections in a file: CSV in UTF-8 with the columns `picture`, `now`, `was` and `why`.

    Raises:
        DataError: no such file, no CSV, another header, or a row that says nothing or what another says already.
    """
    path = Path(path)
    try:
        with regular(path, LARGEST) as (file, _):
            content = file.read()
    except OSError as error:
        raise DataError(
            f"The corrections {str(path)!r} cannot be read: {error.strerror}.",
            hint="sevensteps data SOURCE --suggest FILE writes such a file.",
        ) from error
    try:
        text = content.decode("utf-8-sig")  # spreadsheets put a mark before it
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, row {line}: byte 0x{content[error.start]:02x} is not UTF-8.", hint="Save it as CSV in UTF-8."
        ) from error
    rows: list[tuple[int, Correction]] = []
    first: dict[str, int] = {}
    lines = _lines(path, text)
    line, header = next(lines, (1, []))
    if tuple(header) != HEADER:
        there = f"the header is {','.join(header)!r:.80}" if header else "there is nothing"
        raise DataError(f"{path}, row {line}: {there}.", hint=_FORMAT)
    for line, cells in lines:
        if len(cells) != len(HEADER):
            raise DataError(
                f"{path}, row {line}: it has {counted(len(cells), 'cell')}, and there are {len(HEADER)} columns.",
                hint='A name with a comma stands in quotes: "a,b.png". ' + _FORMAT,
            )
        row = Correction(*cells)
        if not row.picture:
            raise DataError(f"{path}, row {line}: it names no picture.", hint="Name one, or remove the row.")
        if row.picture in first:
            raise DataError(
                f"{path}, row {line}: {row.picture!r} is in row {first[row.picture]} already.",
                hint="Keep one row for each picture.",
            )
        first[row.picture] = line
        rows.append((line, row))
    return Corrections(path, tuple(rows), content)


def corrected(splits: Splits, corrections: Corrections, classes: Collection[str] = ()) -> Splits:
    """The same pictures with other labels, and without those that are left out, in the order they had.

    Of `classes` alone, where any are given, something must be left; the choice among them is made afterwards.

    Raises:
        DataError: a picture or class that is not there, a picture that was of another class, a split or a class of the
            training pictures of which nothing is left; or the pictures are a store's.
    """
    present = splits.present()
    if any(isinstance(images, StoredImages) for images in present.values()):
        raise DataError(
            f"{splits.source or 'The source'} is a store, and what is in it is not corrected afterwards.",
            hint="Train on the pictures that it was made of: "
            f"sevensteps train PICTURES --fix {shlex.quote(str(corrections.path))}",
        )
    before = {
        split: {name: splits.classes[label] for name, label in zip(images.ids, images.labels.tolist(), strict=True)}
        for split, images in present.items()
    }
    now, made = _decided(before, splits.classes, corrections, classes, dict(splits.bad_files))
    changed: dict[str, Any] = {}
    for split, images in present.items():
        after = [now.get(name, of_class) for name, of_class in before[split].items()]
        rows = np.flatnonzero([name != "" for name in after])
        labels = images.labels.copy()
        labels[rows] = [splits.classes.index(after[row]) for row in rows.tolist()]
        relabeled = dataclasses.replace(images, labels=labels)
        # Where all are kept, without a copy of their pixels.
        changed[split] = relabeled if len(rows) == len(images) else relabeled.take(rows)
    return dataclasses.replace(splits, **changed, corrected=made)


def corrected_files(
    catalog: Catalog, corrections: Corrections, classes: Collection[str] = ()
) -> tuple[Catalog, Corrected]:
    """The same for picture files, before any is opened: what is left out cannot be a bad file, or decide their size.

    Raises:
        DataError: as `corrected`.
    """
    before = {split: {text_of(file.path): file.name for file in files} for split, files in catalog.splits.items()}
    bad = {one.id: one.reason for of_class in catalog.bad.values() for one in of_class}
    now, made = _decided(before, catalog.classes, corrections, classes, bad)
    splits = {
        split: [file._replace(name=name) for file in files if (name := now.get(text_of(file.path), file.name))]
        for split, files in catalog.splits.items()
    }
    return dataclasses.replace(catalog, splits=splits), made


def _decided(
    before: Mapping[str, Mapping[str, str]],
    known: Sequence[str],
    corrections: Corrections,
    chosen: Collection[str],
    bad: Mapping[str, str],
) -> tuple[dict[str, str], Corrected]:
    """The class that each corrected picture is to have, "" for none, from the class of every picture of each split.

    Raises:
        DataError: as `corrected`.
    """
    of_picture = {name: of_class for of_split in before.values() for name, of_class in of_split.items()}
    decided: dict[str, str] = {}
    relabeled = excluded = elsewhere = 0
    for line, (picture, now, was, _) in corrections.rows:
        where = f"{corrections.path}, row {line}"
        if picture not in of_picture:
            raise DataError(
                f"{where}: there is no picture {picture!r}.", hint=_nearest_picture(picture, of_picture, bad)
            )
        of_class = of_picture[picture]
        if was and was != of_class:
            raise DataError(
                f"{where}: {picture!r} is of class {of_class!r}, and was to be of {was!r}.",
                hint="The pictures have changed since the row was written: look again, then correct or remove it.",
            )
        if now and now not in known:
            raise DataError(
                f"{where}: there is no class {now!r} for {picture!r}.",
                hint=f"{nearest(now, known)} An empty cell leaves the picture out.",
            )
        decided[picture] = now
        if chosen and of_class not in chosen and now not in chosen:
            elsewhere += 1
        else:
            excluded += not now
            relabeled += now not in ("", of_class)
    _refuse_emptied(corrections.path, before, decided, [name for name in known if not chosen or name in chosen])
    digest = hashlib.sha256(corrections.content).hexdigest()
    return decided, Corrected(relabeled, excluded, digest, corrections.content, elsewhere)


def save(rows: Sequence[Correction], path: Path, source: str | Path) -> None:
    """Write corrections into a new file.

    Raises:
        UsageError, FileError: see `refuse_if_in_the_way`; or it cannot be written.
    """
    refuse_if_in_the_way(path, source)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(rows)
    files.write(path, text.getvalue())


def refuse_if_in_the_way(path: Path, source: str | Path) -> None:
    """Raise if a new file may not be written there.

    Raises:
        UsageError: it would lie among the pictures of the source, or that is a store.
        FileError: there is something already.
    """
    if os.path.lexists(path):
        raise FileError(f"{path} is there already; nothing was changed.", hint="Choose another name, or remove it.")
    if source and is_store(Path(source)):
        raise UsageError(
            f"{source} is a store, and what is in it is not corrected afterwards.",
            hint="Look at the pictures that it was made of: "
            f"sevensteps data PICTURES --suggest {shlex.quote(str(path))}",
        )
    if Path(source).is_dir() and path.resolve().is_relative_to(Path(source).resolve()):
        raise UsageError(
            f"{path} would lie among the pictures of {source}, which stay as they are.",
            hint=f"Write it beside them: --suggest {Path(source).absolute().name or 'source'}-fix.csv",
        )


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV text that are not empty, each with the line it ends on.

    Raises:
        DataError: it is no CSV.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num}: it is not CSV: {error}.", hint=_FORMAT) from error


def _refuse_emptied(
    path: Path, before: Mapping[str, Mapping[str, str]], decided: Mapping[str, str], classes: Sequence[str]
) -> None:
    """Raise if nothing is left of something that there was, among these classes.

    Raises:
        DataError: naming the split or the class.
    """
    there, left = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for split, of_split in before.items():
        for picture, of_class in of_split.items():
            there[split, of_class] += 1
            left[split, decided.get(picture, of_class)] += 1
    for split in before:
        if any(there[split, name] for name in classes) and not any(left[split, name] for name in classes):
            raise DataError(f"{path} leaves out every picture of the {split} split.", hint="Leave some in.")
    taught = [name for name in classes if left["train", name]]
    for name in classes:
        if not left["train", name] and (there["train", name] or any(left[split, name] for split in before)):
            others = f", or the class: --classes {shlex.join(taught)}" if len(taught) > 1 else ""
            raise DataError(
                f"{path} leaves no picture of class {name!r} to train on.",
                hint=f"Leave out some of its rows{others}.",
            )


def _nearest_picture(picture: str, known: Mapping[str, str], bad: Mapping[str, str]) -> str:
    """What may have been meant by a picture that is not there."""
    if reason := bad.get(picture):
        return f"It is left out already, as a bad file: {reason}. Remove the row."
    close = difflib.get_close_matches(picture, known, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Pictures are named as sevensteps data prints them, such as {next(iter(known), '')!r}."
