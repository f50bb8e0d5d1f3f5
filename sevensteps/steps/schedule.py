"""Schedules of the learning rate, for step 5: pure functions of the batch, without a state of their own.

A schedule is called as `schedule(batch, total)`, with the batches done and the batches in all, and returns the factor
of the learning rate.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from ..errors import UsageError

Schedule = Callable[[int, int | None], float]


def constant(batch: int, total: int | None) -> float:
    """Keep the learning rate as it is.

    Args:
        batch: Batches done.
        total: Batches in all, if known.

    Returns:
        1.
    """
    return 1.0


def one_cycle(div: float = 25.0, div_final: float = 1e5, pct_start: float = 0.25) -> Schedule:
    """Return a schedule that rises to the full learning rate and falls again, each time along half a cosine.

    Smith and Topin, "Super-convergence" (2017); the shape and the defaults are those of fastai's `fit_one_cycle`.

    Args:
        div: Training starts at the learning rate divided by this.
        div_final: Training ends at the learning rate divided by this.
        pct_start: The share of the batches in which the rate rises.

    Returns:
        The schedule.

    Raises:
        UsageError: A divisor is not positive, or the share is not between 0 and 1.
    """
    if not (div > 0 and div_final > 0 and 0 <= pct_start <= 1):
        raise UsageError(
            f"one_cycle cannot have div={div}, div_final={div_final}, pct_start={pct_start}.",
            hint="div and div_final must be positive, and pct_start between 0 and 1.",
        )

    return functools.partial(on_one_cycle, div=float(div), div_final=float(div_final), pct_start=float(pct_start))


def on_one_cycle(batch: int, total: int | None, *, div: float, div_final: float, pct_start: float) -> float:
    """Return the factor of the learning rate on the cycle that `one_cycle` describes.

    Args:
        batch: Batches done.
        total: Batches in all.
        div: See `one_cycle`.
        div_final: See `one_cycle`.
        pct_start: See `one_cycle`.

    Raises:
        UsageError: `total` is None.
    """
    done = batch / max(_required(total) - 1, 1)
    if done < pct_start or pct_start == 1:
        return _half_cosine(1 / div, 1.0, done / pct_start)
    return _half_cosine(1.0, 1 / div_final, (done - pct_start) / (1 - pct_start))


def cosine(batch: int, total: int | None) -> float:
    """Lower the learning rate along half a cosine, from full at the first batch to zero after the last.

    Loshchilov and Hutter, "SGDR" (2017), without restarts.

    Args:
        batch: Batches done.
        total: Batches in all.

    Returns:
        The factor of the learning rate, in [0, 1].

    Raises:
        UsageError: `total` is None.
    """
    return _half_cosine(1.0, 0.0, batch / _required(total))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "one_cycle": one_cycle(), "cosine": cosine}


def schedule_facts(schedule: Schedule) -> dict[str, Any] | None:
    """Return how one of our schedules was made, as JSON holds it; None for one of your own.

    Args:
        schedule: Any schedule.
    """
    if isinstance(schedule, functools.partial) and schedule.func is on_one_cycle:
        return {"schedule": "one_cycle", **schedule.keywords}
    return next(({"schedule": name} for name, known in SCHEDULES.items() if known is schedule), None)


def schedule_from(facts: Any) -> Schedule:
    """Make the schedule that the facts in a file describe.

    Args:
        facts: As `schedule_facts` returns them.

    Raises:
        ValueError: They describe no schedule.
    """
    match facts:
        case {"schedule": "one_cycle", "div": float(div), "div_final": float(div_final), "pct_start": float(start)}:
            return one_cycle(div, div_final, start)
        case {"schedule": str(name)} if name in SCHEDULES:
            return SCHEDULES[name]
    raise ValueError(f"{facts!r:.80} is not a schedule")


def _half_cosine(start: float, end: float, done: float) -> float:
    """Return the value between `start` and `end` after this share of half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


def _required(total: int | None) -> int:
    """Return the number of batches, or raise a UsageError if nobody knows it."""
    if total is None:
        raise UsageError(
            "This schedule needs to know when training will end.",
            hint="Give a number of epochs or batches, or use the constant schedule.",
        )
    return max(total, 1)
