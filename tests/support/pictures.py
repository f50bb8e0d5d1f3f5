"""Picture files of every kind that `decode` must read, most of them written here bit by bit: `KINDS`.

A kind is a format with all that changes how its bytes become pixels: mode, depth, compression, interlacing, the order
of bytes and rows, transparency, orientation, frames. 11 x 7 pixels of noise, so that no row fills its bytes.
"""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import decoders
import numpy as np
import png
import simplejpeg
import tifffile
from PIL import Image

WIDTH, HEIGHT = 11, 7
_RANDOM = np.random.default_rng(0)


class Kind(NamedTuple):
    """A file, the decoder to compare with, and the orientation (EXIF's tag 0x0112)."""

    content: bytes
    decoder: Callable[[bytes], np.ndarray]
    orientation: int = 1


def noise(planes: int = 1, bits: int = 8, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return random values, (h, w) or (h, w, planes), which include the smallest and the largest value."""
    values = _RANDOM.integers(0, 1 << bits, (height, width, planes))
    values[0, 0], values[-1, -1] = 0, (1 << bits) - 1
    values = values.astype(np.uint8 if bits <= 8 else np.uint16)
    return values[:, :, 0] if planes == 1 else values


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    """Return the picture as Pillow writes it."""
    content = io.BytesIO()
    image.save(content, kind, **how)
    return content.getvalue()


def exif(orientation: int, order: str = ">") -> bytes:
    """Return EXIF data with only an orientation."""
    mark = b"MM" if order == ">" else b"II"
    return mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


# PNG


def png_of(values: np.ndarray, **how: Any) -> bytes:
    """Return a PNG as pypng writes it; `values` are (h, w) or (h, w, planes)."""
    planes = 1 if values.ndim == 2 else values.shape[2]
    how = {"greyscale": planes < 3, "alpha": planes in (2, 4), **how}
    if "palette" in how:
        del how["greyscale"], how["alpha"]
    content = io.BytesIO()
    png.Writer(values.shape[1], values.shape[0], **how).write(content, values.reshape(len(values), -1).tolist())
    return content.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(content: bytes, *chunks: bytes) -> bytes:
    """Return a PNG with more chunks before its pixels."""
    return content[:33] + b"".join(chunks) + content[33:]


def png_filtered(filter_: int, values: np.ndarray) -> bytes:
    """Return a color PNG whose rows all use one filter (PNG specification, section 9)."""
    rows = values.reshape(len(values), -1).astype(int)
    left = np.pad(rows, ((0, 0), (3, 0)))[:, :-3]
    above = np.pad(rows, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(above, ((0, 0), (3, 0)))[:, :-3]
    guess = left + above - corner
    far = np.stack([abs(guess - one) for one in (left, above, corner)])
    paeth = np.choose(far.argmin(0), [left, above, corner])
    less = [np.zeros_like(rows), left, above, (left + above) // 2, paeth][filter_]
    body = b"".join(bytes([filter_]) + row.tobytes() for row in ((rows - less) % 256).astype(np.uint8))
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8, 2, 0, 0, 0)
    packed = zlib.compress(body)
    cut = len(packed) // 2
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", packed[:cut]), chunk(b"IDAT", packed[cut:]), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _pngs() -> Iterator[tuple[str, bytes, int]]:
    for interlaced in (False, True):
        way = " interlaced" * interlaced
        for bits in (1, 2, 4, 8, 16):
            how: dict[str, Any] = {"bitdepth": bits, "interlace": interlaced}
            grey = noise(bits=bits)
            yield f"grey {bits}{way}", png_of(grey, **how), 1
            for clear in (0, int(grey[2, 3]) or 1):
                yield f"grey {bits}{way}, {clear} transparent", png_of(grey, transparent=clear, **how), 1
            if bits <= 8:
                palette = [tuple(map(int, one)) for one in noise(3, width=1 << bits, height=1)[0]]
                yield f"palette {bits}{way}", png_of(grey, palette=palette, **how), 1
                faint = [(*one, alpha) for one, alpha in zip(palette, range(0, 256, 256 >> bits), strict=True)]
                yield f"palette {bits}{way} with transparency", png_of(grey, palette=faint, **how), 1
            if bits >= 8:
                for planes, name in ((2, "grey with alpha"), (3, "color"), (4, "color with alpha")):
                    yield f"{name} {bits}{way}", png_of(noise(planes, bits), **how), 1
                color = noise(3, bits)
                clear = tuple(map(int, color[2, 3]))
                yield f"color {bits}{way}, one transparent", png_of(color, transparent=clear, **how), 1
    for filter_ in range(5):
        yield f"filter {filter_}", png_filtered(filter_, noise(3)), 1
    plain = png_of(noise(3))
    for name, body in (
        ("gAMA", struct.pack(">I", 100_000)),
        ("cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
        ("sRGB", b"\0"),
        ("bKGD", bytes([0, 200] * 3)),
        ("pHYs", struct.pack(">IIB", 3, 1, 0)),
    ):
        yield f"with {name}", with_chunks(plain, chunk(name.encode(), body)), 1
    for orientation in range(1, 9):
        order = "><"[orientation % 2]
        yield f"turned {orientation}", with_chunks(plain, chunk(b"eXIf", exif(orientation, order))), orientation
    frames = [Image.fromarray(noise(3)) for _ in range(3)]
    for name, is_first in (("whose first frame is the picture", False), ("with a picture before it", True)):
        options = {"save_all": True, "append_images": frames[1:], "default_image": is_first}
        yield f"animated, {name}", saved(frames[0], "PNG", **options), 1


# BMP


def _packed(values: np.ndarray, bits: int) -> bytes:
    """Pack rows of values smaller than a byte into whole bytes, the first value in the highest bits."""
    each = np.unpackbits(values[:, :, None].astype(np.uint8), axis=2)[:, :, 8 - bits :]
    return bytes(np.packbits(each.reshape(len(values), -1), axis=1).ravel())


def bmp(
    rows: np.ndarray, bits: int, palette: bytes = b"", way: int = 0, masks: bytes = b"", size: int = 40, up: bool = True
) -> bytes:
    """Return a BMP; `rows` are the bytes of whole rows, or the body if they are run lengths."""
    if way in (1, 2):
        body = bytes(rows)
    else:
        rows = rows[::-1] if up else rows
        body = bytes(np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).ravel())
    height = HEIGHT if up else -HEIGHT
    if size == 12:
        header = struct.pack("<IHHHH", 12, WIDTH, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", size, WIDTH, height, 1, bits, way, len(body), 0, 0, len(palette) // 4, 0)
        header = (header + masks).ljust(size, b"\0") if size > 40 else header + masks
    start = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + header + palette + body


def _bytes_of(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _bmps() -> Iterator[tuple[str, bytes, int]]:
    palettes = {bits: noise(3, width=1 << bits, height=1)[0] for bits in (1, 4, 8)}
    of_four = {bits: bytes(np.pad(one, ((0, 0), (0, 1))).ravel()) for bits, one in palettes.items()}
    masks_565 = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    masks_argb = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    masks_rgba = struct.pack("<IIII", 0xFF000000, 0xFF0000, 0xFF00, 0xFF)
    for up in (True, False):
        way = "" if up else " from the top"
        for bits in (1, 4, 8):
            rows = np.frombuffer(_packed(noise(bits=bits), bits), np.uint8).reshape(HEIGHT, -1)
            yield f"palette {bits}{way}", bmp(rows, bits, of_four[bits], up=up), 1
            if up:
                yield f"palette {bits} of OS/2", bmp(rows, bits, bytes(palettes[bits].ravel()), size=12), 1
        yield f"16 bits, 555{way}", bmp(_bytes_of(noise(bits=15)), 16, up=up), 1
        yield f"16 bits, 565{way}", bmp(_bytes_of(noise(bits=16)), 16, way=3, masks=masks_565, up=up), 1
        yield f"24 bits{way}", bmp(_bytes_of(noise(3)), 24, up=up), 1
        yield f"32 bits{way}", bmp(_bytes_of(noise(4)), 32, up=up), 1
        for name, masks in (("ARGB", masks_argb), ("RGBA", masks_rgba)):
            yield f"32 bits, {name}{way}", bmp(_bytes_of(noise(4)), 32, way=3, masks=masks, size=124, up=up), 1
    yield "24 bits of OS/2", bmp(_bytes_of(noise(3)), 24, size=12), 1
    runs = b"".join(bytes([5, y, 0, 3, 9, 200, y, 0, 3, 77, 0, 0]) for y in range(HEIGHT))
    yield "run lengths of 8 bits", bmp(np.frombuffer(runs + b"\0\1", np.uint8), 8, of_four[8], way=1), 1
    runs = b"".join(bytes([5, 16 * y + 9, 0, 4, 0x12, 0x3A, 2, 0xE5, 0, 0]) for y in range(HEIGHT))
    yield "run lengths of 4 bits", bmp(np.frombuffer(runs + b"\0\1", np.uint8), 4, of_four[4], way=2), 1


# Netpbm


def _pnms() -> Iterator[tuple[str, bytes, int]]:
    size = f"{WIDTH} {HEIGHT}".encode()
    for kind, largest in itertools.product((b"P5", b"P6"), (1, 100, 255, 1000, 65535)):
        planes = 3 if kind == b"P6" else 1
        values = noise(planes, 16).astype(int) % (largest + 1)
        body = values.astype(">u2" if largest > 255 else np.uint8).tobytes()
        yield f"{kind.decode()} to {largest}", b"%s\n%s\n%d\n%s" % (kind, size, largest, body), 1
    for kind, planes in ((b"P2", 1), (b"P3", 3)):
        for largest in (9, 255, 65535):
            values = noise(planes, 16).astype(int) % (largest + 1)
            body = "\n".join(" ".join(map(str, row.ravel())) for row in values).encode()
            yield f"{kind.decode()} to {largest}", b"%s\n# seen\n%s\n%d\n%s\n" % (kind, size, largest, body), 1
    bits = noise(bits=1)
    yield "P1", b"P1\n%s\n%s\n" % (size, "\n".join("".join(map(str, row)) for row in bits).encode()), 1
    yield "P4", b"P4 # seen\n%s\n%s" % (size, _packed(bits, 1)), 1
    for order, scale in (("<", b"-1.0"), (">", b"1.0")):
        body = (noise() / 255).astype(f"{order}f4").tobytes()
        yield f"Pf {order}", b"Pf\n%s\n%s\n%s" % (size, scale, body), 1


# GIF


def gif(values: np.ndarray, palette: np.ndarray, clear: int = -1, place: tuple[int, int] = (0, 0), **how: Any) -> bytes:
    """Return a GIF of one picture at `place` on the screen, with local colors or interlaced rows if chosen.

    Its codes are all of one value: the table is cleared before they become longer.
    """
    bits = max(2, (len(palette) - 1).bit_length())
    colors = np.zeros((1 << (len(palette) - 1).bit_length(), 3), np.uint8)
    colors[: len(palette)] = palette
    flags = (len(palette) - 1).bit_length() - 1
    is_local, is_interlaced = how.get("is_local", False), how.get("is_interlaced", False)
    left, top = place
    height, width = values.shape
    screen = struct.pack("<HHBBB", WIDTH, HEIGHT, 0 if is_local else 0x80 | flags, 0, 0)
    content = how.get("version", b"GIF89a") + screen + (b"" if is_local else bytes(colors))
    if clear >= 0:
        content += b"\x21\xf9\4\1\0\0" + bytes([clear, 0])
    if is_interlaced:
        order = [row for first, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for row in range(first, height, step)]
        values = values[order]
    content += struct.pack("<BHHHHB", 0x2C, left, top, width, height, (0x80 | flags) * is_local | 0x40 * is_interlaced)
    content += bytes(colors) if is_local else b""
    codes = []
    for number, value in enumerate(values.ravel()):
        codes += [1 << bits] * (number % ((1 << bits) - 2) == 0) + [int(value)]
    written = "".join(f"{code:0{bits + 1}b}"[::-1] for code in [*codes, (1 << bits) + 1])
    body = bytes(int(written[at : at + 8][::-1], 2) for at in range(0, len(written), 8))
    blocks = b"".join(bytes([len(body[at : at + 255])]) + body[at : at + 255] for at in range(0, len(body), 255))
    return content + bytes([bits]) + blocks + b"\0\x3b"


def _gifs() -> Iterator[tuple[str, bytes, int]]:
    for bits in (1, 2, 4, 8):
        palette, values = noise(3, width=1 << bits, height=1)[0], noise(bits=bits)
        for name, how in (("", {}), (", interlaced", {"is_interlaced": True}), (", own colors", {"is_local": True})):
            yield f"{1 << bits} colors{name}", gif(values, palette, **how), 1
        yield f"{1 << bits} colors, one transparent", gif(values, palette, clear=int(values[2, 3])), 1
    yield "of 1987", gif(values, palette, version=b"GIF87a"), 1
    yield "on a part of the screen", gif(values[:4, :5], palette, place=(3, 2), clear=int(values[1, 1])), 1
    large = Image.fromarray(noise(width=300, height=200)).convert("P")
    yield "a table that fills up", saved(large, "GIF"), 1
    frames = [Image.fromarray(noise(3)).convert("P", palette=Image.Palette.ADAPTIVE) for _ in range(3)]
    for disposal in (0, 1, 2, 3):
        options = {"save_all": True, "append_images": frames[1:], "disposal": disposal, "loop": 0}
        yield f"animated, disposal {disposal}", saved(frames[0], "GIF", **options), 1


# TIFF


def tiff(body: bytes, bits: int, photometric: int, order: str = "<", planes: int = 1, *more: tuple[int, int]) -> bytes:
    """Return a TIFF of one strip, unless the tags in `more` (16-bit numbers) say otherwise."""
    tags = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: photometric, 277: planes, 278: HEIGHT, **dict(more)}
    start = 8 + len(body)
    end = start + 2 + 12 * (len(tags) + 2) + 4
    entries = [(tag, struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)) for tag, value in tags.items()]
    entries += [(tag, struct.pack(f"{order}HHII", tag, 4, 1, value)) for tag, value in ((273, 8), (279, len(body)))]
    behind = b""
    if planes > 2:
        entries = [one for one in entries if one[0] != 258]
        entries.append((258, struct.pack(f"{order}HHII", 258, 3, planes, end - 12)))
        behind = struct.pack(f"{order}{planes}H", *[bits] * planes)
        entries[-1] = (258, struct.pack(f"{order}HHII", 258, 3, planes, start + 2 + 12 * len(entries) + 4))
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entry for _, entry in sorted(entries)) + bytes(4)
    return (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start) + body + directory + behind


def tiff_of(values: np.ndarray, **how: Any) -> bytes:
    """Return a TIFF as tifffile writes it."""
    order = how.pop("order", "<")
    content = io.BytesIO()
    with tifffile.TiffWriter(content, byteorder=order) as file:
        file.write(values, metadata=None, **how)
    return content.getvalue()


def _tiffs() -> Iterator[tuple[str, bytes, int]]:
    for order in "<>":
        ends = "Intel" if order == "<" else "Motorola"
        for bits, white in itertools.product((1, 2, 4, 8, 16), (True, False)):
            body = noise(bits=16).astype(f"{order}u2").tobytes() if bits == 16 else _packed(noise(bits=bits), bits)
            name = "white is 0" if white else "black is 0"
            if not (bits == 16 and white and order == ">"):  # Pillow cannot read this one
                yield f"grey {bits}, {name}, {ends}", tiff(body, bits, 0 if white else 1, order), 1
        yield f"floats, {ends}", tiff_of((noise() / 255).astype(np.float32), order=order, photometric="minisblack"), 1
        for bits in (8, 16):
            yield f"color {bits}, {ends}", tiff_of(noise(3, bits), order=order, photometric="rgb"), 1
    yield "12 bits", tiff(twelve(noise(bits=12)), 12, 1), 1
    for bits, (name, extra) in itertools.product(
        (8, 16), (("alpha", "unassalpha"), ("multiplied alpha", "assocalpha"))
    ):
        values = noise(4, bits)
        if extra == "assocalpha":
            values[:, :, :3] = values[:, :, :3] * (values[:, :, 3:] / ((1 << bits) - 1))
        yield f"color {bits} with {name}", tiff_of(values, photometric="rgb", extrasamples=[extra]), 1
    grey = np.stack([noise(), noise()], 2)
    yield "grey 8 with alpha", tiff_of(grey, photometric="minisblack", extrasamples=["unassalpha"], planarconfig=1), 1
    palette = noise(3, 16, width=256, height=1)[0].T
    yield "palette 8", tiff_of(noise(), photometric="palette", colormap=palette), 1
    yield "CMYK", tiff_of(noise(4), photometric="separated"), 1
    yield "a plane each", tiff_of(np.moveaxis(noise(3), 2, 0).copy(), photometric="rgb", planarconfig="separate"), 1
    large = noise(3, width=50, height=40)
    yield "tiles", tiff_of(large, photometric="rgb", tile=(16, 32)), 1
    yield "strips", tiff_of(large, photometric="rgb", rowsperstrip=3), 1
    for name, values in (("grey", noise()), ("color", noise(3)), ("grey 16", noise(bits=16))):
        photometric = "rgb" if values.ndim == 3 else "minisblack"
        for predictor in (False, True):
            way = " with differences" * predictor
            content = tiff_of(values, photometric=photometric, compression="zlib", predictor=predictor)
            yield f"{name}, deflated{way}", content, 1
    for way in ("packbits", "tiff_lzw", "tiff_deflate"):
        for mode in ("1", "L", "RGB", "CMYK"):
            image = Image.fromarray(noise(3)).convert(mode)
            yield f"{mode}, {way}", saved(image, "TIFF", compression=way), 1
    for orientation in range(1, 9):
        image = Image.fromarray(noise(3))
        yield f"turned {orientation}", saved(image, "TIFF", tiffinfo={0x0112: orientation}), orientation
    pages = [Image.fromarray(noise()) for _ in range(2)]
    yield "pages", saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]), 1


def twelve(values: np.ndarray) -> bytes:
    """Pack 12-bit values, highest bit first, each row into whole bytes."""
    bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(len(values), -1, 2), axis=2)[:, :, 4:]
    return bytes(np.packbits(bits.reshape(len(values), -1), axis=1).ravel())


# JPEG and WebP


def _jpegs() -> Iterator[tuple[str, bytes, int]]:
    color, grey = noise(3, width=35, height=21), noise(width=35, height=21)
    for way in ("baseline", "progressive"):
        how = {"progressive": way == "progressive"}
        yield f"grey, {way}", saved(Image.fromarray(grey), "JPEG", **how), 1
        for parts in ("4:4:4", "4:2:2", "4:2:0"):
            yield f"{parts}, {way}", saved(Image.fromarray(color), "JPEG", subsampling=parts, **how), 1
        yield f"RGB, {way}", saved(Image.fromarray(color), "JPEG", keep_rgb=True, **how), 1
        cmyk = saved(Image.fromarray(color).convert("CMYK"), "JPEG", **how)
        yield f"CMYK by Adobe, {way}", cmyk, 1
        adobe = cmyk.index(b"Adobe") + 11
        yield f"YCCK by Adobe, {way}", cmyk[:adobe] + b"\2" + cmyk[adobe + 1 :], 1
    for parts in ("440", "411"):
        content = simplejpeg.encode_jpeg(np.ascontiguousarray(color), colorsubsampling=parts)
        yield f"4:{parts[1]}:{parts[2]}", content, 1
    yield "marks to restart at", saved(Image.fromarray(color), "JPEG", restart_marker_rows=1), 1
    yield "tables of its own", saved(Image.fromarray(color), "JPEG", optimize=True), 1
    yield "of quality 1", saved(Image.fromarray(color), "JPEG", quality=1), 1
    upside_down = [Image.fromarray(color[::-1].copy())]
    yield "two pictures in one", saved(Image.fromarray(color), "MPO", save_all=True, append_images=upside_down), 1
    for orientation in range(1, 9):
        facts = b"Exif\0\0" + exif(orientation, "><"[orientation % 2])
        yield f"turned {orientation}", saved(Image.fromarray(color), "JPEG", exif=facts), orientation


def _webps() -> Iterator[tuple[str, bytes, int]]:
    color, faint = Image.fromarray(noise(3)), Image.fromarray(noise(4))
    for name, image in (("color", color), ("color with alpha", faint), ("grey", Image.fromarray(noise()))):
        yield f"{name}, lossless", saved(image, "WEBP", lossless=True, exact=True), 1
        yield f"{name}, lossy", saved(image, "WEBP", quality=80, exact=True), 1
    options = {"save_all": True, "append_images": [Image.fromarray(noise(3))], "lossless": True}
    yield "animated", saved(color, "WEBP", **options), 1
    for orientation in range(1, 9):
        yield f"turned {orientation}", saved(color, "WEBP", lossless=True, exif=exif(orientation)), orientation


KINDS: dict[str, Kind] = {
    f"{format_}: {name}": Kind(content, decoder, orientation)
    for format_, kinds, decoder in (
        ("PNG", _pngs, decoders.of_png),
        ("BMP", _bmps, decoders.of_bmp),
        ("PNM", _pnms, decoders.of_pnm),
        ("GIF", _gifs, decoders.of_gif),
        ("TIFF", _tiffs, decoders.of_tiff),
        ("JPEG", _jpegs, decoders.of_jpeg),
        ("WebP", _webps, decoders.of_webp),
    )
    for name, content, orientation in kinds()
}


# How a viewer turns a picture for each orientation (EXIF 2.3, tag 0x0112), in NumPy.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: np.rot90,
}
