"""Summary: the lines that describe a source of picture files, and the progress of decoding it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from ...base.words import counted, pictures, split_in_words, text_of
from ..decode import Seen, Shape
from ..fit import way_of
from ..images import Splits
from .catalog import Catalog, File, Kind, Say, in_words
from .how import How
from .split_names import split_named

SHOWN = 10  # names that one line lists


def understood(
    catalog: Catalog,
    files: Mapping[str, Sequence[File]],
    seen: Counter[Seen],
    shape: Shape,
    how: How,
    ignored: Sequence[tuple[Kind, str]],
) -> Iterator[str]:
    """Give the lines that describe a source: its layout, its pictures, and anything unusual.

    Args:
        catalog: The source.
        files: The files of each split that are pictures.
        seen: How many files have each header.
        shape: Channels, height and width that the pictures are decoded to.
        how: How the picture files are read.
        ignored: What is ignored.
    """
    name = text_of(catalog.name)
    counts = {split: Counter(file.name for file in of_split) for split, of_split in files.items()}
    total = sum(counts.values(), Counter[str]())
    sizes = ", ".join(f"{of_split.total():,} {split}" for split, of_split in counts.items() if of_split)
    smallest, largest = (min(total.values(), default=0), max(total.values(), default=0))
    from_smallest = "" if smallest == largest else f"{smallest:,} to "
    classes = f"{counted(len(total), *catalog.unit)}{catalog.layout}"
    yield f"{name}: {classes}, {from_smallest}{pictures(largest)} in each class ({sizes or 'none'})"
    if seen:
        low, high = (min(seen, key=_area), max(seen, key=_area))
        size = f"{low.width}x{low.height}"
        size += "" if (low.width, low.height) == (high.width, high.height) else f" to {high.width}x{high.height}"
        grey = sum(count for picture, count in seen.items() if picture.is_grey)
        mixed = f", {grey:,} gray and {seen.total() - grey:,} in color" if 0 < grey < seen.total() else ""
        keep_size = all((picture.width, picture.height) == shape[:0:-1] for picture in seen)
        color = "gray" if shape[0] == 1 else "color"
        change = (
            f"used as they are, in {color}"
            if keep_size
            else f"{_DONE[way_of(how.fit)]} {shape[2]}x{shape[1]}, in {color}"
        )
        left_out = f"; ignored: {in_words(ignored)}" if ignored else ""
        yield f"{name}: pictures of {size}{mixed}, {change}{left_out}"
    for note in catalog.notes:
        yield f"{name}: {note}"
    for split, of_split in counts.items():
        if of_split and (missing := [of_class for of_class in total if of_class not in of_split]):
            yield f"{name}: no {split_in_words(split)} pictures of {', '.join(sorted(missing)[:SHOWN])}"
    if how.group:
        yield from (f"{name}: {line}" for line in _about_groups(files))


def with_splits(splits: Splits, ids: Sequence[str]) -> list[str]:
    """Return the ids of pictures, each followed by its split if the id does not begin with that split.

    For example, the validation pictures of a store are named by their places in the training split.

    Args:
        splits: The splits with these pictures.
        ids: Ids of pictures.
    """
    wanted = set(ids)
    split_of = {name: split for split, images in splits.present().items() for name in images.ids if name in wanted}
    return [name if split_named(name.split("/")[0]) == split_of[name] else f"{name} ({split_of[name]})" for name in ids]


_DONE = {"letterbox": "padded to", "squash": "stretched to", "crop": "cropped to"}


def _about_groups(files: Mapping[str, Sequence[File]]) -> Iterator[str]:
    """Give a line on how many groups there are, and one for each two splits of the source that share groups."""
    groups_of = {split: {file.group for file in of_split} - {None} for split, of_split in files.items()}
    everything = set(chain.from_iterable(groups_of.values()))
    alone = sum(file.group is None for of_split in files.values() for file in of_split)
    without = f"; {pictures(alone)} {'has' if alone == 1 else 'have'} no group" if alone else ""
    yield f"{counted(len(everything), 'group')}, {'each ' * (len(everything) != 1)}kept on one side of a split{without}"
    for first, second in (("train", "test"), ("train", "valid"), ("valid", "test")):
        if shared := sorted(map(str, groups_of.get(first, set()) & groups_of.get(second, set()))):
            yield (
                f"{counted(len(shared), 'group')} of the source {'is' if len(shared) == 1 else 'are'} in both {first} "
                f"and {second}, for example {text_of(shared[0])}"
            )


def _area(picture: Seen) -> int:
    """Return the number of pixels of a picture."""
    return picture.width * picture.height


DECODED = "  {done:,} of {total:,} files decoded; {left:.0f} s left"


class Told:
    """Reports progress after 1 second, 2, 4, 8, …."""

    def __init__(self, say: Say, total: int, line: str = DECODED) -> None:
        self._say, self._total, self._done, self._line = say, total, 0, line
        self._began, self._next = time.monotonic(), 1.0

    def more(self, count: int = 1) -> None:
        """Count pictures that are done, and report if it is time to.

        Args:
            count: How many more are done.
        """
        self._done += count
        if (seconds := time.monotonic() - self._began) >= self._next and self._done < self._total:
            self._next = 2 * seconds
            left = seconds * (self._total - self._done) / self._done
            self._say(self._line.format(done=self._done, total=self._total, left=left))
