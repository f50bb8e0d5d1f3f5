"""Measure whole commands: median seconds and peak memory.

python bench/start.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

SEVENSTEPS = [sys.executable, "-m", "sevensteps"]
OPEN_CACHED = """
import time
from sevensteps.data.sources.load import load
began = time.perf_counter()
splits = load("fashion-mnist")
print(time.perf_counter() - began)
"""


PICTURE = """
import sevensteps as ss
from PIL import Image
Image.fromarray(ss.load("pullover-dress").train.pixels[0, 0]).save("picture.png")
"""
FIRST_BATCH = """
import time
import torch
imported = time.perf_counter()
import sevensteps as ss
splits = ss.load("pullover-dress")
next(iter(ss.Recipe.load("linear").learner(splits).stream()))
print(time.perf_counter() - imported)
"""


def printed(script: str, repeats: int = 5) -> float:
    """Return the median of the seconds that a script prints, in new processes, after a warm-up."""
    command = [sys.executable, "-c", script]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(repeats + 1)]
    return statistics.median(float(run.stdout) for run in runs[1:])


def measure(command: list[str], folder: Path, repeats: int = 5, *, anew: bool = False) -> tuple[float, float]:
    """Return the median seconds of a command and its peak resident memory in MB, after a warm-up.

    With `anew`, each run starts with an empty cache, as right after installation.
    """
    seconds, memory = [], 0.0
    for repeat in range(repeats + 1):
        cache = {"SEVENSTEPS_CACHE": str(folder / f"cache{repeat}")} if anew else {}
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **cache}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{command} failed")
        if repeat:
            seconds.append(time.perf_counter() - began)
            memory = max(memory, usage.ru_maxrss / 1024)
    return statistics.median(seconds), memory


def main() -> None:
    """Print a line for each command."""
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command in ([*SEVENSTEPS, "train", "--out", "run"], [sys.executable, "-c", PICTURE]):
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        for title, command in {
            "sevensteps --version": [*SEVENSTEPS, "--version"],
            "sevensteps --help": [*SEVENSTEPS, "--help"],
            "sevensteps train --help": [*SEVENSTEPS, "train", "--help"],
            "sevensteps predict": [*SEVENSTEPS, "predict", "run", "picture.png"],
            "import sevensteps": [sys.executable, "-c", "import sevensteps"],
            "import torch": [sys.executable, "-c", "import torch"],
            "sevensteps train": [*SEVENSTEPS, "train"],
        }.items():
            seconds, memory = measure(command, folder)
            print(f"{title:<30} {seconds:6.3f} s  {memory:6.0f} MB", flush=True)
        seconds, memory = measure([*SEVENSTEPS, "train"], folder, anew=True)
        print(f"{'sevensteps train, empty cache':<30} {seconds:6.3f} s  {memory:6.0f} MB")
    print(f"{'first batch, after import torch':<30} {printed(FIRST_BATCH):6.3f} s")
    try:
        print(f"{'load the cached full set':<30} {printed(OPEN_CACHED):6.3f} s")
    except subprocess.CalledProcessError:  # which nothing but the download can cause: everything else has just run
        print(f"{'load the cached full set':<30} left out: the server of Fashion-MNIST cannot be reached")


if __name__ == "__main__":
    main()
