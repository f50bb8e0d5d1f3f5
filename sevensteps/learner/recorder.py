"""Record the losses and learning rates of a fit: `learn.recorder`."""

from __future__ import annotations

import weakref
from types import MethodType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..records.events import Batch, Epoch
from ..steps.state import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Recorder:
    """The record of the last fit: `values` has a row for each epoch, `losses` and `lrs` a number for each batch.

    `fit` records every event. In a loop of your own over `learn.stream()`, call `learn.recorder.observe(event)`.

    Args:
        state: The state of training.
        names: A method that gives the names of what is measured on the validation loader. Its object is not kept alive:
            a learner that holds its recorder is then freed as soon as nobody uses it.
    """

    def __init__(self, state: State, names: MethodType) -> None:
        self._state, self._names, self._owner = state, names.__func__, weakref.ref(names.__self__)
        self.clear()

    def clear(self) -> None:
        """Forget the losses and rates of the batches."""
        self._losses: list[Tensor] = []
        self.lrs: list[float] = []
        self._validated: list[tuple[int, float]] = []  # batches done, and the loss then

    def observe(self, event: Batch | Epoch) -> None:
        """Record an event of the stream.

        Args:
            event: A batch or an epoch.
        """
        if isinstance(event, Batch):
            self._losses.append(event.loss)
            self.lrs.append(event.lr)
        elif event.valid_loss is not None:
            self._validated.append((len(self._losses), event.valid_loss))

    @property
    def losses(self) -> list[float]:
        """The loss of each batch."""
        return torch.stack(self._losses).tolist() if self._losses else []

    @property
    def metric_names(self) -> list[str]:
        """The names of the columns of `values`."""
        if epochs := self._state.fit_history:
            return ["train_loss", *(["valid_loss"] if epochs[-1].valid_loss is not None else []), *epochs[-1].metrics]
        owner = self._owner()
        return ["train_loss", *(self._names(owner) if owner is not None else [])]

    @property
    def values(self) -> list[list[float]]:
        """A row for each epoch of the last fit: training loss, then validation loss and metrics if there are any."""
        return [
            [epoch.train_loss, *([] if epoch.valid_loss is None else [epoch.valid_loss]), *epoch.metrics.values()]
            for epoch in self._state.fit_history
        ]

    def plot_loss(self, skip_start: int = 5, with_valid: bool = True) -> Figure:
        """Draw the loss of each batch, and the validation loss of each epoch.

        If no batches were recorded, the losses of each epoch are drawn.

        Args:
            skip_start: The number of batches to leave out at the start.
            with_valid: Whether to draw the validation loss.

        Returns:
            A Matplotlib figure.
        """
        from ..show import curves, drawing

        if not self._losses and self.values:
            return curves.metrics(self.metric_names[:2], [row[:2] for row in self.values])
        if not self._losses and self._state.batch > self._state.fit_batch:
            return drawing.message("No losses were recorded: give events to learn.recorder.observe(event).")
        validated = self._validated if with_valid else []
        return curves.losses(
            self.losses, [loss for _, loss in validated], skip_start, [batches for batches, _ in validated]
        )

    def plot_metrics(self) -> Figure:
        """Draw losses and metrics over the epochs.

        Returns:
            A Matplotlib figure.
        """
        from ..show import curves

        return curves.metrics(self.metric_names, self.values)
