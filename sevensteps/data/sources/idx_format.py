"""IDX files, plain or gzipped: the format of MNIST and its relatives.

The header has two zero bytes, a type byte, the number of dimensions, and each dimension as a big-endian 32-bit number.
The values follow. (http://yann.lecun.com/exdb/mnist/, "The IDX file format".)
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ...base import files
from ...base.words import counted
from ...errors import DataError

LARGEST = 1 << 32  # bytes; a header that promises more is considered damaged


LARGEST_STREAMED = 1 << 44  # the same where pictures are read in chunks and not kept


CHUNK = 1 << 20  # bytes read at once


_PIECE = 1 << 16  # the same for gzipped files, where the rest of a piece is copied


# A gzipped file may unpack to 64 MiB, or to 200 times its size if that is more. Fashion-MNIST's pictures shrink to
# half; deflate can shrink to a thousandth, so a file of a few MB could fill the memory.
LARGEST_UNPACKED, LARGEST_RATIO = 64 << 20, 200


DAMAGED_HEADER = "The header is damaged: copy or download the file again."


def read_idx(path: Path) -> UInt8[np.ndarray, "*shape"]:
    """Read the array of unsigned bytes in an IDX file; its first bytes, not its name, tell whether it is gzipped.

    No more is read than the header promises, and a header that promises more than the file can hold is an error, so a
    compressed file cannot fill the memory.

    Args:
        path: The file.

    Raises:
        DataError: The file is missing, not a regular file, not IDX, not of unsigned bytes, too short, too long, or
            damaged.
    """
    with _opened(path, LARGEST) as (file, largest):
        shape = _shape(file, path, LARGEST, largest)
        content = _content(file, path, math.prod(shape))
    try:
        return np.frombuffer(content, dtype=np.uint8).reshape(shape)
    except ValueError as error:  # an empty array whose dimensions are too large for NumPy
        raise DataError(f"{path}: no array can have the shape {shape}.", hint=DAMAGED_HEADER) from error


def read_shape(path: Path) -> tuple[int, ...]:
    """Return the shape in the header of an IDX file; the values are not read, and need not fit into memory.

    Args:
        path: The file.

    Raises:
        DataError: As `read_idx`.
    """
    with _opened(path, LARGEST_STREAMED) as (file, largest):
        return _shape(file, path, LARGEST_STREAMED, largest)


def read_chunks(path: Path, at_once: int, start: int = 0) -> Iterator[UInt8[np.ndarray, "chunk 1 height width"]]:
    """Give the pictures of an IDX file in chunks.

    Args:
        path: The file.
        at_once: Pictures in a chunk; the last one may have fewer.
        start: The number of the first picture, from 0.

    Raises:
        DataError: As `read_pixels`; that a file is too short or too long is noticed at its end.
    """
    with _opened(path, LARGEST_STREAMED) as (file, largest):
        shape = picture_shape(_shape(file, path, LARGEST_STREAMED, largest), path)
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
    """Open a file for reading its values, unpacked if they are gzipped, and give the number it can hold at most.

    Raises:
        DataError: Anything goes wrong inside the block.
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
    """The content of a gzipped file, with no more of it in memory than is asked for.

    `gzip.GzipFile` is not used: it steps through the name in a header byte by byte in Python, however long it is.
    """

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file, self._zlib, self._waiting = file, zlib.decompressobj(31), b""

    def read(self, size: int) -> bytes:
        """Read bytes.

        Args:
            size: How many; fewer come at the end.

        Raises:
            EOFError: The file ends within a member.
            zlib.error: The file is damaged.
        """
        content = bytearray()
        while len(content) < size:
            if self._zlib.eof:  # a gzip file is a sequence of members, perhaps padded with zeros
                self._waiting = self._zlib.unused_data
                while not (waiting := self._waiting.lstrip(b"\0")) and (more := self._file.read(_PIECE)):
                    self._waiting = more
                if not waiting:
                    self._waiting = b""
                    break
                self._waiting, self._zlib = waiting, zlib.decompressobj(31)
            more = self._waiting or self._file.read(_PIECE)
            piece = self._zlib.decompress(more, size - len(content))
            self._waiting = self._zlib.unconsumed_tail
            if not more and not piece and not self._zlib.eof:
                raise EOFError
            content += piece
        return bytes(content)


def _shape(file: io.BufferedIOBase | _Unzipped, path: Path, most: int, largest: int) -> tuple[int, ...]:
    """Read the shape in the header of a file that can hold `largest` bytes; more than `most` are an error.

    Raises:
        DataError: The file is not IDX, not of unsigned bytes, or too large.
    """
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
        if "idx" not in path.name.lower() and "ubyte" not in path.name.lower():
            raise DataError(
                f"{path} is not a file of pictures that can be read here.",
                hint="Name a folder, a zip or tar, a table (CSV, TSV, JSON lines, Parquet), arrays (.npz) or IDX.",
            )
        raise DataError(
            f"{path} is not an IDX file: it starts with {head.hex(' ') or 'nothing'}.",
            hint="Check the file; an IDX file starts with 00 00 08 and the number of dimensions.",
        )
    if head[2] != 8:
        raise DataError(
            f"{path} holds values of type 0x{head[2]:02x}, but pictures and labels are unsigned bytes (0x08).",
            hint="Save the array as unsigned bytes.",
        )
    sizes = file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DataError(f"{path} ends inside its header.", hint="Copy or download the file again.")
    shape = struct.unpack(f">{head[3]}I", sizes)
    size = math.prod(shape)
    if size > min(most, largest):
        limit = f"more than {most:,}" if size > most else f"but a file of its size can hold at most {largest:,}"
        raise DataError(
            f"{path}: its header promises {size:,} bytes, {limit}.",
            hint=DAMAGED_HEADER if size > most else "If the file is intact, unpack it first: gunzip FILE.",
        )
    return shape


def _content(file: io.BufferedIOBase | _Unzipped, path: Path, size: int, is_last: bool = True) -> bytearray:
    """Read `size` values.

    Raises:
        DataError: There are fewer, or more although these should be the last.
    """
    content = bytearray()  # grows with what is read, since a damaged header may promise gigabytes
    while len(content) < size and (chunk := file.read(min(size - len(content), CHUNK))):
        content += chunk
    if len(content) < size:
        raise DataError(
            f"{path} is too short: it has {len(content):,} of {size:,} values.",
            hint="Copy or download the file again.",
        )
    if is_last and file.read(1):
        raise DataError(f"{path} is longer than its header says ({size:,} values).", hint=DAMAGED_HEADER)
    return content


def picture_shape(shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    """Return the shape of a file of pictures as it is.

    Args:
        shape: The shape in its header.
        path: The file, for error messages.

    Raises:
        DataError: Pictures cannot have this shape.
    """
    if len(shape) != 3:
        raise DataError(
            f"{path} has {counted(len(shape), 'dimension')}, but pictures have 3.",
            hint="Name the file of pictures, not of labels.",
        )
    if 0 in shape[1:]:
        raise DataError(f"{path}: its pictures have no pixels ({shape}).", hint=DAMAGED_HEADER)
    return shape
