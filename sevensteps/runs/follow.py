"""A training that several processes compute, as a process sees it that follows the first: it takes the same steps.

An order is the leader's checkpoint. So whoever follows goes on from it as `resume` does, from the same pictures, and
ends each batch with the same parameters. It neither validates nor saves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

from ..base.addresses import remember
from ..errors import RunError
from ..learner.distributed import Processes
from . import checkpoint
from .recorded import same_pictures
from .saved import Saved
from .together import exchanging


def follow(processes: Processes) -> None:
    """Take part in one training after another, until the leader has no more.

    Args:
        processes: Whose leader is another process.

    Raises:
        SevenstepsError: The pictures cannot be read here, or are others; or the leader has ended.
    """
    while (order := processes.hear()) is not None:
        head, _, content = order.partition(b"\n")
        found = checkpoint.from_bytes(content, "the leader's order")
        told = json.loads(head)
        remember(told["addresses"])
        _train_along(processes, Saved(Path(told["folder"] or "unsaved"), found))


def _train_along(processes: Processes, saved: Saved) -> None:
    """Take the steps of one training, until the leader leaves it."""
    recipe = saved.recipe
    if recipe.device == "cuda":
        recipe = recipe.replace(device=f"cuda:{processes.place.local_rank}")
    splits, recipe = saved.pictures(lambda event: None, recipe, may_differ=True)
    if not same_pictures(saved.recorded, splits):
        raise RunError(
            f"Process {processes.rank + 1} of {processes.world} has found different pictures at {recipe.source} than "
            "process 1.",
            hint="Copy the same pictures to each machine.",
        )
    with saved.learner(splits, recipe) as learn:
        learn.dls.valid = None
        # The leader decides when to stop; the bounds stay, since the schedule needs them.
        learn.stop = dataclasses.replace(learn.stop, reason=lambda progress: None)
        with exchanging(processes, learn), contextlib.closing(learn):
            for _ in learn.stream():
                pass
