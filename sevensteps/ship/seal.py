"""A mark at the end of an exported file, by which `export` knows that nobody has changed the file since."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Seal:
    """The SHA-256 of everything before it, with the text around it."""

    before: bytes
    after: bytes

    def added(self, content: bytes) -> bytes:
        """Return a file with the seal at its end.

        Args:
            content: The file without it.
        """
        return content + self.before + hashlib.sha256(content).hexdigest().encode() + self.after

    def is_intact(self, content: bytes) -> bool:
        """Return whether a file is as `added` returned it.

        Args:
            content: The file.
        """
        return content == self.added(content[: -len(self.before) - 64 - len(self.after)])
