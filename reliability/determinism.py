"""Check that a recipe gives the same bytes, whatever the hash seed, locale, time zone, folder, cores or threads."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cases import CASES, Case
from .children import final
from .kill import command, fresh

LANGUAGES = ("C", "C.UTF-8", "POSIX", "en_US.UTF-8", "tr_TR.UTF-8", "de_DE.UTF-8")
ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati")

IN_PARTS = Case(
    "Muon, a CNN in three parts, on all cores",
    (
        *("--recipe", "cnn", "--width", "4", "--optimizer", "Muon", "--epochs", "2"),
        *("--batch-size", "60", "--shards", "3", "--checkpoint-every", "2 batches"),
    ),
)


def determinism(place: Path, source: Path, runs: int) -> dict[str, Any]:
    """Run each case `runs` times, each time in a different environment, and count the different results.

    Every second run is beside a process that keeps a core busy, and where the system can restrict a process to some
    cores, half of the runs have one.
    """
    hashes: dict[str, list[str]] = {}
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cases = (*CASES, IN_PARTS)
    for case in cases:
        found = set()
        for run in range(runs):
            here = fresh(place / f"somewhere {run} é")
            here.mkdir(parents=True)
            surroundings = {
                "PYTHONHASHSEED": str(run * 7919),
                "LC_ALL": LANGUAGES[run % len(LANGUAGES)],
                "TZ": ZONES[run % len(ZONES)],
                "COLUMNS": str(40 + 7 * run),
                "OMP_NUM_THREADS": str(1 + run % 3),
                "PYTHONPATH": os.pathsep.join(sys.path),
            }
            own = cores[:1] if run % 4 < 2 else cores
            with busy(run % 2):
                subprocess.run(
                    [sys.executable, "-m", "sevensteps", *command(source.resolve(), case, Path("run"))],
                    cwd=here,
                    env={**os.environ, **surroundings},
                    capture_output=True,
                    check=True,
                    preexec_fn=functools.partial(os.sched_setaffinity, 0, own) if own else None,
                )
            digest = hashlib.sha256()
            for name, content in final(here / "run").items():
                digest.update(f"{name} {len(content)}".encode() + content)
            found.add(digest.hexdigest())
            fresh(here)
        hashes[case.name] = sorted(found)
    return {
        "runs": runs * len(cases),
        "results": {name: len(found) for name, found in hashes.items()},
        "differ": [name for name, found in hashes.items() if len(found) != 1],
    }


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many cores busy inside, as another program would."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
