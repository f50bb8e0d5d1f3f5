"""Plain PNG files are read on a shorter way, with the pixels and the errors of Pillow's `Image.open`."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sevensteps.data.decode import Shape, decode, decode_and_look, look
from sevensteps.errors import DataError

RANDOM = np.random.default_rng(0)


def png(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def made(color: int, *chunks: bytes, rows: bytes, width: int = 3, height: int = 2, end: bytes = b"") -> bytes:
    """A PNG of chosen chunks."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
    body = [header, *chunks, chunk(b"IDAT", zlib.compress(rows)), end or chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def by_pillow(content: bytes, mode: str) -> np.ndarray | None:
    """The pixels, or None for a file that Pillow refuses."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
            pixels = np.asarray(image.convert(mode))
    except Exception:
        return None
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def by_us(content: bytes, shape: Shape) -> np.ndarray | None:
    try:
        return decode(content, shape)
    except DataError:
        return None


SMOOTH = np.add.outer(np.arange(23), np.arange(31)).astype(np.uint8)
GRAY = Image.fromarray(RANDOM.integers(0, 256, (23, 31), dtype=np.uint8))
COLOR = Image.fromarray(RANDOM.integers(0, 256, (23, 31, 3), dtype=np.uint8))


@pytest.mark.parametrize("image", [GRAY, COLOR, Image.fromarray(SMOOTH), Image.new("L", (31, 23), 7)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"compress_level": 9}, {"optimize": True}])
def test_its_pixels_are_those_of_pillow(image: Image.Image, mode: str, options: dict[str, object]) -> None:
    content = png(image, **options)
    shape = (1 if mode == "L" else 3, 23, 31)
    np.testing.assert_array_equal(decode(content, shape), by_pillow(content, mode))
    seen, pixels = decode_and_look(content, shape)
    assert seen == look(content) == (31, 23, image.mode == "L", "bytes")
    np.testing.assert_array_equal(pixels, decode(content, shape))


def test_another_size_is_fitted_as_before() -> None:
    expected = GRAY.resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode(png(GRAY), (1, 8, 8))[0], np.asarray(expected))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_damaged_byte_is_taken_as_pillow_takes_it(mode: str) -> None:
    image = Image.fromarray(SMOOTH[:5, :7]).convert(mode)
    content, shape = png(image, gamma=0.45, dpi=(72, 72)), (1 if mode == "L" else 3, 5, 7)
    for place in range(len(content)):
        for other in (content[:place], content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]):
            ours, theirs = by_us(other, shape), by_pillow(other, mode)
            if theirs is None:
                assert ours is None, place
            elif theirs.shape == shape:
                np.testing.assert_array_equal(ours, theirs, err_msg=str(place))  # type: ignore[arg-type]


def test_chunks_that_change_the_pixels_are_heeded() -> None:
    rows = b"\0\1\2\3" + b"\0\4\5\6"
    turned = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\3\0\0\0\0\0\0")
    assert decode(made(0, turned, rows=rows), (1, 2, 3)).tolist() == [[[6, 5, 4], [3, 2, 1]]]
    clear = chunk(b"tRNS", b"\0\5")
    assert decode(made(0, clear, rows=b"\0\xff\xff\xff\0\xff\5\xff"), (1, 2, 3))[0, 1, 1] == 0
    noted = PngInfo()
    noted.add_text("Comment", "a line of text")
    np.testing.assert_array_equal(decode(png(GRAY, pnginfo=noted), (1, 23, 31))[0], np.asarray(GRAY))


@pytest.mark.parametrize(
    "content",
    [
        made(0, rows=b"\0\1\2\3"),  # a row is missing
        made(0, rows=b"\0\1\2\3\x09\4\5\6"),  # a filter that there is not
        made(0, rows=b"", width=0),
        made(0, rows=b"\0\1\2\3" * 2, end=b"\0\0\0\0IEND\0\0\0\0"),
        made(0, chunk(b"gAMA", b"\0"), rows=b"\0\1\2\3" * 2),
        b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""),
    ],
)
def test_a_damaged_one_is_refused_where_pillow_refuses(content: bytes) -> None:
    theirs, ours = by_pillow(content, "L"), by_us(content, (1, 2, 3))
    assert (ours is None) == (theirs is None)


def test_several_parts_are_one_picture() -> None:
    packed = zlib.compress(b"\0\1\2\3\0\4\5\6")
    parts: Callable[[int], bytes] = lambda at: chunk(b"IDAT", packed[:at]) + chunk(b"IDAT", packed[at:])  # noqa: E731
    whole = made(0, rows=b"\0\1\2\3\0\4\5\6")
    for at in range(len(packed) + 1):
        content = whole[:33] + parts(at) + chunk(b"IEND", b"")
        assert decode(content, (1, 2, 3)).tolist() == [[[1, 2, 3], [4, 5, 6]]]
