"""Every kind of picture file, decoded by `decode` and by a decoder that shares no code with it."""

from __future__ import annotations

import hashlib
import io
import struct
import time
from collections import Counter

import decoders
import numpy as np
import pytest
from pictures import KINDS, TURNS, chunk, exif, noise, png_of, saved, tiff, twelve, with_chunks
from PIL import Image, ImageCms

from sevensteps.data.decode import FORMATS, decode, look
from sevensteps.data.on_white import decode_on_white, whole_on_white
from sevensteps.errors import DataError

# Every kind whose decoder comes with the extra `dev`, so that these are compared wherever the tests run.
ALWAYS = [name for name in KINDS if not name.startswith("WebP") and "lzw" not in name]


def shown(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Return `(h, w, 3)` from color and opacity, turned as displayed: on black, or on white for dark drawings."""
    color, opacity = 255 * picture[:, :, :3] * picture[:, :, 3:], picture[:, :, 3:]
    if color.max() <= 32 and np.ptp(opacity) > 0:
        color = color + 255 * (1 - opacity)
    return np.stack([TURNS[orientation](color[:, :, plane]) for plane in range(3)], axis=2)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_comes_out_as_an_independent_decoder_has_it(name: str) -> None:
    content, decoder, orientation = KINDS[name]
    expected = shown(decoder(content), orientation)
    height, width, _ = expected.shape
    # A step for rounding; another where Pillow takes the upper byte of 16 bits, or undoes a multiplied alpha.
    tolerance = 2 if "16" in name or "multiplied" in name else 1
    np.testing.assert_allclose(decode(content, (3, height, width)).transpose(1, 2, 0), expected, atol=tolerance)
    grey = expected @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(decode(content, (1, height, width))[0], grey, atol=tolerance + 0.5)
    seen = look(content)
    assert (seen.width, seen.height) == (width, height)
    # Pillow opens these as color pictures although they have no color.
    with_color = name.startswith("WebP") or "grey with alpha 16" in name
    assert seen.is_grey == (not with_color and np.ptp(expected, axis=2).max() == 0)


# Pillow cannot read these, although other readers can; the error says so.
UNREAD = {
    "12 bits, Motorola": tiff(twelve(noise(bits=12)), 12, 1, ">"),
    "grey 16, white is 0, Motorola": tiff(noise(bits=16).astype(">u2").tobytes(), 16, 0, ">"),
    "grey 32, white is 0": tiff(noise(bits=16).astype("<u4").tobytes(), 32, 0),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_tiff_of_a_kind_that_is_not_read_is_called_one(name: str) -> None:
    assert decoders.of_tiff(UNREAD[name]).shape == (7, 11, 4)
    with pytest.raises(DataError, match="or a TIFF of an unsupported kind") as caught:
        decode(UNREAD[name], (1, 7, 11))
    assert caught.value.hint == "Save it as PNG."


def test_they_are_more_than_120_and_no_two_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(ALWAYS) >= 120
    assert {Image.open(io.BytesIO(kind.content)).format for kind in KINDS.values()} >= set(FORMATS)
    assert len({hashlib.sha256(kind.content).digest() for kind in KINDS.values()}) == len(KINDS)
    counts = Counter(name.split(":")[0] for name in KINDS)
    with capsys.disabled():
        print(f"\n{len(KINDS)} kinds of pictures are decoded: {', '.join(f'{n} {of}' for of, n in counts.items())}")


def wide_gamut() -> bytes:
    """A color profile that is far from sRGB: its red and green are swapped (ICC.1, tags rXYZ and gXYZ)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_color_profile_is_ignored(kind: str) -> None:
    image, profile = Image.fromarray(noise(3)), wide_gamut()
    how = {"lossless": True} if kind == "WEBP" else {}
    plain, with_profile = saved(image, kind, **how), saved(image, kind, icc_profile=profile, **how)
    with Image.open(io.BytesIO(with_profile)) as opened:
        assert opened.info["icc_profile"] == profile
        srgb = ImageCms.createProfile("sRGB")
        turned = ImageCms.profileToProfile(opened, ImageCms.ImageCmsProfile(io.BytesIO(profile)), srgb)
        assert turned is not None
        # A reader that applies the profile would give other colors.
        assert np.abs(np.asarray(turned, dtype=int) - np.asarray(opened)).max() > 50
    np.testing.assert_array_equal(decode(with_profile, (3, 7, 11)), decode(plain, (3, 7, 11)))


@pytest.mark.parametrize(
    ("ink", "ground"), [((0, 0, 0), 255), ((20, 30, 10), 255), ((255, 255, 255), 0), ((60, 0, 0), 0)]
)
def test_a_drawing_on_nothing_is_seen_whatever_its_ink(ink: tuple[int, int, int], ground: int) -> None:
    """Most icons are black on a transparent ground; on black, nothing of them would be visible."""
    pixels = np.zeros((9, 9, 4), dtype=np.uint8)
    pixels[2:5, 3:7] = *ink, 255
    decoded = decode(png_of(pixels), (3, 9, 9)).transpose(1, 2, 0)
    assert (decoded[2:5, 3:7] == ink).all()
    assert (decoded[5:] == ground).all()
    assert np.ptp(decoded) > 50


@pytest.mark.parametrize(("light", "ground"), [(1, 255), (10, 255), (100, 0), (600, 0)])
def test_a_few_light_pixels_do_not_make_a_dark_drawing_vanish(light: int, ground: int) -> None:
    icon = np.zeros((64, 64, 4), dtype=np.uint8)
    icon[16:48, 16:48, 3] = 255
    places = np.unravel_index(np.arange(light), (32, 32))
    icon[16 + places[0], 16 + places[1], :3] = 255
    decoded = decode(saved(Image.fromarray(icon), "PNG"), (1, 64, 64))[0]
    assert (decoded[:16] == ground).all()
    assert (decoded[40:48, 16:48] == 0).all()


def test_what_is_as_dark_or_as_transparent_all_over_stays_black() -> None:
    for opacity in (0, 40, 255):
        assert not decode(png_of(np.full((9, 9, 4), [0, 0, 0, opacity], dtype=np.uint8)), (3, 9, 9)).any()


@pytest.mark.parametrize(("planes", "bits"), [(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (3, 8), (3, 16)])
@pytest.mark.parametrize("more", [0, 256], ids=["as a sample", "larger than samples"])
def test_the_transparent_value_of_a_png_is_in_the_terms_of_its_file(bits: int, planes: int, more: int) -> None:
    """Pillow scales the pixels to 8 bits, but not this value; of a larger one, it takes the lower bits."""
    more *= bits not in (1, 16)
    values = noise(planes, bits).reshape(7, 11, planes)
    values[2, 3] *= bits > 1  # what is black on a transparent ground is put on white
    values[2, 5:9] = values[2, 3]
    marked = values[2, 3].astype(int)
    body = struct.pack(f">{planes}H", *(marked + more))
    content = with_chunks(png_of(np.squeeze(values), bitdepth=bits), chunk(b"tRNS", body))
    if bits == 16:  # Pillow scales gray ones, and takes the upper half of colors
        eight = (values * (255 / 65535)).round() if planes == 1 else values >> 8
        marked = marked if planes == 1 else marked >> 8
        is_clear = ((values if planes == 1 else values >> 8) == marked).all(axis=2, keepdims=True)
    else:
        eight = values * (255 // ((1 << bits) - 1))
        is_clear = (values == marked).all(axis=2, keepdims=True)
    on_black = np.broadcast_to(np.where(is_clear, 0, eight), (7, 11, 3))
    np.testing.assert_array_equal(decode(content, (3, 7, 11)).transpose(1, 2, 0), on_black)
    # A gray picture of 16 bits is black there on any ground.
    white = 0 if bits == 16 and planes == 1 else 255
    on_white = np.broadcast_to(np.where(is_clear, white, eight), (7, 11, 3))
    np.testing.assert_array_equal(decode_on_white(content, (3, 7, 11)).transpose(1, 2, 0), on_white)
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(np.asarray(whole_on_white(image)), on_white)


@pytest.mark.parametrize(
    ("form", "at", "part"),
    [
        ("PNG", 33, chunk(b"abCd", b"")),
        ("PNG", 33, chunk(b"IDAT", b"")),
        ("PNG", -12, chunk(b"abCd", b"")),
        ("JPEG", 2, b"\xff\xe5\0\2"),
        ("JPEG", 2, b"\xff"),
    ],
    ids=["PNG", "pixels", "end", "JPEG", "fill"],
)
def test_a_file_of_a_million_parts_is_refused_at_once(form: str, at: int, part: bytes) -> None:
    file = saved(Image.fromarray(noise(3)), form)

    def of(count: int) -> bytes:
        return file[:at] + part * count + file[at:]

    np.testing.assert_array_equal(decode(of(3000), (3, 7, 11)), decode(file, (3, 7, 11)))
    began = time.process_time()
    for read in (decode, decode_on_white):
        with pytest.raises(DataError, match="too many parts"):
            read(of(1_000_000), (3, 7, 11))
    with pytest.raises(DataError, match="too many parts"):
        look(of(1_000_000))
    assert time.process_time() - began < 1


def test_32_bits_are_scaled_where_they_are_more_than_16_bits_hold() -> None:
    for largest, white in ((65535, 65535), (1000, 65535), (10_000_000, 10_000_000)):
        values = (noise() / 255 * largest).astype(np.int32)
        pixels = decode(saved(Image.fromarray(values), "TIFF"), (1, 7, 11))[0]
        np.testing.assert_allclose(pixels, values * (255 / white), atol=1)


def test_the_orientation_counts_among_other_exif_data() -> None:
    color = noise(3)
    content = with_chunks(png_of(color), chunk(b"eXIf", exif(6)), chunk(b"tEXt", b"Comment\0turned"))
    np.testing.assert_array_equal(decode(content, (3, 11, 7)).transpose(1, 2, 0), np.rot90(color, -1))
