"""Kill a run before and after each call that changes its folder, or at any moment, and resume it: nothing differs."""

from __future__ import annotations

import functools
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import disk
from .cases import CASES, Case, flags_of
from .children import Ended, final, in_child, typed


def at_every_write(place: Path, source: Path, every: int = 1) -> dict[str, Any]:
    """Kill each case's run before and after each call; with `every`, only at every such point."""
    counts: dict[str, Any] = {"points": 0, "differ": [], "by_case": {}}
    for case in CASES:
        whole, calls = uninterrupted(place, source, case)
        points = [(number, when) for number in range(calls) for when in ("before", "after")][::every]
        for number, when in points:
            folder = fresh(place / "killed")
            ended = typed(*command(source, case, folder), inside=functools.partial(disk.dying, folder, number, when))
            if ended.code != -9:
                counts["differ"].append(f"{case.name}: was not killed {when} call {number}: {ended}")
            end_of(folder, source, case, counts, whole, f"{case.name}, {when} call {number}")
        counts["by_case"][case.name] = {"calls": calls, "points": len(points)}
        counts["points"] += len(points)
    return counts


def at_random(place: Path, source: Path, alone: int, chained: int, seed: int = 0) -> dict[str, Any]:
    """Kill runs at random moments: `alone` runs once, others two to five times until `chained` kills are reached."""
    chance = random.Random(seed)
    counts: dict[str, Any] = {"runs": 0, "kills_alone": 0, "kills_in_chains": 0, "differ": []}
    ends = [(*uninterrupted(place, source, case), case, seconds_of(source, case, place)) for case in CASES]
    while counts["kills_alone"] < alone or counts["kills_in_chains"] < chained:
        whole, _, case, seconds = ends[counts["runs"] % len(ends)]
        in_chain = counts["kills_in_chains"] < chained
        folder = fresh(place / "killed")
        kills, wanted = 0, chance.randint(2, 5) if in_chain else 1
        while kills < wanted:
            arguments = going_on(folder) if is_run(folder) else command(source, case, folder)
            ended = in_child(functools.partial(_typed_here, arguments), kill_after=chance.uniform(0, seconds))
            if ended.code != -9:  # it finished first
                break
            kills += 1
        counts["runs"] += 1
        counts["kills_in_chains" if kills > 1 else "kills_alone"] += kills
        end_of(folder, source, case, counts, whole, f"{case.name}, run {counts['runs']}")
    return counts


def from_outside(place: Path, source: Path, count: int, seed: int = 0) -> dict[str, Any]:
    """Kill the real program at random moments, in a process of its own."""
    chance = random.Random(seed)
    counts: dict[str, Any] = {"runs": count, "kills": 0, "differ": []}
    case = CASES[1]
    for run in range(count):
        whole, _ = uninterrupted(place, source, case)
        folder = fresh(place / "killed")
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "sevensteps", *command(source, case, folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while not folder.exists() and process.poll() is None and time.monotonic() - began < 60:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
        counts["kills"] += process.returncode == -9
        again = going_on(folder) if is_run(folder) else command(source, case, folder)
        done = subprocess.run([sys.executable, "-m", "sevensteps", *again], capture_output=True, text=True, check=False)
        compare(folder, whole, counts, f"run {run}: {done.returncode} {done.stderr}")
    return counts


def uninterrupted(place: Path, source: Path, case: Case) -> tuple[dict[str, bytes], int]:
    """Return the files of an uninterrupted run and how many calls changed them; later parts reuse the run."""
    folder = place / case.name.replace(" ", "-").replace(",", "")
    counted = folder.with_suffix(".calls")
    if not counted.exists():
        ended = typed(*command(source, case, folder), inside=functools.partial(disk.counting, folder))
        if ended.code != 0:
            raise RuntimeError(f"the uninterrupted run failed: {ended}")
        counted.write_text(str(ended.given))
    return final(folder), int(counted.read_text())


def seconds_of(source: Path, case: Case, place: Path) -> float:
    """Return how many seconds a whole run takes in a child."""
    began = time.monotonic()
    typed(*command(source, case, fresh(place / "timed")))
    return time.monotonic() - began


def command(source: Path, case: Case, folder: Path) -> tuple[str, ...]:
    """Return the arguments that start a case's run."""
    return ("train", str(source), *flags_of(case), "--out", str(folder))


def going_on(folder: Path) -> tuple[str, ...]:
    """Return the arguments that resume a run."""
    return ("resume", str(folder))


def is_run(folder: Path) -> bool:
    """Return whether the folder has a run that can be resumed; otherwise the same command is run again."""
    return any((folder / name).exists() for name in ("recipe.toml", "checkpoint.safetensors"))


def fresh(folder: Path) -> Path:
    """Return the folder after deleting it."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def end_of(
    folder: Path, source: Path, case: Case, counts: dict[str, Any], whole: dict[str, bytes], where: str
) -> Ended:
    """Go on to the end, and compare."""
    ended = typed(*(going_on(folder) if is_run(folder) else command(source, case, folder)))
    compare(folder, whole, counts, f"{where}: {ended.code} {ended.err}")
    return ended


def compare(folder: Path, whole: dict[str, bytes], counts: dict[str, Any], where: str) -> None:
    """Count a folder that is not, byte for byte, what an uninterrupted run leaves."""
    found = final(folder) if folder.exists() else {}
    if found != whole:
        names = sorted({name for name, _ in found.items() ^ whole.items()})
        counts["differ"].append(f"{where} (differing: {', '.join(names)})")


def _typed_here(arguments: tuple[str, ...]) -> tuple[int, Any]:
    """Run the command in this process; return its exit code."""
    from sevensteps.cli.app import run

    return run(arguments), None
