"""Measure predictions on a loader: the loss is a mean over pictures, and a metric sees all predictions at once.

F1, precision, recall or the area under a ROC curve of all pictures are not the means over their batches.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..base.interrupts import interrupt_if
from ..errors import DataError
from ..steps.repeat import pair
from .growing_tensor import Gathered
from .inputs import not_finite
from .metrics import METRICS
from .objective import Metric, Objective


class Measurement:
    """The figures of one pass over a loader: give it batch after batch, then ask for `figures()`.

    Args:
        objective: The loss.
        metrics: Functions of (predictions, targets).
    """

    def __init__(self, objective: Objective, metrics: Sequence[Metric]) -> None:
        self._objective = objective
        self._functions = [objective.metric(metric) for metric in metrics]
        # Ours are means over pictures themselves: their mean over batches is exact, and nothing need be kept.
        self._is_mean = [metric in METRICS.values() for metric in metrics]
        self._sums, self._seen = [0.0] * (1 + len(metrics)), 0
        self._predictions, self._targets = Gathered(), Gathered()
        self._warned = False

    def add(self, predictions: Tensor, targets: Tensor, count: int) -> float:
        """Add a batch, and return its loss.

        Args:
            predictions: The raw scores.
            targets: The targets, as the loader gives them.
            count: The number of pictures in the batch.
        """
        loss = float(self._objective.loss(predictions, targets))
        self._sums[0] += loss * count
        for number, function in enumerate(self._functions):
            if self._is_mean[number]:
                self._sums[1 + number] += function(predictions, targets) * count
        if not all(self._is_mean):
            self._gather(predictions, targets)
        self._seen += count
        return loss

    def figures(self) -> list[float]:
        """Return the loss and each metric; nothing where there were no pictures."""
        if self._predictions.count:
            self._take_gathered()
        return [total / self._seen for total in self._sums] if self._seen else []

    def _gather(self, predictions: Tensor, targets: Tensor) -> None:
        """Keep predictions and targets for the metrics that must see all of them."""
        fits = self._predictions.takes(predictions) and self._targets.takes(targets)
        if self._predictions.count and not fits:
            self._take_gathered()
            if not self._warned:
                self._warned = True
                warnings.warn(
                    "The batches of the loader differ in shape, so metrics are means over batches. Metrics such as F1 "
                    "are then not those of all pictures.",
                    stacklevel=2,
                )
        self._predictions.add(predictions)
        self._targets.add(targets)

    def _take_gathered(self) -> None:
        """Add the metrics of what was kept, and keep it no longer."""
        predictions, targets = self._predictions.all(), self._targets.all()
        for number, function in enumerate(self._functions):
            if not self._is_mean[number]:
                self._sums[1 + number] += function(predictions, targets) * len(predictions)
        self._predictions, self._targets = Gathered(), Gathered()


def measured(
    loader: Iterable[Any],
    predict: Callable[[Tensor], Tensor],
    objective: Objective,
    metrics: Sequence[Metric],
    device: torch.device,
    interrupted: Callable[[], int],
) -> list[float]:
    """Return the loss and each metric of a loader; batches without pictures are left out.

    Args:
        loader: Any iterable of (x, targets).
        predict: The model, in evaluation mode.
        objective: The loss.
        metrics: Functions of (predictions, targets).
        device: Where the model is.
        interrupted: Whether somebody waits for this to stop; the signal.

    Raises:
        DataError: The loader is empty, or it holds numbers that are not finite.
        ShapeError: Model and batch, or predictions and targets, do not fit each other.
        KeyboardInterrupt: It was asked to stop.
    """
    measurement = Measurement(objective, metrics)
    for place, batch in enumerate(loader, 1):
        interrupt_if(interrupted())
        x, targets = pair(batch, device)
        if not len(x):
            continue
        loss = measurement.add(predict(x), targets, len(x))
        where = f"batch {place} of the validation loader"
        if not math.isfinite(loss) and (problem := not_finite(x, targets, where)):
            raise DataError(problem, hint="Clean the data: no model can be measured on it.")
    figures = measurement.figures()
    interrupt_if(interrupted())  # a metric of all predictions may take long
    if not figures:
        raise DataError("The validation loader has no batches.", hint="Give it at least one (x, y).")
    return figures
