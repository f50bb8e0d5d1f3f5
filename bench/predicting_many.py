"""Measure how the memory of `predict` grows with the number of files: hard links to a hundred small PNG files.

    python bench/predicting_many.py                 folders of 10,000, 100,000 and 300,000 files
    python bench/predicting_many.py 1000 1000000    other numbers

Each is a process of its own that prints a line for each file. The peak is the most memory that it held at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe
from predicting import write_pictures

import sevensteps as ss

COUNTS = (10_000, 100_000, 300_000)
DIFFERENT = 100


# A small process between: the peak of a process includes what its parent held when it was started.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)
"""


def peak_of(command: list[str | Path]) -> tuple[float, float]:
    """Run a command, and return its peak memory in MB and its CPU seconds."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], check=True, stdout=subprocess.PIPE, text=True)
    peak, seconds = map(float, done.stdout.split())
    return peak, seconds


def main() -> None:
    """Print a row for each number of files."""
    counts = [int(word) for word in sys.argv[1:]] or list(COUNTS)
    print(describe(), flush=True)
    print(f"{'files':>10}{'peak, MB':>12}{'CPU s':>10}{'bytes a file more':>20}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ss.train("pullover-dress", recipe="linear", epochs=1, out=folder / "run", observe=lambda event: None)
        originals = sorted(write_pictures(folder / "originals", DIFFERENT).iterdir())
        before: tuple[int, float] | None = None
        for count in counts:
            (folder / str(count)).mkdir()
            for number in range(count):
                os.link(originals[number % DIFFERENT], folder / str(count) / f"{number:09}.png")
            command = [sys.executable, "-m", "sevensteps", "predict", folder / "run", folder / str(count), "--jsonl"]
            peak, seconds = peak_of(command)
            growth = "" if before is None else f"{(peak - before[1]) * (1 << 20) / (count - before[0]):.1f}"
            print(f"{count:>10,}{peak:>12.1f}{seconds:>10.1f}{growth:>20}", flush=True)
            before = count, peak


if __name__ == "__main__":
    main()
