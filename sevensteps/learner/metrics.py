"""Metrics: numbers to watch during training. Each is `metric(predictions, targets)`, of all validation pictures.

To add one that is a mean over pictures, write it here and name it in `METRICS`: then it is computed batch by batch. The
scores of a finished model are in `trust/scores.py`.
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
    """Return the share of pictures whose class is predicted correctly.

    With one column of scores, a positive score predicts the second class; with several, the largest score decides. If a
    target gives shares of classes, as mixup does, the class with the largest share is the correct one.

    Args:
        predictions: The raw scores.
        targets: The labels, or the share of each class.
        activation: Turns scores into probabilities, which then decide.

    Returns:
        A number from 0 to 1.

    Raises:
        ShapeError: There are more or fewer targets than predictions.
    """
    if targets.is_floating_point() and targets.ndim == 2 and targets.shape[1] > 1:
        targets = targets.argmax(1)
    targets = row(predictions, targets)
    if targets.is_floating_point() and predictions.shape[1] <= 2:
        targets = torch.where((targets > 0) & (targets < 1), (targets > 0.5).to(targets.dtype), targets)
    scores = predictions if activation is None else probabilities(predictions, activation)
    decided = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(1)
    return (decided == targets).to(torch.float32).mean()


def error_rate(
    predictions: Float[Tensor, "batch scores"],
    targets: Shaped[Tensor, " batch"] | Shaped[Tensor, "batch 1"] | Float[Tensor, "batch classes"],
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, ""]:
    """Return the share of pictures whose class is predicted wrongly: 1 minus the accuracy.

    Args:
        predictions: The raw scores.
        targets: The labels, or the share of each class.
        activation: Turns scores into probabilities, which then decide.

    Returns:
        A number from 0 to 1.

    Raises:
        ShapeError: There are more or fewer targets than predictions.
    """
    return 1 - accuracy(predictions, targets, activation)


METRICS: dict[str, Callable[..., Tensor]] = {"accuracy": accuracy}
