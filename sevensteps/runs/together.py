"""A training that several processes compute, as the process that leads it sees it; for the others see `follow.py`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from ..base.addresses import typed_here
from ..base.device import computing_with, cores
from ..errors import SevenstepsError
from ..learner.distributed import LeaderLeftError, Processes, current
from ..learner.learner import Learner
from ..learner.meeting import LOST
from ..steps.exchange import Exchange


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
        is_here = processes.place.local_world == processes.world  # no secret leaves this machine
        head = {"folder": str(folder or ""), "addresses": typed_here() if is_here else {}}
        processes.tell(json.dumps(head).encode() + b"\n" + as_it_stands())
        with exchanging(processes, learn):
            yield
    except SevenstepsError as error:
        if error.kind == LOST and folder is not None:
            most = learn.parting.shards
            error.hint = f"To continue from the last save, with up to {most} processes: sevensteps resume {folder}"
        raise


@contextlib.contextmanager
def exchanging(processes: Processes, learn: Learner) -> Iterator[None]:
    """Compute batches with the other processes inside the block, each with its share of this machine's cores.

    Args:
        processes: This one and the others.
        learn: What is trained.

    Raises:
        TrainingError: A process has ended, or has made another model.
    """
    exchange = Exchange(processes, learn.model, learn.parting.shards)
    processes.begin(exchange.size, learn.device)
    learn.exchange = exchange
    try:
        with computing_with(1, max(cores() // processes.place.local_world, 1)):
            yield
    except LeaderLeftError:
        return
    except BaseException as error:
        is_lost = isinstance(error, SevenstepsError) and error.kind == LOST
        if not (processes.rank or is_lost):  # else nobody waits any more
            processes.leave()
        raise
    finally:
        learn.exchange = None
    processes.leave()
