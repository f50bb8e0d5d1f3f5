"""X-ray: one batch through steps 1 to 5 with every number, on a copy, so that nothing is changed by looking."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .records import StepView, XRay
from .seeds import LAYERS, seed_of
from .steps import gradient
from .steps.predict import predict
from .steps.repeat import drawn_from
from .steps.step import clipped

if TYPE_CHECKING:
    from .learner import Learner


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
