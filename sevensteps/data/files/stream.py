"""Picture files as streams, for stores: each picture is decoded when it is needed, so all need not fit in memory."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...base.words import text_of
from ...errors import DataError
from ..near_copies import Passing, copies_in, joined, said_of
from ..store.streams import Chunk, Stream, Streams
from .catalog import Catalog, File, Say
from .decoded_cache import find_kept
from .how import How
from .plan import (
    Plan,
    bad_file,
    classes_with_pictures,
    decode_all,
    decoded,
    group_numbers,
    ids_of,
    labels_of,
    plan_for,
)


def stream_files(catalog: Catalog, classes: Sequence[str], how: How, say: Say, *, hold_out: bool = True) -> Streams:
    """Return the pictures of a catalog as streams. Each is decoded once before, since a stream cannot leave any out.

    If pictures will be held out of the training split, near-duplicates are put into one group.

    Args:
        catalog: The source.
        classes: Only these classes; empty: all.
        how: How to read the picture files.
        say: Takes the lines that describe the source, and the progress.
        hold_out: Whether validation pictures are held out if the source has none.

    Raises:
        DataError: As `load_files`, except for memory; from the streams, if a file has changed.
    """
    plan = plan_for(catalog, tuple(classes), how, find_kept(catalog, how))
    digest = hashlib.sha256(repr((plan.shape, how.fit)).encode())
    passing = Passing(plan.shape, len(plan.files["train"]))

    def put(split: str, chunk: Chunk) -> None:
        digest.update(np.ascontiguousarray(chunk).data)
        for pixels in chunk if split == "train" else ():
            passing.add(pixels)

    done = decode_all(plan, say, put)
    names = classes_with_pictures(plan, done.files, say)
    numbers = group_numbers(done.files)
    is_split = bool(done.files.get("test")) and (bool(done.files.get("valid")) or not hold_out)
    if not is_split and not passing.is_in_reach:
        say(
            f"{text_of(catalog.name)}: too little memory to search for near-duplicates; some may be on both sides of "
            "a split"
        )
    elif not is_split and len((pairs := passing.pairs()).first):
        say(said_of(copies_in(pairs)))
        numbers["train"] = joined(pairs, numbers.get("train"), len(done.files["train"]))
    streams = {
        split: Stream(
            labels_of(files, names),
            _chunks_of(plan, split, files, done.places[split]),
            numbers.get(split),
            ids_of(catalog, files),
        )
        for split, files in done.files.items()
        if files or split == "train"
    }
    chosen = tuple(classes) or names
    return Streams(streams, names, chosen, plan.shape, catalog.name, (digest.hexdigest(),), how.fit, plan.range)


def _chunks_of(
    plan: Plan, split: str, files: Sequence[File], places: Sequence[int]
) -> Callable[[int, int], Iterator[Chunk]]:
    """Return what reads the pictures of a split in chunks of `at_once`, from number `start` on."""
    only = dataclasses.replace(
        plan, files={split: files}, rows={split: plan.rows[split][np.array(places, dtype=np.int64)]}
    )

    def chunks(at_once: int, start: int) -> Iterator[Chunk]:
        at = start
        pixels, filled = np.empty((0, *plan.shape), dtype=np.uint8), 0
        for seen, part in decoded(only, split, start):
            if isinstance(seen, DataError):
                bad = bad_file(plan.catalog, files[at], seen)
                raise DataError(
                    f"{plan.catalog.path}: {bad.id} {bad.reason}, although it was intact before.",
                    hint="Do not change the pictures until they are prepared.",
                )
            at += len(part)
            while len(part):
                if filled == 0:
                    pixels = np.empty((at_once, *plan.shape), dtype=np.uint8)
                fitting = part[: at_once - filled]
                pixels[filled : filled + len(fitting)] = fitting
                filled, part = filled + len(fitting), part[len(fitting) :]
                if filled == at_once:
                    yield pixels
                    filled = 0
        if filled:
            yield pixels[:filled]

    return chunks
