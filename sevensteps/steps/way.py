"""Ways to train an epoch: where its batches come from, and how steps 2, 4 and 5 are done."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .accumulate import Accumulated
from .gradient import CalculateGradient, Formula, autograd
from .predict import predict

BatchesOf = Callable[[int, int], Iterator[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """How an epoch is trained: where its batches come from, and how steps 2, 4 and 5 are done."""

    batches: BatchesOf  # of an epoch, from a batch of the loader on
    predict: Callable[[Tensor], Tensor]  # step 2, from `x` to logits
    calculate_gradient: CalculateGradient  # step 4
    step: Callable[[], Any]  # step 5
    draws: bool  # whether autograd records and layers draw random numbers; by formula, neither happens
    accumulate: int = 1  # batches of the loader whose gradients are averaged for one step
    applies: Callable[[], bool]  # whether this way is still right, after somebody may have changed the model


def by_formula(formula: Formula, batches: BatchesOf, step: Callable[[], Any]) -> Way:
    """Return the way of a model whose gradient is known in closed form.

    Args:
        formula: Steps 2 and 4.
        batches: Of an epoch, from a batch on.
        step: Step 5.
    """
    return Way(
        batches=batches,
        predict=formula.predict,
        calculate_gradient=formula,
        step=step,
        draws=False,
        applies=formula.applies,
    )


def by_autograd(model: nn.Module, loss: nn.Module | None, batches: BatchesOf, step: Callable[[], Any]) -> Way:
    """Return the way of any model.

    Args:
        model: The model.
        loss: The loss, if it has parameters of its own.
        batches: Of an epoch, from a batch on.
        step: Step 5.
    """
    return Way(
        batches=batches,
        predict=functools.partial(predict, model),
        calculate_gradient=autograd(model, *(() if loss is None else (loss,))),
        step=step,
        draws=True,
        applies=_always,
    )


def accumulated(way: Way, parameters: Iterable[nn.Parameter], accumulate: int) -> Way:
    """Return the way that averages the gradients of several batches for one step.

    Args:
        way: How one batch is trained.
        parameters: Of the model, and of the loss if it has any.
        accumulate: How many batches; 1 changes nothing.
    """
    if accumulate == 1:
        return way
    several = Accumulated(way.calculate_gradient, way.step, parameters)
    return dataclasses.replace(way, calculate_gradient=several, step=several.step, accumulate=accumulate)


def _always() -> bool:
    """Autograd follows whatever the model does."""
    return True
