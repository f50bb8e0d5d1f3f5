"""Ways to train an epoch: where its batches come from, and how steps 2, 4 and 5 are done."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..base.one_thread import in_one_thread
from .exchange import Exchange
from .gradient import Formula, autograd
from .parts import Compute, Divided, Part, divided_formula, whole
from .precision import predicting
from .predict import predict

BatchesOf = Callable[[int, int], Iterator[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """How an epoch is trained: where its batches come from, and how steps 2, 4 and 5 are done."""

    batches: BatchesOf  # of an epoch, from a batch of the loader on
    compute: Compute  # steps 2 to 4, of each part of a batch
    step: Callable[[], Any]  # step 5
    accumulate: int  # batches of the loader whose gradients are averaged for one step
    applies: Callable[[], bool]  # whether this way is still right, after somebody may have changed the model


@dataclass(frozen=True, kw_only=True)
class Parting:
    """What makes a step: how many batches, in how many parts each, and with which precision."""

    accumulate: int = 1  # batches of the loader whose gradients are averaged for one step
    shards: int = 0  # parts of a batch, each computed by one thread; 0: the whole batch, by all threads
    precision: str = "f32"


def by_formula(
    formula: Formula,
    batches: BatchesOf,
    step: Callable[[], Any],
    parting: Parting,
    exchange: Exchange | None = None,
) -> Way:
    """Return the way of a model whose gradient is known in closed form.

    Args:
        formula: Steps 2 and 4.
        batches: Of an epoch, from a batch on.
        step: Step 5.
        parting: What makes a step.
        exchange: How parts of a batch get to other processes, if there are any.
    """
    return Way(
        batches=batches,
        compute=compute_by_formula(formula, parting, exchange),
        step=_in_one_thread(step) if parting.shards else step,
        accumulate=parting.accumulate,
        applies=formula.applies,
    )


def by_autograd(
    model: nn.Module,
    loss: nn.Module | None,
    batches: BatchesOf,
    step: Callable[[], Any],
    parting: Parting,
    exchange: Exchange | None = None,
) -> Way:
    """Return the way of any model.

    Args:
        model: The model.
        loss: The loss, if it has parameters of its own.
        batches: Of an epoch, from a batch on.
        step: Step 5.
        parting: What makes a step.
        exchange: How parts of a batch get to other processes, if there are any.
    """
    return Way(
        batches=batches,
        compute=computing(model, loss, parting, exchange),
        step=_in_one_thread(step) if parting.shards and _is_on_cpu(model) else step,
        accumulate=parting.accumulate,
        applies=_always,
    )


def compute_by_formula(formula: Formula, parting: Parting, exchange: Exchange | None = None) -> Compute:
    """Return steps 2 to 4 in closed form.

    Args:
        formula: Steps 2 and 4.
        parting: What makes a step.
        exchange: How parts of a batch get to other processes, if there are any.
    """
    part = Part(formula.predict, formula, formula.parameters, formula.model)
    if parting.shards:
        return divided_formula(part, parting.shards, exchange)
    return whole(part, draws=False, accumulate=parting.accumulate)


def computing(model: nn.Module, loss: nn.Module | None, parting: Parting, exchange: Exchange | None = None) -> Compute:
    """Return steps 2 to 4 by autograd.

    Args:
        model: The model.
        loss: The loss, if it has parameters of its own.
        parting: What makes a step.
        exchange: How parts of a batch get to other processes, if there are any.
    """
    if parting.shards:
        return Divided(model, functools.partial(_part_of, parting.precision, ()), parting.shards, exchange)
    modules = (loss,) if loss is not None else ()
    return whole(_part_of(parting.precision, modules, model), draws=True, accumulate=parting.accumulate)


def _part_of(precision: str, losses: Sequence[nn.Module], model: nn.Module, number: int = 0) -> Part:
    """Return steps 2 and 4 by autograd, on a model or a twin of it."""
    parameters = [parameter for module in (model, *losses) for parameter in module.parameters()]
    predicts = predicting(functools.partial(predict, model), precision)
    return Part(predicts, autograd(model, *losses), parameters, model, number)


def _in_one_thread(step: Callable[[], Any]) -> Callable[[], Any]:
    """Return step 5 in one thread: where it multiplies matrices, its sums depend on the threads as well."""
    return functools.partial(in_one_thread, step)


def _is_on_cpu(model: nn.Module) -> bool:
    """Return whether the model is on the CPU."""
    return next(model.parameters()).device.type == "cpu"


def _always() -> bool:
    """Autograd follows whatever the model does."""
    return True
