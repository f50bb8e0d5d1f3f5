"""Optimizer: make it, and keep what it trains and how the user set it up.

What is trained may change between two epochs: a layer is unfrozen, the last layer is replaced. Then `opt_func` is asked
again, and what it now takes is put into the same optimizer, in the same groups.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ..base.words import counted
from ..errors import ModelError, SevenstepsError, TrainingError, UsageError
from ..steps.step import OURS, UNFIT
from .arguments import checked_number


def optimizer_from(opt_func: Any, parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """Make the optimizer of the trainable parameters.

    Args:
        opt_func: Called as `opt_func(parameters, lr=...)`.
        parameters: Of the model, and of the loss if it has any.
        lr: The learning rate.

    Raises:
        UsageError: `opt_func` does not make an optimizer, or one that cannot be used here.
        ModelError: The model has no trainable parameters.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
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
    return checked_number("wd", wd, "Try wd=0.01, or leave it out.")


def rate_of(optimizer: torch.optim.Optimizer, lr: float | None, usual: float) -> float:
    """Return the learner's rate: the one given, or the one that `opt_func` gave to the optimizer.

    Args:
        optimizer: As `opt_func` made it with `lr`, or with `usual`.
        lr: What the learner was given, if anything.
        usual: The rate without it.

    Raises:
        UsageError: A rate was given, and `opt_func` took another.
    """
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if lr is None:
        return usual if usual in rates else max(rates)
    # A rate in a tensor has fewer digits.
    if len(set(rates)) == 1 and not math.isclose(rates[0], lr, rel_tol=1e-6):
        raise UsageError(
            f"opt_func makes an optimizer with learning rate {rates[0]:g}, but lr is {lr:g}.",
            hint="Pass the rate on, opt_func=lambda parameters, lr: SGD(parameters, lr), or leave lr out.",
        )
    return lr


def set_decay(optimizer: torch.optim.Optimizer, wd: float) -> None:
    """Set the weight decay of every group; groups with different ones keep their ratio, and 0 stays 0.

    Args:
        optimizer: One that has a weight decay.
        wd: The weight decay, the largest if they differ.
    """
    decays = [float(group["weight_decay"]) for group in optimizer.param_groups]
    for group, decay in zip(optimizer.param_groups, decays, strict=True):
        group["weight_decay"] = wd if len(set(decays)) == 1 else wd * (decay / max(decays))


def held_by(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Return every parameter that the optimizer holds.

    Args:
        optimizer: Any optimizer.
    """
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def left_out(optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter]) -> set[str]:
    """Return the names of the trainable parameters that `opt_func` did not take: they are not to be trained.

    Args:
        optimizer: As `opt_func` made it.
        named: The parameters by name.
    """
    held = set(map(id, held_by(optimizer)))
    return {name for name, parameter in named.items() if parameter.requires_grad and id(parameter) not in held}


def hold_trainable(
    optimizer: torch.optim.Optimizer, opt_func: Any, lr: float, named: Mapping[str, nn.Parameter], declined: set[str]
) -> set[str]:
    """Put parameters into the optimizer that became trainable since it was made, and drop those that are gone.

    Args:
        optimizer: Is changed in place: schedulers may hold it.
        opt_func: What made it.
        lr: The rate to call `opt_func` with.
        named: The parameters as they are now, by name.
        declined: The names of those that `opt_func` did not take, which it may leave out again.

    Returns:
        The names of those that it does not take now.

    Raises:
        ModelError: No parameter is trainable.
        TrainingError: `opt_func` makes other groups than the optimizer has, so nobody knows where they belong.
    """
    if not any(parameter.requires_grad for parameter in named.values()):
        raise ModelError("The model has no trainable parameters.", hint="Set requires_grad on some of them.")
    missing = left_out(optimizer, named) - declined
    if not missing:
        return declined
    try:
        fresh = optimizer_from(opt_func, named.values(), lr)
    except SevenstepsError as error:
        raise _not_held(missing) from error
    declined = left_out(fresh, named)
    if missing <= declined:
        return declined
    if len(fresh.param_groups) != len(optimizer.param_groups):
        raise _not_held(missing - declined)
    order = {id(parameter): place for place, parameter in enumerate(named.values())}
    kept = {id(parameter) for parameter in held_by(optimizer)}
    for group, new in zip(optimizer.param_groups, fresh.param_groups, strict=True):
        taken = {id(parameter): parameter for parameter in new["params"]}
        # Frozen by now, but still in the model: unfrozen again, it goes on with its momentum.
        taken |= {id(old): old for old in group["params"] if id(old) in order and not old.requires_grad}
        group["params"] = sorted(taken.values(), key=lambda parameter: order.get(id(parameter), len(order)))
    held = held_by(optimizer)
    for parameter in set(optimizer.state) - set(held):
        del optimizer.state[parameter]
    for parameter in held:
        if id(parameter) not in kept and parameter in fresh.state:  # Adagrad begins with a state
            optimizer.state[parameter] = fresh.state[parameter]
    return declined


def _not_held(missing: set[str]) -> TrainingError:
    """Return the error for trainable parameters that cannot be put into the optimizer."""
    example = min(missing)
    return TrainingError(
        f"The optimizer does not hold {counted(len(missing), 'trainable parameter')}, such as {example}, "
        "and it is not clear which of its groups they belong to.",
        hint='Add them: learn.opt.add_param_group({"params": [...]}). Or start with a new optimizer: '
        "learn.fit(5, reset_opt=True).",
    )
