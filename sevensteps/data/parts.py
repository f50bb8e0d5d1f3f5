"""How many parts a picture file has before its pixels: Pillow looks at each in Python, a million in some seconds."""

from __future__ import annotations

ALWAYS_FEW = 10_000  # parts


EACH = 128  # bytes that parts have on average where there are more


def has_many_parts(content: bytes) -> bool:
    """Return whether a PNG or JPEG has more parts than its size explains, as only hostile files do.

    Args:
        content: The bytes of the file.
    """
    most = ALWAYS_FEW + len(content) // EACH
    if content.startswith(b"\x89PNG"):
        return _chunks(content, most) > most
    return content.startswith(b"\xff\xd8") and _markers(content, most) > most


def _chunks(content: bytes, most: int) -> int:
    """Return the number of chunks of a PNG, counted until there are too many."""
    count, at = 0, 8
    while at < len(content) and count <= most:
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        count += 1
    return count


def _markers(content: bytes, most: int) -> int:
    """Return the number of markers and bytes between them in the head of a JPEG, counted until there are too many."""
    count, at = 0, 2
    while at + 4 <= len(content) and count <= most:
        kind = content[at + 1]
        if content[at] != 0xFF or kind in (0x00, 0xFF):  # not a marker, or bytes that fill the space before one
            at += 1
        elif kind == 0xDA:  # pixels begin
            break
        else:
            at += 2 if kind == 0x01 or 0xD0 <= kind <= 0xD9 else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        count += 1
    return count
