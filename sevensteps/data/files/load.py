"""Picture files as a source: what was understood is said, every picture is decoded, what is bad is named.

A `Catalog` says which files there are. Here headers are read until size and channels are certain, then every picture is
decoded by the one function that predicting uses, on all cores where that takes long.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import Any

import numpy as np
from jaxtyping import Int64

from ...base import memory
from ...base.words import counted, text_of
from ...errors import DataError
from ..decode import Seen, Shape, decode_and_look, look
from ..image_arrays import chosen_labels
from ..images import Images, Splits
from ..near_copies import Passing, copies_in, joined, said_of
from ..store.streams import Chunk, Stream, Streams
from .catalog import OTHER, Bad, Catalog, File, Say, is_picture
from .common_shape import common_shape
from .decoded_cache import Kept, Stamps, find_kept, keep, stamps_of
from .how import How
from .in_parallel import each
from .summary import SHOWN, Told, understood

WORTH_KEEPING = 0.5  # seconds that decoding took


_AT_ONCE = 1024  # pictures that were decoded before are worked on together


@dataclass(frozen=True)
class _Plan:
    """What is to be decoded, and into what."""

    catalog: Catalog
    classes: tuple[str, ...]  # that were chosen; none: all
    files: Mapping[str, Sequence[File]]  # of each split that the source has
    shape: Shape
    how: How
    stamps: Mapping[str, Stamps]
    kept: Kept | None  # what was decoded before
    rows: Mapping[str, Int64[np.ndarray, " _"]]  # of each file there; -1 for those that are to be decoded

    def mapped(self, split: str) -> Any:
        """The pixels of a split of which nothing is to be decoded, in the file where they are kept; None else."""
        rows = self.rows[split]
        is_whole = self.kept is not None and len(rows) and rows[0] >= 0 and (np.diff(rows) == 1).all()
        return self.kept.pixels[rows[0] : rows[-1] + 1] if self.kept is not None and is_whole else None


def load_files(catalog: Catalog, classes: Sequence[str], how: How, say: Say, *, fresh: bool = False) -> Splits:
    """The pictures of a catalog, decoded into memory. Those that are left out are named in `Splits.bad_files`.

    What takes long to decode is kept in the cache, and files that have not changed since are not decoded again; with
    `fresh`, all are.

    Raises:
        UsageError: a size or a fit that is none.
        DataError: bad files where these are to stop it, too little memory, or a class that is not there.
    """
    plan = _planned(catalog, tuple(classes), how, None if fresh else find_kept(catalog, how))
    picture = int(np.prod(plan.shape))
    needed, free = sum(map(len, plan.files.values())) * picture, memory.available()
    if 2 * needed > free:  # choosing and holding out copy them
        from ..store.store import in_words

        raise DataError(
            f"{catalog.path}: its pictures are {in_words(needed)} as {_in_words(plan.shape)}, and of {in_words(free)} "
            "that are free half can be used.",
            hint=f"sevensteps prepare {catalog.path} writes them into one file that is trained on from the disk.",
        )
    mapped = {split: plan.mapped(split) for split in plan.files}
    pixels = {
        split: np.empty((len(files), *plan.shape), dtype=np.uint8) if mapped[split] is None else mapped[split]
        for split, files in plan.files.items()
    }
    counted = dict.fromkeys(pixels, 0)

    def put(split: str, some: Chunk) -> None:
        if mapped[split] is None:
            pixels[split][counted[split] : counted[split] + len(some)] = some
        counted[split] += len(some)

    began = time.monotonic()
    kept, bad, seen, again, used = _pass(plan, say, put)
    if again and not classes and time.monotonic() - began >= WORTH_KEEPING:
        decoded = [
            (files, plan.stamps[split][used[split]], seen[split], pixels[split][: counted[split]])
            for split, files in kept.items()
        ]
        if size := keep(catalog, how, plan.shape, decoded):
            from ..store.store import in_words

            say(f"{text_of(catalog.name)}: {in_words(size)} of decoded pictures are kept for the next start")
    names = _classes_with_pictures(plan, kept, say)
    numbers = _groups(kept)
    images = {
        split: Images(
            pixels[split][: counted[split]],
            _labels(files, names),
            names,
            split,
            names=_ids(catalog, files),
            groups=numbers.get(split),
            fit=how.fit,
        )
        for split, files in kept.items()
        if files or split == "train"
    }
    name = catalog.name
    return Splits(images["train"], images.get("test"), images.get("valid"), name, bad_files=tuple(sorted(bad)))


def stream_files(catalog: Catalog, classes: Sequence[str], how: How, say: Say, *, hold_out: bool = True) -> Streams:
    """The pictures of a catalog as they come. Each is decoded once before, since a stream cannot leave any out.

    Where some are to be held out of those to train on, for testing or (`hold_out`) for validation, near-copies are in
    one group.

    Raises:
        UsageError, DataError: as `load_files`, but for memory; from the streams, a file that is another now.
    """
    plan = _planned(catalog, tuple(classes), how, find_kept(catalog, how))
    digest = hashlib.sha256(repr((plan.shape, how.fit)).encode())
    passing = Passing(plan.shape, len(plan.files["train"]))

    def put(split: str, some: Chunk) -> None:
        digest.update(np.ascontiguousarray(some).data)
        for pixels in some if split == "train" else ():
            passing.add(pixels)

    kept, _, _, _, used = _pass(plan, say, put)
    names = _classes_with_pictures(plan, kept, say)
    numbers = _groups(kept)
    is_split = bool(kept.get("test")) and (bool(kept.get("valid")) or not hold_out)
    if not is_split and not passing.is_in_reach:
        say(f"{text_of(catalog.name)}: too many pictures to look for copies, which may be on both sides of a split")
    elif not is_split and len((pairs := passing.pairs()).first):
        say(said_of(copies_in(pairs)))
        numbers["train"] = joined(pairs, numbers.get("train"), len(kept["train"]))
    streams = {
        split: Stream(
            _labels(files, names), _chunks_of(plan, split, files, used[split]), numbers.get(split), _ids(catalog, files)
        )
        for split, files in kept.items()
        if files or split == "train"
    }
    chosen = tuple(classes) or names
    return Streams(streams, names, chosen, plan.shape, catalog.name, (digest.hexdigest(),), how.fit)


def _planned(catalog: Catalog, classes: tuple[str, ...], how: How, kept: Kept | None) -> _Plan:
    """What is to be decoded, and how.

    Raises:
        UsageError: a size or a fit that is none.
        DataError: a class that is not there.
    """
    if classes:
        chosen_labels(np.zeros(0, dtype=np.int64), catalog.classes, classes)
    wanted = set(classes or catalog.classes)
    files = {split: [file for file in of if file.name in wanted] for split, of in catalog.splits.items()}
    stamps = {split: stamps_of(catalog, of_split) for split, of_split in files.items()}
    unknown = {split: np.full(len(of_split), -1, dtype=np.int64) for split, of_split in files.items()}
    rows = unknown
    if kept is not None:
        paths = [file.path for of_split in files.values() for file in of_split]
        found = kept.rows_of(paths, np.concatenate([*stamps.values()]))
        rows = dict(zip(files, np.split(found, np.cumsum([len(of) for of in files.values()])[:-1]), strict=True))
    shape = common_shape(_headers(catalog, files, kept, rows), how.size)
    if kept is not None and kept.shape != shape:
        kept, rows = None, unknown
    return _Plan(catalog, classes, files, shape, how, stamps, kept, rows)


def _headers(
    catalog: Catalog,
    files: Mapping[str, Sequence[File]],
    kept: Kept | None,
    rows: Mapping[str, Int64[np.ndarray, " _"]],
) -> Iterator[Seen]:
    """Give what the header of each picture says, those that are known first; files without one are passed over."""
    for split, of_split in files.items():
        if kept is not None:
            yield from dict.fromkeys(kept.headers(np.unique(rows[split][rows[split] >= 0])))
        unread = [of_split[place] for place in np.flatnonzero(rows[split] < 0).tolist()]
        yield from (header for header in each(look, unread, catalog) if isinstance(header, Seen))


def _pass(
    plan: _Plan, say: Say, put: Callable[[str, Chunk], None]
) -> tuple[dict[str, list[File]], list[Bad], dict[str, list[Seen]], int, dict[str, list[int]]]:
    """Decode every file of each split in turn, and put its pixels away.

    Gives the files that are pictures, by split, the bad ones, what the headers of the first say, how many of these were
    not decoded before, and their places among all.

    Raises:
        DataError: bad files where these are to stop it.
    """
    catalog, wanted = plan.catalog, set(plan.classes or plan.catalog.classes)
    everything = not plan.classes
    bad = [one for name, of in catalog.bad.items() if everything or name in {"", *wanted} for one in of]
    ignored = list(catalog.ignored)
    seen: dict[str, list[Seen]] = {split: [] for split in plan.files}
    kept: dict[str, list[File]] = {split: [] for split in plan.files}
    used: dict[str, list[int]] = {split: [] for split in plan.files}
    again = 0
    told = Told(say, sum(map(len, plan.files.values())))
    for split, files in plan.files.items():
        at = 0
        for found, pixels in _decoded(plan, split):
            if isinstance(found, DataError):
                file = files[at]
                # A table says that it is a picture.
                if not (is_picture(file.path) or catalog.base) and _is_another_kind(catalog, file):
                    ignored.append((OTHER, file.path))
                else:
                    bad.append(_bad(catalog, file, found))
            else:
                seen[split] += found
                kept[split] += files[at : at + len(found)]
                used[split] += range(at, at + len(found))
                put(split, pixels)
                again += int(plan.rows[split][at] < 0)
            count = 1 if isinstance(found, DataError) else len(found)
            told.more(count)
            at += count
    for line in understood(catalog, kept, Counter(chain.from_iterable(seen.values())), plan.shape, plan.how, ignored):
        say(line)
    _stop_or_skip(catalog, bad, plan.how, say)
    return kept, bad, seen, again, used


def _is_another_kind(catalog: Catalog, file: File) -> bool:
    """Whether a file that could not be decoded, and is not named as a picture, cannot even be opened as one."""
    return isinstance(next(each(look, [file], catalog)), DataError)


def _decoded(plan: _Plan, split: str, start: int = 0) -> Iterator[tuple[list[Seen] | DataError, Any]]:
    """What headers say and pixels, of a file that is decoded or of several that were before; or why there are none."""
    rows, files = plan.rows[split][start:], plan.files[split][start:]

    def decoded(content: bytes, name: str) -> Any:
        return decode_and_look(content, plan.shape, name, plan.how.fit)

    others = each(decoded, [files[place] for place in np.flatnonzero(rows < 0).tolist()], plan.catalog)
    ends = [*(np.flatnonzero(np.diff(rows < 0)) + 1).tolist(), len(rows)] if len(rows) else []
    for begin, end in pairwise([0, *ends]):
        if plan.kept is not None and rows[begin] >= 0:
            for first in range(begin, end, _AT_ONCE):
                some = rows[first : min(first + _AT_ONCE, end)]
                is_stretch = (np.diff(some) == 1).all()
                where: Any = slice(int(some[0]), int(some[-1]) + 1) if is_stretch else some
                yield plan.kept.headers(some), plan.kept.pixels[where]
        else:
            for found in islice(others, end - begin):
                yield (found, None) if isinstance(found, DataError) else ([found[0]], found[1][None])


def _stop_or_skip(catalog: Catalog, bad: Sequence[Bad], how: How, say: Say) -> None:
    """Raise for bad files, or say how many are left out.

    Raises:
        DataError: there are some, and they are not to be left out.
    """
    if not bad:
        return
    bad = sorted(bad)
    listed = "; ".join(f"{one.id} {one.reason}" for one in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
    many = counted(len(bad), "bad file")
    if how.bad_files != "skip":
        raise DataError(
            f"{catalog.path}: {many}: {listed}{more}.",
            hint="Mend or remove them; or go on without them: {bad_files}",
            settings={"bad_files": "skip"},
        )
    say(f"{text_of(catalog.name)}: {many} left out: {listed}{more}")


def _classes_with_pictures(plan: _Plan, kept: Mapping[str, Sequence[File]], say: Say) -> tuple[str, ...]:
    """The classes that are left; a model is not asked for one of which nothing could be used."""
    there = {file.name for files in kept.values() for file in files}
    if without := [name for name in plan.classes or plan.catalog.classes if name not in there]:
        name = text_of(plan.catalog.name)
        say(f"{name}: no class, since no file of it is a picture: {', '.join(without)}")
    return tuple(name for name in plan.catalog.classes if name in there)


def _groups(kept: Mapping[str, Sequence[File]]) -> dict[str, Int64[np.ndarray, " n"]]:
    """The number of each picture's group, -1 for none, by split; nothing where there are no groups."""
    names = {file.group for files in kept.values() for file in files if file.group is not None}
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(sorted(names))}
    return {
        split: np.array([numbers.get(file.group, -1) for file in files], dtype=np.int64)
        for split, files in kept.items()
        if numbers
    }


def _chunks_of(
    plan: _Plan, split: str, files: Sequence[File], used: Sequence[int]
) -> Callable[[int, int], Iterator[Chunk]]:
    only = dataclasses.replace(
        plan, files={split: files}, rows={split: plan.rows[split][np.array(used, dtype=np.int64)]}
    )

    def chunks(at_once: int, start: int) -> Iterator[Chunk]:
        at = start
        pixels, filled = np.empty((0, *plan.shape), dtype=np.uint8), 0
        for found, some in _decoded(only, split, start):
            if isinstance(found, DataError):
                bad = _bad(plan.catalog, files[at], found)
                raise DataError(
                    f"{plan.catalog.path}: {bad.id} {bad.reason}, and was whole before.",
                    hint="Leave the pictures as they are until they are prepared.",
                )
            at += len(some)
            while len(some):
                if filled == 0:
                    pixels = np.empty((at_once, *plan.shape), dtype=np.uint8)
                part = some[: at_once - filled]
                pixels[filled : filled + len(part)] = part
                filled, some = filled + len(part), some[len(part) :]
                if filled == at_once:
                    yield pixels
                    filled = 0
        if filled:
            yield pixels[:filled]

    return chunks


def _bad(catalog: Catalog, file: File, error: DataError) -> Bad:
    """The bad file that an error of its picture speaks of."""
    name = catalog.name_of(file)
    reason = error.message.replace(f"There is no file {name}", "is not there").removeprefix(f"{name} ")
    return Bad(text_of(file.path), reason.rstrip("."))


def _labels(files: Sequence[File], classes: Sequence[str]) -> Int64[np.ndarray, " n"]:
    places = {name: label for label, name in enumerate(classes)}
    return np.array([places[file.name] for file in files], dtype=np.int64)


def _ids(catalog: Catalog, files: Sequence[File]) -> tuple[str, ...]:
    """The paths as text.

    Raises:
        DataError: two are the same text, which takes a name that is no UTF-8, and another that spells its bytes out.
    """
    ids = tuple(file.path for file in files)
    if not "".join(ids).isascii():
        ids = tuple(map(text_of, ids))
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        raise DataError(
            f"{catalog.path}: two files would be called {twice}.", hint="Rename the one that is not in UTF-8."
        )
    return ids


def _in_words(shape: Shape) -> str:
    return f"{shape[2]}x{shape[1]} {'grey' if shape[0] == 1 else 'color'} pictures"
