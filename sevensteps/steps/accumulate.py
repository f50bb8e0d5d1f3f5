"""Accumulate gradients over several batches before step 5, where memory is too small for one large batch.

The gradient of a mean over pictures is the mean of the batches' gradients, each by its number of pictures. So one step
equals that of the larger batch up to rounding, except under batch norm, which takes its mean over each batch alone, and
with layers that draw random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from .gradient import CalculateGradient


class Accumulated:
    """Steps 4 and 5 over several batches: call it as a `CalculateGradient` for each, then `step` once.

    Args:
        calculate_gradient: Step 4 of one batch.
        step: Step 5.
        parameters: The parameters of the model, and of the loss if it has any.
    """

    def __init__(
        self, calculate_gradient: CalculateGradient, step: Callable[[], Any], parameters: Iterable[nn.Parameter]
    ) -> None:
        self._calculate, self._step, self._parameters = calculate_gradient, step, list(parameters)
        self._begin()

    def __call__(self, x: Tensor, targets: Tensor, predictions: Tensor, loss: Tensor) -> None:
        """Add the gradient of one batch."""
        self._calculate(x, targets, predictions, loss)
        self._pictures += len(x)
        for place, parameter in enumerate(self._parameters):
            if parameter.grad is not None:
                gradient = parameter.grad.detach() * len(x)
                total = self._totals.get(place)
                self._totals[place] = gradient if total is None else total.add_(gradient)

    def step(self) -> None:
        """Put the mean gradient into the parameters, and take the step."""
        for place, total in self._totals.items():
            self._parameters[place].grad = total.div_(self._pictures)
        self._begin()
        self._step()

    def _begin(self) -> None:
        """Forget the batches so far."""
        self._pictures = 0
        self._totals: dict[int, Tensor] = {}
