"""A training that several processes compute: the first leads it, and the others take the same steps beside it.

An order is the leader's checkpoint. So whoever follows goes on from it as `resume` does, from the same pictures, and
ends each batch with the same parameters. It neither validates nor saves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from ..base.device import computing_with, cores
from ..errors import RunError, SevenstepsError
from ..learner.distributed import LOST, LeaderLeftError, Processes, current
from ..learner.learner import Learner
from ..steps.exchange import Exchange
from . import checkpoint
from .recorded import same_pictures
from .saved import Saved


@contextlib.contextmanager
def led(learn: Learner, folder: Path | None, as_it_stands: Callable[[], bytes]) -> Iterator[None]:
    """Let other processes compute parts of the batches of streams inside the block, if there are others.

    Args:
        learn: What is trained.
        folder: Of the run.
        as_it_stands: Returns the bytes of the run's checkpoint.

    Raises:
        TrainingError: A process has ended.
        SevenstepsError: A process failed before it could begin.
    """
    processes = current()
    if processes is None:
        yield
        return
    try:
        processes.tell(json.dumps({"folder": str(folder or "")}).encode() + b"\n" + as_it_stands())
        with _exchanging(processes, learn):
            yield
    except SevenstepsError as error:
        if error.kind == LOST and folder is not None:
            error.hint = f"sevensteps resume {folder} goes on from the last save, with any number of processes."
        if error.kind != LOST:
            processes.leave()
        raise
    except BaseException:
        processes.leave()
        raise
    processes.leave()


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
        _train_along(processes, Saved(Path(json.loads(head)["folder"] or "unsaved"), found))


def _train_along(processes: Processes, saved: Saved) -> None:
    """Take the steps of one training, until the leader leaves it."""
    recipe = saved.recipe
    if recipe.device == "cuda":
        recipe = recipe.replace(device=f"cuda:{processes.place.local_rank}")
    splits, recipe = saved.pictures(lambda event: None, recipe, may_differ=True)
    if not same_pictures(saved.recorded, splits):
        raise RunError(
            f"Process {processes.rank + 1} of {processes.world} finds other pictures at {recipe.source} than the first "
            "process does.",
            hint="Copy the same pictures to each machine.",
        )
    with saved.learner(splits, recipe) as learn:
        learn.dls.valid = None
        # The leader decides when to stop; the bounds stay, since the schedule needs them.
        learn.stop = dataclasses.replace(learn.stop, reason=lambda progress: None)
        with contextlib.suppress(LeaderLeftError), _exchanging(processes, learn), contextlib.closing(learn):
            for _ in learn.stream():
                pass


@contextlib.contextmanager
def _exchanging(processes: Processes, learn: Learner) -> Iterator[None]:
    """Compute batches with the other processes inside the block, each with its share of this machine's cores."""
    exchange = Exchange(processes, learn.model, learn.parting.shards)
    processes.begin(exchange.size, learn.device)
    learn.exchange = exchange
    try:
        with computing_with(1, max(cores() // processes.place.local_world, 1)):
            yield
    finally:
        learn.exchange = None
