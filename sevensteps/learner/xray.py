"""Chain: one picture of a batch from its pixels to its loss and back to the gradient, with every number."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..base.seeds import LAYERS, seed_of
from ..errors import UsageError
from ..records.steps import Chain, StepView, XRay
from ..steps import gradient
from ..steps.predict import Normalize, predict
from ..steps.repeat import drawn_from
from ..steps.step import clipped

if TYPE_CHECKING:
    from .learner import Learner


def chain(learn: Learner, seen: XRay, number: int) -> Chain:
    """How the picture `number` (from 1) of the batch that `seen = learn.xray()` shows goes through steps 2 to 4.

    It goes with its batch, so that batch norm sees what it sees in training, and random layers draw what they draw
    there. Nothing is changed.

    Raises:
        UsageError: the batch has no such picture, or is not of numbers that have a gradient.
    """
    x, y = seen[2].values["x"], seen[2].values["targets"]
    if not 1 <= number <= len(x):
        raise UsageError(
            f"There is no picture {number} in a batch of {len(x)}.", hint=f"Pictures are counted from 1 to {len(x)}."
        )
    if not x.is_floating_point():
        raise UsageError(f"The batch is of type {x.dtype}, which has no gradient.", hint="Give float pixels.")
    model = copy.deepcopy(learn.model).train()
    pixels = x.detach().clone().requires_grad_()
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    epoch, position = seen[6].values["epoch"] - 1, seen[6].values["batch"] - 1
    at = slice(number - 1, number)
    with drawn_from(seed_of(learn.state.seed, epoch, position, LAYERS), x.device), torch.enable_grad():
        layers = _through(model, pixels)
        predictions = layers[-1][1]
        loss = learn.objective.loss(predictions[at], y[at])
        wanted = [predictions, pixels, *parameters.values()]
        slopes, on_pixels, *gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    probabilities = None
    if predictions.ndim == 2 and not learn.objective.is_regression:
        # As the loss has them: a temperature is fitted after training.
        probabilities = _array(learn.objective.probabilities(predictions[at].detach())[0])
    linear = _linear_layer(model)
    contributions = bias = None
    if linear is not None:
        before = layers[-2][1] if len(layers) > 1 else pixels
        contributions = _array((linear.weight * before[number - 1].flatten()).reshape(-1, *x.shape[1:]))
        bias = None if linear.bias is None else _array(linear.bias)
    target = y[number - 1]
    label = _array(target) if target.numel() > 1 else target.item() if y.is_floating_point() else int(target)
    kind = getattr(learn.objective.activation, "__name__", "activation").strip("_").replace("_", " ")
    usual = "sigmoid" if predictions.shape[-1] == 1 else "softmax"
    zero = torch.zeros(())
    return Chain(
        number,
        len(x),
        tuple(learn.classes or ()),
        label,
        _array(x[number - 1]),
        [(name, _array(value[number - 1])) for name, value in layers],
        contributions,
        bias,
        _array(predictions[number - 1].flatten()),
        probabilities,
        usual if learn.objective.activation is None else kind,
        float(loss.detach()),
        learn.objective.name,
        _array((zero if slopes is None else slopes[number - 1]).flatten()),
        {name: _array(g) for name, g in zip(parameters, gradients, strict=True) if g is not None},
        _array(torch.zeros_like(x[number - 1]) if on_pixels is None else on_pixels[number - 1]),
    )


def as_arrays(seen: XRay) -> XRay:
    """The same with NumPy's arrays in the place of tensors, for whoever draws it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        return _array(value) if isinstance(value, Tensor) else value

    return XRay(tuple(StepView(s.number, s.name, s.line, plain(dict(s.values))) for s in seen.steps))


def _through(model: nn.Module, x: Tensor) -> list[tuple[str, Tensor]]:
    """What each layer of a sequence makes of what comes before; of any other model what it says."""
    if not isinstance(model, nn.Sequential) or not len(model):
        return [(type(model).__name__, model(x))]
    found = []
    for layer in model:
        x = layer(x)
        found.append((type(layer).__name__, x))
    return found


def _linear_layer(model: nn.Module) -> nn.Linear | None:
    """The one layer that a linear model's scores are made in; None for a model that is not linear in its pixels."""
    *before, last = list(model) if isinstance(model, nn.Sequential) and len(model) else [model]
    linear = type(last) is nn.Linear and all(type(layer) in (Normalize, nn.Flatten) for layer in before)
    return last if linear and isinstance(last, nn.Linear) else None


def _array(tensor: Tensor) -> np.ndarray:
    found: np.ndarray = tensor.detach().cpu().numpy().copy()
    return found


def xray(learn: Learner, x: Tensor, y: Tensor, epoch: int, position: int, scale: float) -> XRay:
    """What the batch `x, y` does to the learner as it stands: seven steps, each a line in words and its numbers.

    `epoch` and `position`, from 0, are the place at which the batch is taken; random layers draw what they draw there.
    By formula training has pixels `scale` times as large, and so has this: its numbers are training's to the last bit.
    """
    model, optimizer = copy.deepcopy((learn.model, learn.opt))  # together, so that the one's parameters are the other's
    model.train()
    state = learn.state
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    by_formula = gradient.formula(model, learn.loss_func, scale) if learn.gradient == "formula" else None
    calculate = by_formula or gradient.autograd(model)
    taken = (x * scale).round() if by_formula and scale != 1 else x
    total = learn.batches_per_epoch
    if state.stopped is None:
        factor = learn.schedule(state.batch - state.fit_batch, learn.total_batches)
    else:  # the next batch begins a fit of its own
        stop, schedule = learn.plan
        factor = schedule(0, stop.total(total, state.position))
    for group in optimizer.param_groups:
        group["lr"] = state.lr * factor
    with drawn_from(seed_of(state.seed, epoch, position, LAYERS), x.device):
        with torch.set_grad_enabled(by_formula is None):
            predictions = by_formula.predict(taken) if by_formula else predict(model, taken)
            loss = learn.objective.loss(predictions, y)
        calculate(taken, y, predictions, loss)
    gradients = {
        name: parameter.grad.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    (clipped(optimizer, model, learn.clip) if learn.clip else optimizer.step)()
    after = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    predictions, loss = predictions.detach(), loss.detach()
    values = {"x": x, "targets": y, "logits": predictions}
    right = None
    if predictions.ndim == 2:
        values["probabilities"] = found = learn.probabilities(predictions)
        right = int((found.argmax(1) == y.flatten()).sum()) if not y.is_floating_point() else None
    weights = torch.cat([parameter.flatten() for parameter in before.values()])
    all_gradients = torch.cat([g.flatten() for g in gradients.values()])
    moved = torch.cat([(after[name] - before[name]).flatten() for name in before])
    largest = max(gradients, key=lambda name: float(gradients[name].abs().max()))
    short = _short_names(list(before))
    names = [f"{short[name]} {_shape(parameter)}" for name, parameter in before.items()]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    batches = f" of {total}" if total else ""
    lr = optimizer.param_groups[0]["lr"]
    return XRay(
        (
            StepView(
                1,
                "initialize",
                f"{len(weights):,} parameters ({shown}), mean {_number(weights.mean())}, "
                f"spread {_number(weights.std(correction=0))}",
                {"parameters": before},
            ),
            StepView(
                2,
                "predict",
                f"{_shape(x)} -> {_shape(predictions)} scores, {_number(predictions.min())} to "
                f"{_number(predictions.max())}" + (f"; {right} of {len(x)} are right" if right is not None else ""),
                values,
            ),
            StepView(
                3, "loss", f"{learn.objective.name} = {float(loss):.4f}, the mean over {len(x)}", {"loss": float(loss)}
            ),
            StepView(
                4,
                "gradient",
                f"by {learn.gradient}, norm {_number(all_gradients.norm())}; largest "
                f"{_number(all_gradients.abs().max())} in {short[largest]}",
                {"gradients": gradients},
            ),
            StepView(
                5,
                "step",
                f"{type(optimizer).__name__} at learning rate {lr:.4g} moves the parameters by "
                f"{_number(moved.norm())} in all, {_number(moved.abs().max())} at most",
                {"parameters": after, "lr": lr},
            ),
            StepView(
                6,
                "repeat",
                f"this is batch {position + 1}{batches} of epoch {epoch + 1}",
                {"epoch": epoch + 1, "batch": position + 1, "total": total},
            ),
            StepView(7, "stop", _stop_in_words(learn), {"stopped": state.stopped}),
        )
    )


def _short_names(names: list[str]) -> dict[str, str]:
    """Parameters without the number of their layer, where a single layer has any: `weight` and not `2.weight`."""
    layers = {name.rpartition(".")[0] for name in names}
    return {name: name.rpartition(".")[2] if len(layers) == 1 else name for name in names}


def _stop_in_words(learn: Learner) -> str:
    if learn.stopped_because:
        return f"it stopped because {learn.stopped_because}"
    total = learn.total_batches
    return f"after {total:,} batches at most" if total else "when you leave the loop, or the loss is not finite"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _number(tensor: Tensor) -> str:
    return f"{float(tensor):.3g}"
