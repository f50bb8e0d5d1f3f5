"""What `-` stands for: a picture from standard input, or a list of paths."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from ..ship.answer import Answer

STDIN = Path("-")
AT_ONCE = 1 << 16  # bytes
LONGEST = 1 << 16  # bytes of a path; systems take 4,096

# How files of the formats that are read begin. A BMP has four empty bytes, so that BMW/1.jpg is not one.
_PICTURE = re.compile(
    rb"\x89PNG|\xff\xd8|GIF8[79]a|BM.{4}\0\0\0\0|(II\*|II\+)\0|MM\0[*+]|RIFF.{4}WEBP|P[1-7fF][ \t\r\n]+[#\d]", re.DOTALL
)
# What paths hardly have, and files that are not text have soon.
_NOT_TEXT = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]")


def from_stdin() -> Any:
    """Return the picture that standard input holds, as an open file; or an iterator of paths if it is a list of these.

    In a list, each path stands on a line of its own, or ends in a zero byte, as `find -print0` prints them. A path may
    also name a folder. The list is read as far as it is needed.

    If it is empty, or is not a list, the iterator gives an answer that says so.

    Raises:
        UsageError: Nothing comes from there, since it is the keyboard.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "- reads a picture, or a list of paths, from standard input, but nothing is sent there.",
            hint="sevensteps predict RUN - < cat.jpg",
        )
    from ..data.file_bytes import content_in

    source: Any = sys.stdin.buffer
    begin = source.read1(AT_ONCE)
    while 0 < len(begin) < 16 and (more := source.read1(AT_ONCE)):  # a pipe may give a few bytes at a time
        begin += more
    if not begin:
        from ..ship.answer import Answer

        hint = "Send a picture, or a list of paths: sevensteps predict RUN - < cat.jpg"
        return iter([Answer(str(STDIN), error="Standard input is empty.", hint=hint)])
    if not _PICTURE.match(begin) and not _NOT_TEXT.search(begin):
        return _paths(begin, source)
    picture = io.BytesIO(content_in(_Continued(begin, source), "standard input"))
    picture.name = str(STDIN)
    return picture


class _Continued:
    """An open file of which the beginning has been read."""

    def __init__(self, begin: bytes, source: Any) -> None:
        self._begin, self._source = begin, source

    def read(self, size: int) -> bytes:
        """Return the bytes of the file, at most so many."""
        rest: bytes = self._source.read(max(size - len(self._begin), 0))
        return self._begin + rest


def _paths(begin: bytes, source: Any) -> Iterator[Path | Answer]:
    """Yield the paths of a list, and an answer in the place where it turns out not to be one."""
    end, rest = (b"\0" if b"\0" in begin else b"\n"), b""
    content, idle = begin, 0  # bytes since the last path
    while content:
        idle += len(content)
        *lines, rest = (rest + content).split(end)
        for line in lines:
            if len(line) > LONGEST:
                yield _not_a_list()
                return
            if line.strip():
                yield _path_of(line)
                idle = len(rest)
        if idle > LONGEST:  # /dev/zero never ends
            yield _not_a_list()
            return
        content = source.read1(AT_ONCE)
    if rest.strip():
        yield _path_of(rest)


def _not_a_list() -> Answer:
    """Return the answer for what is no list of paths, or not any more."""
    from ..ship.answer import Answer

    return Answer(
        str(STDIN),
        error=f"Standard input is not a list of paths: no path ends within {LONGEST:,} bytes. The rest was not read.",
        hint="Send one path per line.",
    )


def _path_of(line: bytes) -> Path:
    """Return the path on a line, in the bytes that the system uses."""
    return Path(os.fsdecode(line.removesuffix(b"\r")))
