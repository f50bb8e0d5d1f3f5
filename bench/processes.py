"""What several processes cost and gain: `python bench/processes.py`.

Trains `cnn` in four parts a batch with 1 to 4 processes in turns. The CPU time of an epoch is that of all processes
together: of a long run less that of a short one, so that starting them does not count, and other programs do not
either. The wall time is that of the epochs alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FLAGS = ("--recipe", "cnn", "--shards", "4", "--folds", "1", "--no-test", "--hold-out", "0.02")


def trained(processes: int, cores: str, batch: int, epochs: int) -> tuple[float, list[float]]:
    """Train on some cores; return the CPU seconds of all processes, and the seconds of each epoch."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        more = ["--epochs", str(epochs), "--batch-size", str(batch), "--processes", str(processes), "--out", str(run)]
        started = subprocess.Popen(
            ["taskset", "--cpu-list", cores, sys.executable, "-m", "sevensteps", "train", *FLAGS, *more],
            env={**os.environ, "SEVENSTEPS_STATE": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
        if started.returncode:
            raise RuntimeError(f"train ended with exit code {started.returncode}")
        rows = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
    return used.ru_utime + used.ru_stime, [row["seconds"] for row in rows if "number" in row]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=512)
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    every = ",".join(map(str, cores))
    ways = [(where, number) for where in dict.fromkeys((str(cores[0]), every)) for number in (1, 2, 3, 4)]
    cpu: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    seconds: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for _ in range(asked.turns):
        for way in ways:
            short, _ = trained(way[1], way[0], asked.batch, 1)
            long, times = trained(way[1], way[0], asked.batch, 1 + asked.epochs)
            cpu[way].append((long - short) / asked.epochs)
            seconds[way] += times[1:]  # the first epoch also waits until all processes are ready
    print("| cores | processes | CPU s an epoch | times one process | s an epoch | times one process |")
    print("|---|---|---|---|---|---|")
    for way in ways:
        alone = way[0], 1
        figures = [(statistics.median(each[way]), statistics.median(each[alone])) for each in (cpu, seconds)]
        print(
            f"| {way[0]} | {way[1]} | " + " | ".join(f"{one:.2f} | {one / first:.2f}" for one, first in figures) + " |"
        )


if __name__ == "__main__":
    main()
