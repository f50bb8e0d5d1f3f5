"""Measure how fast a folder of pictures is loaded, the first and the second time, compared with Pillow alone.

    python bench/folders.py --files 100000 --kind png

Writes class folders of JPEG files (96x72 color pixels, cut from scikit-learn's two photographs) or PNG files
(Fashion-MNIST's pictures, repeated with one pixel changed). Pillow alone opens, decodes and resizes each file on one
thread per core. `load` finds the files, reports bad ones, and makes ids, labels and one array. The second start uses
the cache of the first; then one file in a hundred is touched. Each is a process of its own; the files are in the
system's memory. Needs an otherwise idle machine.
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
import glob, os, sys, time
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
paths = sorted(glob.glob(sys.argv[1] + "/*/*"))
is_png = paths[0].endswith("png")
def one(path):
    with Image.open(path) as image:
        if is_png:
            return image.tobytes()
        return image.convert("RGB").resize((64, 48), Image.Resampling.BILINEAR).tobytes()
began = time.perf_counter()
with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
    for first in range(0, len(paths), 64):
        list(pool.map(one, paths[first : first + 64]))
print(time.perf_counter() - began)
"""
OURS = """
import resource, sys, time
from sevensteps.data.sources.load import load
import sevensteps.data.decode, sevensteps.data.files.load, PIL.JpegImagePlugin, PIL.PngImagePlugin
began = time.perf_counter()
splits = load(sys.argv[1])
took = time.perf_counter() - began
assert "torch" not in sys.modules
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, splits.train.pixels.nbytes / 1e6)
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


def ran(code: str, folder: Path, cache: Path) -> list[float]:
    """Return what a script printed."""
    environment = {**os.environ, "SEVENSTEPS_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=environment, capture_output=True, text=True, check=True
    )
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--kind", choices=("jpeg", "png"), default="jpeg")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(describe())
    rows: dict[str, list[float]] = {"Pillow alone": [], "load, the first time": []}
    rows |= {"load, again": [], "load, one file in a hundred touched": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pictures"
        folder.mkdir()
        (write if arguments.kind == "jpeg" else write_png)(folder, arguments.files)
        for number in range(arguments.rounds):
            cache = Path(place) / f"cache{number}"
            rows["Pillow alone"].append(ran(PILLOW, folder, cache)[0])
            seconds, memory, size = ran(OURS, folder, cache)
            rows["load, the first time"].append(seconds)
            rows["load, again"].append(ran(OURS, folder, cache)[0])
            for path in list(folder.glob("*/*.*"))[::100]:
                os.utime(path, ns=(time.time_ns(), time.time_ns()))
            rows["load, one file in a hundred touched"].append(ran(OURS, folder, cache)[0])
    what = "JPEG files of 96x72" if arguments.kind == "jpeg" else "PNG files of 28x28"
    print(f"\n{arguments.files:,} {what}; medians of {arguments.rounds} rounds\n")
    print("| | seconds | files/second | speed relative to Pillow alone |\n|---|---:|---:|---:|")
    for name, seconds_of in rows.items():
        took = statistics.median(seconds_of)
        ratio = statistics.median(a / b for a, b in zip(rows["Pillow alone"], seconds_of, strict=True))
        print(f"| {name} | {took:.2f} | {arguments.files / took:,.0f} | {ratio:.2f} |")
    print(f"\nThe first load used at most {memory:,.0f} MB, {size:,.0f} MB of them for the pictures.")
    if arguments.json:
        arguments.json.write_text(json.dumps({"files": arguments.files, "seconds": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
