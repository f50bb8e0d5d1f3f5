"""Decoders that share no code with Pillow, with which `decode` is compared; they give color and opacity in [0, 1].

PNG by pypng and JPEG by simplejpeg (libjpeg-turbo by itself), TIFF by tifffile; GIF, BMP and PNM by the letter of their
specifications, here. WebP by imagecodecs.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
import png
import simplejpeg
import tifffile


def _rgba(color: np.ndarray, opacity: np.ndarray | None = None) -> np.ndarray:
    """Return (h, w, 4) from gray (h, w) or color (h, w, 3)."""
    color = np.asarray(color, dtype=float)
    if color.ndim == 2:
        color = np.stack([color] * 3, axis=2)
    opacity = np.ones(color.shape[:2]) if opacity is None else np.asarray(opacity, dtype=float)
    return np.concatenate([color, opacity[:, :, None]], axis=2)


def of_png(content: bytes) -> np.ndarray:
    """Read the IDAT picture; pypng ignores the chunks of an animation's frames."""
    width, height, rows, info = png.Reader(bytes=content).asDirect()
    planes = info["planes"]
    values = np.array([list(row) for row in rows]).reshape(height, width, planes) / (2 ** info["bitdepth"] - 1)
    color = values[:, :, 0] if planes < 3 else values[:, :, :3]
    return _rgba(color, values[:, :, -1] if planes in (2, 4) else None)


def of_jpeg(content: bytes) -> np.ndarray:
    """Read a JPEG; CMYK is inverted, as Adobe writes it."""
    *_, space, _ = simplejpeg.decode_jpeg_header(content)
    if space in ("CMYK", "YCCK"):
        ink = simplejpeg.decode_jpeg(content, colorspace="CMYK") / 255
        return _rgba(ink[:, :, :3] * ink[:, :, 3:])
    if space == "Gray":
        return _rgba(simplejpeg.decode_jpeg(content, colorspace="GRAY")[:, :, 0] / 255)
    return _rgba(simplejpeg.decode_jpeg(content, colorspace="RGB") / 255)


def of_tiff(content: bytes) -> np.ndarray:
    """Read the first page, and ignore its orientation."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        values, photometric, extra = page.asarray(), page.photometric, page.extrasamples
        if page.planarconfig == 2:
            values = np.moveaxis(values, 0, -1)
        largest = 1.0 if values.dtype.kind == "f" else 2.0**page.bitspersample - 1
        if values.dtype == bool:
            values = values.astype(np.uint8)
        if photometric == 3:
            return _rgba(np.moveaxis(page.colormap, 0, -1)[values] / 65535)
    values = values / largest
    if photometric == 0:
        values = 1 - values
    if photometric == 5:
        return _rgba((1 - values[:, :, :3]) * (1 - values[:, :, 3:4]))
    if not extra:
        return _rgba(values)
    color, opacity = values[:, :, :-1], values[:, :, -1]
    if extra[0] == 1:  # color already multiplied by its opacity
        color = np.divide(color, opacity[:, :, None], out=np.zeros_like(color), where=opacity[:, :, None] > 0)
    return _rgba(color[:, :, 0] if color.shape[2] == 1 else color, opacity)


def of_webp(content: bytes) -> np.ndarray:
    """Read the first frame."""
    values = imagecodecs.webp_decode(content) / 255
    return _rgba(values[:, :, :3], values[:, :, 3] if values.shape[2] == 4 else None)


def of_pnm(content: bytes) -> np.ndarray:
    """Read Netpbm's P1 to P6 and, with floats, Pf and PF; any largest value and comments are allowed."""
    kind = content[:2]
    words: list[bytes] = []
    place = 2
    needed = 2 if kind in (b"P1", b"P4") else 3
    while len(words) < needed:
        if content[place : place + 1] == b"#":
            place = content.index(b"\n", place)
        elif not content[place : place + 1].isspace():
            start = place
            while not content[place : place + 1].isspace():
                place += 1
            words.append(content[start:place])
            continue
        place += 1
    width, height = int(words[0]), int(words[1])
    planes = 3 if kind in (b"P3", b"P6", b"PF") else 1
    body = content[place + 1 :]
    if kind in (b"Pf", b"PF"):
        order = "<" if float(words[2]) < 0 else ">"
        values = np.frombuffer(body, order + "f4").reshape(height, width, planes)[::-1]  # from the bottom up
        values = np.clip(values / max(1.0, values.max()), 0, 1)
    elif kind == b"P4":
        bits = np.unpackbits(np.frombuffer(body, np.uint8).reshape(height, -1), axis=1)[:, :width]
        values = 1.0 - bits[:, :, None]
    elif kind == b"P1":
        digits = [digit - 48 for line in body.splitlines() for digit in line.split(b"#")[0] if digit in b"01"]
        values = 1.0 - np.array(digits).reshape(height, width, 1)
    else:
        largest = int(words[2])
        if kind in (b"P2", b"P3"):
            numbers = [int(word) for line in body.splitlines() for word in line.split(b"#")[0].split()]
        else:
            numbers = np.frombuffer(body, ">u2" if largest > 255 else np.uint8)[: width * height * planes]
        values = np.array(numbers).reshape(height, width, planes) / largest
    return _rgba(values[:, :, 0] if planes == 1 else values)


def of_bmp(content: bytes) -> np.ndarray:
    """Read a BMP with BITMAPCOREHEADER (12 bytes), BITMAPINFOHEADER or a successor; 1 to 32 bits, run lengths."""
    start, size = struct.unpack_from("<II", content, 10)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
        way, used, entry = 0, 1 << bits, 3
    else:
        width, height, _, bits, way = struct.unpack_from("<iiHHI", content, 18)
        used, entry = struct.unpack_from("<I", content, 46)[0] or 1 << bits, 4
    turned, height = height < 0, abs(height)
    stride = (width * bits + 31) // 32 * 4
    if way in (1, 2):
        values = _run_lengths(content[start:], width, height, bits)
    else:
        rows = np.frombuffer(content, np.uint8, stride * height, start).reshape(height, stride)
        if bits <= 8:
            each = np.unpackbits(rows, axis=1).reshape(height, -1, bits)
            values = (each @ (1 << np.arange(bits)[::-1]))[:, :width]
        elif bits == 24:
            values = rows[:, : 3 * width].reshape(height, width, 3)[:, :, ::-1]
        else:
            values = np.ascontiguousarray(rows).view(f"<u{bits // 8}")[:, :width]
    if not turned:
        values = values[::-1]
    if bits <= 8:
        palette = np.frombuffer(content, np.uint8, entry * used, 14 + size).reshape(-1, entry)[:, 2::-1]
        return _rgba(palette[values] / 255)
    if bits == 24:
        return _rgba(values / 255)
    masks = (0x7C00, 0x3E0, 0x1F, 0) if bits == 16 else (0xFF0000, 0xFF00, 0xFF, 0)
    if way == 3:
        masks = struct.unpack_from("<IIII", content, 54) if size > 52 else (*struct.unpack_from("<III", content, 54), 0)
    channels = [(values & mask) / mask for mask in masks if mask]
    return _rgba(np.stack(channels[:3], axis=2), channels[3] if len(channels) == 4 else None)


def _run_lengths(body: bytes, width: int, height: int, bits: int) -> np.ndarray:
    """Decode BI_RLE8 and BI_RLE4: pairs of a count and a value; a count of zero starts anything but a run."""
    values = np.zeros((height, width), dtype=np.uint8)
    x = y = place = 0
    while True:
        count, value = body[place], body[place + 1]
        place += 2
        if count:
            run = [value] * count if bits == 8 else [value >> 4 if n % 2 == 0 else value & 15 for n in range(count)]
        elif value == 0:
            x, y = 0, y + 1
            continue
        elif value == 1:
            return values
        elif value == 2:
            x, y, place = x + body[place], y + body[place + 1], place + 2
            continue
        else:
            length = value if bits == 8 else (value + 1) // 2
            raw = body[place : place + length]
            run = list(raw) if bits == 8 else [half for byte in raw for half in (byte >> 4, byte & 15)][:value]
            place += length + length % 2
        values[y, x : x + len(run)] = run
        x += len(run)


def of_gif(content: bytes) -> np.ndarray:
    """Read a GIF89a: the screen after the first picture, transparent where nothing was drawn."""
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    place, palette, clear = 13, b"", -1
    if flags & 0x80:
        palette = content[place : place + 3 * (2 << (flags & 7))]
        place += len(palette)
    while content[place] != 0x2C:
        if content[place : place + 2] == b"\x21\xf9" and content[place + 3] & 1:
            clear = content[place + 6]
        place += 2
        while content[place]:
            place += content[place] + 1
        place += 1
    left, top, across, down, flags = struct.unpack_from("<HHHHB", content, place + 1)
    place += 10
    if flags & 0x80:
        palette = content[place : place + 3 * (2 << (flags & 7))]
        place += len(palette)
    least, body = content[place], b""
    place += 1
    while content[place]:
        body += content[place + 1 : place + 1 + content[place]]
        place += content[place] + 1
    values = np.array(list(_unpacked(body, least))[: across * down]).reshape(down, across)
    if flags & 0x40:
        order = [row for first, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for row in range(first, down, step)]
        values = values[np.argsort(order)]
    screen = np.zeros((height, width, 4))
    colors = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    screen[top : top + down, left : left + across] = _rgba(colors[values] / 255, values != clear)
    return screen


def _unpacked(body: bytes, least: int) -> Iterator[int]:
    """Decode LZW codes as in GIF: lowest bit first, up to 12 bits each."""
    bits = "".join(f"{byte:08b}"[::-1] for byte in body)
    clear, place, size = 1 << least, 0, least + 1
    table: list[tuple[int, ...]] = []
    before: tuple[int, ...] = ()
    while True:
        code = int(bits[place : place + size][::-1], 2)
        place += size
        if code == clear:
            table, size, before = [(value,) for value in range(clear)] + [(), ()], least + 1, ()
            continue
        if code == clear + 1:
            return
        entry = table[code] if code < len(table) else (*before, before[0])
        yield from entry
        if before and len(table) < 4096:
            table.append((*before, entry[0]))
        if len(table) == 1 << size and size < 12:
            size += 1
        before = entry
