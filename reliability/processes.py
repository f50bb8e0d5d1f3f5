"""Kill any of several processes at random moments, and resume with another number: `python -m reliability.processes`.

Prints one JSON object of counts; exits with 1 if a run ended with other bytes, or if a process outlived the others by
more than 30 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .cases import make_source
from .children import final
from .kill import fresh, is_run

FLAGS = ("--recipe", "cnn", "--width", "2", "--batch-size", "64", "--shards", "4", "--checkpoint-every", "2 batches")
OPTIMIZERS = ("SGD", "AdamW", "Muon")
LONGEST = 30.0  # seconds until all have ended


def main() -> int:
    """Run both parts and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reliability.processes", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--whole", type=int, nargs="+", default=[1, 2, 3, 4], help="processes of the whole runs")
    asked = parser.parse_args()
    counts: dict[str, Any] = {"kills": 0, "of_rank": [0, 0, 0, 0], "ended_before": 0, "slowest_end_s": 0.0, "wrong": []}
    counts["slowest_end_of_leaders_s"] = 0.0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = make_source(place / "source")
        wholes = {name: equal_ends(place, source, name, asked, counts) for name in OPTIMIZERS}
        chance = random.Random(asked.seed)
        for run in range(asked.kills):
            name = OPTIMIZERS[run % len(OPTIMIZERS)]
            killed(place, command(source, name, asked.epochs), wholes[name], chance, counts)
            print(json.dumps(counts), file=sys.stderr, flush=True)
    print(json.dumps(counts, indent=1))
    return 1 if counts["wrong"] else 0


def command(source: Path, optimizer: str, epochs: int) -> tuple[str, ...]:
    """Return the arguments that train on the pictures."""
    return ("train", str(source), *FLAGS, "--optimizer", optimizer, "--epochs", str(epochs))


def same(folder: Path) -> dict[str, bytes]:
    """Return the files that equal runs share, without the number of processes."""
    files = final(folder)
    files["recipe.toml"] = re.sub(rb"(?m)^processes = \d+\n", b"", files["recipe.toml"])
    return files


def equal_ends(
    place: Path, source: Path, optimizer: str, asked: argparse.Namespace, counts: dict[str, Any]
) -> dict[str, bytes]:
    """Train with several numbers of processes; return the files of the first, which the others must equal."""
    wholes = []
    for number in asked.whole:
        folder = fresh(place / "whole")
        typed(*command(source, optimizer, asked.epochs), "--out", str(folder), "--processes", str(number))
        wholes.append(same(folder))
        if wholes[-1] != wholes[0]:
            counts["wrong"].append(f"{optimizer}: {number} processes end with other bytes")
    return wholes[0]


def killed(
    place: Path, arguments: tuple[str, ...], whole: dict[str, bytes], chance: random.Random, counts: dict[str, Any]
) -> None:
    """Kill one process of a run at a random moment, see that all end, and resume with another number."""
    folder, number = fresh(place / "killed"), chance.randint(2, 4)
    again = chance.choice([other for other in (1, 2, 3, 4) if other != number])
    rank, wait = chance.randrange(number), chance.uniform(0, 2.5)
    with subprocess.Popen(
        [sys.executable, "-m", "sevensteps", *arguments, "--out", str(folder), "--processes", str(number)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while not (folder / "recipe.toml").exists() and process.poll() is None:
            time.sleep(0.01)
        members = [process.pid, *children_of(process.pid)]
        time.sleep(wait)
        began = time.monotonic()
        if process.poll() is None and rank < len(members):
            os.kill(members[rank], signal.SIGKILL)
            counts["kills"] += 1
            counts["of_rank"][rank] += 1
        else:
            counts["ended_before"] += 1
        while any(map(is_alive, members)) and time.monotonic() - began < 2 * LONGEST:
            process.poll()
            time.sleep(0.02)
        took = time.monotonic() - began
    for name in ("slowest_end_s",) if rank else ("slowest_end_s", "slowest_end_of_leaders_s"):
        counts[name] = round(max(counts[name], took), 1)
    if took > LONGEST:
        counts["wrong"].append(f"after {wait:.2f} s, rank {rank} of {number}: not ended after {took:.0f} s")
    going_on = ("resume", str(folder)) if is_run(folder) else (*arguments, "--out", str(folder))
    typed(*going_on, "--processes", str(again))
    if same(folder) != whole:
        counts["wrong"].append(f"after {wait:.2f} s, rank {rank} of {number}, resumed with {again}: other bytes")


def children_of(parent: int) -> list[int]:
    """Return the processes that a process has started, in their order; on Linux."""
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def is_alive(process: int) -> bool:
    """Return whether a process runs, and is not only waiting to be counted."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def typed(*arguments: str) -> None:
    """Run the command to its end."""
    subprocess.run([sys.executable, "-m", "sevensteps", *arguments], capture_output=True, check=False, timeout=180)


if __name__ == "__main__":
    sys.exit(main())
