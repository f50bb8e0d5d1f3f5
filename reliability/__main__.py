"""Try to lose a run in every way we know: `python -m reliability`, or name some of its parts.

Prints one JSON object of counts to stdout and progress to stderr; exits with 1 if anything was lost. Without --full,
each part tries a share of its points, and everything takes a few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Must be set before torch is imported, as the command does.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from . import children, damage, determinism, faults, fuzz, kill, power
from . import serve as serving
from .cases import make_source

Part = Callable[[Path, Path, bool], dict[str, Any]]

PARTS: dict[str, Part] = {
    "kill": lambda place, source, full: kill.at_every_write(place, source, every=1 if full else 5),
    "random": lambda place, source, full: kill.at_random(place, source, *((240, 60) if full else (40, 10))),
    "outside": lambda place, source, full: kill.from_outside(place, source, 20 if full else 2),
    "power": lambda place, source, full: power.loss(place, source, *((2000, 200) if full else (600, 20))),
    "faults": lambda place, source, full: faults.at_every_call(place, source, every=1 if full else 23),
    "disk": lambda place, source, full: faults.full_disk(place, source),
    "damage": lambda place, source, full: damage.damage(place, source, 4000 if full else 1000),
    "determinism": lambda place, source, full: determinism.determinism(place, source, 20 if full else 4),
    "serve": lambda place, source, full: serving.serve(place, full),
    "pace": lambda place, source, full: serving.pace(place, full),
    "hostile": lambda place, source, full: of_hostile(fuzz.hostile(20_000 if full else 1500)),
}


def of_hostile(found: dict[str, Any]) -> dict[str, Any]:
    """Combine the counts of all kinds of files."""
    failed = [f"{kind}: {failure}" for kind, counts in found.items() for failure in counts["failures"]]
    cases = {kind: counts["cases"] for kind, counts in found.items()}
    return {"cases": sum(cases.values()), "failed": failed, "by_kind": found}


def main() -> int:
    """Run the chosen parts and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--full", action="store_true", help="try every point instead of a share of them")
    asked = parser.parse_args()
    children.prepare()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = make_source(place / "source")
        for name in asked.parts or [part for part in PARTS if part != "pace"]:  # which `serve` contains
            began = time.monotonic()
            results[name] = PARTS[name](place, source, asked.full)
            results[name]["seconds"] = round(time.monotonic() - began, 1)
            print(f"{name}: {in_short(results[name])}", file=sys.stderr)
            for failure in failures(results[name])[:5]:
                print(f"  {failure}", file=sys.stderr)
    print(json.dumps(results, indent=1))
    return 1 if any(map(failures, results.values())) else 0


def failures(counts: dict[str, Any]) -> list[str]:
    """Return the failures of a part: the entries of every list in its counts."""
    return [one for value in counts.values() if isinstance(value, list) for one in value]


def in_short(counts: dict[str, Any]) -> str:
    """Return the counts of a part as one line; of failures, their number."""
    numbers = {name: len(value) if isinstance(value, list) else value for name, value in counts.items()}
    return ", ".join(f"{name} {value}" for name, value in numbers.items() if not isinstance(value, dict))


if __name__ == "__main__":
    sys.exit(main())
