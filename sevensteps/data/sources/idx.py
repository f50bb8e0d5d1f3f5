"""IDX files, plain or gzipped: the format of MNIST and its relatives.

A header of two zero bytes, a type byte, the number of dimensions and each dimension as a big-endian 32-bit number;
then the values. (http://yann.lecun.com/exdb/mnist/, "The IDX file format".)
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ...base import files
from ...base.words import counted
from ...errors import DataError
from ..images import Images, Splits
from ..store.streams import Chunk, Stream, Streams

LARGEST = 1 << 32  # bytes; a header that promises more is taken for damage, not for data


LARGEST_STREAMED = 1 << 44  # where pictures go by and are not kept


CHUNK = 1 << 20  # bytes read at once


_PIECE = 1 << 16  # of gzipped ones, of which what a member leaves over is copied


# What a gzipped file may hold: any of 64 MiB, a larger one 200 times its own size. Fashion-MNIST's pictures shrink to
# half; deflate ends at a thousandth, where a file of some MB would fill the memory.
LARGEST_UNPACKED, LARGEST_RATIO = 64 << 20, 200


_ENDINGS = ("", ".gz")


def read_idx(path: Path) -> UInt8[np.ndarray, "*shape"]:
    """The array of unsigned bytes in an IDX file, gzipped or not (seen from its first bytes, not from its name).

    No more is read than the header promises, and a header that promises more than the file can hold is refused; so a
    compressed file cannot fill the memory.

    Raises:
        DataError: missing, no regular file, not IDX, another type than unsigned bytes, too short, too long, or
            damaged gzip.
    """
    with _opened(path, LARGEST) as (file, largest):
        shape = _shape(file, path, LARGEST, largest)
        content = _content(file, path, math.prod(shape))
    try:
        return np.frombuffer(content, dtype=np.uint8).reshape(shape)
    except ValueError as error:  # of nothing, and yet too large for NumPy
        raise DataError(f"{path}: no array has the shape {shape}.", hint="The header is damaged.") from error


def read_shape(path: Path) -> tuple[int, ...]:
    """What the header of an IDX file promises; the values are not read, and may be more than fit into memory.

    Raises:
        DataError: as `read_idx`.
    """
    with _opened(path, LARGEST_STREAMED) as (file, largest):
        return _shape(file, path, LARGEST_STREAMED, largest)


def read_chunks(path: Path, at_once: int, start: int = 0) -> Iterator[UInt8[np.ndarray, "chunk 1 height width"]]:
    """The pictures of an IDX file from number `start` on, so many at a time.

    Raises:
        DataError: as `read_pixels`; a file that is too short or too long is found out at its end.
    """
    with _opened(path, LARGEST_STREAMED) as (file, largest):
        shape = _checked_shape(_shape(file, path, LARGEST_STREAMED, largest), path)
        count, size = shape[0], math.prod(shape[1:])
        if isinstance(file, _Unzipped):
            for _ in range(start * size // CHUNK):
                file.read(CHUNK)
            file.read(start * size % CHUNK)
        else:
            file.seek(start * size, io.SEEK_CUR)
        for first in range(start, count, at_once):
            rows = min(at_once, count - first)
            content = _content(file, path, rows * size, is_last=first + rows == count)
            yield np.frombuffer(content, dtype=np.uint8).reshape(rows, 1, *shape[1:])


@contextlib.contextmanager
def _opened(path: Path, largest: int) -> Iterator[tuple[io.BufferedIOBase | _Unzipped, int]]:
    """The values of a file, unpacked where they are gzipped, and how many there can be.

    Raises:
        DataError: in the place of what goes wrong while they are read.
    """
    try:
        with files.regular(path, largest + 64) as (file, size):
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if zipped:
                yield _Unzipped(file), max(LARGEST_UNPACKED, LARGEST_RATIO * size)
            else:
                yield file, largest
    except EOFError as error:
        raise DataError(f"{path}: the gzip data ends too early.", hint="Copy or download the file again.") from error
    except zlib.error as error:
        raise DataError(f"{path}: damaged gzip data ({error}).", hint="Copy or download the file again.") from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}).", hint="Check the path and its permissions."
        ) from error


class _Unzipped:
    """What a gzipped file holds, no more of it in memory than is asked for.

    Not `gzip.GzipFile`, which steps through a header's name byte by byte in Python, as long as the file has it.
    """

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file, self._zlib, self._waiting = file, zlib.decompressobj(31), b""

    def read(self, size: int) -> bytes:
        """As many bytes, or fewer at the end.

        Raises:
            EOFError: the file ends within a member.
            zlib.error: damaged.
        """
        found = bytearray()
        while len(found) < size:
            if self._zlib.eof:  # a gzip file is a sequence of members, perhaps padded with zeros
                self._waiting = self._zlib.unused_data
                while not (waiting := self._waiting.lstrip(b"\0")) and (more := self._file.read(_PIECE)):
                    self._waiting = more
                if not waiting:
                    self._waiting = b""
                    break
                self._waiting, self._zlib = waiting, zlib.decompressobj(31)
            more = self._waiting or self._file.read(_PIECE)
            piece = self._zlib.decompress(more, size - len(found))
            self._waiting = self._zlib.unconsumed_tail
            if not more and not piece and not self._zlib.eof:
                raise EOFError
            found += piece
        return bytes(found)


def _shape(file: io.BufferedIOBase | _Unzipped, path: Path, most: int, largest: int) -> tuple[int, ...]:
    """The header, in a file that can hold `largest` bytes; more than `most` are not wanted.

    Raises:
        DataError: not IDX, another type than unsigned bytes, or larger.
    """
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
        raise DataError(
            f"{path}: not an IDX file (it starts with {head.hex(' ') or 'nothing'}).",
            hint="An IDX file starts with 00 00 08 and the number of dimensions.",
        )
    if head[2] != 8:
        raise DataError(
            f"{path}: holds values of type 0x{head[2]:02x}, and only unsigned bytes (0x08) are pictures or labels.",
            hint="Save the array as unsigned bytes.",
        )
    sizes = file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DataError(f"{path}: ends inside its header.", hint="Copy or download the file again.")
    shape = struct.unpack(f">{head[3]}I", sizes)
    size = math.prod(shape)
    if size > min(most, largest):
        what = f"more than {most:,}" if size > most else f"and a file of its size holds {largest:,} at most"
        raise DataError(
            f"{path}: its header promises {size:,} bytes, {what}.",
            hint="The header is damaged." if size > most else "If it is whole, unpack it first: gunzip FILE.",
        )
    return shape


def _content(file: io.BufferedIOBase | _Unzipped, path: Path, size: int, is_last: bool = True) -> bytearray:
    """So many values.

    Raises:
        DataError: there are fewer, or more although these are the last.
    """
    content = bytearray()  # grown by what is there, since a damaged header may promise gigabytes
    while len(content) < size and (chunk := file.read(min(size - len(content), CHUNK))):
        content += chunk
    if len(content) < size:
        raise DataError(
            f"{path}: too short: {len(content):,} of {size:,} values are there.",
            hint="Copy or download the file again.",
        )
    if is_last and file.read(1):
        raise DataError(f"{path}: longer than its header says ({size:,} values).", hint="The header is damaged.")
    return content


def load_idx(path: Path) -> Splits:
    """Pictures and labels from a folder of IDX files, or from one file of pictures with its labels beside it.

    Names are those of MNIST: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with `t10k` or
    `test` for the test split; each may end in `.gz`. Classes are named by their numbers, Fashion-MNIST's (known by
    the content of its labels) by their names.

    Raises:
        DataError: files that are missing, damaged or do not belong together.
    """
    pictures = find_pictures(path)
    sets = {split: (read_pixels(file), read_labels(labels_beside(file))) for split, file in pictures.items()}
    classes = class_names([labels for _, labels in sets.values()])
    images = {
        split: Images(pixels, labels.astype(np.int64), classes, split) for split, (pixels, labels) in sets.items()
    }
    splits = Splits(images["train"], images.get("test"), images.get("valid"), path.name)
    present = without_gaps(classes, [of_one.counts for of_one in images.values()])
    return splits if present == classes else splits.choose(present)


def find_pictures(path: Path) -> dict[str, Path]:
    """The files of pictures of each split: those in a folder, or the one that is named.

    Raises:
        DataError: the folder has none to train on.
    """
    if path.is_file():
        return {"train": path}
    pictures = {
        split: file
        for split, names in {"train": ("train",), "test": ("t10k", "test"), "valid": ("valid",)}.items()
        for name in names
        for ending in _ENDINGS
        if (file := path / f"{name}-images-idx3-ubyte{ending}").is_file()
    }
    if "train" not in pictures:
        raise DataError(
            f"{path}: holds no train-images-idx3-ubyte or train-images-idx3-ubyte.gz.",
            hint="Name a folder of IDX files as MNIST names them, or one file of pictures.",
        )
    return pictures


def read_pixels(path: Path) -> UInt8[np.ndarray, "n 1 height width"]:
    """Pictures from an IDX file of three dimensions, with the channel axis added.

    Raises:
        DataError: as `read_idx`, or the file does not have three dimensions, or one of them is 0.
    """
    pixels = read_idx(path)
    _checked_shape(pixels.shape, path)
    return pixels[:, None]


def read_picture_shape(path: Path) -> tuple[int, ...]:
    """How many pictures a file promises, their height and their width.

    Raises:
        DataError: as `read_pixels`.
    """
    return _checked_shape(read_shape(path), path)


def _checked_shape(shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    if len(shape) != 3:
        raise DataError(f"{path}: has {len(shape)} dimensions, and pictures have 3.", hint="Is it the labels file?")
    if 0 in shape[1:]:
        raise DataError(f"{path}: its pictures have no pixels ({shape}).", hint="The header is damaged.")
    return shape


def read_labels(path: Path) -> UInt8[np.ndarray, " n"]:
    """Labels from an IDX file of one dimension.

    Raises:
        DataError: as `read_idx`, or the file does not have one dimension.
    """
    labels = read_idx(path)
    if labels.ndim != 1:
        raise DataError(f"{path}: has {labels.ndim} dimensions, and labels have 1.", hint="Is it the pictures file?")
    return labels


def without_gaps(classes: tuple[str, ...], counts: Sequence[Mapping[str, int]]) -> tuple[str, ...]:
    """Only the classes that some picture has: a number below the largest that no label is names nothing.

    Classes that have real names stay, with or without pictures.
    """
    if not all(name.isdecimal() for name in classes):
        return classes
    present = tuple(name for name in classes if any(of_one[name] for of_one in counts))
    return present if len(present) >= 2 else classes


def labels_beside(pictures: Path) -> Path:
    """The labels file that belongs to a file of pictures, by MNIST's habit of naming."""
    name = pictures.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for ending in _ENDINGS:
        labels = pictures.with_name(name + ending)
        if labels.is_file() and labels != pictures:
            return labels
    raise DataError(
        f"{pictures}: no labels beside it (looked for {name} and {name}.gz).",
        hint="Put the labels file into the same folder under that name.",
    )


def class_names(label_sets: list[UInt8[np.ndarray, " _"]]) -> tuple[str, ...]:
    """Names for the classes: Fashion-MNIST's where the labels are its own, else the numbers up to the largest."""
    import hashlib

    from .fashion_facts import CLASSES, SHA256

    first = struct.pack(">2I", 0x801, len(label_sets[0])) + label_sets[0].tobytes()
    if hashlib.sha256(first).hexdigest() in SHA256.values():
        return CLASSES
    largest = max((int(labels.max()) for labels in label_sets if len(labels)), default=0)
    return tuple(str(number) for number in range(largest + 1))


def of_idx(path: Path) -> Streams:
    """The streams of IDX files; only their labels are read here.

    Raises:
        DataError: files that are missing, damaged or do not belong together.
    """

    pictures = find_pictures(path)
    streams, shapes, used = {}, set(), []
    for split, file in pictures.items():
        beside = labels_beside(file)
        count, height, width = read_picture_shape(file)
        labels = read_labels(beside)
        if len(labels) != count:
            raise DataError(
                f"{file}: {counted(count, 'picture')} but {counted(len(labels), 'label')}.",
                hint="Check that the two files belong together.",
            )
        shapes.add((1, height, width))
        streams[split] = Stream(labels, _chunks_in(file))
        for one in (file, beside):
            status = os.stat(one)
            used.append((str(one.absolute()), status.st_size, status.st_mtime_ns))
    if len(shapes) > 1:
        raise DataError(
            f"{path}: the pictures of its splits have different sizes.", hint="All splits need the same picture size."
        )
    classes = class_names([stream.labels for stream in streams.values()])
    counts = [
        dict(zip(classes, np.bincount(stream.labels, minlength=len(classes)).tolist(), strict=True))
        for stream in streams.values()
    ]
    return Streams(streams, classes, without_gaps(classes, counts), shapes.pop(), path.name, tuple(used))


def _chunks_in(file: Path) -> Callable[[int, int], Iterator[Chunk]]:

    return lambda at_once, start: read_chunks(file, at_once, start)
