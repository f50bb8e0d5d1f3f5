"""Steps 2 to 4 of one batch outside training: what the X-ray, its chains and the doctor look at.

Random layers draw what they draw in training at the same place, and a batch is divided as in training, so that the
numbers are training's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .draws import Place, drawn_at
from .loss import Loss
from .parts import Compute, Part, Sum, parts_of


@dataclass(frozen=True, eq=False)
class Slopes:
    """What one batch gives when nothing is kept in `.grad`; a slope is None where the loss does not depend on it."""

    predictions: Tensor
    loss: Tensor
    on_predictions: Tensor | None  # how much the loss changes with each score
    on_x: Tensor | None  # with each number of the input, where `x` requires a gradient
    gradients: dict[str, Tensor | None]  # with each parameter


def one_batch(
    compute: Compute, loss_func: Loss, x: Tensor, targets: Tensor, place: Place, *, derives: bool = True
) -> tuple[Tensor, Tensor]:
    """Take one batch through steps 2 to 4, as training does at this place.

    Args:
        compute: How training computes it.
        loss_func: Of predictions and targets.
        x: The batch's inputs.
        targets: The batch's targets.
        place: Decides what random layers draw.
        derives: Whether step 4 is done.

    Returns:
        The predictions and the loss.
    """
    predictions: dict[int, Tensor] = {}

    def steps(part: Part, x: Tensor, targets: Tensor) -> Tensor:
        predictions[part.number] = scores = part.predict(x)
        loss = loss_func(scores, targets)
        if derives:
            part.calculate_gradient(x, targets, scores, loss)
        return loss.detach()

    loss, _ = compute(steps, (x, targets), (), place)
    return torch.cat([predictions[number].detach() for number in sorted(predictions)]), loss


def loss_of(
    predict: Callable[[Tensor], Tensor], loss_func: Loss, x: Tensor, targets: Tensor, place: Place, shards: int
) -> float:
    """Return the loss of one batch; nothing is recorded.

    Args:
        predict: The model in training mode, which nothing changes.
        loss_func: Of predictions and targets.
        x: The batch's inputs.
        targets: The batch's targets.
        place: Decides what random layers draw.
        shards: The number of parts of a batch.
    """
    total = Sum()
    for inputs, labels, at in _parts_at(x, targets, place, shards):
        with torch.no_grad(), drawn_at(at, x.device):
            total.add(loss_func(predict(inputs), labels), len(inputs), ())
    return float(total.put_into(())[0])


def slopes_of(
    predict: Callable[[Tensor], Tensor],
    loss_func: Loss,
    x: Tensor,
    targets: Tensor,
    parameters: Mapping[str, Tensor],
    place: Place,
    shards: int = 0,
) -> Slopes:
    """Take one batch through steps 2 to 4 and return the slopes, by autograd; `.grad` stays as it is.

    Args:
        predict: The model in training mode.
        loss_func: Of predictions and targets.
        x: The batch's inputs; where they require a gradient, their slopes are returned as well.
        targets: The batch's targets.
        parameters: The parameters whose gradients are wanted; frozen ones get None.
        place: Decides what random layers draw.
        shards: The number of parts of a batch.
    """
    parts = [
        _slopes_of_part(predict, loss_func, inputs, labels, parameters, at)
        for inputs, labels, at in _parts_at(x, targets, place, shards)
    ]
    if len(parts) == 1:
        return parts[0]
    shares = [len(part.predictions) / len(x) for part in parts]
    total = Sum()
    for part, share in zip(parts, shares, strict=True):
        total.add(part.loss, round(share * len(x)), ())
    return Slopes(
        torch.cat([part.predictions for part in parts]),
        total.put_into(())[0],
        _joined([part.on_predictions for part in parts], shares),
        _joined([part.on_x for part in parts], shares),
        {name: _added([part.gradients[name] for part in parts], shares) for name in parameters},
    )


def _parts_at(x: Tensor, targets: Tensor, place: Place, shards: int) -> Iterator[tuple[Tensor, Tensor, Place]]:
    """Give the parts of a batch, each with its place."""
    for number, (inputs, labels) in enumerate(parts_of(x, targets, shards)):
        yield inputs, labels, dataclasses.replace(place, part=number) if shards and place.part is None else place


def _joined(slopes: list[Tensor | None], shares: list[float]) -> Tensor | None:
    """Return the slopes of a batch's loss from those of its parts' losses."""
    scaled = [slope * share for slope, share in zip(slopes, shares, strict=True) if slope is not None]
    return torch.cat(scaled) if scaled else None


def _added(gradients: list[Tensor | None], shares: list[float]) -> Tensor | None:
    """Return the gradient of a batch from those of its parts."""
    scaled = [gradient * share for gradient, share in zip(gradients, shares, strict=True) if gradient is not None]
    return torch.stack(scaled).sum(0) if scaled else None


def _slopes_of_part(
    predict: Callable[[Tensor], Tensor],
    loss_func: Loss,
    x: Tensor,
    targets: Tensor,
    parameters: Mapping[str, Tensor],
    place: Place,
) -> Slopes:
    """Return the slopes of the loss of one part."""
    with drawn_at(place, x.device), torch.enable_grad():
        predictions = predict(x)
        loss = loss_func(predictions, targets)
        wanted = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
        wanted |= {name: tensor for name, tensor in ((_X, x), (_PREDICTIONS, predictions)) if tensor.requires_grad}
        slopes: dict[str, Tensor | None] = {}
        if wanted and loss.requires_grad:
            slopes.update(zip(wanted, torch.autograd.grad(loss, list(wanted.values()), allow_unused=True), strict=True))
    gradients = {name: slopes.get(name) for name in parameters}
    return Slopes(predictions, loss, slopes.get(_PREDICTIONS), slopes.get(_X), gradients)


_X, _PREDICTIONS = " x", " predictions"  # no parameter has such a name
