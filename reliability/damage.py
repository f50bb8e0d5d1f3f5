"""Truncate a checkpoint at every length and flip many bits: each damage is noticed, and the previous save is used."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from sevensteps.errors import RunError
from sevensteps.runs import checkpoint

from .cases import CASES
from .kill import uninterrupted


def damage(place: Path, source: Path, flips: int, seed: int = 0) -> dict[str, Any]:
    """Cut a small checkpoint at every length, and flip `flips` bits, one in each byte of its header among them."""
    chance = random.Random(seed)
    case = CASES[0]
    folder = place / "damaged"
    uninterrupted(place, source, case)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(place / case.name.replace(" ", "-").replace(",", ""), folder)
    path = folder / checkpoint.CHECKPOINT
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    counts: dict[str, Any] = {"truncations": 0, "flips": 0, "header_bytes": header, "unseen": [], "not_said": []}

    def seen(damaged: bytes, what: str) -> None:
        path.write_bytes(damaged)
        found, problems = checkpoint.load(folder)
        if found is None or found.to_bytes() == content:
            counts["unseen"].append(what)
        elif (
            not any("checkpoint.safetensors" in problem for problem in problems)
            or "Continuing from" not in problems[-1]
        ):
            counts["not_said"].append(what)

    for length in range(len(content)):
        seen(content[:length], f"cut to {length} bytes")
        counts["truncations"] += 1
    places = [(at, chance.randrange(8)) for at in range(header)]
    places += [(chance.randrange(header, len(content)), chance.randrange(8)) for _ in range(max(flips - header, 0))]
    for at, bit in places:
        flipped = bytearray(content)
        flipped[at] ^= 1 << bit
        seen(bytes(flipped), f"bit {bit} of byte {at}")
        counts["flips"] += 1
    (folder / checkpoint.PREVIOUS).write_bytes(b"")
    try:
        seen(b"", "both files empty")
        counts["unseen"].append("both files empty")
    except RunError:
        path.write_bytes(content)
    return counts
