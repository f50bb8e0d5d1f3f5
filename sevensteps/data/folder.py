"""A folder of class folders as a source: what was understood is said, every picture is decoded, what is bad is named.

`tree` says what lies there. Here headers are read to choose size and channels, then every picture is decoded by the one
function that predicting uses, on all cores.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from .. import memory
from ..device import cores
from ..errors import DataError, UsageError, nearest
from .decode import FITS, Fit, Seen, Shape, look_at, read_picture
from .images import Images, Splits, chosen_labels
from .streams import Chunk, Stream, Streams
from .tree import EMPTY, HIDDEN, LINKED, OTHER, OUTSIDE, Bad, File, Tree, is_picture, scan, text_of

LARGEST_OWN = 64  # pixels a side; pictures that are all of one size, and no larger, keep it
USUAL = 64  # pixels a side of what all others are made
LARGEST_SIDE = 1024  # that can be asked for
LEAST_FOR_CNN, LEAST_PICTURES = 16, 20  # pixels a side, and pictures of each class
_AT_ONCE = 64  # files that are worked on between two looks at the clock
_SHOWN = 10  # bad files that an error lists

BadFiles = Literal["stop", "skip"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class _Plan:
    """What is to be decoded, and into what."""

    tree: Tree
    files: Mapping[str, Sequence[File]]  # of each split that has any, and of the training split
    bad: Sequence[Bad]  # what the headers show
    shape: Shape
    fit: Fit


def load_folder(folder: Path, classes: Sequence[str], *, size: int, fit: Fit, bad_files: BadFiles, say: Say) -> Splits:
    """The pictures of a folder, decoded into memory. Those that are left out are named in `Splits.bad_files`.

    Raises:
        DataError: bad files where these are to stop it, too little memory, or as `scan`.
    """
    plan = _planned(folder, classes, size, fit, say)
    picture = int(np.prod(plan.shape))
    needed, free = sum(map(len, plan.files.values())) * picture, memory.available()
    if 2 * needed > free:  # choosing and holding out copy them
        from .store import in_words

        raise DataError(
            f"{folder}: its pictures are {in_words(needed)} as {_in_words(plan.shape)}, and of {in_words(free)} that "
            "are free half can be used.",
            hint=f"sevensteps prepare {folder} writes them into one file that is trained on from the disk.",
        )
    told = _Told(say, sum(map(len, plan.files.values())))
    decoded, kept, bad = {}, {}, list(plan.bad)
    for split, files in plan.files.items():
        pixels = np.empty((len(files), *plan.shape), dtype=np.uint8)
        good = np.zeros(len(files), dtype=bool)
        for row, found in enumerate(_decoded(plan, files)):
            if isinstance(found, Bad):
                bad.append(found)
            else:
                pixels[row], good[row] = found, True
            told.one_more()
        if not good.all():
            pixels, files = pixels[good], [file for file, is_good in zip(files, good, strict=True) if is_good]
        decoded[split], kept[split] = pixels, files
    _stop_or_skip(folder, bad, bad_files, say)
    names = _classes_with_pictures(plan.tree, kept, classes, say)
    images = {
        split: Images(pixels, _labels(files, names), names, split, names=_ids(folder, files), fit=plan.fit)
        for (split, pixels), files in zip(decoded.items(), kept.values(), strict=True)
    }
    splits = {split: of_split for split, of_split in images.items() if len(of_split) or split == "train"}
    return Splits(splits["train"], splits.get("test"), splits.get("valid"), _name(folder), bad_files=tuple(sorted(bad)))


def stream_folder(
    folder: Path, classes: Sequence[str], *, size: int, fit: Fit, bad_files: BadFiles, say: Say
) -> Streams:
    """The pictures of a folder as they come. Each is decoded once before, since a stream cannot leave any out.

    Raises:
        DataError: bad files where these are to stop it, or as `scan`; from the streams, a file that is another now.
    """
    plan = _planned(folder, classes, size, fit, say)
    told = _Told(say, sum(map(len, plan.files.values())))
    kept: dict[str, list[File]] = {}
    bad = list(plan.bad)
    for split, files in plan.files.items():
        kept[split] = []
        for file, found in zip(files, _decoded(plan, files), strict=True):
            if isinstance(found, Bad):
                bad.append(found)
            else:
                kept[split].append(file)
            told.one_more()
    _stop_or_skip(folder, bad, bad_files, say)
    digest = hashlib.sha256(repr((plan.shape, fit)).encode())
    for file in (file for files in kept.values() for file in files):
        status = os.stat(folder / file.path)
        digest.update(repr((file.path, status.st_size, status.st_mtime_ns)).encode())
    names = _classes_with_pictures(plan.tree, kept, classes, say)
    streams = {
        split: Stream(_labels(files, names), _chunks_of(plan, files))
        for split, files in kept.items()
        if files or split == "train"
    }
    return Streams(streams, names, tuple(classes) or names, plan.shape, _name(folder), (digest.hexdigest(),), fit)


def default_recipe(folder: Path, classes: Sequence[str] = (), size: int = 0) -> tuple[str, str]:
    """The name of the recipe that suits a folder's pictures, and why, in a sentence.

    Headers are read until one decides, which is the first or second unless all pictures are tiny.

    Raises:
        DataError: as `scan`.
    """
    tree = scan(folder)
    files = [file for file in tree.splits["train"] if is_picture(file.path) and (not classes or file.name in classes)]
    counts = Counter(file.name for file in files)
    fewest = min((counts[name] for name in classes or tree.classes), default=0)
    side = size or _least_side(folder, files)
    if side >= LEAST_FOR_CNN and fewest >= LEAST_PICTURES:
        why = "which trains on mirrored and shifted pictures, too; where left and right matter: --augment shift"
        return "cnn", f"Without --recipe these pictures are for cnn, {why}."
    least = f"the smallest class has {fewest:,} pictures" if fewest < LEAST_PICTURES else f"they are {side} pixels high"
    takes = f"{LEAST_PICTURES} pictures of each class, {LEAST_FOR_CNN} pixels high or more"
    return "linear", f"Without --recipe these pictures are for linear: {least}, and cnn takes {takes}."


def _least_side(folder: Path, files: Sequence[File]) -> int:
    """The shorter side that the pictures will have; what is no picture is for `load_folder` to say."""
    first: Seen | None = None
    for file in files:
        try:
            seen = look_at(folder / file.path)
        except DataError:
            continue
        first = first or seen
        if (seen.width, seen.height) != (first.width, first.height) or max(seen.width, seen.height) > LARGEST_OWN:
            return USUAL
        if min(seen.width, seen.height) >= LEAST_FOR_CNN:
            return min(seen.width, seen.height)
    return min(first.width, first.height) if first else USUAL


def _planned(folder: Path, classes: Sequence[str], size: int, fit: Fit, say: Say) -> _Plan:
    """What there is, from names and headers; it is said.

    Raises:
        UsageError: a size or a fit that is none.
        DataError: as `scan`, or a class that is not there.
    """
    if type(size) is not int or not 0 <= size <= LARGEST_SIDE:
        raise UsageError(f"size is {size!r}, and must be 0 to {LARGEST_SIDE}.", hint="size = 64")
    if fit not in FITS:
        raise UsageError(f"fit is {fit!r}.", hint=nearest(str(fit), FITS))
    tree = scan(folder)
    if classes:
        chosen_labels(np.zeros(0, dtype=np.int64), tree.classes, classes)
    wanted = set(classes or tree.classes)
    bad = [one for name, of_class in tree.bad.items() if name in {"", *wanted} or not classes for one in of_class]
    ignored = list(tree.ignored)
    seen: list[Seen] = []
    files: dict[str, list[File]] = {}
    told = _Told(say, sum(map(len, tree.splits.values())), "looked at")
    for split, of_split in tree.splits.items():
        of_split = [file for file in of_split if file.name in wanted]
        files[split] = []
        for file, found in zip(of_split, _each(look_at, [folder / file.path for file in of_split]), strict=True):
            told.one_more()
            if isinstance(found, Seen):
                seen.append(found)
                files[split].append(file)
            elif is_picture(file.path):
                bad.append(_bad(folder, file, found))
            else:
                ignored.append((OTHER, file.path))
    shape = _shape(seen, size)
    for line in _understood(tree, files, seen, shape, fit, ignored):
        say(line)
    return _Plan(tree, files, bad, shape, fit)


def _shape(seen: Sequence[Seen], size: int) -> Shape:
    """What all pictures are made."""
    channels = 1 if all(picture.is_grey for picture in seen) else 3
    sizes = {(picture.width, picture.height) for picture in seen}
    if not size and len(sizes) == 1 and max(next(iter(sizes))) <= LARGEST_OWN:
        width, height = sizes.pop()
        return channels, height, width
    return channels, size or USUAL, size or USUAL


def _understood(
    tree: Tree,
    files: Mapping[str, Sequence[File]],
    seen: Sequence[Seen],
    shape: Shape,
    fit: Fit,
    ignored: Sequence[tuple[tuple[str, str], str]],
) -> Iterator[str]:
    """What was made of a folder: a line on its layout, one on its pictures, and what is out of the ordinary."""
    name = text_of(_name(tree.folder))
    counts = {split: Counter(file.name for file in of_split) for split, of_split in files.items()}
    total = sum(counts.values(), Counter[str]())
    where = "" if "" in tree.layout.values() else f" in {', '.join(tree.layout.values())}"
    sizes = ", ".join(f"{of_split.total():,} {split}" for split, of_split in counts.items() if of_split)
    smallest, largest = (min(total.values(), default=0), max(total.values(), default=0))
    each = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
    yield f"{name}: {len(total):,} class folders{where}, {each} pictures a class ({sizes})"
    if seen:
        low, high = (min(seen, key=_area), max(seen, key=_area))
        found = f"{low.width}x{low.height}"
        found += "" if (low.width, low.height) == (high.width, high.height) else f" to {high.width}x{high.height}"
        grey = sum(picture.is_grey for picture in seen)
        mixed = f", {grey:,} grey and {len(seen) - grey:,} in color" if 0 < grey < len(seen) else ""
        same = all((picture.width, picture.height) == shape[:0:-1] for picture in seen)
        kept = "grey" if shape[0] == 1 else "color"
        how = f"taken as they are, in {kept}" if same else f"{_DONE[fit]} {shape[2]}x{shape[1]}, in {kept}"
        left = f"; ignored: {_counted(ignored)}" if ignored else ""
        yield f"{name}: pictures of {found}{mixed}, {how}{left}"
    for split, of_split in counts.items():
        if of_split and (missing := [one for one in total if one not in of_split]):
            yield f"{name}: no {split} pictures of {', '.join(sorted(missing)[:_SHOWN])}"


_DONE = {"letterbox": "letterboxed to", "squash": "squashed to", "crop": "cropped to"}


def _area(picture: Seen) -> int:
    return picture.width * picture.height


def _counted(ignored: Sequence[tuple[tuple[str, str], str]]) -> str:
    """What was ignored, by kind, with the first of each."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for kind, path in ignored:
        kinds.setdefault(kind, []).append(path)
    told = (HIDDEN, LINKED, EMPTY, OUTSIDE, OTHER)
    return ", ".join(
        f"{len(paths):,} {kind[len(paths) > 1]}{f' ({text_of(paths[0])})' if kind in told else ''}"
        for kind, paths in kinds.items()
    )


def _stop_or_skip(folder: Path, bad: Sequence[Bad], bad_files: BadFiles, say: Say) -> None:
    """Raise for bad files, or say how many are left out.

    Raises:
        DataError: there are some, and they are not to be left out.
    """
    if not bad:
        return
    bad = sorted(bad)
    listed = "; ".join(f"{one.id} {one.reason}" for one in bad[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    many = f"{len(bad):,} bad file{'s' * (len(bad) > 1)}"
    if bad_files != "skip":
        raise DataError(
            f"{folder}: {many}: {listed}{more}.",
            hint="Mend or remove them; or go on without them: bad_files = skip",
        )
    say(f"{text_of(_name(folder))}: {many} left out: {listed}{more}")


def _classes_with_pictures(
    tree: Tree, kept: Mapping[str, Sequence[File]], classes: Sequence[str], say: Say
) -> tuple[str, ...]:
    """The classes that are left; a model is not asked for one of which nothing could be used."""
    there = {file.name for files in kept.values() for file in files}
    if without := [name for name in classes or tree.classes if name not in there]:
        say(f"{text_of(_name(tree.folder))}: no class, since no file of it is a picture: {', '.join(without)}")
    return tuple(name for name in tree.classes if name in there)


def _chunks_of(plan: _Plan, files: Sequence[File]) -> Callable[[int, int], Iterator[Chunk]]:
    def chunks(at_once: int, start: int) -> Iterator[Chunk]:
        for first in range(start, len(files), at_once):
            some = files[first : first + at_once]
            pixels = np.empty((len(some), *plan.shape), dtype=np.uint8)
            for row, found in enumerate(_decoded(plan, some)):
                if isinstance(found, Bad):
                    raise DataError(
                        f"{plan.tree.folder}: {found.id} {found.reason}, and was whole before.",
                        hint="Leave the folder as it is until it is prepared.",
                    )
                pixels[row] = found
            yield pixels

    return chunks


def _decoded(plan: _Plan, files: Sequence[File]) -> Iterator[Any]:
    """The pixels of each file, or why there are none."""
    folder = plan.tree.folder
    paths = [folder / file.path for file in files]
    for file, found in zip(files, _each(lambda path: read_picture(path, plan.shape, plan.fit), paths), strict=True):
        yield _bad(folder, file, found) if isinstance(found, DataError) else found


def _each(function: Callable[[Path], Any], paths: Sequence[Path]) -> Iterator[Any]:
    """What a function gives for each path, in their order; its `DataError` in the place of what it cannot give."""

    def attempt(path: Path) -> Any:
        try:
            return function(path)
        except DataError as error:
            return error

    # Decoding sets the filter of warnings, which all threads share: whatever they leave it as is taken back here.
    with warnings.catch_warnings(), ThreadPoolExecutor(cores()) as pool:
        for first in range(0, len(paths), _AT_ONCE):
            yield from pool.map(attempt, paths[first : first + _AT_ONCE])


def _bad(folder: Path, file: File, error: DataError) -> Bad:
    """The bad file that an error of its picture speaks of."""
    return Bad(text_of(file.path), error.message.removeprefix(f"{folder / file.path} ").rstrip("."))


def _labels(files: Sequence[File], classes: Sequence[str]) -> Int64[np.ndarray, " n"]:
    places = {name: label for label, name in enumerate(classes)}
    return np.array([places[file.name] for file in files], dtype=np.int64)


def _ids(folder: Path, files: Sequence[File]) -> tuple[str, ...]:
    """The paths as text.

    Raises:
        DataError: two are the same text, which takes a name that is no UTF-8, and another that spells its bytes out.
    """
    ids = tuple(text_of(file.path) for file in files)
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        raise DataError(f"{folder}: two files would be called {twice}.", hint="Rename the one that is not in UTF-8.")
    return ids


def _name(folder: Path) -> str:
    return folder.name or folder.absolute().name


def _in_words(shape: Shape) -> str:
    return f"{shape[2]}x{shape[1]} {'grey' if shape[0] == 1 else 'color'} pictures"


class _Told:
    """Says how far it is after 1 second, 2, 4, 8, …."""

    def __init__(self, say: Say, total: int, done: str = "decoded") -> None:
        self._say, self._total, self._what, self._done = say, total, done, 0
        self._began, self._next = time.monotonic(), 1.0

    def one_more(self) -> None:
        """Another picture is done."""
        self._done += 1
        if (seconds := time.monotonic() - self._began) >= self._next and self._done < self._total:
            self._next = 2 * seconds
            left = seconds * (self._total - self._done) / self._done
            self._say(f"  {self._done:,} of {self._total:,} files are {self._what}; {left:.0f} s left")
