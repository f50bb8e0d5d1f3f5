"""Figures of arrays and records. Each function returns a matplotlib Figure, and a notebook shows it as a cell's value.

Names of classes and metrics are drawn letter by letter, never read as formulas. To add a figure, write a function
here that takes arrays and records and gives a figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import ShapeError, UsageError
from .drawing import BLUE, GRAY, GREEN, VERMILION, Picture, message, new_axes, our_style
from .epochs import one_line

Pixels = Float[np.ndarray, "n c h w"] | UInt8[np.ndarray, "n c h w"]


Labels = Sequence[int] | Int[np.ndarray, " labels"]


MOST_LETTERS = 16  # of a class name in a figure; longer ones are cut


READING = "label above, the model's answer below"


MOST_NUMBERED = 20  # classes whose confusions are written out; of more, only colors can be seen


@our_style()
def grid(pixels: Pixels, labels: Sequence[str]) -> Figure:
    """The pictures side by side, each under its label.

    Pixels are uint8, or floats in [0, 1]; other floats are stretched so that darkest and brightest fit.

    Raises:
        ShapeError: not as many labels as pictures.
    """
    if len(labels) != len(pixels):
        raise ShapeError(
            f"There are {len(pixels)} pictures and {len(labels)} labels.", hint="Give one label a picture."
        )
    return _pictures(pixels, [_short(label) for label in labels], wrong=[False] * len(labels))


@our_style()
def varied(
    originals: Pixels, seen: Float[np.ndarray, "n epochs c h w"], names: Sequence[str], labels: Sequence[Sequence[str]]
) -> Figure:
    """A row for each picture: as it is, under its class, and then as each epoch of training sees it.

    Where a label there is not the picture's class, as under mixup, it stands above.

    Raises:
        ShapeError: not as many rows or epochs of one as of another.
    """
    count, epochs = seen.shape[:2]
    if not len(originals) == len(names) == len(labels) == count or any(len(row) != epochs for row in labels):
        raise ShapeError(
            f"{len(originals)} pictures, {len(names)} names, {len(labels)} rows of labels and pixels {seen.shape} do "
            "not go together.",
            hint="Give a name, and pixels and a label for each epoch, for each picture.",
        )
    figure = Picture(figsize=(1.35 * (epochs + 1), 1.5 * count + 0.5))
    axes = figure.subplots(count, epochs + 1, squeeze=False)
    for row, name, original, pictures, said in zip(axes, names, originals, seen, labels, strict=True):
        drawn = [*_drawable(original[None]), *_drawable(pictures)]
        above = [_short(name), *("\n".join(map(_short, label.split(", "))) if label != name else "" for label in said)]
        for one, picture, title in zip(row, drawn, above, strict=True):
            one.set_axis_off()
            one.imshow(picture, cmap="gray", vmin=0, vmax=1)
            one.set_title(title, fontsize=9 if one is row[0] else 6, parse_math=False)
    figure.suptitle(f"Each picture as it is, and as the first {epochs} epochs of training see it", fontsize=10)
    return figure


@our_style()
def results(
    pixels: Pixels, labels: Labels, probabilities: Float[np.ndarray, "rows k"], classes: Sequence[str]
) -> Figure:
    """The pictures with their label and what the model says; where it is wrong, a cross and a frame say so.

    Raises:
        ShapeError: not as many labels or probabilities as pictures, or as many columns as classes.
    """
    truth, predicted, confidence = _decided(pixels, labels, probabilities, classes)
    wrong = truth != predicted
    figure = _answers(pixels, truth, predicted, confidence, classes)
    if len(truth):
        figure.suptitle(f"{int(wrong.sum())} wrong of {len(truth)}\n{READING}", fontsize=10)
    return figure


@our_style()
def worst_mistakes(
    pixels: Pixels,
    labels: Labels,
    probabilities: Float[np.ndarray, "rows k"],
    classes: Sequence[str],
    max_n: int = 9,
) -> Figure:
    """The wrong answers that the model was surest of, the surest first. Without mistakes the figure says so.

    Raises:
        ShapeError: not as many labels or probabilities as pictures, or as many columns as classes.
    """
    truth, predicted, confidence = _decided(pixels, labels, probabilities, classes)
    wrong = np.flatnonzero(truth != predicted)
    if not len(wrong):
        return message(f"No mistakes in {len(truth):,} {'picture' if len(truth) == 1 else 'pictures'}.")
    rows = wrong[np.argsort(-confidence[wrong], kind="stable")][:max_n]
    figure = _answers(pixels[rows], truth[rows], predicted[rows], confidence[rows], classes)
    shown = "The only mistake" if len(wrong) == 1 else f"The {len(rows)} surest of {len(wrong):,} mistakes"
    figure.suptitle(f"{shown}\n{READING}", fontsize=10)
    return figure


@our_style()
def losses(
    batch_losses: Sequence[float],
    valid_losses: Sequence[float],
    skip_start: int = 5,
    epoch_ends: Sequence[int] | None = None,
) -> Figure:
    """The loss of each batch after the first `skip_start`, its running mean, and the validation loss of each epoch.

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
    """Each column of the table against the epochs: the losses together, and every metric in a panel of its own.

    Raises:
        ShapeError: a row that has not as many numbers as there are names.
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
        axes.set_title(_short(name, 30), parse_math=False)
        axes.set_xlabel("epoch")
    for place, axes in enumerate(figure.axes):
        axes.set_xlim(1 - 0.04 * len(rows), len(rows) + 0.04 * len(rows))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_visible(place < panels)
    return figure


@our_style()
def lr_find(lrs: Sequence[float], losses: Sequence[float], low: float, high: float) -> Figure:
    """The smoothed loss against the learning rate, with the range to choose from."""
    figure, axes = new_axes()
    axes.axvspan(low, high, color=GREEN, alpha=0.15, linewidth=0, label=f"try {low:.2g} to {high:.2g}")
    for edge in (low, high):
        axes.axvline(edge, color=GREEN, linewidth=1, linestyle="--")
    axes.plot(lrs, losses, color=BLUE)
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="loss, smoothed", title="Which learning rates work")
    axes.legend()
    return figure


@our_style()
def weights(
    weight: Shaped[np.ndarray, "k pixels"] | Shaped[np.ndarray, "k c h w"],
    shape: tuple[int, int, int],
    classes: Sequence[str],
) -> Figure:
    """The weights of a linear model as pictures: what in a picture speaks for a class, and what against it.

    One row of weights decides between two classes; of several, each has its own picture on one common scale. Of color
    pictures the sum over the channels is shown: what a brighter gray pixel does.

    Raises:
        ShapeError: weights that do not fill pictures of this shape.
    """
    rows = len(weight)
    if not rows or weight[0].size != math.prod(shape):
        raise ShapeError(
            f"Weights {tuple(weight.shape)} do not fill pictures of {'x'.join(map(str, shape))}.",
            hint="Give the weights of a layer that sees the pixels themselves.",
        )
    pictures = np.asarray(weight, dtype=float).reshape(rows, *shape).sum(1)
    most = float(np.abs(pictures).max()) or 1.0
    across = min(rows, 5)
    down = math.ceil(rows / across)
    figure = Picture(figsize=(5.6, 5) if rows == 1 else (2 * across + 1.4, 2.15 * down + 0.6))
    axes = figure.subplots(down, across, squeeze=False)
    for place, one in enumerate(axes.flat):
        one.set_axis_off()
        if place < rows:
            drawn = one.imshow(pictures[place], cmap="RdBu", vmin=-most, vmax=most)
            if rows > 1:
                one.set_title(_short(classes[place] if rows == len(classes) else f"output {place}"), parse_math=False)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8 if rows == 1 else 0.9)
    bar.outline.set_visible(False)
    if rows == 1 and len(classes) == 2:
        negative, positive = map(_short, classes)
        axes[0, 0].set_title(f"blue speaks for {positive}, red for {negative}", fontsize=10, parse_math=False)
        bar.set_label(f"{negative}  ←  weight  →  {positive}", parse_math=False)
        figure.suptitle("What the model looks for", fontsize=12)
    else:
        bar.set_label("against it  ←  weight  →  for it")
        figure.suptitle("What the model looks for: blue speaks for it, red against it", fontsize=12)
    return figure


@our_style()
def explanation(
    pixels: Shaped[np.ndarray, "c h w"],
    contributions: Float[np.ndarray, "c h w"],
    answer: str,
    name: str,
    start: float,
    score: float,
    method: str,
) -> Figure:
    """A picture, and beside it what each of its pixels adds to the score of a class: the sum over the channels.

    `answer` is the title, `name` the class that the contributions speak for, `start` the score of a black picture.

    Raises:
        ShapeError: contributions of another shape than the picture's.
    """
    if pixels.ndim != 3 or pixels.shape != contributions.shape:
        raise ShapeError(
            f"The picture is {pixels.shape} and the contributions are {contributions.shape}.",
            hint="Give both as (channels, height, width).",
        )
    added = np.asarray(contributions, dtype=float).sum(0)
    most = float(np.abs(added).max()) or 1.0
    figure = Picture(figsize=(8.2, 4))
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.set_axis_off()
    left.imshow(_drawable(pixels[None])[0], cmap="gray", vmin=0, vmax=1)
    left.set_title("the picture")
    drawn = right.imshow(added, cmap="RdBu", vmin=-most, vmax=most)
    right.set_title(f"blue speaks for {_short(name)}, red against it", parse_math=False)
    bar = figure.colorbar(drawn, ax=right, shrink=0.85)
    bar.outline.set_visible(False)
    bar.set_label("against it  ←  added to the score  →  for it")
    figure.suptitle(answer, fontsize=12, parse_math=False)
    total = float(added.sum())
    figure.supxlabel(
        f"score {score:.2f} = {start:.2f} for a black picture {'+' if total >= 0 else '−'} {abs(total):.2f} from its "
        f"pixels ({method})",
        fontsize=9,
        color=GRAY,
    )
    return figure


@our_style()
def confusion(labels: Labels, predicted: Labels, classes: Sequence[str]) -> Figure:
    """How often each class (a row) is taken for each (a column): counts, and their share of the row.

    Raises:
        ShapeError: not as many predictions as labels.
    """
    truth, guess = np.asarray(labels, dtype=int), np.asarray(predicted, dtype=int)
    if len(truth) != len(guess):
        raise ShapeError(
            f"There are {len(truth)} labels and {len(guess)} predictions.", hint="Give one each a picture."
        )
    k = len(classes)
    counts = np.bincount(truth * k + guess, minlength=k * k).reshape(k, k)
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    written = k <= MOST_NUMBERED
    side = min(max(0.62 * k, 2.4), 12)
    figure, axes = new_axes((side + 2, side + 1.5))
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    small = 10 if k <= 4 else 8 if written else 6
    names = [_short(name) for name in classes]
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if k > 2 else {}
    axes.set_xticks(range(k), names, fontsize=small, parse_math=False, **slanted)
    axes.set_yticks(range(k), names, fontsize=small, parse_math=False)
    axes.tick_params(length=0)
    axes.set(xlabel="predicted class", ylabel="true class")
    for row, column in np.ndindex(k, k) if written else ():
        count, share = int(counts[row, column]), float(shares[row, column])
        axes.text(
            column,
            row,
            f"{count:,}\n{_percent(share)}" if count else "0",
            ha="center",
            va="center",
            fontsize=small,
            color="white" if share > 0.55 else "black" if count else GRAY,
        )
    if not written:
        figure.colorbar(drawn, ax=axes, shrink=0.7, label="share of the true class")
    right = int(np.trace(counts))
    axes.set_title(f"{right:,} of {len(truth):,} right")
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
        UsageError: `f` is no function or does not give a number for each, or `min` is not below `max`.
    """
    import torch
    from matplotlib import pyplot

    if not callable(f):
        raise UsageError(f"{f!r:.80} is no function.", hint="plot_function(torch.sigmoid, min=-5, max=5)")
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
            f"The function gives {made!r:.80}, and must give a number for each of {len(x)}.",
            hint="It is called once, with a tensor of 100 numbers.",
        ) from error
    _, axes = pyplot.subplots(figsize=figsize)
    axes.plot(x.numpy(), y.numpy(), color=BLUE)
    axes.set(xlabel=tx or "", ylabel=ty or "", title=title or "")


def _decided(
    pixels: Pixels, labels: Labels, probabilities: Float[np.ndarray, "rows k"], classes: Sequence[str]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Labels, predicted labels and the probability of the prediction."""
    if len({len(pixels), len(labels), len(probabilities)}) != 1 or probabilities.shape[1] != len(classes):
        raise ShapeError(
            f"{len(pixels)} pictures, {len(labels)} labels, probabilities {probabilities.shape} and {len(classes)} "
            "classes do not go together.",
            hint="Give a label and a row of probabilities for each picture, with a column for each class.",
        )
    predicted = probabilities.argmax(1)
    return np.asarray(labels, dtype=int), predicted, np.take_along_axis(probabilities, predicted[:, None], 1)[:, 0]


def _answers(
    pixels: Pixels,
    truth: Int[np.ndarray, " n"],
    predicted: Int[np.ndarray, " n"],
    confidence: Float[np.ndarray, " n"],
    classes: Sequence[str],
) -> Figure:
    """Pictures under their label, and under that what the model says and how sure it is."""
    wrong = (truth != predicted).tolist()
    titles = [
        f"{_short(classes[label])}\n{'✗' if bad else '✓'} {_short(classes[guess])} {_percent(sure)}"
        for label, guess, sure, bad in zip(truth, predicted, confidence.tolist(), wrong, strict=True)
    ]
    return _pictures(pixels, titles, wrong)


def _pictures(pixels: Pixels, titles: Sequence[str], wrong: Sequence[bool]) -> Figure:
    if not len(pixels):
        return message("No pictures to show.")
    across = math.ceil(math.sqrt(len(pixels)))
    down = math.ceil(len(pixels) / across)
    figure = Picture(figsize=(max(2.1 * across, 3.2), 2.3 * down + 0.4))
    axes = figure.subplots(down, across, squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    for one, picture, title, bad in zip(axes.flat, _drawable(pixels), titles, wrong, strict=False):
        one.imshow(picture, cmap="gray", vmin=0, vmax=1)
        one.set_title(title, fontsize=9, parse_math=False, color=VERMILION if bad else "black")
        if bad:
            one.set_axis_on()
            one.set(xticks=[], yticks=[])
            one.grid(visible=False)
            one.spines[:].set(visible=True, color=VERMILION, linewidth=3)
    return figure


def _drawable(pixels: Pixels) -> Float[np.ndarray, "n h w"] | Float[np.ndarray, "n h w 3"]:
    """Pixels as imshow takes them; of other than one or three channels, the mean."""
    numbers = np.nan_to_num(pixels / 255 if pixels.dtype == np.uint8 else np.asarray(pixels, dtype=float))
    low, high = min(float(numbers.min()), 0.0), max(float(numbers.max()), 1.0)
    numbers = (numbers - low) / (high - low)
    gray: Float[np.ndarray, "n h w"] = numbers.mean(1)
    return np.moveaxis(numbers, 1, -1) if pixels.shape[1] == 3 else gray


def _running_mean(numbers: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """fastai's smoothing of the training loss: each batch takes away 2 % of what the past weighs."""
    mean, smooth = 0.0, []
    for place, number in enumerate(numbers.tolist(), start=1):
        mean = 0.98 * mean + 0.02 * number
        smooth.append(mean / (1 - 0.98**place))
    return np.array(smooth)


def _short(name: str, most: int = MOST_LETTERS) -> str:
    name = one_line(name)
    return name if len(name) <= most else name[: most - 1] + "…"


def _percent(share: float) -> str:
    """A share in percent that says 0 and 100 only where that is exact."""
    if 0.995 <= share < 1:
        return ">99 %"
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
