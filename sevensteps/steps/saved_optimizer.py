"""An optimizer in a file: its settings as JSON holds them, the tensors of its state, and both read back exactly."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors of an optimizer's state, named "INDEX.KEY" by the index of their parameter.

    Args:
        optimizer: Any optimizer.
    """
    return {
        f"{index}.{key}": value
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def optimizer_facts(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return everything else that an optimizer is in, as JSON can hold it.

    Args:
        optimizer: Any optimizer.

    Raises:
        ModelError: A setting or a part of the state is of a kind that a file cannot hold.
    """
    whole, name = optimizer.state_dict(), type(optimizer).__name__
    for key, inner in vars(optimizer).items():
        if isinstance(inner, torch.optim.Optimizer) and inner.state and inner.state is not optimizer.state:
            raise ModelError(
                f"{name} has another optimizer in its {key!r}, whose state is not in its own and cannot be saved.",
                hint="Let both have one state: self.state = self.base.state.",
            )
    plain = {
        f"{index}.{key}": _for_json(value, f"The state {key!r} of {name}")
        for index, state in whole["state"].items()
        for key, value in state.items()
        if not isinstance(value, Tensor)
    }
    groups = [
        {key: _for_json(value, f"The setting {key!r} of {name}") for key, value in group.items()}
        for group in whole["param_groups"]
    ]
    return {"name": name, "groups": groups, "plain": plain}


def restored_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], saved: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a saved state for `put_into`, after comparing it with a step of an optimizer like it.

    Args:
        optimizer: The optimizer that will take the state.
        tensors: As `optimizer_tensors` gave them.
        saved: As `optimizer_facts` gave it.

    Raises:
        ValueError: The optimizer, its settings, or the shapes of its tensors differ.
    """
    refuse_difference("the optimizer", type(optimizer).__name__, saved["name"])
    own_groups = optimizer.state_dict()["param_groups"]
    refuse_difference("the number of the optimizer's groups", len(own_groups), len(saved["groups"]))
    groups = []
    for own, group in zip(own_groups, saved["groups"], strict=True):
        settings = {key: _as_before(value, own.get(key)) for key, value in group.items()}
        # A scheduler of PyTorch adds `initial_lr` to a group, here or there: only what the optimizer itself has counts.
        kinds = [{key: _kind(of[key]) for key in optimizer.defaults if key in of} for of in (own, settings)]
        refuse_difference("a setting of the optimizer", *kinds)
        refuse_difference("the optimizer's parameters", own["params"], group["params"])
        groups.append({**own, **settings})
    state: dict[int, dict[str, Any]] = {}
    for name, value in [*tensors.items(), *saved["plain"].items()]:
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    expected = _after_a_step(optimizer, groups)
    for index, values in state.items():
        for key, value in values.items():
            like = expected.get(index, {}).get(key)
            if isinstance(like, Tensor) and isinstance(value, Tensor) and value.shape == like.shape:
                values[key] = value.to(like)
            elif isinstance(like, Tensor) or isinstance(value, Tensor) or _kind(value) != _kind(like):
                raise ValueError(f"the optimizer's {key} of parameter {index} is not valid")
            else:
                values[key] = _as_before(value, like)
    return {"state": state, "param_groups": groups}


def put_into(optimizer: torch.optim.Optimizer, restored: Mapping[str, Any]) -> None:
    """Give an optimizer the state that `restored_optimizer` returned.

    Args:
        optimizer: The optimizer.
        restored: The state.
    """
    optimizer.load_state_dict(copy.deepcopy(dict(restored)))
    # PyTorch casts the state to the type of the parameter, even where the optimizer itself keeps another.
    for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        for key, value in restored["state"].get(index, {}).items():
            if isinstance(value, Tensor):
                optimizer.state[parameter][key] = value.clone()


def _after_a_step(optimizer: torch.optim.Optimizer, groups: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return the state of a copy, under these settings, after a step without a slope: its tensors have the right sizes.

    The copy moves parameters of its own, so the model is neither changed nor copied.
    """
    own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    memo: dict[int, Any] = {id(parameter): nn.Parameter(parameter.detach().clone()) for parameter in own}
    trial = object.__new__(type(optimizer))
    # Not copy.deepcopy(optimizer), which leaves out what a class outside PyTorch keeps beside groups and state. A step
    # that a scheduler of PyTorch put into the optimizer would move the original, and hooks are the user's.
    parts = {name: value for name, value in vars(optimizer).items() if name != "step" and not name.endswith("_hooks")}
    hooks = {name: type(value)() for name, value in vars(optimizer).items() if name.endswith("_hooks")}
    vars(trial).update(copy.deepcopy(parts, memo), **hooks)
    for group, settings in zip(trial.param_groups, groups, strict=True):
        group.update({key: copy.deepcopy(value) for key, value in settings.items() if key != "params"})
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    trial.step()
    state: dict[int, dict[str, Any]] = trial.state_dict()["state"]
    return state


def refuse_difference(what: str, own: Any, saved: Any) -> None:
    """Raise an error if two values differ.

    Args:
        what: What the values are.
        own: The value here.
        saved: The value in a file.

    Raises:
        ValueError: They differ; of two dictionaries, the first entry that does.
    """
    if own == saved:
        return
    if isinstance(own, dict):
        name = min(own.items() ^ saved.items(), key=lambda item: item[0])[0]
        own, saved = f"{name} {own.get(name, 'missing')}", f"{name} {saved.get(name, 'missing')}"
    raise ValueError(f"{what} is {own} here and was {saved}")


def _for_json(value: Any, what: str) -> Any:
    """Return a setting as JSON holds it; a number of NumPy's as one of Python's, a tuple as a list.

    Raises:
        ModelError: JSON cannot hold it.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_for_json(part, what) for part in value]
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise ModelError(
        f"{what} is of type {type(value).__name__}, which a file cannot hold.",
        hint="Give the optimizer plain numbers, such as lr=0.1 or betas=(0.9, 0.99).",
    )


def _as_before(value: Any, like: Any) -> Any:
    """Return a setting from JSON as it was: JSON turns tuples, such as Adam's betas, into lists."""
    if not isinstance(value, list):
        return value
    was_tuple = isinstance(like, tuple)
    likes = like if isinstance(like, (list, tuple)) and len(like) == len(value) else [None] * len(value)
    parts = [_as_before(part, own) for part, own in zip(value, likes, strict=True)]
    return tuple(parts) if was_tuple else parts


def _kind(value: Any) -> str:
    """Return the kind of a setting, which must be the same in a file and here: "number", or the name of its type."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return "number" if is_number else type(value).__name__
