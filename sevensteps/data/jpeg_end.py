"""A JPEG that lacks only its end mark has all its pixels, and most programs show it; Pillow calls it truncated."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np

_END = b"\xff\xd9"

# Markers (ITU-T T.81, table B.1): those without a segment, and those that begin a picture, a scan, or restarts.
_ALONE = {0x01, *range(0xD0, 0xD9)}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _RESTARTS = 0xDA, 0xDD

# Data in place of the end, with each pattern of first bits: pixels that are missing become others by one of these. None
# has a byte of 255, which is how a marker begins.
_OTHER_DATA = tuple(bytes((37 * number + 32 * start + 11) % 251 for number in range(4096)) for start in range(8))


def is_without_end(content: bytes) -> bool:
    """Return whether a JPEG ends within or after its last scan, without an end mark.

    Args:
        content: The bytes of the file.
    """
    return not content.endswith(_END) and all(marker != _END[1] for marker, _ in _segments(content))


def with_end(content: bytes) -> bytes:
    """Return a JPEG with its end mark; unchanged if more than the mark is missing.

    If all scans are there, and all pixels of the last one, whatever follows them changes nothing.

    Args:
        content: The bytes of a JPEG without an end mark, small enough to be decoded.

    Raises:
        OSError: It cannot be decoded.
    """
    segments = [*_segments(content)]
    if not _has_all_scans(segments):
        return content
    cut = content.removesuffix(_END[:1])  # where half of the mark is there
    whole = _pixels(cut + _END)
    others = [*_OTHER_DATA]
    if any(marker == _RESTARTS for marker, _ in segments):
        others += [bytes([0xFF, 0xD0 + number]) + _OTHER_DATA[0] for number in range(8)]
    is_whole = all(np.array_equal(whole, _pixels(cut + data + _END)) for data in others)
    return cut + _END if is_whole else content


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Give each marker that has a segment, with that; and the end mark."""
    at = 2
    while (at := content.find(b"\xff", at)) >= 0 and at + 1 < len(content):
        marker = content[at + 1]
        if marker == _END[1]:
            yield marker, b""
            return
        if marker in _ALONE or marker in (0x00, 0xFF):  # a restart, a byte of 255 in the data, or filling
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        segment = content[at + 4 : at + 2 + length]
        if len(segment) == length - 2:
            yield marker, segment
        at += 2 + max(length, 2)


def _has_all_scans(segments: list[tuple[int, bytes]]) -> bool:
    """Return whether the scans hold every coefficient of every component to its last bit."""
    frame = next((segment for marker, segment in segments if marker in _FRAMES), b"")
    missing = {(frame[at], k) for at in range(6, len(frame), 3) for k in range(64)}
    for marker, segment in segments:
        if marker == _SCAN and len(segment) >= 4 and len(segment) == 4 + 2 * segment[0]:
            first, last, bits = segment[-3:]
            if bits & 15 == 0:  # no bit is left for a later scan
                missing -= {(part, k) for part in segment[1:-3:2] for k in range(first, last + 1)}
    return bool(frame) and not missing


def _pixels(content: bytes) -> np.ndarray:
    """Decode a JPEG that has an end mark."""
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=("JPEG", "MPO")) as image:
        return np.asarray(image)
