"""Changes of the learning rate that a recipe replays: after some number of batches of a fit, the rate is set."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Protocol, runtime_checkable

from ..records.events import Batch, Epoch
from ..steps.state import State


@runtime_checkable
class Changing(Protocol):
    """A learner whose rate changes."""

    state: State
    rate_changes: Mapping[int, float]  # by the batches of a fit that are done before

    def set(self, *, lr: float) -> None:
        """Change the rate between two batches."""
        ...


def replaying(learn: Changing, events: Iterator[Batch | Epoch]) -> Generator[Batch | Epoch, None, None]:
    """Pass on the events of a stream, and set the rate where `learn.rate_changes` says so, as `learn.set` does.

    Args:
        learn: The learner.
        events: Its stream.
    """
    _set(learn)  # a fit may go on exactly where a rate changes
    for event in events:
        yield event
        _set(learn)


def _set(learn: Changing) -> None:
    """Set the rate if it changes between the last batch and the next."""
    state = learn.state
    if learn.rate_changes and state.stopped is None:
        rate = learn.rate_changes.get(state.batch - state.fit_batch)
        if rate is not None:
            learn.set(lr=rate)
