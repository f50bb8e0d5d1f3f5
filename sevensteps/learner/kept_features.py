"""Features in the user's cache: one row for each picture, found by what it was computed from.

The cache is an SQLite database, which loses no row that was written and lets several processes write. It is optional:
where it is damaged or cannot be written, features are computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ..base.files import make_folder, remove
from ..base.user_folders import cache_folder
from ..errors import FileError

VERSION = 1  # of the database


WAIT = 10.0  # seconds for another process that writes


Say = Callable[[str], None]


def place() -> Path:
    """Return the path of the database."""
    return cache_folder() / "features" / f"features-{VERSION}.sqlite"


def key_of(made_with: str, content: bytes) -> bytes:
    """Return the key of a row: SHA-256 of what the features are computed with, and of the picture.

    Args:
        made_with: The weights and the preprocessing, in a form that differs if either does.
        content: The bytes of the picture's file.
    """
    return hashlib.sha256(made_with.encode() + b"\0" + hashlib.sha256(content).digest()).digest()


class KeptFeatures:
    """The rows in the cache, as a context: leaving it closes the database.

    Args:
        say: Takes a line if the cache is damaged or cannot be used.
    """

    def __init__(self, say: Say = lambda line: None) -> None:
        self._say = say
        self._database: sqlite3.Connection | None = None

    def __enter__(self) -> KeptFeatures:
        try:
            self._database = _opened(place())
        except sqlite3.DatabaseError as error:
            self._end(error)
        except FileError as error:
            self._give_up(error.message)
        return self

    def __exit__(self, *raised: object) -> None:
        self._close()

    def find(self, keys: Sequence[bytes], width: int) -> list[UInt8[np.ndarray, " width"] | None]:
        """Return the row of each key; None where there is none, or a damaged one.

        Args:
            keys: As `key_of` returns them.
            width: The number of features in a row.
        """
        rows: list[np.ndarray | None] = [None] * len(keys)
        try:
            for number, key in enumerate(keys):
                if self._database is None:
                    break
                found = self._database.execute("SELECT row, checksum FROM features WHERE key = ?", (key,)).fetchone()
                if found and len(found[0]) == width and zlib.crc32(key + found[0]) == found[1]:
                    rows[number] = np.frombuffer(found[0], dtype=np.uint8)
        except sqlite3.DatabaseError as error:
            self._end(error)
        return rows

    def add(self, rows: Iterable[tuple[bytes, UInt8[np.ndarray, " width"]]]) -> None:
        """Write rows; those of the same key are replaced.

        Args:
            rows: Keys and features.
        """
        if self._database is None:
            return
        contents = [(key, row.tobytes()) for key, row in rows]
        values = [(key, content, zlib.crc32(key + content)) for key, content in contents]
        try:
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", values)
        except sqlite3.Error as error:
            self._give_up(error)

    def _end(self, error: sqlite3.DatabaseError) -> None:
        """Replace the database if it is damaged; else, as where another process keeps it locked, go on without it."""
        if _is_damage(error):
            self._say(f"The cached features are damaged ({error}); they are computed again.")
            self._begin_again()
        else:
            self._give_up(error)

    def _begin_again(self) -> None:
        """Replace a damaged database by an empty one."""
        self._close()
        try:
            for path in (place(), *(place().with_name(place().name + end) for end in ("-journal", "-wal", "-shm"))):
                remove(path)
            self._database = _opened(place())
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def _give_up(self, error: object) -> None:
        """Go on without the cache, and say so."""
        self._close()
        self._say(f"The features cannot be kept in the cache ({error}); the next start computes them again.")

    def _close(self) -> None:
        """Close the database."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None


def _opened(path: Path) -> sqlite3.Connection:
    """Open the database, and make it if there is none."""
    make_folder(path.parent)
    database = sqlite3.connect(path, timeout=WAIT, check_same_thread=False)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"its version is {version}")
        with database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, row BLOB, checksum INTEGER) WITHOUT ROWID"
            )
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("SELECT key, row, checksum FROM features LIMIT 1")
    except BaseException:
        database.close()
        raise
    return database


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Return whether an error comes from the content of the file, not from the disk or its permissions."""
    return not isinstance(error, sqlite3.OperationalError) or "no such column" in str(error)
