"""Prepare: write the pictures of a source into a store, in two passes over the disk and never all in memory.

The store's training pictures are in random order, so that any block is a fair sample even if the source is sorted by
class. The shuffle is one for large files: the first pass puts each picture into a random bucket, and the second pass
shuffles each bucket. Buckets are in the file in their final order, but moved back by the size of the largest bucket.
So the second pass reads each bucket from a place that has not been overwritten yet, and needs no second file. The
other splits keep the order of the source.

Where a picture is written depends only on the seed. After each chunk or bucket has reached the disk, a small file
records the progress. A `prepare` that was interrupted continues from there and produces the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8, UInt32

from ...base import files, growing_file
from ...base.seeds import PREPARE, seed_of
from ...base.words import counted
from ...errors import DataError, FileError, UsageError
from ..hold_out import held_out
from ..image_arrays import chosen_labels, value_counts
from .layout import SPLITS, Header, Named, Places, Section
from .names import encoded
from .opening import remember_checked
from .store import Progress, in_words
from .streams import Streams

# The bytes of a chunk of the source, which are about those of a bucket. They are chosen so that each chunk adds about
# 64 KiB to a bucket, which disks write well: 12 MB for a set of 2 GB, 80 MB for one of 100 GB. Prepare needs three
# times as much memory.
PIECE, LEAST_AT_ONCE, MOST_AT_ONCE = 1 << 16, 4 << 20, 128 << 20

TEST_SHARE = 0.2  # the share of the training pictures to test with, if a source has no test pictures


_DROPPED = 255  # stands for a picture of a class that was not chosen


_UNKNOWN = "0" * 64  # a digest that is not known yet


@dataclass(frozen=True, eq=False)
class _Plan:
    """Where every picture of the source goes."""

    header: Header  # without its digests
    labels: dict[str, Int64[np.ndarray, " _"]]  # by split of the source
    goes_to: dict[str, UInt8[np.ndarray, " _"]]  # by split of the source: for each picture an index into SPLITS
    buckets: UInt32[np.ndarray, " _"]  # the bucket of each picture of the source's training split
    sizes: Int64[np.ndarray, " buckets"]  # the pictures in each bucket
    chunks: list[tuple[str, int]]  # of the source: the split, and the first picture
    at_once: int  # pictures of a chunk
    names: dict[str, bytes]  # by split of the source, if its pictures have names: the block of them

    @property
    def gap(self) -> int:
        """By how many pictures buckets are moved back until they are shuffled."""
        return int(self.sizes.max())

    @property
    def size(self) -> int:
        """The largest size of the file while it is written, in bytes."""
        return self.header.places().size + self.gap * self.header.picture


def prepare(
    streams: Streams,
    target: Path,
    *,
    classes: tuple[str, ...] = (),
    hold_out: float = 0.1,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda done, total: None,
    at_once: int | None = None,
) -> Header:
    """Write a store, or continue where an earlier call with the same arguments was interrupted.

    Pictures are held out by the same rule as in a recipe: for testing if the source has no test pictures, and then for
    validation if it has no validation pictures.

    Args:
        streams: The pictures.
        target: The file to write.
        classes: The classes to use; all if empty.
        hold_out: The share of the training pictures to hold out for validation.
        seed: Decides the order, and what is held out.
        say: Called with a line about what happens.
        progress: Called with the bytes that are done, and the bytes in all.
        at_once: The bytes of a chunk; by default they depend on the size of the source.

    Returns:
        The header of the store.

    Raises:
        DataError: A class does not exist, there are too few pictures, or the source is damaged.
        FileError: `target` exists already, the disk has not enough space, or it cannot be written.
    """
    if target.exists():
        raise FileError(
            f"{target} already exists; nothing was changed.",
            hint=f"Train on it, remove it, or choose another file with --out. sevensteps train {target}",
        )
    if at_once is None:
        at_once = min(max(math.isqrt(PIECE * streams.size), LEAST_AT_ONCE), MOST_AT_ONCE)
    if "valid" in streams.splits and hold_out not in (0, 0.1):
        raise UsageError(
            f"hold_out is {hold_out}, and {streams.source} has validation pictures of its own.", hint="Leave it out."
        )
    plan = _planned(streams, classes, hold_out, seed, at_once)
    needed = plan.size - growing_file.size_under_way(target)
    if needed > (free := files.free_space(target.parent)):
        raise FileError(
            f"{target} needs {in_words(plan.size)}, but only {in_words(free)} are free in {target.parent.absolute()}.",
            hint="Free some space, or write elsewhere with --out.",
        )
    with growing_file.under_way(target) as part:
        journal = _Journal(target, part.number, _digest_of(plan, streams))
        if journal.chunks:
            say(f"Continuing {target}, which was interrupted.")
        else:
            part.clear()  # it may have been begun with other arguments
        counts = {name: section.count for name, section in plan.header.splits.items()}
        total = streams.size + (sum(counts.values()) + counts["train"]) * plan.header.picture
        work = _Work(streams, plan, part, journal, lambda done: progress(done, total))
        work.scatter()
        work.settle()
        header = work.sum_up()
        part.write(0, header.to_bytes())
        part.finish(header.places().size)
        journal.remove()
    remember_checked(target)
    return header


def _planned(streams: Streams, classes: tuple[str, ...], hold_out: float, seed: int, at_once: int) -> _Plan:
    """Decide where every picture goes: a pure function of the labels, the settings and the seed.

    Raises:
        DataError: A class does not exist, or there are too few pictures.
    """
    chosen = classes or streams.present
    labels = {
        split: chosen_labels(stream.labels, streams.classes, chosen) if chosen != streams.classes
        else stream.labels.astype(np.int64)
        for split, stream in streams.splits.items()
    }  # fmt: skip
    goes_to = {
        split: np.where(of_split < 0, _DROPPED, SPLITS.index(split)).astype(np.uint8)
        for split, of_split in labels.items()
    }
    groups = streams.splits["train"].groups
    if "test" not in labels:
        _hold_out(goes_to["train"], labels["train"], groups, len(chosen), "test", TEST_SHARE, seed)
    if "valid" not in labels and hold_out:
        _hold_out(goes_to["train"], labels["train"], groups, len(chosen), "valid", hold_out, seed)
    counts = {
        split: sum(int((where == place).sum()) for where in goes_to.values()) for place, split in enumerate(SPLITS)
    }
    trained_on = goes_to["train"] == SPLITS.index("train")
    present = np.bincount(labels["train"][trained_on], minlength=len(chosen)) > 0
    if present.sum() < 2:
        raise DataError(
            f"{streams.source}: the training pictures have {counted(int(present.sum()), 'class', 'classes')}.",
            hint="A classifier needs pictures of at least two classes.",
        )
    picture = math.prod(streams.shape)
    rows = max(1, at_once // picture)
    random = np.random.Generator(np.random.PCG64(seed_of(seed, PREPARE)))
    bucket_count = -(-counts["train"] // rows)
    buckets = random.integers(0, bucket_count, len(labels["train"]), dtype=np.uint32)
    sections = {
        split: Section("train" if split not in labels else split, counts[split], _UNKNOWN, _UNKNOWN)
        for split in SPLITS
        if counts[split]
    }
    names = {split: encoded(stream.names) for split, stream in sorted(streams.splits.items()) if stream.names}
    named = {
        split: Named(len(labels[split]), len(block), hashlib.sha256(block).hexdigest())
        for split, block in names.items()
    }
    header = Header(
        streams.shape, chosen, streams.source, float(hold_out), seed, sections, streams.fit, named, streams.range
    )
    sizes = np.bincount(buckets[trained_on], minlength=bucket_count)
    chunks = [(split, first) for split in streams.splits for first in range(0, len(labels[split]), rows)]
    return _Plan(header, labels, goes_to, buckets, sizes, chunks, rows, names)


def _hold_out(
    goes_to: UInt8[np.ndarray, " n"],
    labels: Int64[np.ndarray, " n"],
    groups: Int64[np.ndarray, " n"] | None,
    classes: int,
    split: str,
    share: float,
    seed: int,
) -> None:
    """Move a share of the training pictures to another split, as `Images.split` would.

    Raises:
        DataError: There are too few.
    """
    left = np.flatnonzero(goes_to == SPLITS.index("train"))
    held = left[held_out(labels[left], classes, share, seed, None if groups is None else groups[left])]
    if not len(held):
        raise DataError(
            f"There are too few pictures to hold any out for {split}: one for each class.",
            hint="Add pictures: at least four for each class.",
        )
    goes_to[held] = SPLITS.index(split)


def _digest_of(plan: _Plan, streams: Streams) -> str:
    """Return a digest that is the same only if an interrupted `prepare` can be continued with this plan."""
    digest = hashlib.sha256(plan.header.to_bytes())
    digest.update(repr((streams.files, plan.at_once, list(streams.splits))).encode())
    for labels in plan.labels.values():
        digest.update(labels.data)
    return digest.hexdigest()


class _Journal:
    """The progress, in a small file in the same folder as the unfinished one."""

    def __init__(self, target: Path, file: int, plan: str) -> None:
        self._path, self._identity = target.with_name(f".{target.name}.json"), {"plan": plan, "file": file}
        self.chunks = self.buckets = 0
        with contextlib.suppress(OSError, ValueError, RecursionError, TypeError, KeyError):
            saved = json.loads(self._path.read_text("utf-8"))
            if {**saved, **self._identity} == saved:
                self.chunks, self.buckets = int(saved["chunks"]), int(saved["buckets"])

    def save(self) -> None:
        """Write the progress. A power cut is safe before and after this."""
        facts = {**self._identity, "chunks": self.chunks, "buckets": self.buckets}
        files.write(self._path, json.dumps(facts))

    def remove(self) -> None:
        """Remove the small file, because the store is complete."""
        files.remove(self._path)
        files.remove_parts_of(self._path)


@dataclass(eq=False)
class _Work:
    """The passes: over the source, over the buckets, and over the result."""

    streams: Streams
    plan: _Plan
    part: growing_file.UnderWay
    journal: _Journal
    tell: Callable[[int], None]
    done: int = 0  # bytes

    @property
    def places(self) -> Places:
        """The place of everything in the file."""
        return self.plan.header.places()

    def scatter(self) -> None:
        """Do the first pass: write each picture to its split, and training pictures into their buckets."""
        plan, journal = self.plan, self.journal
        picture = plan.header.picture
        begins = np.concatenate([[0], np.cumsum(plan.sizes)])[:-1] + plan.gap
        filled = np.zeros(len(plan.sizes), dtype=np.int64)
        written = dict.fromkeys(SPLITS, 0)  # pictures in each split but the training split
        for at, (split, pixels) in enumerate(self._source()):
            first = plan.chunks[at][1]
            rows = slice(first, min(first + plan.at_once, len(plan.labels[split])))
            goes_to = plan.goes_to[split][rows]
            for place, name in enumerate(SPLITS[:-1]):
                here = np.flatnonzero(goes_to == place)
                if pixels is not None and len(here):
                    where = self.places.pixels[name] + written[name] * picture
                    self.part.write(where, np.ascontiguousarray(pixels[here]))
                written[name] += len(here)
            if split == "train":
                here = np.flatnonzero(goes_to == SPLITS.index("train"))
                buckets = plan.buckets[rows][here]
                counts = np.bincount(buckets, minlength=len(filled))
                if pixels is not None:
                    sorted_ = pixels[here[np.argsort(buckets, kind="stable")]]
                    ends = np.cumsum(counts)
                    for bucket in np.flatnonzero(counts).tolist():
                        some = sorted_[ends[bucket] - counts[bucket] : ends[bucket]]
                        where = self.places.pixels["train"] + int(begins[bucket] + filled[bucket]) * picture
                        self.part.write(where, some)
                filled += counts
            self.done += len(goes_to) * picture
            if pixels is not None:
                self.part.sync()
                journal.chunks = at + 1
                journal.save()
            self.tell(self.done)

    def _source(self) -> Iterator[tuple[str, Any]]:
        """Yield the chunks of the source with their split; None instead of chunks that an earlier call has done."""
        done, at = self.journal.chunks, 0
        for split, stream in self.streams.splits.items():
            firsts = [first for chunk_split, first in self.plan.chunks if chunk_split == split]
            skipped = min(max(done - at, 0), len(firsts))
            yield from ((split, None) for _ in range(skipped))
            at += len(firsts)
            if skipped < len(firsts):
                yield from ((split, pixels) for pixels in stream.chunks(self.plan.at_once, firsts[skipped]))

    def settle(self) -> None:
        """Do the second pass: shuffle each bucket and move it to its final place."""
        plan, journal, picture = self.plan, self.journal, self.plan.header.picture
        at = self.places.pixels["train"]
        begin = 0
        for bucket, count in enumerate(plan.sizes.tolist()):
            if bucket >= journal.buckets:
                pixels = np.empty((count, picture), dtype=np.uint8)
                self.part.read_into(at + (begin + plan.gap) * picture, pixels)
                self.part.write(at + begin * picture, pixels[self._order(bucket, count)])
                # The bucket must reach the disk before it is recorded, and be recorded before the next one overwrites
                # its old place.
                self.part.sync()
                journal.buckets = bucket + 1
                journal.save()
            begin += count
            self.done += count * picture
            self.tell(self.done)

    def _order(self, bucket: int, count: int) -> Int64[np.ndarray, " count"]:
        """Return the random order of a bucket's pictures, which are in the order of the source."""
        seed = seed_of(self.plan.header.seed, bucket, PREPARE)
        return np.random.Generator(np.random.PCG64(seed)).permutation(count)

    def sum_up(self) -> Header:
        """Read all pixels again, write the tables and names, and return the header with all its digests."""
        header = self.plan.header
        sections = {}
        for name, section in header.splits.items():
            labels, rows = self._labels_and_rows(name)
            fingerprint = hashlib.sha256(repr(((section.count, *header.shape), header.classes)).encode())
            fingerprint.update(labels.data)
            values = np.zeros((header.shape[0], 256), dtype=np.int64)
            checksums = []
            buffer = np.empty((header.block, header.picture), dtype=np.uint8)
            for first in range(0, section.count, header.block):
                block = buffer[: min(header.block, section.count - first)]
                self.part.read_into(self.places.pixels[name] + first * header.picture, block)
                checksums.append(zlib.crc32(block.data))
                fingerprint.update(block.data)
                values += value_counts(block.reshape(-1, *header.shape))
                self.done += block.size
                self.tell(self.done)
            tables = b"".join(table.tobytes() for table in (labels, rows, values, np.array(checksums, dtype=np.uint32)))
            self.part.write(self.places.tables[name][0], tables)
            sections[name] = replace(
                section, fingerprint=fingerprint.hexdigest(), tables=hashlib.sha256(tables).hexdigest()
            )
        for split, names in self.plan.names.items():
            self.part.write(self.places.names[split][0], names)
        return replace(header, splits=sections)

    def _labels_and_rows(self, name: str) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Return the labels of a split's pictures and their rows in the source, in the order of the store."""
        plan, origin = self.plan, self.plan.header.splits[name].origin
        rows = np.flatnonzero(plan.goes_to[origin] == SPLITS.index(name))
        if name == "train":
            rows = rows[np.argsort(plan.buckets[rows], kind="stable")]
            ends = np.cumsum(plan.sizes)
            for bucket, (end, count) in enumerate(zip(ends.tolist(), plan.sizes.tolist(), strict=True)):
                rows[end - count : end] = rows[end - count : end][self._order(bucket, count)]
        return plan.labels[origin][rows], rows
