"""Step 4, gradient: how the loss changes with each parameter, left in its `.grad`. By autograd, or by formula.

Autograd serves any model. A linear model under one of our losses has a gradient in closed form: the same numbers at a
fraction of the time. Both begin by discarding the last gradient, so that after a batch `.grad` is that batch's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as _modules

from .loss import (
    LOSSES,
    Loss,
    binary_cross_entropy_with_logits,
    codes,
    column,
    cross_entropy,
    labels_or_shares,
    mse_loss,
    settings_of,
    sigmoid_l1_loss,
    weights_of,
)
from .predict import TORCHS, Normalize, misfit

# Takes x, targets, predictions and loss of a batch, and leaves the gradient in the parameters.
CalculateGradient = Callable[[Tensor, Tensor, Tensor, Tensor], None]


def autograd(model: nn.Module) -> CalculateGradient:
    """The gradient by PyTorch's automatic differentiation, for any model and loss."""
    # All, in case one is unfrozen between two batches.
    return functools.partial(_by_autograd, list(model.parameters()))


def _by_autograd(
    parameters: Sequence[nn.Parameter], x: Tensor, targets: Tensor, predictions: Tensor, loss: Tensor
) -> None:
    for parameter in parameters:
        parameter.grad = None
    loss.backward()  # type: ignore[no-untyped-call]


class Formula:
    """Steps 2 and 4 of a linear model in closed form; see `formula`. Called as a `CalculateGradient`."""

    def __init__(
        self,
        model: nn.Module,
        slope: Callable[[Tensor, Tensor], Tensor],
        normalize: Normalize | None,
        layer: nn.Linear,
        flattens: bool,
        scale: float,
    ) -> None:
        self._model, self._slope, self._normalize, self._layer = model, slope, normalize, layer
        self._flattens, self._scale = flattens, scale
        self._seen: tuple[Any, ...] = ()  # which buffers, as they were when the two below were made of them
        self._shift = self._spread = torch.empty(0)

    def predict(self, x: Tensor) -> Float[Tensor, "batch scores"]:
        """What the model says of pixels that are `scale` times as large as it takes them.

        Raises:
            ShapeError: the model cannot take the batch.
        """
        weight, bias = self._layer.weight.detach(), self._layer.bias.detach()
        try:
            if self._normalize is not None:
                self._fold(self._normalize, x)
                weight = weight / self._spread
                bias = bias - weight @ self._shift
            elif self._scale != 1:
                weight = weight / self._scale
            return F.linear(x.flatten(1) if self._flattens else x, weight, bias)
        except TORCHS as error:
            raise misfit(self._model, x, error) from error

    def __call__(self, x: Tensor, targets: Tensor, predictions: Tensor, loss: Tensor) -> None:
        """Leave the gradient in the parameters."""
        d = self._slope(predictions.detach(), targets)
        total = d.sum(0)
        gradient = d.t() @ x.flatten(1)
        if self._normalize is not None:
            self._fold(self._normalize, x)
            gradient.addr_(total, self._shift, alpha=-1).div_(self._spread)
        elif self._scale != 1:
            gradient.div_(self._scale)
        self._layer.weight.grad, self._layer.bias.grad = gradient, total

    def _fold(self, normalize: Normalize, x: Tensor) -> None:
        """Mean and standard deviation of each value of a row of x, as it comes."""
        buffers = normalize.mean, normalize.std
        seen = *map(id, buffers), *(buffer._version for buffer in buffers), x.shape[1:]
        if seen != self._seen:
            self._shift, self._spread = ((t * self._scale).expand(x.shape[1:]).reshape(-1) for t in buffers)
            self._seen = seen


def formula(model: nn.Module, loss_func: Any, scale: float = 1.0) -> Formula | None:
    """The gradient in closed form, or None where it does not surely apply.

    It applies to `nn.Linear` with a bias, alone or after `Normalize` and `nn.Flatten`, all trainable, of these very
    types and without hooks or parametrizations, under a loss of ours. With scores z = x W' + b and d = dloss/dz:
    dloss/dW = d' x and dloss/db = sum d. Normalized pixels (x - m) / s give (d' x - m sum d) / s, without making them:
    shift and scale are folded into the few parameters instead of applied to the many pixels. So is `scale`, the
    number by which pixels are still to be divided: 255 for bytes.
    """
    slope = slope_of(loss_func)
    found = _linear_parts(model)
    if slope is None or found is None:
        return None
    return Formula(model, slope, *found, scale)


def slope_of(loss_func: Any) -> Callable[[Tensor, Tensor], Tensor] | None:
    """How the loss changes with each score, for a loss known by identity; None for any other."""
    known = settings_of(loss_func)
    if known is None:
        return None
    name, settings = known
    slope = SLOPES.get(LOSSES[name])
    weight = settings.pop("weight", None)
    slope = functools.partial(slope, **settings) if slope and settings else slope
    return functools.partial(_weighted_slope, slope, weight) if slope and weight is not None else slope


def _weighted_slope(
    slope: Callable[[Tensor, Tensor], Tensor],
    weight: Float[Tensor, " classes"],
    predictions: Float[Tensor, "batch scores"],
    targets: Tensor,
) -> Float[Tensor, "batch scores"]:
    found = slope(predictions, targets)
    return found * weights_of(targets, weight, found)


def _sigmoid_l1_slope(predictions: Float[Tensor, "batch 1"], targets: Tensor) -> Float[Tensor, "batch 1"]:
    after = torch.sigmoid(predictions)
    # In the order in which autograd multiplies, so that both vanish at exactly the same scores.
    slope = (1 - after) * (1 / predictions.shape[0]) * after
    return torch.where(column(predictions, targets) == 1, -slope, slope)


def _binary_cross_entropy_slope(predictions: Float[Tensor, "batch 1"], targets: Tensor) -> Float[Tensor, "batch 1"]:
    labels = column(predictions, targets).to(predictions.dtype)  # also double precision, and True and False
    return (torch.sigmoid(predictions) - labels) / predictions.shape[0]


def _cross_entropy_slope(
    predictions: Float[Tensor, "batch classes"], targets: Tensor, label_smoothing: float = 0.0
) -> Float[Tensor, "batch classes"]:
    wanted = labels_or_shares(predictions, targets)
    if not wanted.is_floating_point():
        wanted = F.one_hot(wanted, predictions.shape[1]).to(predictions.dtype)
    wanted = wanted * (1 - label_smoothing) + label_smoothing / predictions.shape[1]
    return (F.softmax(predictions, dim=1) - wanted) / predictions.shape[0]


def _mse_slope(predictions: Float[Tensor, "batch scores"], targets: Tensor) -> Float[Tensor, "batch scores"]:
    return (predictions - codes(predictions, targets)) * (2 / predictions.numel())


SLOPES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {
    sigmoid_l1_loss: _sigmoid_l1_slope,
    binary_cross_entropy_with_logits: _binary_cross_entropy_slope,
    cross_entropy: _cross_entropy_slope,
    mse_loss: _mse_slope,
}


def _linear_parts(model: nn.Module) -> tuple[Normalize | None, nn.Linear, bool] | None:
    """Normalization and the one linear layer of a model that is surely nothing else, and whether it flattens."""
    layers: list[nn.Module] = list(model) if type(model) is nn.Sequential else [model]
    if any(map(_is_altered, {model, *layers})):
        return None
    normalize, flattens = None, False
    if layers and type(layers[0]) is Normalize:
        normalize = layers.pop(0)
    if layers and type(layers[0]) is nn.Flatten and (layers[0].start_dim, layers[0].end_dim) == (1, -1):
        layers.pop(0)
        flattens = True
    elif normalize is not None:
        return None  # what the linear layer sees then is not one row a picture
    if len(layers) != 1 or type(layers[0]) is not nn.Linear:
        return None
    layer = layers[0]
    if not all(type(p) is nn.Parameter and p.requires_grad for p in (layer.weight, layer.bias)):
        return None
    return normalize, layer, flattens  # type: ignore[return-value]


def _is_altered(module: nn.Module) -> bool:
    """Whether calling the module does more, or other, than its class says."""
    instance_forward = "forward" in vars(module) or hasattr(module, "parametrizations")
    hooked = any(getattr(module, f"_{kind}", None) or getattr(_modules, f"_global_{kind}") for kind in _HOOKS)
    tensor_hooked = any(
        parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None)
        for parameter in module.parameters(recurse=False)
    )
    return instance_forward or hooked or tensor_hooked


# As they are called in a module's attributes and, for hooks on all modules, in torch's own module of that name.
_HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
