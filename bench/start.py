"""Whole commands from typed to done: seconds (median of several) and peak memory.

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
from sevensteps.data.sources import load
began = time.perf_counter()
splits = load("fashion-mnist")
print(time.perf_counter() - began)
"""


def measure(command: list[str], folder: Path, repeats: int = 5) -> tuple[float, float]:
    """Median seconds and the largest resident memory in MB of a command, after one run that warms the file cache."""
    seconds, memory = [], 0.0
    for repeat in range(repeats + 1):
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{command} failed")
        if repeat:
            seconds.append(time.perf_counter() - began)
            memory = max(memory, usage.ru_maxrss / 1024)
    return statistics.median(seconds), memory


def main() -> None:
    """Print a line a command."""
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, command in {
            "sevensteps --version": [*SEVENSTEPS, "--version"],
            "sevensteps --help": [*SEVENSTEPS, "--help"],
            "sevensteps train --help": [*SEVENSTEPS, "train", "--help"],
            "import sevensteps": [sys.executable, "-c", "import sevensteps"],
            "import torch": [sys.executable, "-c", "import torch"],
            "sevensteps train": [*SEVENSTEPS, "train"],
        }.items():
            seconds, memory = measure(command, folder)
            print(f"{title:<26} {seconds:6.3f} s  {memory:6.0f} MB", flush=True)
        opening = [
            float(
                subprocess.run([sys.executable, "-c", OPEN_CACHED], capture_output=True, text=True, check=True).stdout
            )
            for _ in range(6)
        ][1:]
        print(f"{'load the cached full set':<26} {statistics.median(opening):6.3f} s")


if __name__ == "__main__":
    main()
