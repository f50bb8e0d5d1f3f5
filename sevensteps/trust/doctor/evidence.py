"""Evidence: what the doctor judges by. One function collects it, once an epoch and once before training begins.

All of it is a pure function of the learner as it stands (parameters, history, loaders) and of the findings that were
raised before. So a run that is gone on with is judged as one that was never interrupted.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...learner.learner import Learner
from ...records.events import Epoch, Finding
from ...records.scores import Interval
from ..intervals import wilson
from .neighbors import Neighbors
from .probe import Look, look
from .sampler import OFTEN, Sampler, is_round

TRIED_UNTIL = 8  # epochs: later, steps are tried only while a finding that rests on them is open


TRIED = {"oscillating", "rate_too_low"}  # rest on steps that are tried


FALLING_FOR = 5  # epochs in which the gradient of a run that is stuck never rose


# Times the learning rate of the steps that are tried: as it is, and rates that are far too high for a run that is fine.
AS_IT_IS, FAR = 1.0, (300.0, 10_000.0)


@dataclass(frozen=True)
class Chance:
    """The accuracy of an epoch, held against answering one class for all."""

    accuracy: float
    n: int
    share: float  # of the most frequent class
    interval: Interval

    @property
    def is_above(self) -> bool:
        """Whether the accuracy's interval is above chance."""
        return self.accuracy > self.share and self.share not in self.interval

    @property
    def holds(self) -> bool:
        """Whether the accuracy is no better than chance, of so many pictures that they tell.

        The interval includes chance, or is under it, and ends before what is halfway from chance to all right. That of
        a few pictures goes on, and is no evidence of chance: three of four right are a guess's, and a good model's.
        """
        return not self.is_above and self.interval.high < (1 + self.share) / 2

    def __str__(self) -> str:
        low, high = self.interval.low, self.interval.high
        return f"{self.accuracy:.1%} of {self.n:,}, 95 % interval {low:.1%} to {high:.1%}, chance {self.share:.1%}"


@dataclass(frozen=True, eq=False)
class Evidence:
    """One moment of a run. `look` is None where none was taken.

    Whether one is taken does not depend on where the run is to end: a run that is gone on with is judged as a long one.
    """

    epoch: int
    batches: int  # trained on so far
    is_start: bool  # before the first step: there is no epoch in the history
    is_end: bool  # the run ends with this epoch
    history: Sequence[Epoch]
    finite: bool
    lr: float  # as it was set, before the schedule
    clip: float | None
    loss_name: str
    loss_takes: str  # "scores", "probabilities", "log probabilities" or "numbers"
    frozen: Sequence[str] | None  # parameters that do not learn; None where it was not asked
    counts: Mapping[str, int] | None  # training pictures of each class
    valid_counts: Mapping[str, int] | None
    look: Look | None
    sampler: Sampler
    open: Mapping[str, Finding] = field(default_factory=dict)

    @property
    def last(self) -> Epoch | None:
        """The epoch that has just been done."""
        return self.history[-1] if self.history else None

    def chance(self, number: int = 0) -> Chance | None:
        """How an epoch (the last, unless numbered) stands to chance; None where it cannot be known."""
        return chance_of(self.history[number - 1], self.sampler.chances) if self.history else None

    @functools.cached_property
    def is_at_chance(self) -> bool:
        """Whether the last epoch's accuracy is no better than chance."""
        chance = self.chance()
        return chance is not None and chance.holds

    @property
    def neighbors(self) -> Neighbors | None:
        """What the nearest pictures say; reckoned when it is first asked for."""
        return self.sampler.near

    @property
    def guess(self) -> float:
        """The loss of scores that are all zero: what a guess costs, and what losses are measured by. 0: not known."""
        return self.sampler.guess

    def lower_rate(self) -> str:
        """A lower rate as it is typed: one that works for a few steps from a new start, or a tenth."""
        tenth = self.lr / 10
        return f"--lr {min(self.sampler.steady_rate or tenth, tenth):g}"

    def finding(self, code: str, message: str, fix: str, **evidence: Any) -> Finding:
        """A finding of this moment."""
        plain = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in evidence.items()}
        return Finding(code, self.epoch, message, fix, None, plain)

    def still(self, code: str) -> Finding | None:
        """What stands open, where this moment says nothing new of it."""
        return self.open.get(code)


def collect(learn: Learner, sampler: Sampler, open_findings: Mapping[str, Finding], epoch: int) -> Evidence:
    """The evidence of the learner as it stands: before its first batch, or after an epoch or batch."""
    state = learn.state
    is_start = state.batch == 0
    loss = state.last_loss
    finite = loss is None or math.isfinite(loss)
    found = None
    if finite and (is_start or is_looked_at(learn, sampler, open_findings, epoch)):
        current = state.history[-1].lr / state.lr if state.history and state.lr else AS_IT_IS
        is_tried = epoch <= TRIED_UNTIL or not TRIED.isdisjoint(open_findings)
        factors = (current, *FAR) if not is_start and is_round(epoch) and is_tried else ()
        found = _looked(learn, sampler, factors)
    return Evidence(
        epoch,
        state.batch,
        is_start,
        is_over(learn),
        state.history,
        finite,
        state.lr,
        learn.clip,
        learn.objective.name,
        _takes(learn),
        None if found is None and epoch > OFTEN else _frozen(learn, found),
        sampler.counts,
        sampler.valid_counts,
        found,
        sampler,
        open_findings,
    )


def _frozen(learn: Learner, found: Look | None) -> list[str]:
    """Parameters without a gradient, unknown to the optimizer, or out of the loss's reach."""
    held = {id(p) for group in learn.opt.param_groups for p in group["params"]}
    missed = {part.name for part in found.parts if part.gradient is None} if found else set()
    return [
        name
        for name, parameter in learn.model.named_parameters()
        if not parameter.requires_grad or id(parameter) not in held or name in missed
    ]


def is_looked_at(learn: Learner, sampler: Sampler, open_findings: Mapping[str, Finding], epoch: int) -> bool:
    """Whether a batch is looked at after this epoch: a pure function of history and findings."""
    return sampler.is_due(epoch) or _is_telling(learn.state.history, sampler.chances, open_findings)


def is_over(learn: Learner) -> bool:
    """Whether the run ends where it stands."""
    return learn.state.batch > 0 and learn.stop.reason(learn.state.progress()) is not None


def _is_telling(
    history: Sequence[Epoch], counts: Mapping[str, int] | None, open_findings: Mapping[str, Finding]
) -> bool:
    """Whether the last epoch has fallen to chance, or is one of the first few of a run that is saturated there."""
    if not history:
        return False
    known = open_findings.get("saturated")
    if known is not None and history[-1].number <= known.epoch + 2 * FALLING_FOR:
        return True
    now = chance_of(history[-1], counts)
    if now is None or not now.holds:  # nearly every epoch of a run that learns
        return False
    before = chance_of(history[-2], counts) if len(history) > 1 else None
    return before is None or not before.holds


def chance_of(epoch: Epoch, counts: Mapping[str, int] | None) -> Chance | None:
    """How an epoch stands to chance; None where it cannot be known."""
    accuracy = epoch.metrics.get("accuracy")
    if counts is None or accuracy is None or not 0 <= accuracy <= 1:
        return None
    n = sum(counts.values())
    return Chance(accuracy, n, max(counts.values()) / n, wilson(round(accuracy * n), n))


def _looked(learn: Learner, sampler: Sampler, factors: Sequence[float]) -> Look | None:
    batch, valid = sampler.batch, sampler.valid
    if batch is None:
        return None
    try:
        return look(learn, batch, valid, factors)
    except Exception:  # a model or loss from elsewhere may refuse our sample; it must not lose its run to an observer
        if sampler.images is not None:
            raise
        return None


def _takes(learn: Learner) -> str:
    """What the loss takes from the model: raw scores, unless it says otherwise."""
    name = learn.objective.name
    if name in ("NLLLoss", "nll_loss"):
        return "log probabilities"
    if name in ("BCELoss", "binary_cross_entropy"):
        return "probabilities"
    known = {"sigmoid_l1_loss", "binary_cross_entropy_with_logits", "cross_entropy"}
    return "scores" if name in known | {"CrossEntropyLoss", "BCEWithLogitsLoss"} else "numbers"
