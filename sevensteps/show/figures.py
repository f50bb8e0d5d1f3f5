"""Figures of arrays and records. Each function returns a matplotlib Figure, and a notebook shows it as a cell's value.

Names of classes are drawn letter by letter, never read as formulas. To add a figure of pictures or answers, write a
function here that takes arrays and records and returns a figure; curves are in `curves`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8
from matplotlib.figure import Figure

from ..errors import ShapeError
from .drawing import GRAY, VERMILION, Picture, message, new_axes, our_style, short

Pixels = Float[np.ndarray, "n c h w"] | UInt8[np.ndarray, "n c h w"]


Labels = Sequence[int] | Int[np.ndarray, " labels"]


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
    return _pictures(pixels, [short(label) for label in labels], wrong=[False] * len(labels))


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
        above = [short(name), *("\n".join(map(short, label.split(", "))) if label != name else "" for label in said)]
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
def weights(
    weight: Shaped[np.ndarray, "k pixels"] | Shaped[np.ndarray, "k c h w"],
    shape: tuple[int, int, int],
    classes: Sequence[str],
) -> Figure:
    """The weights of a linear model as pictures: what in a picture is evidence for a class, and what against it.

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
                one.set_title(short(classes[place] if rows == len(classes) else f"output {place}"), parse_math=False)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8 if rows == 1 else 0.9)
    bar.outline.set_visible(False)
    if rows == 1 and len(classes) == 2:
        negative, positive = map(short, classes)
        axes[0, 0].set_title(f"blue is evidence for {positive}, red for {negative}", fontsize=10, parse_math=False)
        bar.set_label(f"{negative}  ←  weight  →  {positive}", parse_math=False)
        figure.suptitle("What the model looks for", fontsize=12)
    else:
        bar.set_label("against it  ←  weight  →  for it")
        figure.suptitle("What the model looks for: blue is evidence for it, red against it", fontsize=12)
    return figure


MOST_UNITS = 50  # hidden units that are drawn: those with the largest weights


def hidden_weights(weight: Shaped[np.ndarray, "units pixels"], shape: tuple[int, int, int]) -> Figure:
    """The weights of the first hidden layer as pictures: what turns each unit on, and what off.

    Raises:
        ShapeError: weights that do not fill pictures of this shape.
    """
    largest = np.argsort(-np.linalg.norm(weight, axis=1), kind="stable")[:MOST_UNITS]
    shown = np.sort(largest)
    figure = weights(weight[shown], shape, [f"unit {place + 1}" for place in shown])
    figure.suptitle("What each hidden unit looks for: blue turns it on, red turns it off", fontsize=12)
    figure.axes[-1].set_ylabel("off  ←  weight  →  on")
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

    `answer` is the title, `name` the class that has this score, `start` the score of a black picture.

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
    right.set_title(f"blue is evidence for {short(name)}, red against it", parse_math=False)
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
def covered(
    pixels: UInt8[np.ndarray, "c h w"], drops: Float[np.ndarray, "rows columns"], answer: str, name: str, caption: str
) -> Figure:
    """A picture, and beside it how much of the probability of a class each patch takes away when it is covered.

    `answer` is the title, `name` the class, and `caption` stands below.
    """
    _, height, width = pixels.shape
    most = float(np.abs(drops).max()) or 1.0
    figure = Picture(figsize=(8.2, 4))
    left, right = figure.subplots(1, 2)
    rows, columns = drops.shape
    for axes in (left, right):
        axes.grid(visible=False)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=GRAY)
        for place in range(1, columns):
            axes.axvline(place * width / columns, color=GRAY, linewidth=0.5)
        for place in range(1, rows):
            axes.axhline(place * height / rows, color=GRAY, linewidth=0.5)
    left.imshow(_drawable(pixels[None])[0], extent=(0, width, height, 0))
    left.set_title("the picture and its patches")
    drawn = right.imshow(
        100 * drops, cmap="RdBu", vmin=-100 * most, vmax=100 * most, extent=(0, width, height, 0), interpolation="none"
    )
    right.set_title(f"what {short(name)} loses without each patch", parse_math=False)
    bar = figure.colorbar(drawn, ax=right, shrink=0.85)
    bar.outline.set_visible(False)
    bar.set_label("percentage points of its probability")
    figure.suptitle(answer, fontsize=12, parse_math=False)
    figure.supxlabel(caption, fontsize=9, color=GRAY, parse_math=False)
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
    names = [short(name) for name in classes]
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
        f"{short(classes[label])}\n{'✗' if bad else '✓'} {short(classes[guess])} {_percent(sure)}"
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


def _percent(share: float) -> str:
    """A share in percent that says 0 and 100 only where that is exact."""
    if 0.995 <= share < 1:
        return ">99 %"
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
