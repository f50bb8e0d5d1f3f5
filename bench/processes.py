"""What several processes cost: `python bench/processes.py`.

Trains `cnn` in four parts of a batch with 1 to 4 processes on one core. All runs are started and then take turns, an
epoch each, while the others are stopped. So each epoch is compared with those just before and after it, other programs
slow all of them alike, and starting does not count. The CPU time is that of all processes of a run. On Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

FLAGS = ("--recipe", "cnn", "--shards", "4", "--folds", "1", "--no-test", "--hold-out", "0.02")


@dataclass(eq=False)
class Run:
    """A run that trains when it is its turn."""

    folder: Path
    first: subprocess.Popen[bytes]
    members: list[int] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def epochs(self) -> int:
        """Return the number of epochs that are done."""
        with contextlib.suppress(OSError):
            return (self.folder / "run/timings.jsonl").read_text().count('"number"')
        return 0

    def until(self, epochs: int) -> None:
        """Wait until so many epochs are done."""
        while self.epochs() < epochs:
            if self.first.poll() is not None:
                raise RuntimeError(f"train ended with exit code {self.first.returncode}")
            time.sleep(0.002)

    def all_get(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the run."""
        for member in self.members:
            os.kill(member, number)

    def turn(self) -> None:
        """Train for an epoch, and note what it took."""
        done, used, began = self.epochs(), cpu_of(self.members), time.monotonic()
        self.all_get(signal.SIGCONT)
        self.until(done + 1)
        self.cpu.append(cpu_of(self.members) - used)
        self.seconds.append(time.monotonic() - began)
        self.all_get(signal.SIGSTOP)


def started(processes: int, core: str, batch: int, epochs: int) -> Run:
    """Start a run on a core, and stop it after its first epoch, in which the processes find each other."""
    folder = Path(tempfile.mkdtemp())
    more = ["--epochs", str(epochs), "--batch-size", str(batch), "--processes", str(processes)]
    command = [sys.executable, "-m", "sevensteps", "train", *FLAGS, *more, "--checkpoint-every", "1 epochs"]
    first = subprocess.Popen(
        ["taskset", "--cpu-list", core, *command, "--out", str(folder / "run")],
        env={**os.environ, "SEVENSTEPS_STATE": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run = Run(folder, first)
    run.until(1)
    others = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    run.members = [first.pid, *map(int, others)]
    run.all_get(signal.SIGSTOP)
    return run


def cpu_of(members: list[int]) -> float:
    """Return the CPU seconds that processes have used."""
    fields = [Path(f"/proc/{member}/stat").read_text().rpartition(") ")[2].split() for member in members]
    return sum(int(one[11]) + int(one[12]) for one in fields) / float(os.sysconf("SC_CLK_TCK"))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--batch", type=int, default=512)
    asked = parser.parse_args()
    core = str(min(os.sched_getaffinity(0)))
    runs = [started(number, core, asked.batch, asked.turns + 4) for number in (1, 2, 3, 4)]
    try:
        for _ in range(asked.turns):
            for run in runs:
                run.turn()
    finally:
        for run in runs:
            run.all_get(signal.SIGKILL)
            run.first.wait()
    print("| processes on one core | CPU s an epoch, least | median | against one process, least | median |")
    print("|---|---|---|---|---|")
    for number, run in enumerate(runs, 1):
        share = statistics.median(own / one for own, one in zip(run.cpu, runs[0].cpu, strict=True))
        least = min(run.cpu) / min(runs[0].cpu)
        print(f"| {number} | {min(run.cpu):.2f} | {statistics.median(run.cpu):.2f} | {least:.2f} | {share:.2f} |")


if __name__ == "__main__":
    main()
