"""Whether this process is one of several that a launcher, such as torchrun, has started for one training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what every launcher for PyTorch sets


@dataclass(frozen=True)
class Launched:
    """The place of this process among those that were started together."""

    rank: int  # from 0
    world: int  # how many there are
    local_rank: int = 0  # on this machine
    local_world: int = 1


def launched(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """Return the place of this process among several; None if it was started alone.

    Args:
        environment: The variables that torchrun and other launchers set.

    Raises:
        UsageError: A variable does not hold a number that makes sense.
    """
    if any(name not in environment for name in NEEDED) or environment["WORLD_SIZE"] == "1":
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    typed = [environment.get(name, usual) for name, usual in zip(names, ("", "", "0", "1"), strict=True)]
    wrong = next((f"{name}={value}" for name, value in zip(names, typed, strict=True) if not value.isdecimal()), "")
    if wrong or not int(typed[0]) < int(typed[1]):
        raise UsageError(
            f"The launcher's variables are not valid: {wrong or f'RANK={typed[0]}, WORLD_SIZE={typed[1]}'}.",
            hint="Start it with torchrun, or unset RANK and WORLD_SIZE to train in one process.",
        )
    return Launched(*map(int, typed))
