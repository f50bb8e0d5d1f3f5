"""Tests of `decode`: every kind of picture becomes the right pixels, and every kind of damage an error."""

from __future__ import annotations

import gc
import io
import os
import re
import struct
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import TURNS
from PIL import Image

from sevensteps.data.decode import Fit, Seen, as_pixels, decode, from_image, look, read_picture
from sevensteps.data.images import Splits
from sevensteps.errors import DataError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
COLOR = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return the picture as the bytes of a file."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def luma(color: np.ndarray) -> np.ndarray:
    """Return ITU-R 601 grey of `(h, w, 3)` as floats."""
    return color.astype(float) @ [0.299, 0.587, 0.114]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_a_grey_picture_comes_out_as_it_is_in_every_format(kind: str) -> None:
    np.testing.assert_array_equal(decode(file_of(Image.fromarray(GREY), kind), (1, 5, 7))[0], GREY)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_a_color_picture_comes_out_as_it_is_in_every_format(kind: str) -> None:
    np.testing.assert_array_equal(decode(file_of(Image.fromarray(COLOR), kind), (3, 5, 7)), COLOR.transpose(2, 0, 1))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_lossy_picture_comes_out_as_pillow_has_it(kind: str) -> None:
    content = file_of(Image.fromarray(COLOR), kind)
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(decode(content, (3, 5, 7)), np.asarray(image).transpose(2, 0, 1))


def test_pixels_are_bytes_in_one_piece() -> None:
    for shape in ((1, 5, 7), (3, 5, 7)):
        pixels = decode(file_of(Image.fromarray(COLOR)), shape)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous


def test_color_becomes_grey_and_grey_becomes_color() -> None:
    grey = decode(file_of(Image.fromarray(COLOR)), (1, 5, 7))
    np.testing.assert_allclose(grey[0], luma(COLOR), atol=1)
    color = decode(file_of(Image.fromarray(GREY)), (3, 5, 7))
    np.testing.assert_array_equal(color, np.stack([GREY] * 3))


def test_black_and_white_becomes_0_and_255() -> None:
    bits = Image.fromarray(GREY > 128)
    assert bits.mode == "1"
    np.testing.assert_array_equal(decode(file_of(bits), (1, 5, 7))[0], np.where(GREY > 128, 255, 0))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_is_put_on_black(kind: str, channels: int) -> None:
    alpha = RANDOM.integers(0, 256, (5, 7, 1), dtype=np.uint8)
    content = file_of(Image.fromarray(np.concatenate([COLOR, alpha], axis=2)), kind, lossless=True)
    expected = COLOR * (alpha / 255)
    pixels = decode(content, (channels, 5, 7))
    np.testing.assert_allclose(pixels, luma(expected)[None] if channels == 1 else expected.transpose(2, 0, 1), atol=2)


def test_grey_with_transparency_is_put_on_black() -> None:
    alpha = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
    image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)])
    np.testing.assert_allclose(decode(file_of(image), (1, 5, 7))[0], GREY * (alpha / 255), atol=1)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palettes_transparent_entry_is_black(kind: str) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8))
    image = image.convert("P")
    image.putpalette([250, 0, 0, 0, 240, 0, 0, 0, 230])
    pixels = decode(file_of(image, kind, transparency=1), (3, 2, 2))
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), [[[250, 0, 0], [0, 0, 0]], [[0, 0, 230], [0, 0, 0]]])


def test_a_transparent_color_without_an_alpha_channel_is_black() -> None:
    image = Image.fromarray(np.array([[[9, 8, 7], [101, 2, 3]]], dtype=np.uint8))
    pixels = decode(file_of(image, transparency=(9, 8, 7)), (3, 1, 2))
    np.testing.assert_array_equal(pixels[:, 0].T, [[0, 0, 0], [101, 2, 3]])


def test_cmyk_comes_out_as_pillow_has_it() -> None:
    image = Image.fromarray(COLOR).convert("CMYK")
    pixels = decode(file_of(image, "TIFF"), (3, 5, 7))
    np.testing.assert_array_equal(pixels, COLOR.transpose(2, 0, 1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_and_not_clipped(kind: str) -> None:
    deep = RANDOM.integers(0, 65536, (5, 7)).astype(np.uint16)
    deep[0, :2] = 0, 65535
    pixels = decode(file_of(Image.fromarray(deep), kind), (1, 5, 7))
    np.testing.assert_allclose(pixels[0], deep / 257, atol=0.5)
    assert pixels[0, 0, :2].tolist() == [0, 255]


def test_floats_are_scaled_and_what_is_not_finite_is_black() -> None:
    values = np.array([[0.0, 0.5, 1.0], [np.nan, np.inf, -np.inf]], dtype=np.float32)
    assert from_image(Image.fromarray(values), (1, 2, 3))[0].tolist() == [[0, 128, 255], [0, 0, 0]]
    assert decode(file_of(Image.fromarray(values * 1000), "TIFF"), (1, 2, 3))[0].tolist() == [
        [0, 128, 255],
        [0, 0, 0],
    ]


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_picture_is_turned_as_its_orientation_says(orientation: int, kind: str) -> None:
    image = Image.fromarray(GREY)
    exif = image.getexif()
    exif[0x0112] = orientation
    expected = TURNS[orientation](GREY)
    pixels = decode(file_of(image, kind, exif=exif), (1, *expected.shape))
    np.testing.assert_array_equal(pixels[0], expected)


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.fromarray(np.full((4, 4), value, dtype=np.uint8)) for value in (10, 200, 100)]
    content = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(content, (1, 4, 4)) == 10).all()


def test_another_size_is_squashed_with_antialiasing() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (16, 8))
    small = decode(file_of(Image.fromarray(stripes)), (1, 4, 4))
    assert small.shape == (1, 4, 4)
    assert ((small > 90) & (small < 165)).all()  # nearest neighbors would be 0 or 255
    expected = np.asarray(Image.fromarray(GREY).resize((9, 3), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode(file_of(Image.fromarray(GREY)), (1, 3, 9))[0], expected)


def test_a_letterbox_keeps_the_whole_picture_and_pads_with_black() -> None:
    wide = np.full((10, 40), 200, dtype=np.uint8)
    pixels = decode(file_of(Image.fromarray(wide)), (1, 20, 20), fit="letterbox")[0]
    np.testing.assert_array_equal(pixels[7:12], 200)
    assert not pixels[:7].any()
    assert not pixels[12:].any()
    tall = decode(file_of(Image.fromarray(wide.T)), (3, 20, 20), fit="letterbox")
    np.testing.assert_array_equal(tall, np.stack([pixels.T] * 3))


def test_a_crop_fills_the_picture_and_takes_its_middle() -> None:
    striped = np.repeat(np.array([0, 100, 200, 50], dtype=np.uint8), 10)[None].repeat(10, axis=0)
    pixels = decode(file_of(Image.fromarray(striped)), (1, 10, 20), fit="crop")[0]
    np.testing.assert_array_equal(pixels, striped[:, 10:30])
    np.testing.assert_array_equal(
        decode(file_of(Image.fromarray(striped.T.copy())), (1, 20, 10), fit="crop")[0], pixels.T
    )


@pytest.mark.parametrize("fit", ["letterbox", "squash", "crop"])
@pytest.mark.parametrize("size", [(1, 999), (999, 1), (1, 1), (7, 5), (64, 64), (63, 65)])
def test_every_fit_gives_the_shape_that_is_asked_for_and_one_color_stays_itself(
    fit: Fit, size: tuple[int, int]
) -> None:
    content = file_of(Image.new("L", size, 90))
    for shape in ((1, 5, 7), (3, 8, 8), (1, 1, 1)):
        pixels = decode(content, shape, fit=fit)
        assert pixels.shape == shape
        assert set(pixels.ravel().tolist()) <= ({0, 90} if fit == "letterbox" else {90})
    if size == (7, 5):
        np.testing.assert_array_equal(decode(content, (1, 5, 7), fit=fit), 90)


@pytest.mark.parametrize(
    ("image", "is_grey"),
    [
        (Image.fromarray(GREY), True),
        (Image.fromarray(GREY > 128), True),
        (Image.fromarray(GREY.astype(np.uint16) * 256), True),
        (Image.fromarray(GREY).convert("LA"), True),
        (Image.fromarray(GREY).convert("P"), True),
        (Image.fromarray(GREY).convert("RGB"), False),
        (Image.fromarray(COLOR), False),
        (Image.fromarray(COLOR).convert("P"), False),
        (Image.fromarray(COLOR).convert("RGBA"), False),
    ],
)
def test_the_header_says_the_size_and_whether_there_is_color(image: Image.Image, is_grey: bool) -> None:
    assert look(file_of(image)) == Seen(7, 5, is_grey, "integers" if image.mode == "I;16" else "bytes")


def test_the_size_that_a_header_says_is_that_of_the_picture_as_it_is_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        (tmp_path / "turned").write_bytes(file_of(Image.fromarray(COLOR), kind, exif=exif))
        assert look((tmp_path / "turned").read_bytes()) == Seen(5, 7, is_grey=False), kind


@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"<html>", "known format")])
def test_a_file_without_a_picture_s_header_is_named(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=f"a.jpg {words}|a.jpg is not a picture in a {words}"):
        look(content, "a.jpg")


def test_the_embedded_pictures_go_through_a_file_unchanged(splits: Splits) -> None:
    for pixels in splits.train.pixels[:20]:
        np.testing.assert_array_equal(decode(file_of(Image.fromarray(pixels[0])), (1, 28, 28)), pixels)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", bytes(1000), b"\x89PNG\r\n\x1a\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4"],
)
def test_a_file_that_is_not_a_picture_is_named(content: bytes) -> None:
    with pytest.raises(DataError, match=r"notes\.txt") as caught:
        decode(content, (1, 28, 28), "notes.txt")
    assert caught.value.hint


def test_formats_that_run_programs_are_not_read() -> None:
    with pytest.raises(DataError, match="known format"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", (1, 9, 9))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_a_truncated_picture_is_named(kind: str) -> None:
    content = file_of(Image.fromarray(RANDOM.integers(0, 256, (20, 20), dtype=np.uint8)), kind)
    refused = 0
    for length in range(0, len(content), max(1, len(content) // 40)):
        try:
            decode(content[:length], (1, 20, 20), "the file")
        except DataError as error:
            refused += "the file" in error.message
    assert refused >= 30  # a few bytes at the end carry no pixels


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"quality": 100}], ids=str)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_that_lacks_only_its_end_mark_is_whole_and_one_that_lacks_more_is_not(
    mode: str, how: dict[str, Any]
) -> None:
    picture = Image.fromarray(RANDOM.integers(0, 256, (40, 56), dtype=np.uint8)).convert(mode)
    content = file_of(picture, "JPEG", **how)
    assert content.endswith(b"\xff\xd9")
    whole = decode(content, (1, 40, 56))
    for missing in (1, 2):
        np.testing.assert_array_equal(decode(content[:-missing], (1, 40, 56)), whole)
        assert look(content[:-missing]) == look(content)
    for missing in (4, 8, 40, len(content) // 2):
        with pytest.raises(DataError, match="is damaged") as caught:
            decode(content[:-missing], (1, 40, 56))
        assert re.search(r"[^.]\.$", caught.value.message), "one sentence before the hint"


def png_header(width: int, height: int) -> bytes:
    """Return a PNG whose header promises a size, but which holds no pixels."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"IDAT" + zlib.compress(b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


@pytest.mark.parametrize("side", [10_001, 12_000, 20_000, 2**31 - 1])
def test_too_many_pixels_are_refused_from_the_header(side: int) -> None:
    with pytest.raises(DataError, match="more than 100,000,000 pixels") as caught:
        decode(png_header(side, side), (1, 28, 28), "bomb.png")
    assert "bomb.png" in caught.value.message
    assert "attack" not in caught.value.message  # as Pillow says it
    assert caught.value.hint == "Reduce its size."


def test_a_side_that_no_picture_has_is_refused_from_the_header() -> None:
    with pytest.raises(DataError, match="a side of more than 1,000,000 pixels"):
        decode(png_header(1_000_001, 1), (1, 28, 28))


def test_an_animation_is_looked_at_only_as_far_as_its_first_picture() -> None:
    """In every format with frames, a canvas of too many pixels is refused from its header."""
    frames = [Image.fromarray(np.full((4, 4), value, dtype=np.uint8)) for value in (10, 200)]
    gif = bytearray(file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    gif[6:10] = struct.pack("<HH", 20_000, 20_000)
    webp = bytearray(file_of(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    place = webp.index(b"VP8X") + 12
    webp[place : place + 6] = (16_000).to_bytes(3, "little") * 2
    tiff = bytearray(file_of(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    for tag in (256, 257):
        place = tiff.index(struct.pack("<HHI", tag, 4, 1)) + 8
        tiff[place : place + 4] = struct.pack("<I", 20_000)
    for content in (gif, webp, tiff):
        with pytest.raises(DataError, match="more than 100,000,000 pixels"):
            decode(bytes(content), (1, 28, 28))


def slow_bmp(width: int, height: int) -> bytes:
    """Return a BMP with a few bytes of run-length encoding: one pixel and the end of the line, for each line."""
    palette, pixels = bytes(1024), b"\1\1\0\0" * height
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54 + len(palette))
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    return head + info + palette + pixels


def tiled_tiff(times: int, side: int = 100) -> bytes:
    """Return a TIFF whose strips, all at the same place, cover it many times."""
    pixels = bytes(side * side)
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    start = 8 + len(pixels)
    end = start + 2 + 12 * 8 + 4
    entries += [(273, 1, 2 * times, end), (278, 4, 1, side // 2)]
    directory = struct.pack("<H", 8) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", start) + pixels + directory + bytes([8] * 2 * times)


def png_with(chunk: bytes, times: int) -> bytes:
    """Return a small PNG with many copies of a chunk before its pixels."""
    content = file_of(Image.fromarray(GREY))
    whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return content[:33] + whole * times + content[33:]


def many_scans(times: int, side: int = 4000) -> bytes:
    """Return a progressive JPEG of one grey whose last scan is repeated many times."""
    content = file_of(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * times + content[-2:]


PROFILE = b"iCCPa\0\0" + zlib.compress(bytes(1 << 20))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(slow_bmp(10_000, 9_000), "slow to read", id="run lengths"),
        pytest.param(b"P5 3000 3000 100\n" + bytes(9_000_000), "slow to read", id="another largest value"),
        pytest.param(b"P2 3000 3000 9\n" + b"1 " * 9_000_000, "slow to read", id="digits"),
        pytest.param(b"P2 9 9 255\n" + b"#\n" * 500_000 + b"1 " * 81, "1,000 comments", id="comments"),
        pytest.param(many_scans(600), "many scans", id="scans"),
        pytest.param(tiled_tiff(100_000), "many times", id="tiles"),
        pytest.param(png_with(PROFILE, 1000), "color profiles", id="profiles"),
        pytest.param(png_with(b"zTXta\0\0" + zlib.compress(bytes(1 << 20)), 1000), "Too much memory", id="texts"),
    ],
)
def test_a_small_file_cannot_take_long(content: bytes, words: str) -> None:
    gc.freeze()  # so that leftovers of other tests do not count as time
    start = time.process_time()
    with pytest.raises(DataError, match=words):
        decode(content, (1, 28, 28))
    took = time.process_time() - start
    gc.unfreeze()
    assert took < 1


@pytest.mark.parametrize(
    "content",
    [
        slow_bmp(200, 100),
        b"P5 10 10 100\n" + bytes(100),
        b"P2 3 1 9\n#one\n1 #two\n2 3 ",
        many_scans(3, 100),
        tiled_tiff(4),
        png_with(PROFILE, 2),
        png_with(b"zTXta\0\0" + zlib.compress(b"x"), 50),
    ],
    ids=["run lengths", "another largest value", "digits", "scans", "tiles", "profiles", "texts"],
)
def test_what_is_odd_and_harmless_is_read(content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        pixels = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(decode(content, (1, height, width))[0], pixels)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_larger_than_what_is_converted_at_once_comes_out_whole(mode: str, channels: int) -> None:
    """1,100 x 1,300 pixels take two bands of rows, and must equal those of the file cut in two by hand."""
    values = RANDOM.integers(0, 65536 if mode in ("I;16", "I") else 256, (1300, 1100))
    if mode in ("I;16", "I", "F"):
        values[700, 3] = 65535  # the value that everything is scaled by is in the second band
        image = Image.fromarray(values.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    else:
        image = Image.fromarray(np.stack([values, values[::-1], values % 7], 2).astype(np.uint8))
        image = image.convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(values.astype(np.uint8)))
    whole = from_image(image, (channels, 1300, 1100))
    for top, bottom in ((0, 650), (650, 1300)) if mode != "F" else ((650, 1300),):
        half = from_image(image.crop((0, top, 1100, bottom)), (channels, 650, 1100))
        np.testing.assert_array_equal(whole[:, top:bottom], half)


@pytest.mark.slow
def test_a_large_picture_stays_in_memory_once() -> None:
    """A picture of 16 bits, converted all at once as 64-bit floats, would take 30 times the memory of its pixels."""
    content = file_of(Image.fromarray(np.zeros((2000, 2000), dtype=np.uint16)))
    tracemalloc.start()
    decode(content, (1, 28, 28))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000


SEEDS = [file_of(Image.fromarray(COLOR), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")]


@given(st.sampled_from(SEEDS), st.data())
def test_mutated_pictures_raise_nothing_but_data_errors(content: bytes, data: st.DataObject) -> None:
    mutated = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(mutated)))
    for bytes_ in (mutated, mutated[:cut], mutated[:cut] + mutated):
        try:
            pixels = decode(bytes(bytes_), (3, 4, 4))
        except DataError:
            continue
        assert pixels.shape == (3, 4, 4)


def test_channels_that_no_picture_has_are_refused() -> None:
    with pytest.raises(DataError, match="1 or 3 channels"):
        decode(file_of(Image.fromarray(GREY)), (2, 5, 7))


def test_a_picture_is_read_from_its_path(tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(file_of(Image.fromarray(GREY)))
    np.testing.assert_array_equal(read_picture(tmp_path / "grey.png", (1, 5, 7))[0], GREY)
    with pytest.raises(DataError, match="does not exist"):
        read_picture(tmp_path / "gray.png", (1, 5, 7))
    for path in (tmp_path, tmp_path / "zero\0"):
        with pytest.raises(DataError, match="cannot be read"):
            read_picture(path, (1, 5, 7))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such pipes")
def test_a_pipe_a_device_and_a_giant_are_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for a writer forever
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(DataError, match="a pipe or a device"):
            read_picture(path, (1, 5, 7))
    with (tmp_path / "giant.png").open("wb") as file:
        file.truncate(1 << 33)  # a sparse file takes no room on the disk
    with pytest.raises(DataError, match="at most 536,870,912 are read"):
        read_picture(tmp_path / "giant.png", (1, 5, 7))


def test_a_path_an_image_bytes_and_arrays_give_the_same_pixels(tmp_path: Path) -> None:
    content = file_of(Image.fromarray(GREY))
    (tmp_path / "grey.png").write_bytes(content)
    for picture in (
        tmp_path / "grey.png",
        str(tmp_path / "grey.png"),
        content,
        Image.fromarray(GREY),
        GREY,
        GREY[None],
        GREY.ravel(),
    ):
        np.testing.assert_array_equal(as_pixels(picture, (1, 5, 7)), GREY[None])


def test_an_open_file_gives_the_pixels_of_its_bytes(tmp_path: Path) -> None:
    content = file_of(Image.fromarray(GREY))
    (tmp_path / "grey.png").write_bytes(content)
    written = io.BytesIO()
    written.write(content)  # it stands at its end, as after Image.save
    for picture in (io.BytesIO(content), written, bytearray(content), memoryview(content)):
        np.testing.assert_array_equal(as_pixels(picture, (1, 5, 7)), GREY[None])
    with open(tmp_path / "grey.png", "rb") as file:
        np.testing.assert_array_equal(as_pixels(file, (1, 5, 7)), GREY[None])


def test_an_array_with_channels_last_is_a_picture_of_any_size() -> None:
    """As `np.asarray(Image.open(path))` gives it."""
    np.testing.assert_array_equal(as_pixels(COLOR, (3, 5, 7)), COLOR.transpose(2, 0, 1))
    for size in ((3, 5, 7), (3, 4, 9), (1, 6, 6)):
        expected = from_image(Image.fromarray(COLOR), size)
        np.testing.assert_array_equal(as_pixels(COLOR, size), expected)
    opaque = np.dstack([COLOR, np.full(COLOR.shape[:2], 255, dtype=np.uint8)])
    np.testing.assert_array_equal(as_pixels(opaque, (3, 5, 7)), COLOR.transpose(2, 0, 1))
    np.testing.assert_array_equal(as_pixels(GREY[:, :, None], (1, 5, 7)), GREY[None])


@pytest.mark.parametrize(
    "picture",
    [
        COLOR.transpose(2, 1, 0),  # if only the number of values counted, it would be scrambled and not refused
        COLOR.transpose(2, 0, 1).astype(np.float32),
        COLOR.astype(np.float32),
        COLOR[:0],
        io.StringIO("words"),
        GREY,
        None,
        "",
    ],
)
def test_arrays_of_another_shape_or_kind_are_refused(picture: Any) -> None:
    with pytest.raises(DataError) as caught:
        as_pixels(picture, (3, 5, 7))
    assert caught.value.hint
