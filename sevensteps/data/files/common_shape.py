"""The one shape that all pictures of a source get: this decides what is grey and which pictures keep their size."""

from __future__ import annotations

from collections.abc import Iterable

from ..decode import Seen, Shape

LARGEST_OWN = 64  # pixels a side: pictures that all have one size, at most this, keep it
USUAL = 64  # pixels a side that all others are resized to


def common_shape(headers: Iterable[Seen], size: int) -> Shape:
    """Return the shape that pictures with these headers are decoded to.

    They are grey if every one of them is grey, else in color. No more headers are read than can change the answer.

    Args:
        headers: What the header of each picture says.
        size: The side length asked for, in pixels; 0 keeps the size that all share if it is at most `LARGEST_OWN`.

    Returns:
        Channels, height and width.
    """
    sizes: set[tuple[int, int]] = set()
    channels, keeps_size = 1, not size
    for header in headers:
        sizes.add((header.width, header.height))
        channels = channels if header.is_grey else 3
        keeps_size = not size and len(sizes) == 1 and max(header.width, header.height) <= LARGEST_OWN
        if channels == 3 and not keeps_size:
            break
    if keeps_size and sizes:
        width, height = sizes.pop()
        return channels, height, width
    return channels, size or USUAL, size or USUAL
