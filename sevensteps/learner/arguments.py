"""What a learner is given from outside, held against what it can be: raw Python errors say little of what is meant."""

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
    """Hold the parts of a learner against what they can be.

    Raises:
        UsageError: loaders, loss or activation of another kind.
        ModelError: a model that is no module.
    """
    if not isinstance(dls, DataLoaders):
        raise UsageError(
            f"The loaders are {type(dls).__name__}, and must be DataLoaders.",
            hint="DataLoaders(train_dl, valid_dl), or DataLoaders.from_images(splits).",
        )
    if isinstance(model, type) or not isinstance(model, nn.Module):
        raise ModelError(f"The model is {model!r}, and must be an nn.Module.", hint="Learner(dls, nn.Linear(784, 1))")
    if isinstance(loss_func, type):
        name = loss_func.__name__
        raise UsageError(f"The loss is the class {name}.", hint=f"Pass an instance: loss_func={name}().")
    if loss_func is not None and not callable(loss_func):
        known = nearest(loss_func, LOSSES) if isinstance(loss_func, str) else ""
        raise UsageError(
            f"The loss is {loss_func!r}, and must be a function.", hint=f"Pass it itself: loss_func=mse_loss. {known}"
        )
    if activation is not None and (not callable(activation) or isinstance(activation, type)):
        raise UsageError(
            f"The activation is {activation!r}, and must be a function.", hint="Pass it itself: torch.sigmoid."
        )


def optimizer_from(opt_func: Any, model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """The optimizer of the model's trainable parameters that `opt_func(params, lr=…)` makes.

    Raises:
        UsageError: it makes none, cannot be called so, or makes one that does not fit here.
        ModelError: nothing is trainable.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise ModelError("The model has no trainable parameters.", hint="Set requires_grad on some of them.")
    if not callable(opt_func):
        raise UsageError(f"opt_func is {opt_func!r}, which makes no optimizer.", hint=_OPT_FUNC)
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
        raise UsageError(f"opt_func={opt_func!r} makes no optimizer: {error}", hint=_OPT_FUNC) from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(f"opt_func={opt_func!r} makes {type(optimizer).__name__}, and no optimizer.", hint=_OPT_FUNC)
    _refuse_unfit(type(optimizer))
    return optimizer


_OPT_FUNC = "Pass a class, opt_func=SGD, or one with settings: opt_func=functools.partial(SGD, momentum=0.9)."


def _refuse_unfit(kind: Any) -> None:
    """Raise for an optimizer that training here cannot drive.

    Raises:
        UsageError: saying what it needs.
    """
    name = getattr(kind, "__name__", "")
    if kind in OURS.values():
        return
    if name in UNFIT and isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer):
        raise UsageError(f"{name} does not fit here: it {UNFIT[name]}.", hint="Use SGD or AdamW.")


def checked_rate(lr: Any) -> float:
    """A learning rate.

    Raises:
        UsageError: it is negative or no number.
    """
    return _checked("lr", lr, "Try lr=0.1, or learn.lr_find().")


def checked_decay(wd: Any, optimizer: torch.optim.Optimizer) -> float:
    """A weight decay for this optimizer.

    Raises:
        UsageError: it is negative or no number, or the optimizer has none.
    """
    if "weight_decay" not in optimizer.defaults:
        raise UsageError(f"{type(optimizer).__name__} cannot have wd={wd}.", hint="Leave wd out.")
    return _checked("wd", wd, "Try wd=0.01, or leave it out.")


def checked_clip(clip: Any) -> float | None:
    """A largest norm of the gradient, or None for any.

    Raises:
        UsageError: it is negative or no number.
    """
    return None if clip is None else _checked("clip", clip, "Try clip=1, or leave it out.") or None


def checked_seed(seed: Any) -> int:
    """A seed.

    Raises:
        UsageError: it is no whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise UsageError(f"seed is {seed!r}, and must be a whole number.", hint="Try seed=0.")
    return int(seed)


def _checked(name: str, value: Any, hint: str) -> float:
    """A finite number that is not negative."""
    number = float(value) if isinstance(value, numbers.Real) else math.nan
    if not 0 <= number < math.inf:
        raise UsageError(f"{name} is {value!r}, and must be a number of 0 or more.", hint=hint)
    return number


def checked_gradient(gradient: Any) -> str:
    """Return how step 4 is to be done.

    Raises:
        UsageError: it is not one of the three words.
    """
    if gradient not in ("auto", "formula", "autograd"):
        raise UsageError(f"gradient is {gradient!r}.", hint="Use 'auto', 'formula' or 'autograd'.")
    return str(gradient)


def checked_metrics(metrics: Any) -> list[Metric]:
    """Return one metric, several or none as a list.

    Raises:
        UsageError: one is not a function.
    """
    listed = [metrics] if callable(metrics) or isinstance(metrics, str) else list(metrics or [])
    for metric in listed:
        if not callable(metric):
            raise UsageError(f"{metric!r} is no metric.", hint="Pass the function: metrics=accuracy.")
    return listed


def refuse_callbacks(cbs: Any) -> None:
    """Raise for callbacks; an empty list of them is none.

    Raises:
        UsageError: showing the loop that takes their place.
    """
    if cbs is None or (isinstance(cbs, Sequence) and not len(cbs)):
        return
    raise UsageError(
        "There are no callbacks here: training is a stream, and what you would do in one goes into the loop.",
        hint="for event in learn.stream(stop=after(epochs=5)): ...",
    )
