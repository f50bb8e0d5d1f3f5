"""Check what users give to a learner, since the errors of Python and PyTorch would say little."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from ..base.setting import LARGEST, MOST
from ..data.batches import DataLoaders
from ..errors import ModelError, UsageError, nearest
from ..steps.loss import LOSSES
from ..steps.step import SCHEDULES, one_cycle
from ..steps.stop import StopRule
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


def check_stop(stop: Any) -> None:
    """Raise if it is not a rule that ends training.

    Args:
        stop: As the user gave it.

    Raises:
        UsageError: Shows how to write a rule.
    """
    if isinstance(stop, StopRule):
        return
    number = isinstance(stop, numbers.Integral) and not isinstance(stop, bool)
    hint = f"stop=after(epochs={stop})" if number else "stop=after(epochs=15), or stop=when_flat(patience=3)"
    raise UsageError(f"stop is {stop!r:.80}, which is not a rule that ends training.", hint=hint)


def check_schedule(schedule: Any) -> None:
    """Raise if it is not a function of the batch and the number of batches.

    Args:
        schedule: As the user gave it.

    Raises:
        UsageError: Shows how to write it.
    """
    if isinstance(schedule, str):
        hint = _WRITTEN.get(schedule) or nearest(schedule, SCHEDULES)
        raise UsageError(f"schedule is {schedule!r}, but must be a function.", hint=hint)
    if schedule is one_cycle:
        raise UsageError("one_cycle makes a schedule; it is not one itself.", hint=_WRITTEN["one_cycle"])
    unfit = isinstance(schedule, (type, LRScheduler)) or not callable(schedule)
    if not unfit and _takes_two(schedule):
        return
    hint = "schedule=cosine, schedule=one_cycle(), or a function: schedule=lambda batch, total: 1 - batch / total"
    if isinstance(schedule, LRScheduler) or (isinstance(schedule, type) and issubclass(schedule, LRScheduler)):
        name = schedule.__name__ if isinstance(schedule, type) else type(schedule).__name__
        hint = f"Use {name} in a loop: scheduler = {name}(learn.opt, ...); for event in learn.stream(...): ..."
    raise UsageError(f"schedule is {schedule!r:.80}, but must be a function of (batch, total).", hint=hint)


# How a schedule is given that was named by a word, or without its parentheses.
_WRITTEN = {
    "constant": "Pass the function: schedule=constant",
    "cosine": "Pass the function: schedule=cosine",
    "one_cycle": "Call it: schedule=one_cycle(); constant and cosine are passed without parentheses.",
}


def _takes_two(function: Any) -> bool:
    """Return whether a function can be called with two arguments, where Python knows."""
    try:
        inspect.signature(function).bind(0, 1)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def checked_rate(lr: Any) -> float:
    """Return a learning rate.

    Args:
        lr: A number of 0 or more.

    Raises:
        UsageError: The rate is negative or not a number.
    """
    return checked_number("lr", lr, "Try lr=0.1, or learn.lr_find().")


def checked_clip(clip: Any) -> float | None:
    """Return the largest norm of the gradient, or None for any.

    Args:
        clip: A number of 0 or more; None and 0 mean any norm.

    Raises:
        UsageError: The norm is negative or not a number.
    """
    return None if clip is None else checked_number("clip", clip, "Try clip=1, or leave it out.", MOST) or None


def checked_accumulate(accumulate: Any) -> int:
    """Return how many batches make a step.

    Args:
        accumulate: A whole number of 1 or more.

    Raises:
        UsageError: It is something else.
    """
    if isinstance(accumulate, bool) or not isinstance(accumulate, numbers.Integral) or accumulate < 1:
        hint = "accumulate=4 averages the gradients of four batches for one step."
        raise UsageError(f"accumulate is {accumulate!r:.80}, but must be a whole number of 1 or more.", hint=hint)
    return int(accumulate)


def checked_shards(shards: Any, loss_func: Any, own: nn.Module | None) -> int:
    """Return how many parts a batch is divided into; 0 leaves it whole.

    Args:
        shards: A whole number of 0 or more.
        loss_func: The loss: a mean over pictures, so that the parts' losses add up to it.
        own: The loss, if it has parameters of its own.

    Raises:
        UsageError: It is something else, or the loss of a batch is not the mean of its parts' losses.
    """
    if isinstance(shards, bool) or not isinstance(shards, numbers.Integral) or shards < 0:
        hint = "shards=4 divides each batch into four parts."
        raise UsageError(f"shards is {shards!r:.80}, but must be a whole number of 0 or more.", hint=hint)
    count = int(shards)
    if count > 1 and own is not None:
        raise UsageError("The loss has parameters of its own, which parts cannot share.", hint="Leave out shards.")
    if count > 1 and (getattr(loss_func, "reduction", "mean") != "mean" or _is_weighted(loss_func)):
        raise UsageError(
            "The loss of a batch is not the mean over its pictures, so those of its parts do not add up to it.",
            hint="Use a loss of sevensteps, or leave out shards.",
        )
    return count


def _is_weighted(loss_func: Any) -> bool:
    """Return whether it is a loss of PyTorch that divides by the weights of a batch's pictures, not by their number."""
    return isinstance(loss_func, (nn.CrossEntropyLoss, nn.NLLLoss)) and loss_func.weight is not None


def checked_keep(keep: Any, has_valid: bool) -> str:
    """Return which weights a fit keeps.

    Args:
        keep: "last" or "best".
        has_valid: Whether there is a validation loader, whose loss says which are best.

    Raises:
        UsageError: It is another word, or nobody knows which are best.
    """
    if keep not in ("last", "best"):
        raise UsageError(f"keep is {keep!r:.80}.", hint='Use keep="last" or keep="best".')
    if keep == "best" and not has_valid:
        raise UsageError(
            "keep='best' needs a validation loader, whose loss says which weights are best.",
            hint="Hold pictures out with splits.hold_out(0.1), or leave keep out.",
        )
    return str(keep)


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


def checked_number(name: str, value: Any, hint: str, most: int | float = LARGEST) -> float:
    """Return a number that is not negative.

    Args:
        name: Of the argument.
        value: As the user gave it.
        hint: What to give instead.
        most: The largest that it may be.

    Raises:
        UsageError: It is negative, too large or not a number.
    """
    is_number = isinstance(value, numbers.Real)
    if not (is_number and 0 <= value <= most):
        raise UsageError(f"{name} is {value!r:.80}, but must be a number from 0 to {most:g}.", hint=hint)
    return float(value)


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
        if isinstance(metric, type):
            name = metric.__name__
            raise UsageError(f"The metric is the class {name}.", hint=f"Pass an instance: metrics={name}().")
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
