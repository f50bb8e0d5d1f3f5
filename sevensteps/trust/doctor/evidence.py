"""Evidence: what the doctor bases its findings on, collected once before training and at most once an epoch.

It depends only on the learner's state (parameters, history, loaders) and on earlier findings, so a resumed run is
judged like one that was never interrupted.
"""

from __future__ import annotations

import functools
import itertools
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

TRIED_UNTIL = 8  # epochs: after them, steps are tried only while a finding that needs them is open


TRIED = {"oscillating", "rate_too_low"}  # findings that need steps to be tried


CLIMBED = 0.25  # share of the full rate: below it, slow learning is the schedule's doing, and no sign of a fault


FALLING_FOR = 5  # epochs in which the gradient of a stuck run never rose


# Multiples of the learning rate at which steps are tried: the rate itself, and rates far too high for a healthy run.
AS_IT_IS, FAR = 1.0, (300.0, 10_000.0)


@dataclass(frozen=True)
class Chance:
    """The accuracy of an epoch, compared with always answering the most frequent class."""

    accuracy: float
    n: int
    answer: str  # the most frequent class
    share: float  # of the pictures that are of that class
    interval: Interval  # of the accuracy

    @property
    def is_above(self) -> bool:
        """Whether the accuracy's interval is above chance."""
        return self.accuracy > self.share and self.share not in self.interval

    @property
    def holds(self) -> bool:
        """Whether the accuracy is no better than chance, judged on enough pictures.

        The interval includes chance or lies below it, and ends less than halfway from chance to 100 %. With a few
        pictures it ends higher and shows nothing: a guess and a good model can both get three of four right.
        """
        return not self.is_above and self.interval.high < (1 + self.share) / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """One moment of a run. `look` is None if no batch was looked at.

    Whether one is looked at does not depend on where the run ends, so a resumed run is judged like one long run.
    """

    epoch: int
    batches: int  # trained on so far
    is_start: bool  # before the first step: there is no epoch in the history
    is_end: bool  # the run ends with this epoch
    history: Sequence[Epoch]
    finite: bool
    lr: float  # as set, before the schedule changes it
    clip: float | None
    loss_name: str
    loss_takes: str  # "scores", "probabilities", "log probabilities" or "numbers"
    frozen: Sequence[str] | None  # parameters that do not learn; None if this was not checked
    counts: Mapping[str, int] | None  # training pictures of each class
    valid_counts: Mapping[str, int] | None
    look: Look | None
    sampler: Sampler
    open: Mapping[str, Finding] = field(default_factory=dict)

    @property
    def when(self) -> str:
        """This moment, in words."""
        return "before the first step" if self.is_start else f"after epoch {self.epoch}"

    @property
    def last(self) -> Epoch | None:
        """The epoch that has just ended."""
        return self.history[-1] if self.history else None

    @property
    def takes_features(self) -> bool:
        """Whether the model takes features of a pretrained network, which varying the pictures cannot change."""
        return self.sampler.images is not None and self.sampler.images.features is not None

    @functools.cached_property
    def climbing(self) -> int:
        """The number of epochs at the start in which the schedule kept the rate far below its full value."""
        return climbing(self.history, self.lr)

    def chance(self, number: int = 0) -> Chance | None:
        """Compare an epoch's accuracy with chance.

        Args:
            number: The epoch, counted from 1; 0 is the last one.

        Returns:
            The comparison, or None if there is no epoch or no accuracy.
        """
        return chance_of(self.history[number - 1], self.sampler.chances) if self.history else None

    @functools.cached_property
    def is_at_chance(self) -> bool:
        """Whether the last epoch's accuracy is no better than chance."""
        chance = self.chance()
        return chance is not None and chance.holds

    @property
    def neighbors(self) -> Neighbors | None:
        """What the nearest neighbors show; computed when first used."""
        return self.sampler.near

    @property
    def guess(self) -> float:
        """The loss if all scores are zero, which is a guess; other losses are compared with it. 0 if unknown."""
        return self.sampler.guess

    def lower_rate(self) -> str:
        """Return a lower rate as it is typed: one that works for a few steps from a new start, or a tenth of this."""
        tenth = self.lr / 10
        return f"--lr {min(self.sampler.steady_rate or tenth, tenth):g}"

    def higher_rate(self, times: float) -> float | None:
        """Return a higher rate: this many times the present one, unless a few steps from a new start need a lower one.

        Args:
            times: How many times as long a step was that lowered the loss.

        Returns:
            The rate, or None if no higher one works.
        """
        steady = self.sampler.steady_rate
        rate = self.lr * times if steady is None else min(self.lr * times, steady)
        return rate if rate > self.lr else None

    def finding(self, code: str, message: str, fix: str, **evidence: Any) -> Finding:
        """Return a finding of this moment.

        Args:
            code: The name of the check.
            message: What is wrong, in words for a beginner.
            fix: What to do, with the command to type.
            evidence: The numbers behind it; those that are not finite become None.
        """
        plain = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in evidence.items()}
        return Finding(code=code, epoch=self.epoch, message=message, fix=fix, recovered_at=None, evidence=plain)

    def still(self, code: str) -> Finding | None:
        """Return the open finding with this code, for a moment that shows nothing new about it."""
        return self.open.get(code)


def climbing(history: Sequence[Epoch], lr: float) -> int:
    """Return for how many epochs at the start the rate was below a quarter of its full value, as a schedule's climb.

    Args:
        history: The epochs so far.
        lr: The full rate.
    """
    low = itertools.takewhile(lambda epoch: epoch.lr < CLIMBED * lr, history)
    return sum(1 for _ in low)


def rounded(loss: float) -> str:
    """Return a number with the two digits that matter.

    Args:
        loss: The number.
    """
    return f"{loss:.2g}" if abs(loss) < 100 else f"{loss:,.0f}" if abs(loss) < 1e6 else f"{loss:.1g}"


def collect(learn: Learner, sampler: Sampler, open_findings: Mapping[str, Finding], epoch: int) -> Evidence:
    """Collect the evidence of a learner before its first batch, or after an epoch or a batch.

    Args:
        learn: The learner; it is not changed.
        sampler: The pictures to look at it with.
        open_findings: The findings that hold, by code.
        epoch: The number of the epoch, counted from 1.
    """
    state = learn.state
    is_start = state.batch == 0
    loss = state.last_loss
    finite = loss is None or math.isfinite(loss)
    seen = None
    if finite and (is_start or is_looked_at(learn, sampler, open_findings, epoch)):
        current = state.history[-1].lr / state.lr if state.history and state.lr else AS_IT_IS
        is_tried = epoch - climbing(state.history, state.lr) <= TRIED_UNTIL or not TRIED.isdisjoint(open_findings)
        factors = (current, *FAR) if not is_start and is_round(epoch) and is_tried else ()
        seen = _looked(learn, sampler, factors)
    return Evidence(
        epoch=epoch,
        batches=state.batch,
        is_start=is_start,
        is_end=is_over(learn),
        history=state.history,
        finite=finite,
        lr=state.lr,
        clip=learn.clip,
        loss_name=learn.objective.name,
        loss_takes=_takes(learn),
        frozen=None if seen is None and epoch > OFTEN else _frozen(learn, seen),
        counts=sampler.counts,
        valid_counts=sampler.valid_counts,
        look=seen,
        sampler=sampler,
        open=open_findings,
    )


def _frozen(learn: Learner, seen: Look | None) -> list[str]:
    """Return the parameters without a gradient, unknown to the optimizer, or unused by the loss."""
    held = {id(p) for group in learn.opt.param_groups for p in group["params"]}
    missed = {part.name for part in seen.parts if part.gradient is None} if seen else set()
    return [
        name
        for name, parameter in learn.model.named_parameters()
        if not parameter.requires_grad or id(parameter) not in held or name in missed
    ]


def is_looked_at(learn: Learner, sampler: Sampler, open_findings: Mapping[str, Finding], epoch: int) -> bool:
    """Return whether a batch is looked at after this epoch, which depends only on the history and the findings.

    Args:
        learn: The learner.
        sampler: The pictures to look at it with.
        open_findings: The findings that hold, by code.
        epoch: The number of the epoch, counted from 1.
    """
    return sampler.is_due(epoch) or _is_telling(learn.state.history, sampler.chances, open_findings)


def is_over(learn: Learner) -> bool:
    """Return whether the learner's stop condition ends the run here.

    Args:
        learn: The learner.
    """
    return learn.state.batch > 0 and learn.stop.reason(learn.state.progress()) is not None


def _is_telling(
    history: Sequence[Epoch], counts: Mapping[str, int] | None, open_findings: Mapping[str, Finding]
) -> bool:
    """Return whether the last epoch has fallen to chance, or is among the first few after a run saturated."""
    if not history:
        return False
    saturated = open_findings.get("saturated")
    if saturated is not None and history[-1].number <= saturated.epoch + 2 * FALLING_FOR:
        return True
    now = chance_of(history[-1], counts)
    if now is None or not now.holds:  # nearly every epoch of a run that learns
        return False
    before = chance_of(history[-2], counts) if len(history) > 1 else None
    return before is None or not before.holds


def chance_of(epoch: Epoch, counts: Mapping[str, int] | None) -> Chance | None:
    """Compare an epoch's accuracy with always answering the most frequent class.

    Args:
        epoch: The epoch.
        counts: Validation pictures of each class, or None if unknown.

    Returns:
        The comparison, or None without counts or an accuracy.
    """
    accuracy = epoch.metrics.get("accuracy")
    if counts is None or accuracy is None or not 0 <= accuracy <= 1:
        return None
    n = sum(counts.values())
    answer = max(counts, key=counts.__getitem__)
    return Chance(accuracy, n, answer, counts[answer] / n, wilson(round(accuracy * n), n))


def _looked(learn: Learner, sampler: Sampler, factors: Sequence[float]) -> Look | None:
    """Look at the sampled batch, or return None if there is none or a foreign model refuses it."""
    batch, valid = sampler.batch, sampler.valid
    if batch is None:
        return None
    try:
        return look(learn, batch, valid, factors)
    except Exception:  # a foreign model or loss may refuse our sample; an observer must not end the run
        if sampler.images is not None:
            raise
        return None


def _takes(learn: Learner) -> str:
    """Return what the loss expects from the model: "scores", "probabilities", "log probabilities" or "numbers"."""
    name = learn.objective.name
    if name in ("NLLLoss", "nll_loss"):
        return "log probabilities"
    if name in ("BCELoss", "binary_cross_entropy"):
        return "probabilities"
    ours = {"sigmoid_l1_loss", "binary_cross_entropy_with_logits", "cross_entropy"}
    return "scores" if name in ours | {"CrossEntropyLoss", "BCEWithLogitsLoss"} else "numbers"
