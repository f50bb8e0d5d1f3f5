"""Find a range of learning rates by trying them on a copy of the learner.

Smith, "Cyclical learning rates for training neural networks" (2017), section 3.3, with fastai's exponential sweep.
The loss of a batch says more about the batch than about the rate. So each loss is compared with that of the untouched
model on the same batch: the difference is zero while the rate is too low to matter, negative where training helps, and
positive where it harms. This also works for a model that is trained already.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from torch import Tensor

from ..base.setting import LARGEST
from ..errors import UsageError
from ..records.events import Batch, Epoch
from ..steps.draws import Place
from ..steps.one_batch import one_batch
from ..steps.way import computing
from .trainer import Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WINDOW = 2  # neighbors on each side whose median smooths the curve; a mean would smear the divergence over them


DIVERGED = 4.0  # times the untouched model's loss on the same batch: going on is useless


NOTICEABLE = 0.1  # share of the starting loss by which it must rise or fall to count


@dataclass(frozen=True, repr=False)
class LRFind:
    """The learning rates that were tried, the loss at each, and the range from `low` to `high`.

    `losses[i]` is the starting loss (the untouched model's mean over the batches tried) plus the difference between the
    model under training and the untouched one on batch `i`, the median of five neighbors.

    Training becomes unstable where the loss, after its minimum, first rises by a tenth of the starting loss; `high` is
    a third of the last rate before that. `low` is the rate at which the first tenth of the decrease was reached, but at
    most a tenth of `high`. If the whole decrease is less than a tenth of the starting loss (the model is trained
    already, or all rates were too low), `low` is a tenth of `high`. `suggestion` is the geometric mean of both.
    """

    low: float
    high: float
    lrs: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggestion(self) -> float:
        """The learning rate in the middle of the range."""
        return math.sqrt(self.low * self.high)

    @property
    def fell(self) -> bool:
        """Whether the loss decreased noticeably at any rate."""
        return _fell(self.losses)

    def __str__(self) -> str:
        start, lowest = self.losses[0], min(self.losses)
        change = f"the loss fell from {start:.3g} to {lowest:.3g}"
        if not self.fell:
            change = f"the loss hardly fell from {start:.3g} at any rate, as if the model were trained already"
        return (
            f"Learning rates between {self.low:.2g} and {self.high:.2g} (a third of where training becomes unstable) "
            f"should work; try lr={self.suggestion:.2g}. In {len(self.lrs)} batches {change}."
        )

    def _repr_html_(self) -> str:
        """Return the sentence and the range as a notebook shows them."""
        from ..show import notebook

        rows = {
            "suggested rate": f"{self.suggestion:.2g}",
            "range": f"{self.low:.2g} to {self.high:.2g}",
            "tried": f"{self.lrs[0]:.2g} to {self.lrs[-1]:.2g}, {len(self.lrs)} batches",
        }
        return notebook.framed(*notebook.paragraphs(str(self)), notebook.facts(rows))

    __repr__ = __str__

    def plot(self) -> Figure:
        """Draw the loss over the learning rate, with the range marked.

        Returns:
            A Matplotlib figure.
        """
        from ..show import curves

        return curves.lr_find(self.lrs, self.losses, self.low, self.high)


def check_sweep(start_lr: float, end_lr: float, num_it: int) -> None:
    """Check the range of a sweep.

    Args:
        start_lr: The first rate.
        end_lr: The last rate.
        num_it: The number of batches.

    Raises:
        UsageError: The rates are not positive and rising, or there are fewer than 10 batches.
    """
    if not 0 < start_lr < end_lr <= LARGEST or num_it < 10:
        raise UsageError(
            f"Cannot sweep from {start_lr} to {end_lr} in {num_it} batches: rates must rise, to {LARGEST:g} at most, "
            "in 10 batches or more.",
            hint="lr_find(1e-7, 10, num_it=100)",
        )


def sweep(events: Iterable[Batch | Epoch], untouched: Iterator[float], stop_div: bool = True) -> LRFind | None:
    """Follow a trial training whose learning rate rises with each batch, and choose a range.

    Args:
        events: Of the trial.
        untouched: The loss of the untouched model on the same batches.
        stop_div: Whether to end early where the loss diverges.

    Returns:
        The range, or None where the loss is not finite to begin with.
    """
    rates: list[float] = []
    differences: list[float] = []
    starts: list[float] = []
    for event in events:
        if not isinstance(event, Batch):
            continue
        loss = float(event.loss)
        if not math.isfinite(loss):
            break
        start = next(untouched)
        rates.append(event.lr)
        starts.append(start)
        differences.append(loss - start)
        if stop_div and loss - start > (DIVERGED - 1) * abs(start):
            break
    if not rates:
        return None
    start = statistics.fmean(starts)
    losses = [
        start + statistics.median(differences[max(place - WINDOW, 0) : place + WINDOW + 1])
        for place in range(len(differences))
    ]
    low, high = _range(rates, losses)
    return LRFind(low, high, tuple(rates), tuple(losses))


def untouched_losses(learn: Trainer, batches: Callable[[int, int], Iterator[tuple[Tensor, Tensor]]]) -> Iterator[float]:
    """Give the loss of the model as it stands on one batch after another, from where training is.

    Args:
        learn: Is not changed: its model is copied, and the copy put into training mode.
        batches: The training batches of an epoch, from a batch on.
    """
    model = copy.deepcopy(learn.model)
    learn.into_training(model)
    compute = computing(model, None, learn.parting)
    epoch, position = learn.state.epoch, learn.state.position
    while True:
        for x, targets in batches(epoch, position):
            place = Place(learn.seed, epoch, position)
            yield float(one_batch(compute, learn.objective.loss, x, targets, place, derives=False)[1])
            position += 1
        epoch, position = epoch + 1, 0


def _range(rates: Sequence[float], losses: Sequence[float]) -> tuple[float, float]:
    """Return the range that `LRFind` describes."""
    start, lowest = losses[0], min(losses)
    place = losses.index(lowest)
    steady = list(takewhile(lambda loss: loss <= lowest + NOTICEABLE * abs(start), losses[place:]))
    high = rates[place + len(steady) - 1] / 3
    if not _fell(losses):
        return high / 10, high
    moved = next(rate for rate, loss in zip(rates, losses, strict=True) if start - loss >= (start - lowest) / 10)
    return min(moved, high / 10), high


def _fell(losses: Sequence[float]) -> bool:
    """Return whether the loss decreased noticeably."""
    return losses[0] - min(losses) >= NOTICEABLE * abs(losses[0])
