"""Back in time: moments of a run that are kept in memory, between which training is computed again.

Everything random is a function of seed, epoch and position, so the same batches give the same numbers. Moments are
kept so seldom that they cost a small share of training, and so often that computing again from one takes a moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..records.events import Finding
from ..runs.run import Work
from ..trust.doctor.doctor import Doctor

BUDGET = 96 << 20  # bytes for all moments of a run
COST = 50  # training takes this many times as long as keeping moments: 2 %
MOST = 1000  # moments: those of a small model have more objects than bytes
LAST = 12  # the moments before now that are kept however full the memory is


@dataclass(frozen=True, eq=False, kw_only=True)
class Moment:
    """Everything that training had changed after some number of batches."""

    batch: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    last_loss: Tensor | None
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def nbytes(self) -> int:
        """The bytes of its tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def moment_of(work: Work) -> Moment:
    """Return a copy of a run's state as it is between two batches.

    Args:
        work: The run.
    """
    state = work.learn.state
    return Moment(
        batch=state.batch,
        tensors={name: tensor.detach().clone() for name, tensor in state.tensors().items()},
        facts={**state.facts(), "changes": [dict(change) for change in state.changes]},
        last_loss=None if state.last_loss is None else state.last_loss.clone(),
        seconds=state.seconds,
        findings=tuple(work.doctor.findings),
    )


def put_back(work: Work, moment: Moment) -> None:
    """Make a run what it was at a moment; its stream is closed.

    Args:
        work: The run.
        moment: One of its moments.
    """
    learn = work.learn
    learn.close()
    learn.state.restore(moment.tensors, moment.facts)
    learn.state.seconds = moment.seconds
    learn.state.last_loss = None if moment.last_loss is None else moment.last_loss.clone()
    learn.temperature, learn.abstention = 1.0, None
    work.doctor = Doctor(learn, moment.findings)
    work.fine_tuning = None


class Timeline:
    """The moments of a run, in the order of their batches; the first is where it began.

    Args:
        work: The run, at its beginning.
    """

    def __init__(self, work: Work) -> None:
        self._moments = [moment_of(work)]
        self._due = 0.0

    @property
    def first(self) -> int:
        """The number of batches that were done when it began."""
        return self._moments[0].batch

    @property
    def start(self) -> dict[str, Tensor]:
        """The parameters that the run began with, by name."""
        named = self._moments[0].tensors.items()
        return {name.removeprefix("model."): tensor for name, tensor in named if name.startswith("model.")}

    def keep_if_due(self, work: Work) -> None:
        """Keep this moment, unless keeping moments would take too much of the time.

        Args:
            work: The run, between two batches.
        """
        began = time.perf_counter()
        if began >= self._due and self._moments[-1].batch < work.learn.state.batch:
            self._moments.append(moment_of(work))
            self._thin()
            took = time.perf_counter() - began
            self._due = began + COST * took

    def before(self, batch: int) -> Moment:
        """Return the last moment at which no more batches were done.

        Args:
            batch: The number of batches.
        """
        return next(moment for moment in reversed(self._moments) if moment.batch <= batch)

    def cut(self, batch: int) -> None:
        """Forget what came after a number of batches.

        Args:
            batch: The number.
        """
        self._moments = [moment for moment in self._moments if moment.batch <= batch]

    def _thin(self) -> None:
        """Forget every second moment but the first and the last ones while they take too much memory."""
        while len(self._moments) > LAST + 2 and (
            len(self._moments) > MOST or sum(moment.nbytes for moment in self._moments) > BUDGET
        ):
            early, late = self._moments[:-LAST], self._moments[-LAST:]
            self._moments = [*early[:1], *early[2::2], *late]
