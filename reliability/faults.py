"""Let the disk be full, broken or read-only at each call: the error is explained, nothing is lost, the run resumes."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sevensteps.errors import SevenstepsError
from sevensteps.runs import checkpoint

from . import disk
from .cases import CASES, flags_of
from .children import final, typed
from .kill import command, end_of, fresh, uninterrupted


def at_every_call(place: Path, source: Path, every: int = 1) -> dict[str, Any]:
    """Let each call of each case fail in each way: the last save loads, the error is explained, and a new run works."""
    counts: dict[str, Any] = {"points": 0, "said": 0, "went on": 0, "differ": [], "unsaid": [], "lost": []}
    for case in CASES:
        whole, calls = uninterrupted(place, source, case)
        points = [(number, fault) for number in range(calls) for fault in disk.FAULTS][::every]
        for number, fault in points:
            counts["points"] += 1
            where = f"{case.name}, {fault} at call {number}"
            folder = fresh(place / "failed")
            ended = typed(*command(source, case, folder), inside=functools.partial(disk.failing, folder, number, fault))
            lines = [line for line in ended.err.splitlines() if line.startswith("sevensteps: ")]
            if ended.code == 1 and len(lines) == 1 and "Traceback" not in ended.err:
                counts["said"] += 1
            elif ended.code == 0 and final(folder) == whole:
                counts["went on"] += 1
            else:
                counts["unsaid"].append(f"{where}: {ended.code} {ended.err[-300:]}")
            try:
                checkpoint.load(folder)
            except SevenstepsError as error:
                counts["lost"].append(f"{where}: {error}")
            end_of(folder, source, case, counts, whole, where)
            if left := [path.name for path in folder.iterdir() if path.name.endswith(".part")]:
                counts["differ"].append(f"{where}: {left} is left")
    return counts


FULL = """
set -e
mounted=$1 python=$2 source=$3 results=$4
shift 4
mount -t tmpfs -o size=SIZEk tmpfs "$mounted"
set +e
$python -m sevensteps train $source "$@" --out $mounted/run > $results/out 2> $results/err
echo $? > $results/code
mount -o remount,size=50m $mounted
[ -e $mounted/run/recipe.toml ] && set -- resume $mounted/run || set -- train $source "$@" --out $mounted/run
$python -m sevensteps "$@" > $results/out2 2> $results/err2
echo $? > $results/code2
cp -r $mounted/run $results/run
"""


def full_disk(place: Path, source: Path, sizes: tuple[int, ...] = (8, 20, 36)) -> dict[str, Any]:
    """Fill a real disk of a few kilobytes: the error is explained, and on a larger disk the run ends as it should."""
    case = CASES[1]
    whole, _ = uninterrupted(place, source, case)
    counts: dict[str, Any] = {"disks": 0, "unsaid": [], "differ": []}
    for size in sizes:
        mounted, results = fresh(place / "small-disk"), fresh(place / "results")
        mounted.mkdir(parents=True)
        results.mkdir(parents=True)
        of_script = [str(mounted), sys.executable, str(source), str(results)]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", FULL.replace("SIZE", str(size)), "sh", *of_script, *flags_of(case)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        if not (results / "code").exists():
            return {**counts, "skipped": f"no disk can be mounted here: {done.stderr.strip()}"}
        counts["disks"] += 1
        said = (results / "err").read_text()
        if (results / "code").read_text().strip() != "1" or "the disk is full" not in said or "Traceback" in said:
            counts["unsaid"].append(f"{size} KB: {said}")
        if (results / "code2").read_text().strip() != "0" or final(results / "run") != whole:
            counts["differ"].append(f"{size} KB: {(results / 'err2').read_text()}")
        shutil.rmtree(results)
    return counts
