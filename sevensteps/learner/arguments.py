"""Check what users give to a learner, since the errors of Python and PyTorch would say little."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..data.batches import DataLoaders
from ..errors import ModelError, UsageError, nearest
from ..steps.loss import LOSSES
from ..steps.step import OURS, UNFIT
from .objective import Metric


def check_parts(dls: Any, model: Any, loss_func: Any, activation: Any) -> None:
    """Check the parts of a learner.

    Args:
        dls: The loaders.
        model: The model.
        loss_func: The loss, or None.
        activation: The activation, or None.

    Raises:
        UsageError: The loaders, the loss or the activation are not of a valid type.
        ModelError: The model is not a module.
    """
    if not isinstance(dls, DataLoaders):
        raise UsageError(
            f"The loaders are {type(dls).__name__}, but must be DataLoaders.",
            hint="DataLoaders(train_dl, valid_dl), or DataLoaders.from_images(splits).",
        )
    if isinstance(model, type) or not isinstance(model, nn.Module):
        raise ModelError(f"The model is {model!r}, but must be an nn.Module.", hint="Learner(dls, nn.Linear(784, 1))")
    if isinstance(loss_func, type):
        name = loss_func.__name__
        raise UsageError(f"The loss is the class {name}.", hint=f"Pass an instance: loss_func={name}().")
    if loss_func is not None and not callable(loss_func):
        known = nearest(loss_func, LOSSES) if isinstance(loss_func, str) else ""
        raise UsageError(
            f"The loss is {loss_func!r}, but must be a function.", hint=f"Pass it itself: loss_func=mse_loss. {known}"
        )
    if activation is not None and (not callable(activation) or isinstance(activation, type)):
        raise UsageError(
            f"The activation is {activation!r}, but must be a function.", hint="Pass it itself: torch.sigmoid."
        )


def optimizer_from(opt_func: Any, model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Make the optimizer of the model's trainable parameters.

    Args:
        opt_func: Called as `opt_func(parameters, lr=...)`.
        model: The model.
        lr: The learning rate.

    Raises:
        UsageError: `opt_func` does not make an optimizer, or one that cannot be used here.
        ModelError: The model has no trainable parameters.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise ModelError("The model has no trainable parameters.", hint="Set requires_grad on some of them.")
    if not callable(opt_func):
        raise UsageError(f"opt_func is {opt_func!r}, which does not make an optimizer.", hint=_OPT_FUNC)
    function = opt_func
    while isinstance(function, functools.partial):
        function = function.func
    _refuse_unfit(function)
    try:
        inspect.signature(opt_func).bind(trainable, lr=lr)
        optimizer = opt_func(trainable, lr=lr)
    except UsageError:
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"opt_func={opt_func!r} does not make an optimizer: {error}", hint=_OPT_FUNC) from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(f"opt_func={opt_func!r} makes {type(optimizer).__name__}, not an optimizer.", hint=_OPT_FUNC)
    _refuse_unfit(type(optimizer))
    return optimizer


_OPT_FUNC = "Pass a class, opt_func=SGD, or one with settings: opt_func=functools.partial(SGD, momentum=0.9)."


def _refuse_unfit(kind: Any) -> None:
    """Raise for an optimizer that cannot be used here.

    Raises:
        UsageError: Says what the optimizer needs.
    """
    name = getattr(kind, "__name__", "")
    if kind in OURS.values():
        return
    if name in UNFIT and isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer):
        raise UsageError(f"{name} cannot be used here: it {UNFIT[name]}.", hint="Use SGD or AdamW.")


def checked_rate(lr: Any) -> float:
    """Return a learning rate.

    Args:
        lr: A number of 0 or more.

    Raises:
        UsageError: The rate is negative or not a number.
    """
    return _checked("lr", lr, "Try lr=0.1, or learn.lr_find().")


def checked_decay(wd: Any, optimizer: torch.optim.Optimizer) -> float:
    """Return a weight decay for an optimizer.

    Args:
        wd: A number of 0 or more.
        optimizer: The optimizer.

    Raises:
        UsageError: The weight decay is negative or not a number, or the optimizer has no weight decay.
    """
    if "weight_decay" not in optimizer.defaults:
        raise UsageError(
            f"{type(optimizer).__name__} has no weight decay, but wd={wd} was given.", hint="Leave wd out."
        )
    return _checked("wd", wd, "Try wd=0.01, or leave it out.")


def checked_clip(clip: Any) -> float | None:
    """Return the largest norm of the gradient, or None for any.

    Args:
        clip: A number of 0 or more; None and 0 mean any norm.

    Raises:
        UsageError: The norm is negative or not a number.
    """
    return None if clip is None else _checked("clip", clip, "Try clip=1, or leave it out.") or None


def checked_seed(seed: Any) -> int:
    """Return a seed.

    Args:
        seed: A whole number.

    Raises:
        UsageError: The seed is not a whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise UsageError(f"seed is {seed!r}, but must be a whole number.", hint="Try seed=0.")
    return int(seed)


def _checked(name: str, value: Any, hint: str) -> float:
    """Return a finite number that is not negative."""
    number = float(value) if isinstance(value, numbers.Real) else math.nan
    if not 0 <= number < math.inf:
        raise UsageError(f"{name} is {value!r}, but must be a number of 0 or more.", hint=hint)
    return number


def checked_gradient(gradient: Any) -> str:
    """Return how to calculate the gradient.

    Args:
        gradient: "auto", "formula" or "autograd".

    Raises:
        UsageError: It is another word.
    """
    if gradient not in ("auto", "formula", "autograd"):
        raise UsageError(f"gradient is {gradient!r}.", hint="Use 'auto', 'formula' or 'autograd'.")
    return str(gradient)


def checked_metrics(metrics: Any) -> list[Metric]:
    """Return metrics as a list.

    Args:
        metrics: One function, several, or None.

    Raises:
        UsageError: A metric is not a function.
    """
    listed = [metrics] if callable(metrics) or isinstance(metrics, str) else list(metrics or [])
    for metric in listed:
        if not callable(metric):
            raise UsageError(f"{metric!r} is not a metric.", hint="Pass the function: metrics=accuracy.")
    return listed


def refuse_callbacks(cbs: Any) -> None:
    """Raise if there are callbacks.

    Args:
        cbs: None or an empty list is fine.

    Raises:
        UsageError: Shows the loop that takes their place.
    """
    if cbs is None or (isinstance(cbs, Sequence) and not len(cbs)):
        return
    raise UsageError(
        "Callbacks are not supported: training is a stream of events, and the code of a callback goes into the loop.",
        hint="for event in learn.stream(stop=after(epochs=5)): ...",
    )
