"""Damaged and hostile files: a reader returns their content or one of our errors, and does so in time.

    python -m reliability.fuzz --count 20000 --out FOLDER

Real small files of every kind are mutated, and as many cases are read. A case ends well with a result or with a
`SevenstepsError`; anything else (another exception, a crash, more than a second, much memory) is a failure,
and its bytes are kept. Case n of a seed is always the same, so that a failure can be repeated. The cases run in a
child, which may crash, hang or run out of memory without taking the count with it; so this needs POSIX.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gzip
import io
import json
import math
import mmap
import os
import signal
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from sevensteps.data.decode import decode
from sevensteps.data.sources.idx_format import read_idx
from sevensteps.data.sources.load import load
from sevensteps.errors import SevenstepsError
from sevensteps.recipes.recipe import Recipe
from sevensteps.recipes.recipe_file import shipped_recipes
from sevensteps.runs import checkpoint
from sevensteps.runs.saved import Saved, list_runs
from sevensteps.ship import file as model_file

Parts = tuple[dict[str, np.ndarray], dict[str, Any]]  # the tensors and facts of a model's file


@dataclass(frozen=True)
class Target:
    """A reader to test: how case n is made, and what reads its bytes."""

    name: str
    make: Callable[[Random], bytes]
    read: Callable[[bytes], object]


@dataclass(frozen=True)
class Limits:
    """The time and memory that a case may use."""

    seconds: float = 1.0
    patience: float = 20.0  # seconds, after which it counts as hung
    memory: int = 1 << 30  # bytes of growth; decoding 100 million pixels takes half of it
    addresses: int = 6 << 30  # bytes of growth in address space, used or not


LIMITS = Limits()


# Mutations

BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x0A, 0x20, 0x22, 0x23, 0x2D, 0x3D, 0x5B, 0x5D, 0x7B, 0x7D)
NUMBERS: tuple[int, ...] = (
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    28,
    100,
    127,
    128,
    255,
    256,
    1023,
    1024,
    9999,
    10000,
    32767,
    32768,
    65535,
    65536,
)
NUMBERS += ((1 << 24) - 1, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, (1 << 64) - 1)


def mutated(random: Random, content: bytes, others: list[bytes]) -> bytes:
    """Make one to four changes: change bits, bytes or numbers; cut, insert, double, or copy from another file."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        size = len(changed)
        if not size:
            break
        # Most of what matters is at the beginning, in the header.
        place = random.randrange(min(size, random.choice((16, 64, 512, size, size))))
        length = min(random.choice((1, 2, 4, 8, 16, 64, 256)), size - place)
        match random.randrange(11):
            case 0 | 1:
                changed[place] ^= 1 << random.randrange(8)
            case 2 | 3:
                changed[place] = random.choice(BYTES)
            case 4:
                changed[place] = random.randrange(256)
            case 5 | 6:
                number, wide = random.choice(NUMBERS), random.choice((2, 4, 8))
                order: Any = random.choice(("little", "big"))
                packed = (number & ((1 << 8 * wide) - 1)).to_bytes(wide, order)
                changed[place : place + wide] = packed[: size - place]
            case 7:
                del changed[random.randrange(size) :]
            case 8:
                del changed[place : place + length]
            case 9:
                block = random.choice((changed[place : place + length], random.randbytes(length), bytes(length)))
                changed[place:place] = block * random.choice((1, 1, 2, 50))
            case _:
                other = random.choice(others)
                start = random.randrange(len(other) or 1)
                where = place if random.random() < 0.5 else min(start, size)
                changed[where : where + random.choice((0, length, size))] = other[
                    start : start + random.choice((64, size))
                ]
    return bytes(changed)


ODD: tuple[Any, ...] = (0, 1, -1, True, False, None, 0.5, -0.0, 1e-300, 1e308, 2**31, -(2**31), 2**53 + 1, 2**63)
ODD += (2**64, 10**400, "", "x", "Linear", "Sequential", "history.x", "0", "\0", "\ud800", "é" * 40, "../../x")
ODD += ("a" * 5000, "os.system", [], {}, [[]], [1, 2], ["a", "b"], [1, 28, 28], [3, 4096, 4096], [0] * 5000)
ODD += ({"layer": "ReLU"},)


def _odd(random: Random) -> Any:
    """Return an unexpected value."""
    deep: Any = []
    for _ in range(random.choice((5, 50, 90, 500))):
        deep = random.choice(([deep], {"x": deep}))
    found = random.choice((*ODD, deep, random.choice(NUMBERS)))
    # A copy, because the container will be changed again.
    return json.loads(json.dumps(found)) if isinstance(found, (list, dict)) else found


def restructured(random: Random, value: Any) -> Any:
    """Copy a JSON value with one to three parts changed, removed, doubled, moved or added."""
    whole = [json.loads(json.dumps(value))]
    for _ in range(random.choice((1, 1, 2, 3))):
        places: list[tuple[Any, Any]] = []
        waiting: list[Any] = [whole]
        while waiting:
            part = waiting.pop()
            keys = list(part) if isinstance(part, dict) else range(len(part))
            places += [(part, key) for key in keys]
            waiting += [part[key] for key in keys if isinstance(part[key], (dict, list))]
        if len(places) < 2:
            break
        part, key = random.choice(places[1:])
        other, other_key = random.choice(places[1:])
        match random.randrange(7):
            case 0 | 1 | 2:
                part[key] = _odd(random)
            case 3:
                del part[key]
            case 4 if isinstance(part, list):
                # Only numbers are repeated: nested lists would fill the memory here instead of in the reader.
                times = 2 if isinstance(part[key], (dict, list, str)) else random.choice((1, 2, 2000))
                part[key:key] = [part[key]] * times
            case 4:
                part[random.choice(("x", "", "layer", "__metadata__", "é"))] = _odd(random)
            case 5:
                part[key] = json.loads(json.dumps(other[other_key]))
            case _:
                old = part[key]
                if type(old) in (int, float):
                    part[key] = random.choice((-old, old + 1, old * 1000, str(old), [old]))
    return whole[0]


def _other_arrays(random: Random, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors with one renamed, removed, added, or given another shape, type or values."""
    arrays = dict(arrays)
    name = random.choice(sorted(arrays) or ["x"])
    array = arrays.get(name, np.zeros(1))
    match random.randrange(7):
        case 0:
            arrays.pop(name, None)
        case 1:
            arrays[random.choice(("x", "", "0.weight", "history.x", "é\n", "a" * 3000))] = array
        case 2:
            arrays[random.choice((name, "0.weight"))] = np.zeros(random.choice(((), (0,), (1,), (2, 3), (0, 1 << 30))))
        case 3:
            arrays[name] = array.reshape(random.choice(((-1,), (1, *array.shape), array.shape[::-1])))
        case 4:
            with np.errstate(all="ignore"):
                arrays[name] = array.astype(random.choice(("f2", "f4", "f8", "i8", "i4", "u1", "?", "i2")))
        case 5:
            number = random.choice((0, 1, -1, 3e4))
            # Of unsigned numbers, -1 is the largest.
            arrays[name] = np.full(array.shape, np.asarray(number).astype(array.dtype))
        case _:
            arrays[name] = np.full(array.shape, random.choice((np.nan, np.inf, 3e38, -3e38, 1e-45)), np.float32)
    return arrays


# Readers


def _model_target(name: str, originals: list[bytes], read: Callable[[bytes], object]) -> Target:
    """Make safetensors files: changed bytes, changed headers, and valid files with changed facts and tensors.

    The last have a digest that is right, as an attacker can compute it; so what lies behind the digest is reached.
    """
    parts = [model_file.from_bytes(content, name) for content in originals]

    def make(random: Random) -> bytes:
        place = random.randrange(len(originals))
        content = originals[place]
        share = random.random()
        if share < 0.25:
            return mutated(random, content, originals)
        if share < 0.4:
            return _other_header(random, content)
        arrays, about = parts[place]
        if random.random() < 0.3:
            about = parts[random.randrange(len(parts))][1]
        if random.random() < 0.8:
            about = restructured(random, about)
        if random.random() < 0.4:
            arrays = _other_arrays(random, arrays)
        try:
            return model_file.to_bytes(arrays, about)
        except (SevenstepsError, TypeError):  # such a file cannot express it
            return mutated(random, content, originals)

    return Target(name, make, read)


def _other_header(random: Random, content: bytes) -> bytes:
    """Change the structure or text of a header, and correct the lengths."""
    size = struct.unpack("<Q", content[:8])[0]
    header = content[8 : 8 + size]
    if random.random() < 0.5:
        header = json.dumps(restructured(random, json.loads(header)), ensure_ascii=random.random() < 0.5).encode(
            "utf-8", "surrogatepass"
        )
    else:
        header = mutated(random, header, [header])
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


def written(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Return a function that writes bytes to a path and reads them from there."""

    def through(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return through


def _models(folder: Path) -> Target:
    """Test readers of model files."""
    from sevensteps.learner.load import load_learner
    from sevensteps.ship.predict import load_model

    originals = [path.read_bytes() for path in sorted(folder.glob("*/model.safetensors"))]

    def read(path: Path) -> None:
        with contextlib.suppress(SevenstepsError):
            load_learner(path)
        load_model(path)

    return _model_target("models", originals, written(folder / "case.safetensors", read))


def _checkpoints(folder: Path) -> Target:
    """Test readers of checkpoints."""
    originals = [path.read_bytes() for path in sorted(folder.glob("*/checkpoint.safetensors"))]

    def read(path: Path) -> None:
        found = checkpoint.read(path)
        checkpoint.derived(found)
        Recipe.from_toml(found.recipe)

    return _model_target("checkpoints", originals, written(folder / "case.safetensors", read))


def _predictions(folder: Path) -> Target:
    """Test the reader of predictions of many pictures."""
    from sevensteps.trust.predictions_file import from_file, to_bytes

    runs = [Saved.open(path.parent) for path in sorted(folder.glob("*/checkpoint.safetensors"))]
    originals = [to_bytes(run.tables()[0]) for run in runs]

    def read(path: Path) -> None:
        for run in runs[1:]:
            with contextlib.suppress(SevenstepsError):
                from_file(path, run.classes)
        for table in from_file(path, runs[0].classes).values():
            table.check()

    return _model_target("predictions", originals, written(folder / "case.safetensors", read))


def _pictures(folder: Path) -> Target:
    """Test the decoding of pictures."""
    originals = small_pictures()

    def make(random: Random) -> bytes:
        content = random.choice(originals)
        case = mutated(random, content, originals)
        return _with_checksums(case) if content.startswith(b"\x89PNG") and random.random() < 0.7 else case

    return Target(
        "pictures", make, lambda content: decode(content, (1, 28, 28) if content[-1:] < b"\x80" else (3, 9, 14))
    )


def _with_checksums(png: bytes) -> bytes:
    """Correct the checksums of a PNG's chunks, as far as the chunks can be recognized."""
    fixed, place = bytearray(png), 8
    while place + 12 <= len(png):
        size = struct.unpack(">I", png[place : place + 4])[0]
        end = place + 8 + size
        if end + 4 > len(png):
            break
        fixed[end : end + 4] = struct.pack(">I", zlib.crc32(png[place + 4 : end]))
        place = end + 4
    return bytes(fixed)


def small_pictures() -> list[bytes]:
    """Make files of every format that is read, in every way that Pillow writes it, and some by hand."""
    from PIL import Image, PngImagePlugin, TiffImagePlugin

    random = np.random.default_rng(0)
    color = Image.fromarray(random.integers(0, 256, (9, 14, 3), dtype=np.uint8))
    smooth = Image.fromarray(np.add.outer(np.arange(16), np.arange(24)).astype(np.uint8) * 6)
    see_through = color.copy()
    see_through.putalpha(Image.fromarray(random.integers(0, 256, (9, 14), dtype=np.uint8)))
    deep = Image.fromarray(random.integers(0, 65536, (9, 14)).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    texts = PngImagePlugin.PngInfo()
    texts.add_text("comment", "x" * 300, zip=True)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270] = "a picture"
    images = {"L": smooth, "RGB": color, "P": color.quantize(16), "1": smooth.convert("1"), "RGBA": see_through}
    wanted: list[tuple[Image.Image, str, dict[str, Any]]] = [
        *((image, "PNG", {}) for image in images.values()),
        (see_through.convert("LA"), "PNG", {}),
        (deep, "PNG", {}),
        (color, "PNG", {"exif": exif, "pnginfo": texts, "icc_profile": bytes(200)}),
        (color.quantize(4), "PNG", {"transparency": 1}),
        (smooth, "PNG", {"save_all": True, "append_images": [smooth.rotate(90, expand=True)]}),
        *((image, "JPEG", how) for image in (smooth, color) for how in ({}, {"progressive": True}, {"exif": exif})),
        (color.convert("CMYK"), "JPEG", {}),
        (color, "JPEG", {"subsampling": 2, "restart_marker_blocks": 1, "icc_profile": bytes(200)}),
        *((images[mode], "GIF", {}) for mode in ("L", "P", "1")),
        (images["P"], "GIF", {"save_all": True, "append_images": [smooth, color], "comment": b"x" * 300}),
        (images["P"], "GIF", {"transparency": 0, "interlace": 1}),
        *((images[mode], "BMP", {}) for mode in ("L", "RGB", "P", "1", "RGBA")),
        *((images[mode], "TIFF", {}) for mode in images),
        *(
            (color, "TIFF", {"compression": kind, "tiffinfo": tags})
            for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma")
        ),
        *((images["1"], "TIFF", {"compression": kind}) for kind in ("group3", "group4", "tiff_ccitt")),
        (deep, "TIFF", {"compression": "tiff_lzw"}),
        (deep.convert("F"), "TIFF", {}),
        (Image.merge("LAB", color.split()), "TIFF", {}),  # a conversion would add a profile with the time of day
        (smooth, "TIFF", {"save_all": True, "append_images": [color], "exif": exif, "big_tiff": True}),
        *((image, "WEBP", how) for image in (color, see_through) for how in ({}, {"lossless": True}, {"exif": exif})),
        (color, "WEBP", {"save_all": True, "append_images": [smooth.convert("RGB").resize((14, 9))]}),
        *((images[mode], "PPM", {}) for mode in ("L", "RGB", "1")),
        (deep, "PPM", {}),
        (deep.convert("F"), "PPM", {}),
    ]
    files = []
    for image, kind, how in wanted:
        content = io.BytesIO()
        with contextlib.suppress(OSError, KeyError):  # this build of Pillow's libraries may lack the compression
            image.save(content, kind, **how)
            files.append(content.getvalue())
    palette = bytes(range(256)) * 4
    for bits, coding in ((8, 1), (4, 2)):  # run lengths: a run, an end of line, a jump, plain bytes, an end
        lengths = b"\5\x21\0\0\3\x11\0\2\2\1\0\4abcd\0\0" * 3 + b"\0\1"
        head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54 + len(palette))
        info = struct.pack("<IiiHHIIiiII", 40, 14, 9, 1, bits, coding, len(lengths), 0, 0, 256, 0)
        files.append(head + info + palette + lengths)
    digits = [head + b"1 0 1 1 0 0 1 1\n" * 4 for head in (b"P1\n# a comment\n8 4\n", b"P2 8 4 9\n", b"P3\n4 2 9\n")]
    grey = [b"P5 8 4 100\n" + bytes(range(32)), b"P5 4 2 900\n" + bytes(16)]
    return [*files, *digits, *grey, b"P6 4 2 70\n" + bytes(range(24))]


def _idx(folder: Path) -> Target:
    """Test the reader of IDX files."""
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (6, 5, 4), dtype=np.uint8), np.array([0, 1, 2, 2, 1, 0], dtype=np.uint8)
    plain = [
        struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
        for array in (pixels, labels, np.zeros((40, 40), np.uint8))
    ]
    zipped = [gzip.compress(content, mtime=0) for content in plain]
    zipped.append(gzip.compress(plain[0][:9], mtime=0) + gzip.compress(plain[0][9:], mtime=0) + bytes(8))
    source = folder / "idx"
    source.mkdir(exist_ok=True)
    for name, content in (("train-images-idx3", plain[0]), ("train-labels-idx1", plain[1])):
        (source / f"{name}-ubyte").write_bytes(content)

    def make(random: Random) -> bytes:
        share = random.random()
        if share < 0.4:
            return mutated(random, random.choice(zipped), zipped)
        content = mutated(random, random.choice(plain), plain)
        return gzip.compress(content, 1, mtime=0) if share < 0.7 else content

    def read(content: bytes) -> None:
        # As part of a source whose other part is intact: a valid array may still not be valid pictures.
        name = "train-images-idx3-ubyte" if content[-1:] < b"\x80" else "train-labels-idx1-ubyte"
        whole = (source / name).read_bytes()
        (source / name).write_bytes(content)
        try:
            with contextlib.suppress(SevenstepsError):
                load(source)
            read_idx(source / name)
        finally:
            (source / name).write_bytes(whole)

    return Target("idx", make, read)


WORDS: tuple[str, ...] = ("1e999", "-1", "nan", "inf", "-inf", "[]", "{}", "null", "NaN", "true", "0x7f", "9" * 5000)
WORDS += ("1979-05-27", "''", '"\\ud800"', '"\\u0000"', '"""', "[" * 5000, '{"a":' * 5000, "1_0", "a.b", "[[a]]", "#")
WORDS += (",", "[recorded]", "=", "07:32:00", '"x"', "0.0", "1e-400", "\ufeff", "\x7f", "Infinity", "\n", "epochs = 1")
WORDS += ('"number": 1', "  " * 99, "1" * 4000, "[0, " * 50)


def _text_target(name: str, originals: list[bytes], read: Callable[[bytes], object]) -> Target:
    """Change text: replace bytes, and words by other words."""

    def make(random: Random) -> bytes:
        content = random.choice(originals)
        if random.random() < 0.4:
            return mutated(random, content, originals)
        parts = content.decode().split(random.choice((" ", "\n", ",", ":", "=", '"')))
        for _ in range(random.choice((1, 1, 2, 3))):
            parts[random.randrange(len(parts))] = random.choice((*WORDS, random.choice(parts)))
        return random.choice((" ", "\n", ",", ": ", " = ", '"')).join(parts).encode()

    return Target(name, make, read)


def _recipes(folder: Path) -> Target:
    """Test the reader of recipes."""
    originals = [text.encode() for text in shipped_recipes().values()]
    originals += [path.read_bytes() for path in sorted(folder.glob("*/recipe.toml"))]

    def read(path: Path) -> None:
        recipe = Recipe.load(path)
        assert Recipe.from_toml(recipe.to_toml()) == recipe

    return _text_target("recipes", originals, written(folder / "case.toml", read))


def _runs(folder: Path) -> Target:
    """Test readers of a run's records."""
    names = ("judgement.json", "history.jsonl")
    originals = {name: [path.read_bytes() for path in sorted(folder.glob(f"*/{name}"))] for name in names}
    root = folder / "all"
    run = root / "run"
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.toml").write_bytes(next(iter(sorted(folder.glob("*/recipe.toml")))).read_bytes())

    def as_json(random: Random) -> bytes:
        if random.random() < 0.5:
            return json.dumps(restructured(random, json.loads(random.choice(originals["judgement.json"])))).encode()
        lines = random.choice(originals["history.jsonl"]).splitlines()
        return "".join(json.dumps(restructured(random, json.loads(line))) + "\n" for line in lines).encode()

    texts = _text_target("runs", [content for contents in originals.values() for content in contents], lambda _: None)

    def read(content: bytes) -> None:
        for name in names:  # a mutated judgement is not a history, which must be explained, too
            (run / name).write_bytes(content if name != "judgement.json" or content[:1] == b"{" else b"{}")
            (run / names[name == names[0]]).unlink(missing_ok=True)
            for found in list_runs(root):
                assert isinstance(found, SevenstepsError) or isinstance(found.judgement, dict)
            with contextlib.suppress(SevenstepsError):
                Saved.open(run).as_json()
        Saved.open(run).as_json()

    return Target("runs", lambda random: as_json(random) if random.random() < 0.5 else texts.make(random), read)


def _onnx(folder: Path) -> Target:
    """Test the reader of ONNX files."""
    from .fuzz_onnx import onnx_target

    return onnx_target(folder)


TARGETS: dict[str, Callable[[Path], Target]] = {
    "models": _models,
    "checkpoints": _checkpoints,
    "predictions": _predictions,
    "pictures": _pictures,
    "idx": _idx,
    "recipes": _recipes,
    "runs": _runs,
    "onnx": _onnx,
}


def make_originals(folder: Path) -> None:
    """Train small runs of three models, whose files are mutated."""
    import torch

    import sevensteps as ss

    torch.set_num_threads(1)  # threads do not survive a fork
    random = np.random.default_rng(0)
    source = folder / "source"
    source.mkdir(parents=True)
    for split, count in (("train", 60), ("t10k", 20)):
        labels = (np.arange(count) % 3).astype(np.uint8)
        pixels = random.integers(0, 128, (count, 8, 8)).astype(np.uint8) + 60 * labels[:, None, None]
        for name, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (source / f"{split}-{name}-ubyte").write_bytes(head + array.tobytes())
    own: dict[str, dict[str, Any]] = {"linear": {"classes": ("2", "0")}, "relu": {}, "cnn": {"width": 2}}
    for name, settings in own.items():
        ss.train(source, model=name, epochs=2, batch_size=16, lr=0.01, threads=1, out=folder / name, **settings)


# Counting


def fuzz(name: str, count: int, seed: int = 0, folder: Path | None = None, out: Path | None = None) -> dict[str, Any]:
    """Read cases of a target, and count how they end; the bytes of failures go to `out`.

    `folder` holds the files of `make_originals`; without it they are made first.
    """
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory_disk())))
        if folder is None:
            make_originals(place)
        return count_cases(TARGETS[name](place), count, seed, out)


def count_cases(
    target: Target, count: int, seed: int = 0, out: Path | None = None, limits: Limits = LIMITS
) -> dict[str, Any]:
    """Count for a given target: cases, how they ended, failures, the slowest, memory growth, seconds.

    Each failure has the number of its case, and what happened. A child that dies counts as one, and the next child
    continues after it.
    """
    start = time.perf_counter()
    ends: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    slowest, grown, first = 0.0, 0, 0
    while first < count:
        done, said = _in_child(target, seed, range(first, count), limits)
        ends.update(said["ends"])
        failures += said["failures"]
        slowest, grown = max(slowest, said["slowest"]), max(grown, said["grown"])
        first = done
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for failure in failures:
            (out / f"{target.name}-{seed}-{failure['case']}").write_bytes(case_of(target, seed, failure["case"]))
    return {
        "cases": count,
        "ends": dict(sorted(ends.items())),
        "failures": failures,
        "slowest_ms": round(1000 * slowest, 1),
        "grown_mib": grown >> 20,
        "seconds": round(time.perf_counter() - start, 1),
    }


def case_of(target: Target, seed: int, number: int) -> bytes:
    """Return the bytes of a case, which are always the same."""
    return target.make(Random(f"{target.name}/{seed}/{number}"))


def _in_child(target: Target, seed: int, cases: range, limits: Limits) -> tuple[int, dict[str, Any]]:
    """Read cases in a child until all are read or it dies; return the case to continue with, and the counts."""
    progress = mmap.mmap(-1, 8)  # shared with the child: the number of its case
    with tempfile.TemporaryFile() as report:
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            code = 1
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                with open(os.devnull, "wb") as nowhere:  # libtiff prints every bad code word to stderr
                    os.dup2(nowhere.fileno(), 2)
                _limit_addresses(limits.addresses)
                found: dict[str, Any] = {"ends": Counter(), "failures": [], "slowest": 0.0, "grown": 0}
                for number in cases:
                    progress[:] = struct.pack("<Q", number)
                    _read_case(target, seed, number, limits, found)
                    if found["failures"] or number % 500 == 499 or number == cases[-1]:
                        report.seek(0)  # the counts must survive a crash
                        report.write(json.dumps(found).encode() + b"\n")
                        report.flush()
                        if found["failures"]:  # continue in a child that has not grown
                            break
                        progress[:] = struct.pack("<Q", number + 1)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        at = struct.unpack("<Q", progress[:])[0]
        report.seek(0)
        lines = report.read().splitlines()
    said: dict[str, Any] = json.loads(lines[0]) if lines else {"ends": {}, "failures": [], "slowest": 0.0, "grown": 0}
    if status:
        signal_number = os.waitstatus_to_exitcode(status)
        what = signal.Signals(-signal_number).name if signal_number < 0 else f"exit {signal_number}"
        said["failures"].append({"case": at, "what": "hangs" if what == "SIGALRM" else f"the reader dies: {what}"})
        ended = sum(said["ends"].values())
        said["ends"]["uncounted"] = at - cases[0] - ended  # read after the last report and before the child died
    return at + bool(said["failures"]), said


def _read_case(target: Target, seed: int, number: int, limits: Limits, found: dict[str, Any]) -> None:
    """Read a case, and add how it ended to the counts."""
    content = case_of(target, seed, number)
    before = _peak()
    took, tries = math.inf, 0
    while took > limits.seconds and tries < 3:  # the machine may be busy; a truly slow case is slow each time
        start = time.perf_counter()
        end, what = _ended(target, content, limits.patience)
        took, tries = time.perf_counter() - start, tries + 1
    grown = _peak() - before
    found["slowest"], found["grown"] = max(found["slowest"], took), max(found["grown"], grown)
    if not what and took > limits.seconds:
        what = f"takes {took:.1f} s"
    if not what and grown > limits.memory:
        what = f"takes {grown >> 20:,} MiB"
    found["ends"][end] = found["ends"].get(end, 0) + 1
    if what:
        found["failures"].append({"case": number, "what": what})


def _ended(target: Target, content: bytes, patience: float) -> tuple[str, str]:
    """Read a case; return how it ended, and what was wrong, if anything."""
    signal.setitimer(signal.ITIMER_REAL, patience)  # its signal ends the child, whatever it is doing
    try:
        target.read(content)
    except SevenstepsError as error:
        if not error.message or not error.hint:
            return type(error).__name__, f"{type(error).__name__} without words: {error}"
        str(error).encode("utf-8", "replace")
        return type(error).__name__, ""
    except BaseException as error:
        return "another exception", f"{type(error).__name__}: {str(error)[:300]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read", ""


def _peak() -> int:
    """Return the peak memory of this process in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _limit_addresses(more: int) -> None:
    """Limit the growth of this process's address space, if the system tells its size."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def memory_disk() -> str | None:
    """Return a folder for files, in memory if possible."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextlib.contextmanager
def _originals() -> Iterator[Path]:
    """Make the original files in a temporary folder."""
    with tempfile.TemporaryDirectory(dir=memory_disk()) as folder:
        make_originals(Path(folder))
        yield Path(folder)


def damage(
    content: bytes, read: Callable[[Path], object], case: Path, flips: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Cut a safetensors file at every length, and flip bits, including one in each byte of its header.

    It is read at the path `case`. All must be seen: what is read nevertheless, or ends in another exception, is a
    failure.
    """
    header = 8 + struct.unpack("<Q", content[:8])[0]
    random = Random(f"{len(content)}/{seed}")
    bits = [8 * byte + random.randrange(8) for byte in range(header)]
    others = range(8 * header, 8 * len(content))
    bits += random.sample(others, min(len(others), max(flips - header, 200)))
    failures = []
    for what, places in {"cut": range(len(content)), "flip": bits}.items():
        for at in places:
            damaged = bytearray(content[:at] if what == "cut" else content)
            if what == "flip":
                damaged[at // 8] ^= 1 << at % 8
            case.write_bytes(damaged)
            try:
                read(case)
            except SevenstepsError:
                continue
            except Exception as error:
                failures.append({"case": f"{what} {at}", "what": f"{type(error).__name__}: {error}"})
            else:
                failures.append({"case": f"{what} {at}", "what": "is read as if nothing had happened"})
    return {"cases": len(content) + len(bits), "cut": len(content), "flipped": len(bits), "failures": failures}


# The targets of the reliability suite, and the number of cases of each for a count of 20,000


def fuzz_model_files(count: int, seed: int = 0, folder: Path | None = None, out: Path | None = None) -> dict[str, Any]:
    """Test model files and checkpoints, three to one."""
    models = fuzz("models", count - count // 4, seed, folder, out)
    return {"models": models, "checkpoints": fuzz("checkpoints", count // 4, seed, folder, out)}


def fuzz_pictures(count: int, seed: int = 0, folder: Path | None = None, out: Path | None = None) -> dict[str, Any]:
    """Test pictures of every format."""
    return {"pictures": fuzz("pictures", count, seed, folder, out)}


def fuzz_settings(count: int, seed: int = 0, folder: Path | None = None, out: Path | None = None) -> dict[str, Any]:
    """Test IDX, TOML and JSON, a third each."""
    third = count // 3
    return {
        "idx": fuzz("idx", count - 2 * third, seed, folder, out),
        "recipes": fuzz("recipes", third, seed, folder, out),
        "runs": fuzz("runs", third, seed, folder, out),
    }


def damage_saved(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Damage a small model and a small checkpoint in every byte."""
    readers: dict[str, Callable[[Path], object]] = {"model": model_file.read, "checkpoint": checkpoint.read}
    found = {}
    for kind, read in readers.items():
        content = (folder / "linear" / f"{kind}.safetensors").read_bytes()
        found[f"damaged {kind}"] = damage(content, read, folder / "damaged.safetensors", count, seed)
    return found


def hostile(count: int, seed: int = 0, out: Path | None = None) -> dict[str, Any]:
    """Test model files and as many ONNX files, a quarter as many pictures, and two files damaged in every byte."""
    with _originals() as folder:
        return {
            **fuzz_model_files(count, seed, folder, out),
            **fuzz_pictures(count // 4, seed, folder, out),
            **fuzz_settings(count // 4, seed, folder, out),
            "predictions": fuzz("predictions", count // 8, seed, folder, out),
            "onnx": fuzz("onnx", count, seed, folder, out),
            **damage_saved(count // 20, seed, folder),
        }


def main() -> int:
    """Run all targets and print one JSON object; return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m reliability.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="model and ONNX files; a quarter as many others")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(TARGETS), help="one target, with all of the count")
    parser.add_argument("--out", type=Path, help="where the bytes of failures go")
    given = parser.parse_args()
    faulthandler.enable()
    start = time.perf_counter()
    if given.only:
        with _originals() as folder:
            found = {given.only: fuzz(given.only, given.count, given.seed, folder, given.out)}
    else:
        found = hostile(given.count, given.seed, given.out)
    failed = sum(len(target["failures"]) for target in found.values())
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"seed": given.seed, **found, "failed": failed, "seconds": seconds}))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
