"""Find a learning rate to try instead of one that does not work, with a few steps of a freshly started copy.

The run's own parameters are of no use for that: a rate that was far too high has ruined them.
"""

from __future__ import annotations

import copy
import math

import torch

from ...learner.learner import Learner
from ...steps.draws import drawn_from
from .probe import Pair

TRIED = tuple(10 ** (power / 2) for power in range(-10, 3))  # 0.00001 to 10


STEPS = 5  # at each rate, on one batch: about 0.02 s for a linear model, 0.5 s for a small network


WORSE = 1.5  # multiple of the first loss, beyond which no higher rate is tried


CAUTION = 3.0  # a schedule's peak and changing batches need a lower rate than the best one of a few steps


def steady_rate(learn: Learner, batch: Pair, valid: Pair | None) -> float | None:
    """Return a third of the rate at which a few steps lower the loss most.

    The copy's layers start with PyTorch's defaults; its optimizer is the learner's. The learner is not changed.

    Args:
        learn: The learner.
        batch: Training pictures and targets, for the steps.
        valid: Validation pictures and targets, for the loss; without them, the training ones.

    Returns:
        The rate, or None if no rate lowers the loss.
    """
    (x, targets), (other, wanted) = batch, valid or batch
    with drawn_from(0, x.device), torch.enable_grad():
        model, opt = copy.deepcopy((learn.model, learn.opt))
        learn.into_training(model)
        for layer in model.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
        start = copy.deepcopy(model.state_dict())

        def loss() -> float:
            with torch.no_grad():
                return float(learn.objective.loss(model(other), wanted))

        least = before = loss()
        best = None
        for rate in TRIED:
            model.load_state_dict(start)
            opt.state.clear()
            for group, share in zip(opt.param_groups, learn.state.rates.shares, strict=True):
                group["lr"] = rate * share
            for _ in range(STEPS):
                opt.zero_grad()
                torch.autograd.backward(learn.objective.loss(model(x), targets))
                if learn.clip:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), learn.clip)
                opt.step()
            after = loss()
            if not math.isfinite(after) or after > WORSE * before:
                break
            if after < least:
                least, best = after, rate
    return None if best is None else float(f"{best / CAUTION:.1g}")
