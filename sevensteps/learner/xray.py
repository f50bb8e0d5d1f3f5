"""Take one batch through the seven steps with every number, or one picture from its pixels to its gradient."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import DataError, UsageError
from ..records.steps import Chain, StepView, XRay
from ..steps import gradient
from ..steps.draws import Place
from ..steps.one_batch import one_batch, slopes_of
from ..steps.parts import parts_of
from ..steps.precision import predicting
from ..steps.predict import Normalize
from ..steps.step import clipped
from ..steps.way import Parting, compute_by_formula, computing
from .objective import Objective
from .predictor import Predictor
from .trainer import Trainer


@dataclass(frozen=True, eq=False, kw_only=True)
class Moment:
    """What an X-ray shows of training beside the model: how steps 4 to 7 are done at this place."""

    place: Place
    optimizer: torch.optim.Optimizer
    lr: float  # of this batch, by the schedule
    shares: tuple[float, ...]  # of that rate, one for each group of the optimizer
    clip: float | None
    parting: Parting
    gradient: str  # "formula" or "autograd"
    scale: float  # how many times as large as the model takes them pixels are in training by formula
    batches_per_epoch: int | None
    total_batches: int | None
    stopped: str | None  # why the last fit ended

    @property
    def stop_in_words(self) -> str:
        """When training ends, or why it did."""
        if self.stopped:
            planned = self.stopped.removesuffix(" were asked for and done").removesuffix(" was asked for and done")
            if planned == self.stopped:
                return f"stopped because {self.stopped}"
            return f"stopped after the {planned} you asked for"
        total = self.total_batches
        return f"after {total:,} batches at most" if total else "when you leave the loop, or the loss is not finite"


def moment_of(learn: Trainer, place: Place, scale: float) -> Moment:
    """Return how a learner takes its next batch through steps 4 to 7.

    Args:
        learn: The learner.
        place: Of the batch.
        scale: How many times as large as the model takes them pixels are in training by formula.
    """
    state = learn.state
    if state.stopped is None:
        factor = learn.schedule(state.batch - state.fit_batch, learn.total_batches)
    else:  # the next batch begins a fit of its own
        rule, schedule = learn.plan
        factor = schedule(0, rule.total(learn.batches_per_epoch, state.position))
    return Moment(
        place=place,
        optimizer=learn.opt,
        lr=state.lr * factor,
        shares=tuple(state.rates.shares),
        clip=learn.clip,
        parting=learn.parting,
        gradient=learn.gradient,
        scale=scale,
        batches_per_epoch=learn.batches_per_epoch,
        total_batches=learn.total_batches,
        stopped=state.stopped,
    )


def next_batch(
    batches: Callable[[int, int], Iterator[tuple[Tensor, Tensor]]], place: Place
) -> tuple[Place, tuple[Tensor, Tensor]]:
    """Return the batch that comes next, and its place.

    Args:
        batches: Gives the batches of an epoch from a position on.
        place: How far training is.

    Raises:
        DataError: The loader has no batches.
    """
    batch = next(batches(place.epoch, place.position), None)
    if batch is None:  # the epoch under way has no batch left
        place = Place(place.seed, place.epoch + 1, 0)
        batch = next(batches(place.epoch, place.position), None)
    if batch is None:
        raise DataError("The training loader has no batches.", hint="Give it at least one (x, y).")
    return place, batch


def chain(learn: Predictor, seen: XRay, number: int) -> Chain:
    """Follow one picture of a batch, with its batch, through steps 2 to 4; nothing is changed.

    So batch norm sees what it sees in training, and random layers draw what they draw there.

    Args:
        learn: The learner.
        seen: What `learn.xray()` shows.
        number: Of the picture in the batch, from 1.

    Raises:
        UsageError: The batch has no such picture, or is not of numbers that have a gradient.
    """
    x, y = seen[2].values["x"], seen[2].values["targets"]
    if not 1 <= number <= len(x):
        raise UsageError(
            f"There is no picture {number} in a batch of {len(x)}.", hint=f"Pictures are counted from 1 to {len(x)}."
        )
    if not x.is_floating_point():
        raise UsageError(f"The batch is of type {x.dtype}, which has no gradient.", hint="Give float pixels.")
    model = copy.deepcopy(learn.model)
    learn.into_training(model)
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    place = Place(learn.seed, seen[6].values["epoch"] - 1, seen[6].values["batch"] - 1)
    pixels, targets, row, place = _part_with(number - 1, x, y, place, learn.parting.shards)
    at = slice(row, row + 1)
    layers: list[tuple[str, Tensor]] = []

    def predict_by_layers(x: Tensor) -> Tensor:
        layers.extend(_through(model, x))
        return layers[-1][1]

    def loss_of_picture(predictions: Tensor, targets: Tensor) -> Tensor:
        return learn.objective.loss(predictions[at], targets[at])

    predicts = predicting(predict_by_layers, learn.parting.precision)
    slopes = slopes_of(predicts, loss_of_picture, pixels, targets, parameters, place)
    predictions = slopes.predictions
    probabilities = None
    if predictions.ndim == 2 and not learn.objective.is_regression:
        # As the loss has them: a temperature is fitted after training.
        probabilities = _array(learn.objective.probabilities(predictions[at].detach())[0])
    linear = linear_layer(model)
    contributions = bias = None
    if linear is not None:
        before = layers[-2][1] if len(layers) > 1 else pixels
        contributions = _array((linear.weight * before[row].flatten()).reshape(-1, *x.shape[1:]))
        bias = None if linear.bias is None else _array(linear.bias)
    target = y[number - 1]
    label = _array(target) if target.numel() > 1 else target.item() if y.is_floating_point() else int(target)
    on_predictions = torch.zeros_like(predictions) if slopes.on_predictions is None else slopes.on_predictions
    on_x = torch.zeros_like(pixels) if slopes.on_x is None else slopes.on_x
    return Chain(
        number=number,
        size=len(x),
        classes=tuple(learn.classes or ()),
        label=label,
        pixels=_array(x[number - 1]),
        of_features=learn.inputs.features is not None,
        layers=[(name, _array(value[row])) for name, value in layers],
        contributions=contributions,
        bias=bias,
        scores=_array(predictions[row].flatten()),
        probabilities=probabilities,
        activation=activation_name(learn.objective, predictions.shape[-1]),
        loss=float(slopes.loss.detach()),
        loss_name=learn.objective.name,
        slopes=_array(on_predictions[row].flatten()),
        gradients={name: _array(gradient) for name, gradient in slopes.gradients.items() if gradient is not None},
        on_pixels=_array(on_x[row]),
    )


def _part_with(row: int, x: Tensor, targets: Tensor, place: Place, shards: int) -> tuple[Tensor, Tensor, int, Place]:
    """Return the part of a batch that a picture is computed in, its row there, and the part's place."""
    for number, (inputs, labels) in enumerate(parts_of(x.detach(), targets, shards)):
        if row < len(inputs):
            at = dataclasses.replace(place, part=number) if shards else place
            return inputs.clone().requires_grad_(), labels, row, at
        row -= len(inputs)
    raise IndexError(row)


def activation_name(objective: Objective, scores: int) -> str:
    """Name what makes probabilities of scores.

    Args:
        objective: What is trained for.
        scores: The number of scores of a picture.
    """
    if objective.activation is None:
        return "sigmoid" if scores == 1 else "softmax"
    return getattr(objective.activation, "__name__", "activation").strip("_").replace("_", " ")


def as_arrays(seen: XRay) -> XRay:
    """Return an X-ray with NumPy arrays instead of tensors, for drawing.

    Args:
        seen: The X-ray.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        return _array(value) if isinstance(value, Tensor) else value

    return XRay(tuple(StepView(s.number, s.name, s.line, plain(dict(s.values))) for s in seen.steps))


def _through(model: nn.Module, x: Tensor) -> list[tuple[str, Tensor]]:
    """Return the name and the output of each layer of a sequence; for any other model, its output."""
    if not isinstance(model, nn.Sequential) or not len(model):
        return [(type(model).__name__, model(x))]
    outputs = []
    for layer in model:
        x = layer(x)
        outputs.append((type(layer).__name__, x))
    return outputs


def linear_layer(model: nn.Module) -> nn.Linear | None:
    """Return the linear layer of a model that is linear in its pixels; None for any other model.

    Args:
        model: The model.
    """
    *before, last = list(model) if isinstance(model, nn.Sequential) and len(model) else [model]
    linear = type(last) is nn.Linear and all(type(layer) in (Normalize, nn.Flatten) for layer in before)
    return last if linear and isinstance(last, nn.Linear) else None


def _array(tensor: Tensor) -> np.ndarray:
    """Return a copy of a tensor as an array, which cannot hold bfloat16."""
    tensor = tensor.detach().float() if tensor.dtype is torch.bfloat16 else tensor.detach()
    array: np.ndarray = tensor.cpu().numpy().copy()
    return array


@dataclass(frozen=True, eq=False, kw_only=True)
class _Taken:
    """The numbers of a batch that has gone through steps 1 to 5."""

    before: dict[str, Tensor]  # the parameters
    predictions: Tensor
    loss: Tensor
    gradients: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    after: dict[str, Tensor]  # the parameters


def xray(learn: Predictor, x: Tensor, y: Tensor, moment: Moment) -> XRay:
    """Take the batch `x, y` through the seven steps on a copy: each step a line in words, and its numbers.

    By formula training has pixels `moment.scale` times as large, and so has this: its numbers are training's to the
    last bit.

    Args:
        learn: The learner; it is not changed.
        x: The batch's inputs.
        y: The batch's targets.
        moment: Where training stands.
    """
    taken = _take(learn, x, y, moment)
    values, right = _values(learn, x, y, taken.predictions)
    place = moment.place
    views = (
        ("initialize", _initialized(taken.before, place), {"parameters": taken.before}),
        ("predict", _predicted(learn, x, taken.predictions, right), values),
        (
            "loss",
            f"{learn.objective.name} = {float(taken.loss):.4f}, the mean over {len(x)}",
            {"loss": float(taken.loss)},
        ),
        ("gradient", _derived(taken.gradients, list(taken.before), moment.gradient), {"gradients": taken.gradients}),
        ("step", _stepped(taken, moment.lr), {"parameters": taken.after, "lr": moment.lr}),
        (
            "repeat",
            _repeated(moment),
            {"epoch": place.epoch + 1, "batch": place.position + 1, "total": moment.batches_per_epoch},
        ),
        ("stop", moment.stop_in_words, {"stopped": moment.stopped}),
    )
    return XRay(tuple(StepView(number, *view) for number, view in enumerate(views, 1)))


def _take(learn: Predictor, x: Tensor, y: Tensor, moment: Moment) -> _Taken:
    """Take a batch through the steps 2 to 5 on a copy of the model and its optimizer."""
    # Together, so that the copied optimizer holds the copied parameters.
    model, optimizer = copy.deepcopy((learn.model, moment.optimizer))
    learn.into_training(model)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    formula = gradient.formula(model, learn.loss_func, moment.scale) if moment.gradient == "formula" else None
    for group, share in zip(optimizer.param_groups, moment.shares, strict=True):
        group["lr"] = moment.lr * share
    predictions, loss = one_batch(
        compute_by_formula(formula, moment.parting) if formula else computing(model, None, moment.parting),
        learn.objective.loss,
        (x * moment.scale).round() if formula and moment.scale != 1 else x,
        y,
        moment.place,
    )
    gradients = {
        name: parameter.grad.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    (clipped(optimizer, model, moment.clip) if moment.clip else optimizer.step)()
    return _Taken(
        before=before,
        predictions=predictions.detach(),
        loss=loss.detach(),
        gradients=gradients,
        optimizer=optimizer,
        after={name: parameter.detach().clone() for name, parameter in model.named_parameters()},
    )


def _values(learn: Predictor, x: Tensor, y: Tensor, predictions: Tensor) -> tuple[dict[str, Any], int | None]:
    """Return the numbers of step 2, and how many predictions are right where that can be said."""
    values: dict[str, Any] = {"x": x, "targets": y, "logits": predictions}
    values["of_features"] = learn.inputs.features is not None  # x holds what a frozen network gives, and no pictures
    right = None
    if predictions.ndim == 2:
        values["probabilities"] = probabilities = learn.probabilities(predictions)
        right = int((probabilities.argmax(1) == y.flatten()).sum()) if not y.is_floating_point() else None
        values["right"] = right
    return values, right


def _initialized(parameters: dict[str, Tensor], place: Place) -> str:
    """Say how many parameters there are, and what their values are like."""
    weights = torch.cat([parameter.flatten() for parameter in parameters.values()])
    short = _short_names(list(parameters))
    names = [f"{short[name]} {_shape(parameter)}" for name, parameter in parameters.items()]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    now = " now" if place.epoch or place.position else ""
    spread = _number(weights.std(correction=0))
    return f"{len(weights):,} parameters{now} ({shown}), mean {_number(weights.mean())}, spread {spread}"


def _predicted(learn: Predictor, x: Tensor, predictions: Tensor, right: int | None) -> str:
    """Say what became of the pictures: by a frozen network, if there is one, and by what is learned."""
    scores = f"{_shape(x)} -> {_shape(predictions)} scores"
    if (network := learn.inputs.features) is not None:
        features = f"{_shape(x.flatten(1))} features by {network['name']} (frozen)"
        scores = f"{len(x)} pictures -> {features} -> {_shape(predictions)} scores (learned)"
    line = f"{scores}, {_number(predictions.min())} to {_number(predictions.max())}"
    return line + (f"; {right} of {len(x)} are right" if right is not None else "")


def _derived(gradients: dict[str, Tensor], names: list[str], how: str) -> str:
    """Say how large the gradient is, and where it is largest."""
    together = torch.cat([each.flatten() for each in gradients.values()])
    largest = _short_names(names)[max(gradients, key=lambda name: float(gradients[name].abs().max()))]
    return f"by {how}, norm {_number(together.norm())}; largest {_number(together.abs().max())} in {largest}"


def _stepped(taken: _Taken, lr: float) -> str:
    """Say what the optimizer did, and how far the parameters moved."""
    moved = torch.cat([(taken.after[name] - taken.before[name]).flatten() for name in taken.before])
    momentum = taken.optimizer.param_groups[0].get("momentum", 0.0)
    rule = f"{type(taken.optimizer).__name__}{f' with momentum {momentum:g}' if momentum else ''}"
    carried = (
        f"; momentum adds {momentum:g} x the previous step, so a weight may move against its gradient"
        if momentum
        else ""
    )
    far = f"{_number(moved.norm())} in all, {_number(moved.abs().max())} at most"
    return f"{rule} at learning rate {lr:.4g} moves the parameters by {far}{carried}"


def _repeated(moment: Moment) -> str:
    """Say which batch this is."""
    which = "the next batch, if training went on:" if moment.stopped else "this is"
    batches = f" of {moment.batches_per_epoch}" if moment.batches_per_epoch else ""
    return f"{which} batch {moment.place.position + 1}{batches} of epoch {moment.place.epoch + 1}"


def _short_names(names: list[str]) -> dict[str, str]:
    """Return short names of parameters: `weight` instead of `2.weight` if only one layer has parameters."""
    layers = {name.rpartition(".")[0] for name in names}
    return {name: name.rpartition(".")[2] if len(layers) == 1 else name for name in names}


def _shape(tensor: Tensor) -> str:
    """Return the shape of a tensor in words: "64x1x28x28"."""
    return "x".join(map(str, tensor.shape))


def _number(tensor: Tensor) -> str:
    """Return a number with three digits."""
    return f"{float(tensor):.3g}"
