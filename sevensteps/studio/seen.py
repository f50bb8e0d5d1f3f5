"""What a page sees of a run: the batch in hand in seven stations, one picture's chain, and the weights as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.batches import Batches
from ..learner.xray import activation_name, as_arrays, chain, linear_layer
from ..records.steps import StepView, XRay
from ..runs.run import Work
from ..steps.predict import Normalize

MOST_BYTES = 4 << 20  # of a batch's pictures; larger ones are sent smaller
MOST_MAPS = 64
_FIRST = 6  # numbers that stand beside a tensor's shape
_SIDES = (1, 2, 5)


def nice_scale(largest: float, before: float = 0.0) -> float:
    """Return the end of a scale: 1, 2 or 5 times a power of ten, not below an earlier one.

    Args:
        largest: The largest number that must have a place.
        before: The end of the scale until now.

    >>> nice_scale(0.034), nice_scale(0.02, before=0.05), nice_scale(0.0)
    (0.05, 0.05, 0.01)
    """
    if not math.isfinite(largest) or largest <= before:
        return before or 0.01
    power = 10.0 ** math.floor(math.log10(largest)) if largest > 0 else 0.001
    end = next((side * power for side in _SIDES if side * power >= largest), 10 * power)
    return max(float(f"{end:.12g}"), before, 0.01)


# The name of a layer, the shape of its weights as pictures, and whether the model is linear in its pixels.
Drawn = tuple[str, tuple[int, ...], bool]


def pictured(model: nn.Module, shape: tuple[int, int, int]) -> Drawn | None:
    """Return which parameters of a model can be drawn.

    Args:
        model: The model.
        shape: Channels, height and width of its input.

    Returns:
        The name of the layer, the shape of its weights as pictures, and whether the model is linear in its pixels;
        None where nothing can be drawn.
    """
    linear = linear_layer(model)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.shape[1] in (1, 3):
            return name, tuple(layer.weight.shape), False
        if isinstance(layer, nn.Linear):
            is_of_pixels = layer.weight.shape[1] == math.prod(shape) and shape[1] * shape[2] > 1
            return (name, (len(layer.weight), *shape), layer is linear) if is_of_pixels else None
        if list(layer.parameters(recurse=False)) and not isinstance(layer, Normalize):
            return None
    return None


def live(work: Work, drawn: Drawn | None, scale: float) -> dict[str, Any]:
    """Return the weights that can be drawn, as they are now.

    Args:
        work: The run.
        drawn: What `pictured` says of its model.
        scale: The end of the scale until now.
    """
    values = None
    if drawn is not None:
        parameter = work.learn.model.get_parameter(_joined(drawn[0], "weight"))
        values = _array(parameter).reshape(drawn[1])[:MOST_MAPS]
        scale = nice_scale(float(np.abs(values).max()), scale)
    is_linear = drawn is not None and drawn[2]
    return {
        "batch": work.learn.state.batch,
        "weights": values if is_linear else None,
        "filters": None if is_linear else values,
        "scale": scale,
    }


def seen(work: Work, view: XRay, scale: float) -> dict[str, Any]:
    """Return a batch in seven stations, as the page shows it.

    Args:
        work: The run, before or after the batch.
        view: What `learn.xray()` gave before the batch.
        scale: The end of the scale of the weights until now.
    """
    learn, plain = work.learn, as_arrays(view)
    before, gradients, after = (plain[number].values for number in (1, 4, 5))
    values, logits = plain[2].values, plain[2].values["logits"]
    drawn = pictured(learn.model, work.splits.train.input_shape)
    moves = None if drawn is None else _moves(drawn, before["parameters"], gradients["gradients"], after["parameters"])
    if moves is not None:
        scale = nice_scale(max(float(np.abs(moves[name]).max()) for name in ("before", "after")), scale)
    rows = _rows(work, view)
    images, targets = work.splits.train, values["targets"]
    losses = _losses(work, view)
    group = learn.opt.param_groups[0]
    is_linear = drawn is not None and drawn[2]
    return {
        "stations": _stations(view, plain, losses),
        "x": values["x"].reshape(len(losses), -1) if values["of_features"] else small_enough(values["x"], images.shape),
        "features": values["of_features"],
        "ids": [images.ids[row] for row in rows],
        "labels": _labels(targets),
        "scores": logits,
        "probabilities": values.get("probabilities"),
        "losses": losses,
        "right": values.get("right"),
        "loss": plain[3].values["loss"],
        "loss_name": learn.objective.name,
        "activation": activation_name(learn.objective, logits.shape[-1]),
        "weights": moves if is_linear else None,
        "filters": None if is_linear else moves,
        "layers": _layers(learn.model, gradients["gradients"]),
        "drawn": 0 if moves is None else int(moves["before"].size),
        "parameters": learn.parameter_count,
        "lr": after["lr"],
        "optimizer": {
            "name": type(learn.opt).__name__,
            "plain": is_plain(work),
            "momentum": float(group.get("momentum", 0.0)),
        },
        "stop": {"words": plain[7].line, "rules": rules(work)},
        "repeat": {
            "batch": plain[6].values["batch"],
            "per_epoch": plain[6].values["total"],
            "epoch": plain[6].values["epoch"],
            "epochs": work.recipe.epochs,
        },
        "scale": scale,
    }


def followed(work: Work, view: XRay, number: int) -> dict[str, Any]:
    """Return one picture of a batch from its pixels to its loss, as the page shows it.

    Args:
        work: The run, before the batch.
        view: What `learn.xray()` gave.
        number: The picture, from 1.

    Raises:
        UsageError: The batch has no such picture.
    """
    one = chain(work.learn, view, number)
    rows, images = _rows(work, view), work.splits.train
    label = one.label if isinstance(one.label, int) else _labels(np.atleast_2d(np.asarray(one.label)))[0]
    return {
        "number": one.number,
        "id": images.ids[rows[number - 1]] if number <= len(rows) else "",
        "label": label,
        "pixels": images.pixels[rows[number - 1]] if one.of_features else one.pixels,
        "layers": [{"name": name, "shape": list(value.shape), "values": _shown(value)} for name, value in one.layers],
        "contributions": one.contributions,
        "bias": one.bias,
        "scores": one.scores,
        "probabilities": one.probabilities,
        "activation": one.activation,
        "loss": one.loss,
        "loss_name": one.loss_name,
        "slopes": one.slopes,
        "on_pixels": None if one.of_features else one.on_pixels,
    }


def is_plain(work: Work) -> bool:
    """Return whether a step is `old - rate x gradient` and nothing else.

    Args:
        work: The run.
    """
    recipe = work.recipe
    return recipe.optimizer == "SGD" and not (recipe.momentum or recipe.weight_decay or recipe.clip)


def _stations(view: XRay, plain: XRay, losses: np.ndarray) -> list[dict[str, Any]]:
    """Return the seven stations with their tensors."""
    named: dict[int, Mapping[str, Any]] = {
        1: plain[1].values["parameters"],
        2: {name: plain[2].values[name] for name in ("x", "logits", "probabilities") if name in plain[2].values},
        3: {"losses": losses},
        4: plain[4].values["gradients"],
        5: plain[5].values["parameters"],
    }
    return [_station(step, named.get(step.number, {})) for step in view.steps]


def _station(step: StepView, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return one station: its name, its line, and its tensors with their first numbers."""
    rows = [_tensor_row({"logits": "scores"}.get(name, name), value) for name, value in tensors.items()]
    return {"number": step.number, "name": step.name, "line": step.line, "tensors": rows[:24]}


def _tensor_row(name: str, value: np.ndarray) -> dict[str, Any]:
    """Return a tensor's name, shape, range and some numbers from the middle of its first part, after any zeros."""
    flat = value.reshape(len(value), -1)[0] if value.ndim > 1 else value.reshape(-1)
    middle = len(flat) // 2 if len(flat) > 2 * _FIRST else 0
    nonzero = np.flatnonzero(flat[middle:])
    at = middle + int(nonzero[0]) if len(nonzero) else middle
    at = max(min(at, len(flat) - _FIRST), 0)
    numbers = [float(f"{number:.6g}") for number in flat[at : at + _FIRST].tolist()]
    low, high = (float(value.min()), float(value.max())) if value.size else (0.0, 0.0)
    return {"name": name, "shape": list(value.shape), "min": low, "max": high, "first": numbers}


def _moves(
    drawn: Drawn,
    before: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Return weights that can be drawn: before the step, their gradient, and after it; and the biases likewise."""
    layer, shape, _ = drawn
    weight, bias = _joined(layer, "weight"), _joined(layer, "bias")
    zeros = np.zeros_like(before[weight])
    moves: dict[str, Any] = {
        "before": before[weight].reshape(shape)[:MOST_MAPS],
        "gradient": gradients.get(weight, zeros).reshape(shape)[:MOST_MAPS],
        "after": after[weight].reshape(shape)[:MOST_MAPS],
    }
    if bias in before:
        gradient = gradients.get(bias, np.zeros_like(before[bias]))
        moves |= {"bias_before": before[bias], "bias_gradient": gradient, "bias_after": after[bias]}
    return moves


def _layers(model: nn.Module, gradients: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return each layer that has parameters: how many, and how much of the gradient reaches it."""
    rows = []
    for name, layer in model.named_modules():
        own = dict(layer.named_parameters(recurse=False))
        if not own:
            continue
        keys = [key for key in (_joined(name, each) for each in own) if key in gradients]
        norms = [float(np.linalg.norm(gradients[key].astype(np.float64))) for key in keys]  # in float32 1e20 overflows
        rows.append(
            {
                "name": type(layer).__name__,
                "shape": list(next(iter(own.values())).shape),
                "parameters": sum(parameter.numel() for parameter in own.values()),
                "gradient_norm": math.hypot(*norms) if norms else None,
                "frozen": not any(parameter.requires_grad for parameter in own.values()),
            }
        )
    return rows


def rules(work: Work) -> list[dict[str, Any]]:
    """Return each stop rule of the recipe, and how far it is from holding.

    Args:
        work: The run.
    """
    recipe, state = work.recipe, work.learn.state
    done = state.epoch - state.fit_epoch
    total = work.learn.total_batches
    value = f"{state.batch - state.fit_batch:,}" + (f" of {total:,} batches" if total else " batches")
    rows = [
        {
            "text": f"{recipe.epochs:,} epochs are done" if recipe.epochs > 1 else "1 epoch is done",
            "value": value,
            "met": done >= recipe.epochs,
        }
    ]
    last = state.history[-1] if state.history else None
    if recipe.stop_accuracy:
        now = last.metrics.get("accuracy") if last else None
        text = f"the validation accuracy is {recipe.stop_accuracy:g} or more"
        met = now is not None and now >= recipe.stop_accuracy
        rows.append({"text": text, "value": "not measured yet" if now is None else f"now {now:.3f}", "met": met})
    if recipe.stop_patience:
        best = min(range(len(state.history)), key=lambda at: state.history[at].valid_loss or math.inf, default=0)
        waited = max(len(state.history) - 1 - best, 0)
        text = f"the validation loss has not improved for {recipe.stop_patience:,} epochs"
        rows.append({"text": text, "value": f"{waited:,} so far", "met": waited >= recipe.stop_patience})
    if recipe.stop_seconds:
        text = f"{recipe.stop_seconds:g} seconds of training are over"
        spent = state.seconds - state.fit_seconds
        rows.append({"text": text, "value": f"{spent:.0f} so far", "met": spent >= recipe.stop_seconds})
    finite = state.last_loss is None or bool(torch.isfinite(state.last_loss))
    rows.append({"text": "the loss is too large to be a number", "value": "it is a number" if finite else "it is not",
                 "met": not finite})  # fmt: skip
    return rows


def _rows(work: Work, view: XRay) -> Sequence[int]:
    """Return the places of a batch's pictures among the training pictures; none where the loader does not say."""
    loader, values = work.learn.dls.train, view[6].values
    if not isinstance(loader, Batches):
        return []
    size = loader.batch_size * work.learn.accumulate
    first = (values["batch"] - 1) * size
    rows: list[int] = loader.order(work.learn.seed, values["epoch"] - 1)[first : first + size].tolist()
    return rows


def _losses(work: Work, view: XRay) -> np.ndarray:
    """Return the loss of each picture of a batch."""
    scores, targets = view[2].values["logits"], view[2].values["targets"]
    with torch.no_grad():
        each = [work.learn.objective.loss(scores[at : at + 1], targets[at : at + 1]) for at in range(len(scores))]
    return np.array([float(loss) for loss in each], dtype=np.float32)


def _labels(targets: np.ndarray) -> list[int]:
    """Return the class of each picture; the largest share where pictures are mixed."""
    if targets.dtype.kind != "f":
        return [int(label) for label in targets.flatten()]
    if targets.ndim == 2 and targets.shape[1] > 1:
        return [int(label) for label in targets.argmax(1)]
    return [int(label > 0.5) for label in targets.flatten()]


def small_enough(x: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return pictures for the page: as bytes where they are large, and smaller where they are very large.

    Args:
        x: Pictures, or rows of their pixels.
        shape: Channels, height and width of one.
    """
    x = x.reshape(-1, *shape) if x.ndim != 4 else x
    if x.nbytes <= MOST_BYTES // 4:
        return x
    if x.dtype != np.uint8:
        x = (x.clip(0, 1) * 255).round().astype(np.uint8)
    every = math.ceil(math.sqrt(x.nbytes / MOST_BYTES))
    return np.ascontiguousarray(x[:, :, ::every, ::every])


def _shown(value: np.ndarray) -> np.ndarray | None:
    """Return the output of a layer if it can be drawn: maps of channels, or a row of units."""
    if value.ndim == 3:
        return value[:MOST_MAPS] if value[:MOST_MAPS].size <= 1 << 18 else None
    return value if value.ndim == 1 and value.size <= 1024 else None


def _joined(layer: str, name: str) -> str:
    """Return the name of a parameter in the whole model."""
    return f"{layer}.{name}" if layer else name


def _array(tensor: Tensor) -> np.ndarray:
    """Return a copy of a tensor as an array."""
    array: np.ndarray = tensor.detach().float().cpu().numpy().copy()
    return array
