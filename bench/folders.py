"""Measure how fast a folder of pictures is loaded, the first and the second time, compared with Pillow alone.

    python bench/folders.py --files 100000 --kind png

Writes class folders of JPEG files (96x72 color pixels, cut from scikit-learn's two photographs), of large ones (the
photographs in 1600x1200, with noise), or of PNG files (Fashion-MNIST's pictures, repeated with one pixel changed).
Pillow alone opens, decodes and resizes each file in a plain loop, on one thread per core, and in one process per core;
the fastest of the three is the measure. `load` finds the files, reports bad ones, and makes ids, labels and one array.
The second start uses the cache of the first; then one file in a hundred is touched. With `letterbox-fast`, large JPEG
files are decoded at a lower resolution. Each is a process of its own, in
turns; the files are in the system's memory. Wall times need an otherwise idle machine; CPU seconds count all
processes.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

PILLOW = """
import glob, multiprocessing, os, resource, sys, time
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
paths = sorted(glob.glob(sys.argv[1] + "/*/*"))
is_png = paths[0].endswith("png")
cores = len(os.sched_getaffinity(0))
def one(path):
    with Image.open(path) as image:
        if is_png:
            return image.tobytes()
        return image.convert("RGB").resize((64, 48), Image.Resampling.BILINEAR).tobytes()
def loop():
    for path in paths:
        one(path)
def threads():
    with ThreadPoolExecutor(cores) as pool:
        for first in range(0, len(paths), 64):
            list(pool.map(one, paths[first : first + 64]))
def processes():
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        for _ in pool.imap(one, paths, 64):
            pass
        pool.close()
        pool.join()
began = time.perf_counter()
{"loop": loop, "threads": threads, "processes": processes}[sys.argv[2]]()
took = time.perf_counter() - began
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(took, sum(of.ru_utime + of.ru_stime for of in used))
"""
OURS = """
import resource, sys, time
from sevensteps.data.sources.load import load
import sevensteps.data.decode, sevensteps.data.files.load, PIL.JpegImagePlugin, PIL.PngImagePlugin
began = time.perf_counter()
splits = load(sys.argv[1], fit=sys.argv[2])
took = time.perf_counter() - began
assert "torch" not in sys.modules
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(took, sum(of.ru_utime + of.ru_stime for of in used), used[0].ru_maxrss / 1024, splits.train.pixels.nbytes / 1e6)
"""


def write(folder: Path, count: int) -> None:
    """Write JPEG files into ten class folders."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    random = np.random.default_rng(0)
    for number in range(count):
        photograph = photographs[number % 2]
        top, left = (random.integers(0, side - cut) for side, cut in zip(photograph.shape, (72, 96), strict=False))
        content = io.BytesIO()
        Image.fromarray(photograph[top : top + 72, left : left + 96]).save(content, "JPEG", quality=85)
        path = folder / f"class{number % 10}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.getvalue())


def write_large(folder: Path, count: int) -> None:
    """Write large JPEG files into two class folders."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    for label, photograph in enumerate(load_sample_images().images):
        large = np.asarray(Image.fromarray(photograph).resize((1600, 1200)), dtype=np.float32)
        noisy = (large + random.normal(0, 4, large.shape)).clip(0, 255).astype(np.uint8)
        content = io.BytesIO()
        Image.fromarray(noisy).save(content, "JPEG", quality=85)
        for number in range(label, count, 2):
            path = folder / f"class{label}" / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content.getvalue())


def write_png(folder: Path, count: int) -> None:
    """Write PNG files of 28x28 gray pixels into class folders."""
    from PIL import Image

    from sevensteps.data.sources.fashion import load_fashion

    train = load_fashion(print).train
    for number in range(count):
        row, again = number % len(train), number // len(train)
        pixels = train.pixels[row, 0].copy()
        pixels[0, 0] += again
        path = folder / f"class{train.labels[row]}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)


WRITERS = {"jpeg": write, "png": write_png, "large": write_large}
KINDS = {"jpeg": "JPEG files of 96x72", "png": "PNG files of 28x28", "large": "JPEG files of 1600x1200"}
WAYS = ("loop", "threads", "processes")


def ran(code: str, folder: Path, cache: Path, *words: str) -> list[float]:
    """Return what a script printed."""
    environment = {**os.environ, "SEVENSTEPS_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), *words], env=environment, capture_output=True, text=True, check=True
    )
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--kind", choices=tuple(WRITERS), default="jpeg")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(describe())
    pillow = [f"Pillow alone, {way}" for way in WAYS]
    ours = ["load, the first time", "load, again", "load, one file in a hundred touched"]
    fast = "load, letterbox-fast, the first time"
    rows: dict[str, list[list[float]]] = {name: [] for name in (*pillow, *ours, fast)}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pictures"
        folder.mkdir()
        WRITERS[arguments.kind](folder, arguments.files)
        for number in range(arguments.rounds):
            cache = Path(place) / f"cache{number}"
            for name, way in zip(pillow, WAYS, strict=True):
                rows[name].append(ran(PILLOW, folder, cache, way))
            first = ran(OURS, folder, cache, "letterbox")
            rows[ours[0]].append(first)
            rows[ours[1]].append(ran(OURS, folder, cache, "letterbox"))
            for path in list(folder.glob("*/*.*"))[::100]:
                os.utime(path, ns=(time.time_ns(), time.time_ns()))
            rows[ours[2]].append(ran(OURS, folder, cache, "letterbox"))
            rows[fast].append(ran(OURS, folder, cache, "letterbox-fast"))
    print(f"\n{arguments.files:,} {KINDS[arguments.kind]}; medians of {arguments.rounds} rounds\n")
    print("| | seconds | files/second | CPU seconds | speed relative to Pillow alone |\n|---|---:|---:|---:|---:|")
    taken = {name: statistics.median(seconds for seconds, *_ in of) for name, of in rows.items()}
    best = min(taken[name] for name in pillow)
    for name, took in taken.items():
        cpu = statistics.median(of[1] for of in rows[name])
        print(f"| {name} | {took:.2f} | {arguments.files / took:,.0f} | {cpu:.2f} | {best / took:.2f} |")
    print(f"\nThe first load used at most {first[2]:,.0f} MB, {first[3]:,.0f} MB of them for the pictures.")
    if arguments.json:
        arguments.json.write_text(json.dumps({"files": arguments.files, "measured": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
