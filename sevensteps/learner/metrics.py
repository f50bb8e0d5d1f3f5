"""Metrics: figures for people to look at while training goes on. `metric(predictions, targets)`, mean over a batch.

To add one, write it here and name it in `METRICS`. What judges a finished model is in `judge/`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ..steps.loss import row
from ..steps.predict import probabilities


def accuracy(
    predictions: Float[Tensor, "batch scores"],
    targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"] | Float[Tensor, "batch classes"],
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, ""]:
    """The share of pictures whose class is right.

    One column of raw scores decides at 0, several by the largest. Where an activation is given, its probabilities
    decide. Of a target in shares, as mixup gives it, the class with the largest is the right one.

    Raises:
        ShapeError: not as many targets as predictions.
    """
    if targets.is_floating_point() and targets.ndim == 2 and targets.shape[1] > 1:
        targets = targets.argmax(1)
    targets = row(predictions, targets)
    if targets.is_floating_point() and predictions.shape[1] <= 2:
        targets = torch.where((targets > 0) & (targets < 1), (targets > 0.5).to(targets.dtype), targets)
    scores = predictions if activation is None else probabilities(predictions, activation)
    decided = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(1)
    return (decided == targets).to(torch.float32).mean()


METRICS: dict[str, Callable[..., Tensor]] = {"accuracy": accuracy}
