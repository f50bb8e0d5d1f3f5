"""One batch through the seven steps, in numbers."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class StepView:
    """One of the seven steps for one batch: its name, a line in words, and its numbers."""

    number: int
    name: str
    line: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.number} {self.name:<10} {self.line}"


@dataclass(frozen=True, slots=True)
class XRay:
    """The seven steps of one batch with every number; see `Learner.xray`."""

    steps: tuple[StepView, ...]

    def __getitem__(self, number: int) -> StepView:
        """Return the step with this number, from 1."""
        return self.steps[number - 1]

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the steps as a table, as a notebook shows them."""
        cells = ([str(step.number), step.name, step.line] for step in self.steps)
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
        return f'<table style="text-align: left">{rows}</table>'


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Chain:
    """One picture of a batch through all steps, from its pixels to its gradient. All arrays are NumPy arrays.

    The batch's gradient is the mean of such gradients over its pictures.
    """

    number: int  # the place in the batch, from 1
    size: int  # of the batch
    classes: tuple[str, ...]
    label: int | float | np.ndarray  # the class, the shares of the classes, or the target of a regression model
    pixels: np.ndarray  # (c, h, w), or (pixels,) if pictures are flat
    layers: Sequence[tuple[str, np.ndarray]]  # the output of each layer, in order
    contributions: np.ndarray | None  # (scores, *pixels): for a linear model, weight times pixel
    of_features: bool = False  # whether the model takes features of a frozen network, which stand for the pixels
    bias: np.ndarray | None  # (scores,): what the contributions and this add up to is the score
    scores: np.ndarray  # (scores,)
    probabilities: np.ndarray | None  # (classes,)
    activation: str  # what turns scores into probabilities
    loss: float
    loss_name: str
    slopes: np.ndarray  # (scores,): the derivative of this picture's loss with respect to each score
    gradients: Mapping[str, np.ndarray]  # by parameter: the gradient of this picture's loss
    on_pixels: np.ndarray  # in the shape of the pixels: the derivative of the loss with respect to each pixel


def largest_moves(
    before: Mapping[str, Any], gradients: Mapping[str, Any], after: Mapping[str, Any], count: int = 3
) -> list[tuple[str, float, float, float]]:
    """Return the parameters with the largest gradients.

    Args:
        before: The parameters before the step, by name.
        gradients: Their gradients.
        after: The parameters after the step.
        count: How many to return.

    Returns:
        Name and index, value before, gradient and value after, the largest gradient first.
    """
    import numpy as np

    moves = []
    for name, gradient in gradients.items():
        flat = np.abs(np.nan_to_num(gradient.flatten()))
        for at in np.argsort(-flat, kind="stable")[:count].tolist():
            place = ",".join(map(str, np.unravel_index(at, gradient.shape)))
            was, slope, now = (float(array.flatten()[at]) for array in (before[name], gradient, after[name]))
            moves.append((f"{name}[{place}]", was, slope, now))
    return sorted(moves, key=lambda move: -abs(move[2]))[:count]
