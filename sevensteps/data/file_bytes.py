"""The bytes of a picture file, wherever they come from: a path, an open file, or the bytes themselves."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ..base import files
from ..errors import DataError

LARGEST_FILE = 512 << 20  # bytes


def content_of(path: str | Path) -> bytes:
    """Read the bytes of a file.

    Args:
        path: The file.

    Raises:
        DataError: The file does not exist, cannot be read, is not a regular file or is too large.
    """
    try:
        return files.content(path, LARGEST_FILE)
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist.", hint="Give the path of a picture file, such as photos/dress.png."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).", hint="Name a picture file.") from error


def content_in(file: Any, name: str = "The picture") -> bytes:
    """Read the bytes of a picture from an open file.

    Args:
        file: A file opened for bytes; of an `io.BytesIO` everything is read, wherever it stands.
        name: The name by which errors call the picture.

    Raises:
        DataError: The file gives text, cannot be read or is too large.
    """
    try:
        content = file.getvalue() if isinstance(file, io.BytesIO) else file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise DataError(f"{name} cannot be read: {error}", hint="Open the file again.") from error
    if not isinstance(content, bytes):
        raise DataError(f"{name} gives text, and not bytes.", hint='Open the file for bytes: open(path, "rb").')
    if len(content) > LARGEST_FILE:
        raise DataError(f"{name} is too large: at most {LARGEST_FILE:,} bytes are read.", hint="Reduce its size.")
    return content


def file_in(picture: Any) -> tuple[bytes, str] | None:
    """Return the bytes of a picture that is a file, and the name by which errors call it; None for pixels.

    Args:
        picture: As for `decode.as_pixels`.

    Raises:
        DataError: The file cannot be read.
    """
    if isinstance(picture, (str, Path)):
        return content_of(picture), str(picture)
    if hasattr(picture, "read"):
        picture = content_in(picture)
    return (bytes(picture), "The picture") if isinstance(picture, (bytes, bytearray, memoryview)) else None
