"""Twins of a model: the same weights, with gradients and batch norm's statistics of their own, for one thread each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..errors import ModelError

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def twin(model: nn.Module) -> nn.Module:
    """Return a model that computes as this one does, and puts gradients and statistics into tensors of its own.

    Weights share their memory, and so do buffers other than running statistics.

    Args:
        model: A model whose layers are its attributes, as is usual.
    """
    return _copied(model, {})


def _copied(module: nn.Module, copies: dict[int, nn.Module | nn.Parameter]) -> nn.Module:
    """Copy a module; modules and parameters that occur twice are copied once."""
    known = copies.get(id(module))
    if isinstance(known, nn.Module):
        return known
    copy = copies[id(module)] = module.__new__(type(module))
    copy.__dict__ = {
        **module.__dict__,
        "_parameters": {name: _sharing(value, copies) for name, value in module._parameters.items()},
        "_modules": {name: child and _copied(child, copies) for name, child in module._modules.items()},
    }
    own = isinstance(module, _NormBase)
    buffers = {name: value.clone() if own and value is not None else value for name, value in module._buffers.items()}
    copy.__dict__["_buffers"] = buffers
    return copy


def _sharing(parameter: nn.Parameter | None, copies: dict[int, nn.Module | nn.Parameter]) -> nn.Parameter | None:
    """Return a parameter in the same memory, with a gradient of its own."""
    if parameter is None:
        return None
    known = copies.get(id(parameter))
    if isinstance(known, nn.Parameter):
        return known
    copy = copies[id(parameter)] = nn.Parameter(parameter.detach(), parameter.requires_grad)
    return copy


def has_hooks(model: nn.Module) -> bool:
    """Return whether functions of the user are called while the model computes.

    Args:
        model: Any model.
    """
    return any(getattr(module, name, None) for module in model.modules() for name in _HOOKS)


def keep_statistics(model: nn.Module, twins: Sequence[nn.Module], sizes: Sequence[int]) -> None:
    """Put the mean of the twins' running statistics into the model, each weighted by the pictures that its twin saw.

    Args:
        model: The model.
        twins: What has computed the parts of a batch.
        sizes: The number of pictures of each part.

    Raises:
        ModelError: The model keeps other numbers while it trains, which cannot be added up, or has computed a gradient
            outside its twins.
    """
    for module, *copies in zip(model.modules(), *(each.modules() for each in twins), strict=True):
        if isinstance(module, _NormBase):
            for name, kept in module._buffers.items():
                if kept is not None and module.training:
                    _put_mean(kept, [copy._buffers[name] for copy in copies], sizes)
        elif any(copy._buffers[name] is not kept for name, kept in module._buffers.items() for copy in copies):
            raise keeps_numbers(module)
    if any(parameter.grad is not None for parameter in model.parameters()):
        raise ModelError(
            "The model does not reach its parameters through its layers, so parts of a batch cannot be computed apart.",
            hint="Set {shards}.",
            settings={"shards": 0},
        )


def versions(model: nn.Module) -> list[tuple[nn.Module, int]]:
    """Return, for each buffer that twins share, its layer and how often it was changed in place.

    Args:
        model: Any model.
    """
    shared = [module for module in model.modules() if not isinstance(module, _NormBase)]
    return [(module, value._version) for module in shared for value in module._buffers.values() if value is not None]


def keeps_numbers(module: nn.Module) -> ModelError:
    """Return the error for a layer that changes a buffer while it trains, where the buffer is not batch norm's.

    Args:
        module: The layer.
    """
    return ModelError(
        f"{type(module).__name__} keeps numbers of its own while it trains, which parts of a batch cannot add up.",
        hint="Set {shards}.",
        settings={"shards": 0},
    )


def refuse_hooks_of_parameters(model: nn.Module) -> None:
    """Raise if a parameter has hooks: its gradient is put together from those of the twins, which have none.

    Args:
        model: Any model.

    Raises:
        ModelError: Names the parameter.
    """
    for name, parameter in model.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise ModelError(
                f"{name} has a hook on its gradient, which parts of a batch do not call.",
                hint="Set {shards}.",
                settings={"shards": 0},
            )


def _put_mean(kept: Tensor, seen: Sequence[Tensor | None], sizes: Sequence[int]) -> None:
    """Put the weighted mean of statistics into a buffer; a count of batches grows by one."""
    values = [value for value in seen if value is not None]
    if not kept.is_floating_point():
        kept.copy_(values[0])
        return
    total = values[0] * (sizes[0] / sum(sizes))
    for value, size in zip(values[1:], sizes[1:], strict=True):
        total.add_(value, alpha=size / sum(sizes))
    with torch.no_grad():
        kept.copy_(total)
