"""Steps 2 to 4 of one batch outside training: what the X-ray, its chains and the doctor look at.

Random layers draw what they draw in training at the same place, so that the numbers are training's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .gradient import CalculateGradient
from .loss import Loss
from .repeat import drawn_at


@dataclass(frozen=True)
class Place:
    """A place in training: the run's seed, the epoch and the batch in it, both from 0."""

    seed: int
    epoch: int
    position: int


@dataclass(frozen=True, eq=False)
class Slopes:
    """What one batch gives when nothing is kept in `.grad`; a slope is None where the loss does not depend on it."""

    predictions: Tensor
    loss: Tensor
    on_predictions: Tensor | None  # how much the loss changes with each score
    on_x: Tensor | None  # with each number of the input, where `x` requires a gradient
    gradients: dict[str, Tensor | None]  # with each parameter


def one_batch(
    predict: Callable[[Tensor], Tensor],
    loss_func: Loss,
    calculate_gradient: CalculateGradient,
    x: Tensor,
    targets: Tensor,
    place: Place,
    *,
    records: bool = True,
) -> tuple[Tensor, Tensor]:
    """Take one batch through steps 2 to 4, as training does at this place.

    Args:
        predict: The model in training mode, or its formula.
        loss_func: Of predictions and targets.
        calculate_gradient: What is done with the loss.
        x: The batch's inputs.
        targets: The batch's targets.
        place: Decides what random layers draw.
        records: Whether autograd records; a formula does not need it.

    Returns:
        The predictions and the loss.
    """
    with drawn_at(place.seed, place.epoch, place.position, x.device), torch.set_grad_enabled(records):
        predictions = predict(x)
        loss = loss_func(predictions, targets)
        calculate_gradient(x, targets, predictions, loss)
    return predictions, loss


def slopes_of(
    predict: Callable[[Tensor], Tensor],
    loss_func: Loss,
    x: Tensor,
    targets: Tensor,
    parameters: Mapping[str, Tensor],
    place: Place,
) -> Slopes:
    """Take one batch through steps 2 to 4 and return the slopes, by autograd; `.grad` stays as it is.

    Args:
        predict: The model in training mode.
        loss_func: Of predictions and targets.
        x: The batch's inputs; where they require a gradient, their slopes are returned as well.
        targets: The batch's targets.
        parameters: The parameters whose gradients are wanted; frozen ones get None.
        place: Decides what random layers draw.
    """
    slopes: dict[str, Tensor | None] = {}

    def calculate(x: Tensor, targets: Tensor, predictions: Tensor, loss: Tensor) -> None:
        wanted = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
        wanted |= {name: tensor for name, tensor in ((_X, x), (_PREDICTIONS, predictions)) if tensor.requires_grad}
        if wanted and loss.requires_grad:
            tensors = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
            slopes.update(zip(wanted, tensors, strict=True))

    predictions, loss = one_batch(predict, loss_func, calculate, x, targets, place)
    gradients = {name: slopes.get(name) for name in parameters}
    return Slopes(predictions, loss, slopes.get(_PREDICTIONS), slopes.get(_X), gradients)


_X, _PREDICTIONS = " x", " predictions"  # no parameter has such a name
