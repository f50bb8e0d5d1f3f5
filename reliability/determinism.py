"""Check that a recipe gives the same bytes, whatever the hash seed, locale, time zone or folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .cases import CASES
from .children import final
from .kill import command, fresh

LANGUAGES = ("C", "C.UTF-8", "POSIX", "en_US.UTF-8", "tr_TR.UTF-8", "de_DE.UTF-8")
ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati")


def determinism(place: Path, source: Path, runs: int) -> dict[str, Any]:
    """Run each case `runs` times, each time in a different environment, and count the different results."""
    hashes: dict[str, list[str]] = {}
    for case in CASES:
        found = set()
        for run in range(runs):
            here = fresh(place / f"somewhere {run} é")
            here.mkdir(parents=True)
            surroundings = {
                "PYTHONHASHSEED": str(run * 7919),
                "LC_ALL": LANGUAGES[run % len(LANGUAGES)],
                "TZ": ZONES[run % len(ZONES)],
                "COLUMNS": str(40 + 7 * run),
                "PYTHONPATH": os.pathsep.join(sys.path),
            }
            subprocess.run(
                [sys.executable, "-m", "sevensteps", *command(source.resolve(), case, Path("run"))],
                cwd=here,
                env={**os.environ, **surroundings},
                capture_output=True,
                check=True,
            )
            digest = hashlib.sha256()
            for name, content in final(here / "run").items():
                digest.update(f"{name} {len(content)}".encode() + content)
            found.add(digest.hexdigest())
            fresh(here)
        hashes[case.name] = sorted(found)
    return {
        "runs": runs * len(CASES),
        "results": {name: len(found) for name, found in hashes.items()},
        "differ": [name for name, found in hashes.items() if len(found) != 1],
    }
