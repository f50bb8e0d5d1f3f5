"""Understood: what is said of a source of picture files, and how far decoding them is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from ...base.words import counted, pictures, text_of
from ..decode import Seen, Shape
from ..images import Splits
from .catalog import SPLIT_OF, Catalog, File, Kind, Say, in_words
from .how import How

SHOWN = 10  # names that a line lists


def understood(
    catalog: Catalog,
    files: Mapping[str, Sequence[File]],
    seen: Counter[Seen],
    shape: Shape,
    how: How,
    ignored: Sequence[tuple[Kind, str]],
) -> Iterator[str]:
    """What was made of a source: a line on its layout, one on its pictures, and what is out of the ordinary."""
    name = text_of(catalog.name)
    counts = {split: Counter(file.name for file in of_split) for split, of_split in files.items()}
    total = sum(counts.values(), Counter[str]())
    sizes = ", ".join(f"{of_split.total():,} {split}" for split, of_split in counts.items() if of_split)
    smallest, largest = (min(total.values(), default=0), max(total.values(), default=0))
    least = "" if smallest == largest else f"{smallest:,} to "
    classes = f"{counted(len(total), *catalog.unit)}{catalog.layout}"
    yield f"{name}: {classes}, {least}{pictures(largest)} a class ({sizes or 'none'})"
    if seen:
        low, high = (min(seen, key=_area), max(seen, key=_area))
        found = f"{low.width}x{low.height}"
        found += "" if (low.width, low.height) == (high.width, high.height) else f" to {high.width}x{high.height}"
        grey = sum(count for picture, count in seen.items() if picture.is_grey)
        mixed = f", {grey:,} grey and {seen.total() - grey:,} in color" if 0 < grey < seen.total() else ""
        same = all((picture.width, picture.height) == shape[:0:-1] for picture in seen)
        kept = "grey" if shape[0] == 1 else "color"
        made = f"taken as they are, in {kept}" if same else f"{_DONE[how.fit]} {shape[2]}x{shape[1]}, in {kept}"
        left = f"; ignored: {in_words(ignored)}" if ignored else ""
        yield f"{name}: pictures of {found}{mixed}, {made}{left}"
    for note in catalog.notes:
        yield f"{name}: {note}"
    for split, of_split in counts.items():
        if of_split and (missing := [one for one in total if one not in of_split]):
            yield f"{name}: no {split} pictures of {', '.join(sorted(missing)[:SHOWN])}"
    if how.group:
        yield from (f"{name}: {line}" for line in _about_groups(files))


def with_splits(splits: Splits, ids: Sequence[str]) -> list[str]:
    """The ids of pictures, each with the split it is in where the id does not begin with it.

    A store's validation pictures, for one, are called by their places in the training split that they were taken from.
    """
    wanted = set(ids)
    split_of = {name: split for split, images in splits.present().items() for name in images.ids if name in wanted}
    return [
        name if SPLIT_OF.get(name.split("/")[0].lower()) == split_of[name] else f"{name} ({split_of[name]})"
        for name in ids
    ]


_DONE = {"letterbox": "letterboxed to", "squash": "squashed to", "crop": "cropped to"}


def _about_groups(files: Mapping[str, Sequence[File]]) -> Iterator[str]:
    """How many groups there are, and which are on two sides of the source's own splits."""
    of = {split: {file.group for file in of_split} - {None} for split, of_split in files.items()}
    everything = set(chain.from_iterable(of.values()))
    alone = sum(file.group is None for of_split in files.values() for file in of_split)
    more = f"; {pictures(alone)} {'is' if alone == 1 else 'are'} in none" if alone else ""
    yield f"{counted(len(everything), 'group')}, {'each ' * (len(everything) != 1)}kept on one side{more}"
    for one, other in (("train", "test"), ("train", "valid"), ("valid", "test")):
        if both := sorted(map(str, of.get(one, set()) & of.get(other, set()))):
            yield f"the source has {counted(len(both), 'group')} in {one} and in {other}, the first: {text_of(both[0])}"


def _area(picture: Seen) -> int:
    return picture.width * picture.height


class Told:
    """Says how far it is after 1 second, 2, 4, 8, …."""

    def __init__(self, say: Say, total: int) -> None:
        self._say, self._total, self._done = say, total, 0
        self._began, self._next = time.monotonic(), 1.0

    def more(self, count: int = 1) -> None:
        """So many more pictures are done."""
        self._done += count
        if (seconds := time.monotonic() - self._began) >= self._next and self._done < self._total:
            self._next = 2 * seconds
            left = seconds * (self._total - self._done) / self._done
            self._say(f"  {self._done:,} of {self._total:,} files are decoded; {left:.0f} s left")
