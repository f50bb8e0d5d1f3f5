"""Curves as matplotlib Figures: losses, metrics, learning rates, and any function. A notebook shows them as values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import ShapeError, UsageError
from .drawing import BLUE, GREEN, VERMILION, Picture, message, new_axes, our_style, short


@our_style()
def losses(
    batch_losses: Sequence[float],
    valid_losses: Sequence[float],
    skip_start: int = 5,
    epoch_ends: Sequence[int] | None = None,
) -> Figure:
    """Draw the loss of each batch after the first `skip_start`, its running mean, and each validation loss.

    `epoch_ends` says how many batches had been done at each validation; without it epochs count as equally long.
    """
    if not batch_losses:
        return message("Nothing has been trained yet.")
    skip = skip_start if skip_start < len(batch_losses) else 0
    shown = np.asarray(batch_losses[skip:], dtype=float)
    batches = np.arange(skip + 1, len(batch_losses) + 1)
    figure, axes = new_axes()
    axes.plot(batches, shown, color=BLUE, alpha=0.35, linewidth=0.8, label="training, each batch")
    axes.plot(batches, _running_mean(shown), color=BLUE, linewidth=1.8, label="training, running mean")
    if len(valid_losses):
        ends = epoch_ends or np.linspace(0, len(batch_losses), len(valid_losses) + 1)[1:]
        axes.plot(ends, valid_losses, "o--", color=VERMILION, markersize=4, label="validation, each epoch")
    axes.set(xlabel="batch", ylabel="loss", title="Loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


@our_style()
def metrics(names: Sequence[str], rows: Sequence[Sequence[float]]) -> Figure:
    """Draw each column of the table against the epochs: the losses together, every metric in its own panel.

    Raises:
        ShapeError: A row has more or fewer numbers than there are names.
    """
    if not rows:
        return message("No epoch has been trained yet.")
    if any(len(row) != len(names) for row in rows):
        raise ShapeError(f"The rows do not all have {len(names)} numbers.", hint="Give a number for each name.")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    looks = {"train_loss": ("o-", BLUE), "valid_loss": ("s--", VERMILION)}
    of_loss = {name: columns.pop(name) for name in looks if name in columns}
    panels = len(columns) + bool(of_loss)
    across = min(panels, 3)
    down = math.ceil(panels / across)
    figure = Picture(figsize=(4.6 * across if across > 1 else 6.4, 3.6 * down if across > 1 else 4.2))
    places = iter(figure.subplots(down, across, squeeze=False).flat)
    epochs = range(1, len(rows) + 1)
    if of_loss:
        axes = next(places)
        for name, numbers in of_loss.items():
            axes.plot(epochs, numbers, looks[name][0], color=looks[name][1], markersize=4, label=name)
        axes.set(title="Loss", xlabel="epoch")
        axes.legend()
    for axes, (name, numbers) in zip(places, columns.items(), strict=False):
        axes.plot(epochs, numbers, "o-", color=GREEN, markersize=4)
        axes.set_title(short(name, 30), parse_math=False)
        axes.set_xlabel("epoch")
    for place, axes in enumerate(figure.axes):
        axes.set_xlim(1 - 0.04 * len(rows), len(rows) + 0.04 * len(rows))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_visible(place < panels)
    return figure


@our_style()
def lr_find(lrs: Sequence[float], losses: Sequence[float], low: float, high: float) -> Figure:
    """Draw the smoothed loss against the learning rate, with the range to choose from."""
    figure, axes = new_axes()
    axes.axvspan(low, high, color=GREEN, alpha=0.15, linewidth=0, label=f"try {low:.2g} to {high:.2g}")
    for edge in (low, high):
        axes.axvline(edge, color=GREEN, linewidth=1, linestyle="--")
    axes.plot(lrs, losses, color=BLUE)
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="loss, smoothed", title="Which learning rates work")
    axes.legend()
    return figure


def plot_function(
    f: Callable[[Any], Any],
    tx: str | None = None,
    ty: str | None = None,
    title: str | None = None,
    min: float | int = -2,
    max: float | int = 2,
    figsize: tuple[float | int, float | int] = (6, 4),
) -> None:
    """Draw `f` between `min` and `max`; `tx` and `ty` name the axes, as in fastbook.

    `f` is called once with a tensor of 100 numbers: functions for tensors such as `torch.sigmoid` take nothing else,
    which is why this one function here imports torch. It alone draws on pyplot's current figure, so that a reader's
    `plt.scatter(...)` after it lands on the same curve.

    Raises:
        UsageError: `f` is not a function or does not return a number for each, or `min` is not below `max`.
    """
    import torch
    from matplotlib import pyplot

    if not callable(f):
        raise UsageError(f"{f!r:.80} is not a function.", hint="plot_function(torch.sigmoid, min=-5, max=5)")
    limits: Sequence[Any] = (min, max)
    if not all(isinstance(limit, (int, float)) for limit in limits) or not -math.inf < min < max < math.inf:
        raise UsageError(
            f"Nothing can be drawn from {min!r} to {max!r}.", hint="min and max are numbers: min=-5, max=5"
        )
    x = torch.linspace(min, max, 100)
    made = f(x)
    try:
        y = torch.as_tensor(made).detach().broadcast_to(x.shape)
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageError(
            f"The function returns {made!r:.80}, and must return a number for each of {len(x)}.",
            hint="It is called once, with a tensor of 100 numbers.",
        ) from error
    _, axes = pyplot.subplots(figsize=figsize)
    axes.plot(x.numpy(), y.numpy(), color=BLUE)
    axes.set(xlabel=tx or "", ylabel=ty or "", title=title or "")


def _running_mean(numbers: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Smooth the training loss as fastai does: each batch takes 2 % of the weight from those before it."""
    mean, smooth = 0.0, []
    for place, number in enumerate(numbers.tolist(), start=1):
        mean = 0.98 * mean + 0.02 * number
        smooth.append(mean / (1 - 0.98**place))
    return np.array(smooth)
