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

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from ..data.images import Images
from ..learner import Learner
from ..records import Epoch, Finding, Interval
from ..steps.repeat import batches_from
from .intervals import wilson
from .look import Look, Pair, look
from .neighbors import Neighbors, neighbors

SAMPLE = 64  # pictures looked at; a look at them takes some 0.2 ms of a linear model, and as long as half a batch else
OFTEN = 4  # epochs: so many are looked at first, all of them
SHARE = 0.01  # later, pictures looked at are at most this share of the pictures trained on

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
    def holds(self) -> bool:
        """Whether the accuracy's interval includes chance, or is under it."""
        return self.accuracy <= self.share or self.share in self.interval

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
    frozen: Sequence[str]  # parameters that do not learn
    parameters: Sequence[str]
    images: Images | None
    valid_images: Images | None
    look: Look | None
    sampler: Sampler
    open: Mapping[str, Finding] = field(default_factory=dict)

    @property
    def last(self) -> Epoch | None:
        """The epoch that has just been done."""
        return self.history[-1] if self.history else None

    def chance(self, number: int = 0) -> Chance | None:
        """How an epoch (the last, unless numbered) stands to chance; None where it cannot be known."""
        return chance_of(self.history[number - 1], self.valid_images) if self.history else None

    @property
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

    def finding(self, code: str, message: str, fix: str, **evidence: Any) -> Finding:
        """A finding of this moment."""
        plain = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in evidence.items()}
        return Finding(code, self.epoch, message, fix, None, plain)

    def still(self, code: str) -> Finding | None:
        """What stands open, where this moment says nothing new of it."""
        return self.open.get(code)


class Sampler:
    """The pictures that a learner is looked at with: the same each time, so that what is seen can be compared.

    Everything in here can be made again from the loaders.
    """

    def __init__(self, learn: Learner) -> None:
        self._learn = learn

    @property
    def images(self) -> Images | None:
        """The training pictures, where the loader has them."""
        return _images_of(self._learn.dls.train)

    @property
    def valid_images(self) -> Images | None:
        """The validation pictures, where the loader has them."""
        return _images_of(self._learn.dls.valid)

    @functools.cached_property
    def batch(self) -> Pair | None:
        """Training pictures as the model gets them, without augmentation."""
        return self._sampled(self._learn.dls.train)

    @functools.cached_property
    def valid(self) -> Pair | None:
        """Validation pictures as the model gets them."""
        return None if self._learn.dls.valid is None else self._sampled(self._learn.dls.valid)

    @functools.cached_property
    def guess(self) -> float:
        """The loss of the training pictures with all scores at zero; 0 where it cannot be had."""
        if self.batch is None:
            return 0.0
        x, targets = self.batch
        try:
            with self._learn.looking():
                return float(self._learn.objective.loss(torch.zeros_like(self._learn.model(x)), targets))
        except Exception:  # as in `_looked`
            if self.images is not None:
                raise
            return 0.0

    @functools.cached_property
    def near(self) -> Neighbors | None:
        """What the nearest pictures say, where there are pictures."""
        images, valid = self.images, self.valid_images
        return neighbors(images, valid) if images is not None and len(images) > 1 else None

    def is_due(self, epoch: int) -> bool:
        """Whether an epoch is looked at: the first few, then as often as the share for looking allows."""
        images = self.images
        if epoch <= OFTEN or images is None:
            return True
        every = -(-SAMPLE // max(int(SHARE * len(images)), 1))
        return epoch % every == 0

    def _sampled(self, loader: Any) -> Pair | None:
        images = _images_of(loader)
        if images is not None:
            order = np.sort(np.random.default_rng(0).permutation(len(images))[:SAMPLE])
            pixels, labels = images.tensors
            x = pixels[order].to(self._learn.device, torch.float32).div_(255)
            return x.flatten(1) if self._learn.flat else x, labels[order].to(self._learn.device)
        if not _may_be_read_again(loader):
            return None
        found = next(batches_from(loader, self._learn.state.seed, 0, 0, self._learn.device), None)
        return found and (found[0][:SAMPLE], found[1][:SAMPLE])


def collect(learn: Learner, sampler: Sampler, open_findings: Mapping[str, Finding], epoch: int) -> Evidence:
    """The evidence of the learner as it stands: before its first batch, or after an epoch or batch."""
    state = learn.state
    is_start = state.batch == 0
    is_end = not is_start and learn.stop.reason(state.progress()) is not None
    rounded = epoch & (epoch - 1) == 0 or (epoch % 3 == 0 and (epoch // 3) & (epoch // 3 - 1) == 0)
    loss = state.last_loss
    finite = loss is None or bool(torch.isfinite(loss))
    found = None
    if finite and (
        is_start or sampler.is_due(epoch) or _is_telling(state.history, sampler.valid_images, open_findings)
    ):
        current = state.history[-1].lr / state.lr if state.history and state.lr else AS_IT_IS
        factors = () if is_start or not rounded else (current, *FAR)
        found = _looked(learn, sampler, factors)
    held = {id(p) for group in learn.opt.param_groups for p in group["params"]}
    reached = {part.name for part in found.parts if part.gradient is not None} if found else None
    named = dict(learn.model.named_parameters())
    return Evidence(
        epoch,
        state.batch,
        is_start,
        is_end,
        list(state.history),
        finite,
        state.lr,
        learn.clip,
        learn.objective.name,
        _takes(learn),
        [
            name
            for name, parameter in named.items()
            if not parameter.requires_grad or id(parameter) not in held or (reached is not None and name not in reached)
        ],
        list(named),
        sampler.images,
        sampler.valid_images,
        found,
        sampler,
        open_findings,
    )


def _is_telling(history: Sequence[Epoch], valid: Images | None, open_findings: Mapping[str, Finding]) -> bool:
    """Whether the last epoch has fallen to chance, or is one of the first few of a run that is saturated there."""
    if not history:
        return False
    known = open_findings.get("saturated")
    if known is not None and history[-1].number <= known.epoch + 2 * FALLING_FOR:
        return True
    now, *before = (chance_of(epoch, valid) for epoch in history[:-3:-1])
    return now is not None and now.holds and not (before and before[0] is not None and before[0].holds)


def chance_of(epoch: Epoch, valid: Images | None) -> Chance | None:
    """How an epoch stands to chance; None where it cannot be known."""
    accuracy = epoch.metrics.get("accuracy")
    if valid is None or accuracy is None or not 0 <= accuracy <= 1:
        return None
    n = len(valid)
    return Chance(accuracy, n, max(valid.counts.values()) / n, wilson(round(accuracy * n), n))


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


def _images_of(loader: Any) -> Images | None:
    images = getattr(loader, "images", None)
    return images if isinstance(images, Images) and len(images) else None


def _may_be_read_again(loader: Any) -> bool:
    """Whether a batch can be had without taking it from training, or starting processes."""
    if isinstance(loader, DataLoader):
        return loader.num_workers == 0 and not isinstance(loader.dataset, IterableDataset)
    return isinstance(loader, (list, tuple)) or hasattr(loader, "epoch_batches")


def _takes(learn: Learner) -> str:
    """What the loss takes from the model: raw scores, unless it says otherwise."""
    name = learn.objective.name
    if name in ("NLLLoss", "nll_loss"):
        return "log probabilities"
    if name in ("BCELoss", "binary_cross_entropy"):
        return "probabilities"
    known = {"sigmoid_l1_loss", "binary_cross_entropy_with_logits", "cross_entropy"}
    return "scores" if name in known | {"CrossEntropyLoss", "BCEWithLogitsLoss"} else "numbers"
