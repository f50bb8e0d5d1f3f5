"""Step 4, gradient: find how the loss changes with each parameter, by autograd or by formula, and put it in `.grad`.

Autograd works for any model. A linear model under one of our losses has a gradient in closed form: the same numbers in
a fraction of the time. Both discard the last gradient first, so that after a batch `.grad` holds that batch's gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as _modules

from ..errors import TrainingError
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

# Takes x, targets, predictions and loss of a batch, and puts the gradient into the parameters.
CalculateGradient = Callable[[Tensor, Tensor, Tensor, Tensor], None]


def autograd(*modules: nn.Module) -> CalculateGradient:
    """Return step 4 by PyTorch's automatic differentiation, for any model and loss.

    Args:
        modules: The model to train, and the loss if it has parameters of its own.

    Returns:
        A function that puts the gradient of a batch's loss into the parameters. It raises a TrainingError if the loss
        does not depend on them.
    """
    # Frozen parameters too, in case one is unfrozen between two batches.
    return functools.partial(_by_autograd, [parameter for module in modules for parameter in module.parameters()])


def _by_autograd(
    parameters: Sequence[nn.Parameter], x: Tensor, targets: Tensor, predictions: Tensor, loss: Tensor
) -> None:
    """Discard the last gradient and let PyTorch calculate the next."""
    for parameter in parameters:
        parameter.grad = None
    if not loss.requires_grad:
        raise TrainingError(
            "The loss has no slope: it does not depend smoothly on any trainable parameter, so nothing can be learned.",
            hint="Use a smooth loss, such as cross_entropy; counts such as accuracy are metrics: metrics=accuracy.",
        )
    loss.backward()  # type: ignore[no-untyped-call]


class Formula:
    """Steps 2 and 4 of a linear model in closed form; see `formula`. Call it as a `CalculateGradient`."""

    def __init__(
        self,
        model: nn.Module,
        slope: Callable[[Tensor, Tensor], Tensor],
        normalize: Normalize | None,
        layer: nn.Linear,
        flattens: bool,
        scale: float,
    ) -> None:
        self._slope, self._normalize, self._layer = slope, normalize, layer
        self._flattens, self._scale = flattens, scale
        self.model, self.parameters = model, (layer.weight, layer.bias)
        # Empty while nobody adds a hook: looking into them at each batch costs less than a microsecond.
        self._hooks = list({id(hooks): hooks for module in model.modules() for hooks in _hooks_of(module)}.values())
        self._seen: tuple[Any, ...] = ()  # identity and version of the buffers that the next two were computed from
        self._shift = self._spread = torch.empty(0)

    def predict(self, x: Tensor) -> Float[Tensor, "batch scores"]:
        """Return the model's predictions for pixels that are `scale` times as large as the model expects.

        Args:
            x: Pictures `(b, c, h, w)`, or rows of pixels.

        Returns:
            Logits, one row for each picture.

        Raises:
            ShapeError: The model cannot take the batch.
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
            raise misfit(self.model, x, error) from error

    def __call__(self, x: Tensor, targets: Tensor, predictions: Tensor, loss: Tensor) -> None:
        """Put the gradient into the parameters; the loss itself is not needed."""
        d = self._slope(predictions.detach(), targets)
        total = d.sum(0)
        gradient = d.t() @ x.flatten(1)
        if self._normalize is not None:
            self._fold(self._normalize, x)
            gradient.addr_(total, self._shift, alpha=-1).div_(self._spread)
        elif self._scale != 1:
            gradient.div_(self._scale)
        self._layer.weight.grad, self._layer.bias.grad = gradient, total

    def applies(self) -> bool:
        """Return whether the formula still applies: no weight was frozen or replaced, and no hook was added."""
        weight, bias = self.parameters
        now = self._layer._parameters  # asked at each batch: a layer's attributes take ten times as long
        return (
            now.get("weight") is weight
            and now.get("bias") is bias
            and weight.requires_grad
            and bias.requires_grad
            and not any(self._hooks)
            and not (_has_hooks(weight) or _has_hooks(bias))
        )

    def _fold(self, normalize: Normalize, x: Tensor) -> None:
        """Compute mean and standard deviation for each value of a row of x, unless the buffers are unchanged."""
        buffers = normalize.mean, normalize.std
        seen = *map(id, buffers), *(buffer._version for buffer in buffers), x.shape[1:]
        if seen != self._seen:
            self._shift, self._spread = ((t * self._scale).expand(x.shape[1:]).reshape(-1) for t in buffers)
            self._seen = seen


def formula(model: nn.Module, loss_func: Any, scale: float = 1.0) -> Formula | None:
    """Return the gradient in closed form, or None if it is not certain to apply.

    It applies to `nn.Linear` with a bias, alone or after `Normalize` and `nn.Flatten`, all trainable, of exactly these
    types and without hooks or parametrizations, under one of our losses. With logits z = x W' + b and d = dloss/dz:
    dloss/dW = d' x and dloss/db = sum d. Normalized pixels (x - m) / s give (d' x - m sum d) / s, so they need not be
    computed: shift and scale are applied to the few parameters instead of the many pixels.

    Args:
        model: The model to train.
        loss_func: The loss.
        scale: What pixels must still be divided by: 255 for bytes. It is applied to the parameters as well.

    Returns:
        Steps 2 and 4, or None.
    """
    slope = slope_of(loss_func)
    parts = _linear_parts(model)
    if slope is None or parts is None:
        return None
    return Formula(model, slope, *parts, scale)


def slope_of(loss_func: Any) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the derivative of one of our losses with respect to each logit.

    Args:
        loss_func: A loss, recognized by identity, or a `functools.partial` of one.

    Returns:
        A function of predictions and targets that returns a tensor like the predictions; None for another loss.
    """
    named = settings_of(loss_func)
    if named is None:
        return None
    name, settings = named
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
    """Multiply the slope of each picture by the weight of its class."""
    unweighted = slope(predictions, targets)
    return unweighted * weights_of(targets, weight, unweighted)


def _sigmoid_l1_slope(predictions: Float[Tensor, "batch 1"], targets: Tensor) -> Float[Tensor, "batch 1"]:
    """Return the slope of `sigmoid_l1_loss`."""
    after = torch.sigmoid(predictions)
    # Multiplied in autograd's order, so that both vanish at exactly the same logits.
    slope = (1 - after) * (1 / predictions.shape[0]) * after
    return torch.where(column(predictions, targets) == 1, -slope, slope)


def _binary_cross_entropy_slope(predictions: Float[Tensor, "batch 1"], targets: Tensor) -> Float[Tensor, "batch 1"]:
    """Return the slope of `binary_cross_entropy_with_logits`."""
    labels = column(predictions, targets).to(predictions.dtype)  # also for double precision and Booleans
    return (torch.sigmoid(predictions) - labels) / predictions.shape[0]


def _cross_entropy_slope(
    predictions: Float[Tensor, "batch classes"], targets: Tensor, label_smoothing: float = 0.0
) -> Float[Tensor, "batch classes"]:
    """Return the slope of `cross_entropy`."""
    shares = labels_or_shares(predictions, targets)
    if not shares.is_floating_point():
        shares = F.one_hot(shares, predictions.shape[1]).to(predictions.dtype)
    shares = shares * (1 - label_smoothing) + label_smoothing / predictions.shape[1]
    return (F.softmax(predictions, dim=1) - shares) / predictions.shape[0]


def _mse_slope(predictions: Float[Tensor, "batch scores"], targets: Tensor) -> Float[Tensor, "batch scores"]:
    """Return the slope of `mse_loss`."""
    return (predictions - codes(predictions, targets)) * (2 / predictions.numel())


SLOPES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {
    sigmoid_l1_loss: _sigmoid_l1_slope,
    binary_cross_entropy_with_logits: _binary_cross_entropy_slope,
    cross_entropy: _cross_entropy_slope,
    mse_loss: _mse_slope,
}


def _linear_parts(model: nn.Module) -> tuple[Normalize | None, nn.Linear, bool] | None:
    """Return the normalization, the linear layer and whether pictures are flattened; None for any other model."""
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
        return None  # the linear layer would not see one row for each picture
    if len(layers) != 1 or type(layers[0]) is not nn.Linear:
        return None
    layer = layers[0]
    if not all(type(p) is nn.Parameter and p.requires_grad for p in (layer.weight, layer.bias)):
        return None
    return normalize, layer, flattens  # type: ignore[return-value]


def _is_altered(module: nn.Module) -> bool:
    """Whether calling the module does anything that its class alone does not."""
    instance_forward = "forward" in vars(module) or hasattr(module, "parametrizations")
    hooked = any(_hooks_of(module))
    tensor_hooked = any(map(_has_hooks, module.parameters(recurse=False)))
    return instance_forward or hooked or tensor_hooked


def _has_hooks(parameter: Tensor) -> bool:
    """Return whether something is called when the parameter gets its gradient."""
    return bool(parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None))


def _hooks_of(module: nn.Module) -> list[Mapping[Any, Any]]:
    """Return the dictionaries that hold the module's hooks and those of all modules; they are filled in place."""
    own = [getattr(module, f"_{kind}", {}) for kind in _HOOKS]
    return own + [getattr(_modules, f"_global_{kind}") for kind in _HOOKS]


# Their names in a module's attributes and, for hooks on all modules, in torch's own `module` file.
_HOOKS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
