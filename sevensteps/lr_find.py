"""lr_find: a range of learning rates to choose from, by trying them on a copy.

Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3, with fastai's exponential sweep and
smoothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from .errors import UsageError
from .records import Batch
from .steps.stop import after

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .learner import Learner

SMOOTHING = 0.9  # weight of the past in the running mean of the loss
DIVERGED = 4.0  # times the best smoothed loss: no use in going on


@dataclass(frozen=True)
class LRFind:
    """Rates that were tried, the smoothed loss at each, and the range between `low` and `high`.

    `low` is where the loss falls fastest, or a tenth of `high` if that is less; `high` is a third of the rate with the
    lowest loss, above which training becomes unsteady. `suggestion` is their geometric mean.
    """

    low: float
    high: float
    lrs: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggestion(self) -> float:
        """A rate in the middle of the range."""
        return math.sqrt(self.low * self.high)

    def __str__(self) -> str:
        return (
            f"Learning rates between {self.low:.2g} (a safe start) and {self.high:.2g} (a third of where the loss was "
            f"lowest) should work; try lr={self.suggestion:.2g}."
        )

    def plot(self) -> Figure:
        """The loss against the rate, with the range marked."""
        from .show import figures

        return figures.lr_find(self.lrs, self.losses, self.low, self.high)


def lr_find(learn: Learner, start_lr: float, end_lr: float, num_it: int, stop_div: bool = True) -> LRFind:
    """Train a copy of the learner for `num_it` batches, each with a higher rate.

    Raises:
        UsageError: rates that are not positive and rising, or fewer than 10 batches.
    """
    if not 0 < start_lr < end_lr or num_it < 10:
        raise UsageError(
            f"Cannot sweep from {start_lr} to {end_lr} in {num_it} steps.", hint="lr_find(1e-7, 10, num_it=100)"
        )
    trial = learn.copy()
    trial.dls.valid = None
    trial.state.begin_fit()
    trial.set(lr=start_lr)
    ratio = (end_lr / start_lr) ** (1 / (num_it - 1))
    rates: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    for event in trial.stream(after(batches=num_it), schedule=lambda batch, total: ratio**batch):
        if not isinstance(event, Batch):
            continue
        loss = float(event.loss)
        if not math.isfinite(loss):
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        rates.append(event.lr)
        smoothed.append(mean / (1 - SMOOTHING ** len(rates)))
        if stop_div and smoothed[-1] > DIVERGED * min(smoothed):
            break
    low, high = _range(rates, smoothed)
    return LRFind(low, high, tuple(rates), tuple(smoothed))


def _range(rates: list[float], losses: list[float]) -> tuple[float, float]:
    """The range that `LRFind` describes."""
    lowest = min(zip(losses, count(), strict=False))[1]
    high = rates[lowest] / 3
    slopes = [after - before for before, after in zip(losses[: lowest + 1], losses[1 : lowest + 1], strict=False)]
    steepest = rates[min(range(len(slopes)), key=slopes.__getitem__)] if slopes else high / 10
    return min(steepest, high / 10), high
