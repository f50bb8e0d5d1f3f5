"""Look at a model with one batch: inputs, activations, scores, gradients, and the effect of trial steps.

Looking changes nothing: buffers are copied, gradients never reach `.grad`, modes and random state are restored.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from ...learner.learner import Learner
from ...steps.draws import Place
from ...steps.one_batch import loss_of, slopes_of
from ...steps.precision import predicting

Pair = tuple[Tensor, Tensor]


Gradients = Mapping[str, Tensor | None]


SHAPING = {"view", "reshape", "squeeze", "unsqueeze", "flatten", "contiguous", "float", "to", "__getitem__"}


@dataclass(frozen=True, slots=True)
class Part:
    """One parameter tensor: its name, shape, norm, and the norm of its gradient (None if no gradient reaches it)."""

    name: str
    shape: tuple[int, ...]
    norm: float
    gradient: float | None

    @property
    def slope(self) -> float:
        """The root mean square of the gradient, which is the slope for one number."""
        return (self.gradient or 0.0) / math.sqrt(max(math.prod(self.shape), 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What a training batch shows in training mode, as in step 4, and what the model answers to validation pictures."""

    loss: float
    input_size: float  # root mean square of the first layer's inputs; NaN if not seen
    input_norm: float  # the length of one row of these inputs
    last: str  # the operation that made the scores
    parts: Sequence[Part]
    dead: Sequence[float]  # for each ReLU layer, the share of units that are zero for every picture
    scores: Tensor
    targets: Tensor
    slopes: Tensor | None  # for each picture, the largest slope of its loss by a score; None if there is none
    shares: Tensor | None  # probabilities of the classes; None for a model that fits numbers
    valid_shares: Tensor | None
    steps: Mapping[
        float, tuple[float, float | None]
    ]  # multiple of the rate -> training and validation loss after the step
    valid_loss: float | None
    valid_own: float | None  # the same in training mode, with batch statistics; only if steps were tried

    @property
    def gradient(self) -> float:
        """The norm of the gradient of all parameters together."""
        return math.sqrt(sum((part.gradient or 0.0) ** 2 for part in self.parts))

    @property
    def steepness(self) -> float:
        """The norm of the gradient for inputs of length 1; it is below 1 for a linear model."""
        return self.gradient / (1 + self.input_norm)


def look(learn: Learner, batch: Pair, valid: Pair | None, factors: Sequence[float] = ()) -> Look:
    """Pass one batch through steps 2 to 4, and try steps.

    Args:
        learn: The learner; it is not changed.
        batch: Training pictures and targets.
        valid: Validation pictures and targets.
        factors: Multiples of the learning rate at which to try a step.
    """
    model, objective = learn.model, learn.objective
    x, targets = batch
    named = dict(model.named_parameters())
    with learn.looking():
        valid_scores = model(valid[0]) if valid is not None else None
        learn.into_training(model)
        watching = _Watching(named.values())

        def watched(x: Tensor) -> Tensor:
            watching.dead.append([])
            with watching:
                return _forward(learn, x, {})

        predicts = predicting(watched, learn.parting.precision)
        slopes = slopes_of(predicts, objective.loss, x, targets, named, _place(learn), learn.parting.shards)
        scores, loss, gradients = slopes.predictions, slopes.loss, slopes.gradients
        own_loss = float(loss)
        valid_loss = None
        if valid is not None and valid_scores is not None:
            valid_loss = float(objective.loss(valid_scores, valid[1]))
        steps = _tried(learn, batch, valid, own_loss, _directions(learn, named, gradients), factors) if factors else {}
        is_wanted = factors and (steps or (valid_loss or 0.0) > own_loss)
        valid_own = _loss_in_training(learn, valid or batch, {}) if is_wanted else None
        scores = scores.detach()
        is_classes = scores.ndim == 2 and not objective.is_regression
        return Look(
            loss=own_loss,
            input_size=watching.input_size,
            input_norm=watching.input_norm,
            last=watching.last,
            parts=_parts(named, gradients),
            dead=[float(torch.stack(units).all(0).float().mean()) for units in zip(*watching.dead, strict=True)],
            scores=scores,
            targets=targets.flatten(),
            slopes=_steepest(slopes.on_predictions),
            shares=learn.probabilities(scores) if is_classes else None,
            valid_shares=learn.probabilities(valid_scores) if is_classes and valid_scores is not None else None,
            steps=steps,
            valid_loss=valid_loss,
            valid_own=valid_own,
        )


class _Watching(TorchFunctionMode):
    """Sees every operation of a forward pass, even those outside modules. Hooks would change the model."""

    def __init__(self, parameters: Any) -> None:
        super().__init__()
        self._own = {id(parameter) for parameter in parameters}
        self.input_size = self.input_norm = math.nan
        self.last = ""
        self.dead: list[list[Tensor]] = []  # for each part of the batch and each ReLU layer, which units are zero

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if math.isnan(self.input_size) and any(id(part) in self._own for part in args[1:2]):
            taken = args[0].detach()
            mean_square = float(taken.float().square().mean())
            self.input_size, self.input_norm = math.sqrt(mean_square), math.sqrt(mean_square * taken[0].numel())
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and name not in SHAPING:
            self.last = name.rstrip("_")
            if self.last in ("relu", "relu6") and result.ndim > 1:
                off = (result.detach() <= 0).transpose(0, 1).flatten(1)
                self.dead[-1].append(off.all(1))
        return result


def _place(learn: Learner) -> Place:
    """Return the place of the next batch in training."""
    return Place(learn.state.seed, learn.state.epoch, learn.state.position)


def _steepest(slopes: Tensor | None) -> Tensor | None:
    """Return, for each picture, the largest slope of its own loss by a score."""
    # The loss is a mean over pictures.
    return None if slopes is None else slopes.flatten(1).abs().amax(1) * len(slopes)


def _forward(learn: Learner, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Predict with copies of the buffers, and with replaced parameters if given."""
    buffers = {name: buffer.clone() for name, buffer in learn.model.named_buffers()}
    if not buffers and not parameters:
        scores: Tensor = learn.model(x)
        return scores
    replaced: Tensor = functional_call(learn.model, {**parameters, **buffers}, (x,))
    return replaced


def _parts(named: Mapping[str, nn.Parameter], gradients: Gradients) -> list[Part]:
    """Describe each parameter tensor."""
    norms = torch.stack([parameter.detach().norm() for parameter in named.values()]).tolist() if named else []
    lengths = [gradient.norm() for gradient in gradients.values() if gradient is not None]
    slopes = iter(torch.stack(lengths).tolist() if lengths else [])
    return [
        Part(name, tuple(parameter.shape), norm, next(slopes) if gradients[name] is not None else None)
        for (name, parameter), norm in zip(named.items(), norms, strict=True)
    ]


def _directions(learn: Learner, named: Mapping[str, nn.Parameter], gradients: Gradients) -> dict[str, Tensor] | None:
    """Return the step that the optimizer takes from each parameter, per unit of learning rate; None if unknown."""
    known = {name: gradient for name, gradient in gradients.items() if gradient is not None}
    kind, group = type(learn.opt).__name__, learn.opt.param_groups[0]
    if learn.clip and known:
        norm = float(torch.stack([gradient.norm() for gradient in known.values()]).norm())
        known = {name: gradient * min(1.0, learn.clip / max(norm, 1e-12)) for name, gradient in known.items()}
    decay = {name: _decay(learn, named[name]) for name in known}
    is_apart = kind in ("AdamW", "Muon") or bool(group.get("decoupled_weight_decay"))
    if not is_apart:
        known = {name: g.add(named[name].detach(), alpha=decay[name]) for name, g in known.items()}
    if kind == "SGD":
        return known
    directions = {}
    for name, gradient in known.items():
        state = learn.opt.state.get(named[name], {})
        if "exp_avg_sq" in state:  # Adam and its relatives
            spread = state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
        elif "square_avg" in state or "sum" in state:  # RMSprop, Adagrad
            spread = state.get("square_avg", state.get("sum"))
        else:
            return None
        direction = gradient / (spread.sqrt() + group["eps"])
        directions[name] = direction.add(named[name].detach(), alpha=decay[name]) if is_apart else direction
    return directions


def _decay(learn: Learner, parameter: nn.Parameter) -> float:
    """Return how strongly the optimizer pulls a parameter towards zero."""
    groups = (group for group in learn.opt.param_groups if any(own is parameter for own in group["params"]))
    return float(next((group.get("weight_decay", 0.0) for group in groups), 0.0))


def _tried(
    learn: Learner,
    batch: Pair,
    valid: Pair | None,
    loss: float,
    directions: Mapping[str, Tensor] | None,
    factors: Sequence[float],
) -> dict[float, tuple[float, float | None]]:
    """Return the losses after trial steps; on validation pictures only if the batch's loss falls, to save time."""
    if not directions:
        return {}
    named = dict(learn.model.named_parameters())
    steps: dict[float, tuple[float, float | None]] = {}
    for factor in factors:
        moved = {
            name: named[name].detach() - factor * learn.state.lr * direction for name, direction in directions.items()
        }
        own = _loss_in_training(learn, batch, moved)
        steps[factor] = own, _loss_in_training(learn, valid or batch, moved) if own < loss else None
    return steps


def _loss_in_training(learn: Learner, pair: Pair, moved: Mapping[str, Tensor]) -> float:
    """Return the loss in training mode, with the parameters in `moved` replaced; nothing is recorded."""
    x, targets = pair
    forward = predicting(functools.partial(_forward, learn, parameters=moved), learn.parting.precision)
    return loss_of(forward, learn.objective.loss, x, targets, _place(learn), learn.parting.shards)
