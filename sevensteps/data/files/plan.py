"""Decoding the files of a catalog: what is decoded, into which shape, and which files are bad.

Headers are read until the shape is certain. Then every picture is decoded by the function that prediction uses, on all
cores if it takes long; files that have not changed since the last start come from the cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from ...base.words import counted, text_of
from ...errors import DataError
from ..decode import Seen, Shape, decode_and_look, look
from ..image_arrays import chosen_labels
from ..range_ends import BY_TYPE
from ..store.streams import Chunk
from ..value_range import OF_DEEP, Range, decided, range_in_words
from .catalog import OTHER, Bad, Catalog, File, Say, is_picture
from .common_shape import common_shape
from .decoded_cache import Kept, Stamps, stamps_of
from .find_range import find_values
from .how import How
from .in_parallel import each
from .in_processes import Pixels
from .summary import SHOWN, Told, understood

_AT_ONCE = 1024  # pictures from the cache that are handed on together


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to decode, and into which shape."""

    catalog: Catalog
    classes: tuple[str, ...]  # the chosen ones; empty: all
    files: Mapping[str, Sequence[File]]  # of each split that the source has
    shape: Shape
    how: How
    stamps: Mapping[str, Stamps]
    kept: Kept | None  # the pictures in the cache
    rows: Mapping[str, Int64[np.ndarray, " _"]]  # of each file in the cache; -1 for those to decode
    values: Range | None  # the smallest and the largest value in files of more than 8 bits
    range: Range | None  # the values that become black and white

    def mapped(self, split: str) -> Any:
        """Return the pixels of a split from the cache file; None if any of its pictures must be decoded.

        Args:
            split: "train", "test" or "valid".
        """
        rows = self.rows[split]
        is_whole = self.kept is not None and len(rows) and rows[0] >= 0 and (np.diff(rows) == 1).all()
        return self.kept.pixels[rows[0] : rows[-1] + 1] if self.kept is not None and is_whole else None


class Decoded(NamedTuple):
    """What decoding all files gave, apart from the pixels."""

    files: dict[str, list[File]]  # the files of each split that are pictures
    bad: list[Bad]
    headers: dict[str, list[Seen]]  # of these files
    again: int  # how many of them were not in the cache
    places: dict[str, list[int]]  # of these files among all files of the split


def plan_for(catalog: Catalog, classes: tuple[str, ...], how: How, kept: Kept | None) -> Plan:
    """Return what to decode, and into which shape.

    Args:
        catalog: The source.
        classes: Only these classes; empty: all.
        how: How to read the picture files.
        kept: The pictures of this source in the cache.

    Raises:
        DataError: The source does not have one of the classes.
    """
    if classes:
        chosen_labels(np.zeros(0, dtype=np.int64), catalog.classes, classes)
    wanted = set(classes or catalog.classes)
    stamps_of_all = {split: stamps_of(catalog, of_split) for split, of_split in catalog.splits.items()}
    rows_of_all = np.full(sum(map(len, catalog.splits.values())), -1, dtype=np.int64)
    if kept is not None:
        paths = [file.path for of_split in catalog.splits.values() for file in of_split]
        rows_of_all = kept.rows_of(paths, np.concatenate([*stamps_of_all.values()]))
    ends = np.cumsum([len(of_split) for of_split in catalog.splits.values()])[:-1]
    files, stamps, rows = {}, {}, {}
    for (split, of_split), of_rows in zip(catalog.splits.items(), np.split(rows_of_all, ends), strict=True):
        places = [place for place, file in enumerate(of_split) if file.name in wanted]
        files[split] = [of_split[place] for place in places]
        stamps[split], rows[split] = stamps_of_all[split][places], of_rows[places]
    seen: dict[str, Seen] = {}
    shape = common_shape(_headers(catalog, files, kept, rows, seen), how.size)
    values = None if how.range == BY_TYPE else find_values(catalog, kept, rows_of_all, seen)
    range = decided(values, how.range)
    if kept is not None and (kept.shape != shape or decided(kept.values, kept.asked) != range):
        kept, rows = None, {split: np.full(len(of_split), -1, dtype=np.int64) for split, of_split in files.items()}
    return Plan(
        catalog=catalog,
        classes=classes,
        files=files,
        shape=shape,
        how=how,
        stamps=stamps,
        kept=kept,
        rows=rows,
        values=values,
        range=range,
    )


def _headers(
    catalog: Catalog,
    files: Mapping[str, Sequence[File]],
    kept: Kept | None,
    rows: Mapping[str, Int64[np.ndarray, " _"]],
    seen: dict[str, Seen],
) -> Iterator[Seen]:
    """Give the header of each picture, those in the cache first; files that have no readable header are left out.

    Headers that are read are put into `seen`, by path.
    """
    for split, of_split in files.items():
        if kept is not None:
            yield from dict.fromkeys(kept.headers(np.unique(rows[split][rows[split] >= 0])))
        unread = [of_split[place] for place in np.flatnonzero(rows[split] < 0).tolist()]
        for file, header in zip(unread, each(look, unread, catalog), strict=True):
            if isinstance(header, Seen):
                seen[file.path] = header
                yield header


def decode_all(plan: Plan, say: Say, put: Callable[[str, Chunk], None], warn: Say | None = None) -> Decoded:
    """Decode every file of each split in order.

    Args:
        plan: What to decode.
        say: Takes the lines that describe the source, and the progress.
        put: Takes the split and the pixels of the next pictures.
        warn: Takes lines that the user must not miss; `say` takes them unless it is given.

    Raises:
        DataError: There are bad files, and they are not to be skipped.
    """
    catalog, wanted = plan.catalog, set(plan.classes or plan.catalog.classes)
    everything = not plan.classes
    bad = [entry for name, of in catalog.bad.items() if everything or name in {"", *wanted} for entry in of]
    ignored = list(catalog.ignored)
    headers: dict[str, list[Seen]] = {split: [] for split in plan.files}
    pictures: dict[str, list[File]] = {split: [] for split in plan.files}
    places: dict[str, list[int]] = {split: [] for split in plan.files}
    again = 0
    progress = Told(say, sum(map(len, plan.files.values())))
    for split, files in plan.files.items():
        at = 0
        for seen, pixels in decoded(plan, split):
            if isinstance(seen, DataError):
                file = files[at]
                # A file that a table names is meant to be a picture, whatever its suffix.
                if not (is_picture(file.path) or catalog.base) and _is_another_kind(catalog, file):
                    ignored.append((OTHER, file.path))
                else:
                    bad.append(bad_file(catalog, file, seen))
            else:
                headers[split] += seen
                pictures[split] += files[at : at + len(seen)]
                places[split] += range(at, at + len(seen))
                put(split, pixels)
                again += int(plan.rows[split][at] < 0)
            count = 1 if isinstance(seen, DataError) else len(seen)
            progress.more(count)
            at += count
    counts = Counter(chain.from_iterable(headers.values()))
    for line in understood(catalog, pictures, counts, plan.shape, plan.how, ignored):
        say(line)
    if plan.range is not None:
        (warn or say)(range_in_words(text_of(catalog.name), plan.range, plan.values, plan.how.range, OF_DEEP))
    _stop_or_skip(catalog, bad, sum(map(len, pictures.values())), plan.how, say)
    return Decoded(pictures, bad, headers, again, places)


def decoded(plan: Plan, split: str, start: int = 0) -> Iterator[tuple[list[Seen] | DataError, Any]]:
    """Give the headers and pixels of the next pictures: of one that is decoded, or of several from the cache.

    Args:
        plan: What to decode.
        split: "train", "test" or "valid".
        start: The place of the first file.

    Returns:
        Headers and pixels (pictures, channels, height, width); for a bad file, the error and None.
    """
    rows, files = plan.rows[split][start:], plan.files[split][start:]

    def decode(content: bytes, name: str) -> Any:
        return decode_and_look(content, plan.shape, name, plan.how.fit, plan.range)

    into = Pixels(plan.shape, plan.how.fit, plan.range)
    fresh = each(decode, [files[place] for place in np.flatnonzero(rows < 0).tolist()], plan.catalog, into)
    ends = [*(np.flatnonzero(np.diff(rows < 0)) + 1).tolist(), len(rows)] if len(rows) else []
    for begin, end in pairwise([0, *ends]):
        if plan.kept is not None and rows[begin] >= 0:
            for first in range(begin, end, _AT_ONCE):
                part = rows[first : min(first + _AT_ONCE, end)]
                is_stretch = (np.diff(part) == 1).all()
                where: Any = slice(int(part[0]), int(part[-1]) + 1) if is_stretch else part
                yield plan.kept.headers(part), plan.kept.pixels[where]
        else:
            for result in islice(fresh, end - begin):
                yield (result, None) if isinstance(result, DataError) else ([result[0]], result[1][None])


def bad_file(catalog: Catalog, file: File, error: DataError) -> Bad:
    """Return a bad file with the reason that the error of its picture gives.

    Args:
        catalog: The source.
        file: A file of the catalog.
        error: The error that reading or decoding it raised.
    """
    name = catalog.name_of(file)
    reason = error.message.removeprefix(f"{name} ").rstrip(".")
    return Bad(text_of(file.path), reason)


def classes_with_pictures(plan: Plan, files: Mapping[str, Sequence[File]], say: Say) -> tuple[str, ...]:
    """Return the classes that have pictures, and report those that have none.

    Args:
        plan: What was decoded.
        files: The files of each split that are pictures.
        say: Takes a line about classes without pictures.
    """
    with_pictures = {file.name for of_split in files.values() for file in of_split}
    if without := [name for name in plan.classes or plan.catalog.classes if name not in with_pictures]:
        name = text_of(plan.catalog.name)
        say(f"{name}: left out, since none of their files is a picture: {', '.join(without)}")
    return tuple(name for name in plan.catalog.classes if name in with_pictures)


def group_numbers(files: Mapping[str, Sequence[File]]) -> dict[str, Int64[np.ndarray, " n"]]:
    """Return the number of each picture's group by split, -1 for pictures without a group; empty without any group.

    Args:
        files: The files of each split that are pictures.
    """
    names = {file.group for of_split in files.values() for file in of_split if file.group is not None}
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(sorted(names))}
    return {
        split: np.array([numbers.get(file.group, -1) for file in of_split], dtype=np.int64)
        for split, of_split in files.items()
        if numbers
    }


def labels_of(files: Sequence[File], classes: Sequence[str]) -> Int64[np.ndarray, " n"]:
    """Return the label of each file: the place of its class.

    Args:
        files: Files of these classes.
        classes: The names of the classes.
    """
    places = {name: label for label, name in enumerate(classes)}
    return np.array([places[file.name] for file in files], dtype=np.int64)


def ids_of(catalog: Catalog, files: Sequence[File]) -> tuple[str, ...]:
    """Return the ids of pictures: their paths as printable text.

    Args:
        catalog: The source.
        files: The files of one split.

    Raises:
        DataError: Two paths become the same text. That takes a name that is not UTF-8, and another that spells out its
            bytes.
    """
    ids = tuple(file.path for file in files)
    if not "".join(ids).isascii():
        ids = tuple(map(text_of, ids))
    if len(set(ids)) < len(ids):
        repeated, _ = Counter(ids).most_common(1)[0]
        raise DataError(
            f"{catalog.path}: two files would both have the id {repeated}.",
            hint="Rename the one whose name is not UTF-8.",
        )
    return ids


def _is_another_kind(catalog: Catalog, file: File) -> bool:
    """Return whether a file that was not decoded, and has no suffix of a picture, cannot even be opened as one."""
    return isinstance(next(each(look, [file], catalog)), DataError)


def _stop_or_skip(catalog: Catalog, bad: Sequence[Bad], good: int, how: How, say: Say) -> None:
    """Raise for bad files, or report that they are left out.

    Raises:
        DataError: There are some, and they are not to be skipped.
    """
    if not bad:
        return
    bad = sorted(bad)
    listed = "; ".join(f"{entry.id} {entry.reason}" for entry in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
    many = counted(len(bad), "bad file")
    them = "it" if len(bad) == 1 else "them"
    if not how.leaves_out(len(bad), len(bad) + good):
        raise DataError(
            f"{catalog.path}: {many}: {listed}{more}.",
            hint=f"Repair or remove {them}, or continue without {them}: {{bad_files}}",
            settings={"bad_files": "skip"},
        )
    say(f"{text_of(catalog.name)}: {many} left out: {listed}{more}")
