"""Rates: a learning rate to try in the place of one that does not work, by a few steps of a copy that starts anew.

Looking at the run itself would tell nothing: where a rate was far too high its parameters are no place to begin at.
"""

from __future__ import annotations

import copy
import math

import torch

from ...learner.learner import Learner
from ...steps.repeat import drawn_from
from .probe import Pair

TRIED = tuple(10 ** (power / 2) for power in range(-10, 3))  # 0.00001 to 10


STEPS = 5  # at each of them, of one batch: some 0.02 s for a linear model, 0.5 s for a small network


WORSE = 1.5  # times the loss at the start: no higher rate is tried


CAUTION = 3.0  # a schedule's peak, and batches that differ, ask for less than the best rate of a few steps


def steady_rate(learn: Learner, batch: Pair, valid: Pair | None) -> float | None:
    """A third of the rate by which a few steps lower the loss most; None where none of those tried lowers it.

    The layers of the copy start as PyTorch has them start, and its optimizer is the learner's. Nothing is changed.
    """
    (x, targets), (other, wanted) = batch, valid or batch
    with drawn_from(0, x.device), torch.enable_grad():
        model, opt = copy.deepcopy((learn.model, learn.opt))
        model.train()
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
            for group in opt.param_groups:
                group["lr"] = rate
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
