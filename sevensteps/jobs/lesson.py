"""`lesson`: train on pullovers and dresses with plain tensors, and say what happened on seven screens.

The model is one weight for each pixel and a bias. The loss is the mean distance between sigmoid(score) and label, as in
`by_hand`; the weights start small, so that the model learns from the first epoch on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..errors import UsageError
from ..records.lesson import Lesson, Screen, Shown

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.images import Images

SEED, STD, RATE, BATCH, EPOCHS = 0, 0.01, 1.0, 256, 15
STRIP = (0, 1, 5, 15)  # epochs after which the weights are shown
SIDE = 28  # pixels

Picture = Float[np.ndarray, "height width"]


def lesson() -> Lesson:
    """Train on the pullovers and dresses that come with the package, and return the lesson about it.

    This takes a few seconds. The numbers are the same each time, to three digits.

    Returns:
        The seven screens.
    """
    from ..base.one_thread import in_one_thread

    tiny, real = _Tiny(), in_one_thread(_train)
    screens = [make(tiny, real) for make in (_initialize, _predict, _loss, _gradient, _step, _repeat, _stop)]
    return Lesson(screens=tuple(screens))


def refuse_other_names(path: Path) -> None:
    """Raise if a file is not named as an HTML page.

    Args:
        path: The file.

    Raises:
        UsageError: It has another suffix.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(
            f"The lesson is an HTML page, and {path.name} is named as another kind of file.",
            hint="sevensteps lesson --html lesson.html",
        )


def write_page(made: Lesson, path: Path, *, ask: bool) -> None:
    """Write a lesson as slides in one HTML file.

    Args:
        made: The lesson.
        path: The file, which is replaced.
        ask: Whether a question comes before each answer.

    Raises:
        FileError: The page cannot be written.
    """
    from ..base import files
    from ..show.slides.page import page

    files.write(path, page(made, ask=ask).encode())


@dataclass(frozen=True, kw_only=True)
class _Tiny:
    """One step of the same training with four pixels; every number is rounded as it is shown, as in sums by hand."""

    weights: tuple[float, ...] = (0.4, -0.6, 0.2, -0.3)
    bias: float = 0.0
    pixels: tuple[float, ...] = (1.0, 0.5, 0.0, 1.0)

    @property
    def score(self) -> float:
        """Each pixel times its weight, added up, and the bias."""
        return _rounded(sum(w * x for w, x in zip(self.weights, self.pixels, strict=True)) + self.bias)

    @property
    def share(self) -> float:
        """The sigmoid of the score; the picture is a dress, so 1 is right."""
        return _rounded(1 / (1 + math.exp(-self.score)))

    @property
    def loss(self) -> float:
        """How far that is from 1."""
        return _rounded(1 - self.share)

    @property
    def slope(self) -> float:
        """How the loss changes with the score."""
        return _rounded(-self.share * (1 - self.share))

    @property
    def gradient(self) -> tuple[float, ...]:
        """How the loss changes with each weight."""
        return tuple(_rounded(self.slope * x) for x in self.pixels)

    def stepped(self) -> _Tiny:
        """Return the example after one more step at a learning rate of 1."""
        moved = (_rounded(w - slope) for w, slope in zip(self.weights, self.gradient, strict=True))
        return _Tiny(weights=tuple(moved), bias=_rounded(self.bias - self.slope))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Training:
    """What the real training showed. The last weight is the bias."""

    weights: dict[int, Picture]  # by the epochs that are done
    first: tuple[float, ...]  # weights, before training
    after_a_step: Picture
    losses: tuple[float, float]  # of the first batch, before and after the first step
    right: tuple[int, int]  # pictures of it that are right, likewise
    picture: Picture  # a dress of it that is taken for a pullover before training
    score: float
    gradient: Picture
    counts: tuple[int, int]  # pictures to learn from, and to test with
    accuracies: tuple[float, ...]  # on the test pictures, after each epoch, and before the first
    mistake: Picture  # the test picture that the model is surest about and gets wrong
    mistaken_for: str
    labeled: str


def _train() -> _Training:
    """Train with plain tensors; each picture gets one more pixel, which is always 1, and whose weight is the bias."""
    import torch

    from ..data.sources.load import load

    def tensors(images: Images) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(images.pixels).reshape(-1, SIDE * SIDE).float() / 255
        return torch.cat([pixels, torch.ones(len(pixels), 1)], 1), torch.from_numpy(images.labels).float()

    def loss_of(x: Tensor, y: Tensor, weights: Tensor) -> tuple[float, Tensor]:
        """Return the loss and its gradient."""
        shares = (x @ weights).sigmoid()
        slopes = shares * (1 - shares) * torch.where(y == 1, -1.0, 1.0)
        return (shares - y).abs().mean().item(), slopes @ x / len(x)

    def right(x: Tensor, y: Tensor, weights: Tensor) -> int:
        return int(((x @ weights > 0) == (y == 1)).sum())

    splits = load("pullover-dress")
    assert splits.test is not None
    (x, y), (test_x, test_y) = tensors(splits.train), tensors(splits.test)
    draws = torch.Generator().manual_seed(SEED)
    weights = torch.randn(SIDE * SIDE + 1, generator=draws) * STD
    weights[-1] = 0
    start, kept, accuracies = weights, {0: weights}, [right(test_x, test_y, weights) / len(test_x)]
    first: list[tuple[Tensor, Tensor]] = []
    for epoch in range(1, EPOCHS + 1):
        order = torch.randperm(len(x), generator=draws)
        for rows in (order[at : at + BATCH] for at in range(0, len(x), BATCH)):
            first = first or [(x[rows], y[rows])]
            weights = weights - RATE * loss_of(x[rows], y[rows], weights)[1]
        accuracies.append(right(test_x, test_y, weights) / len(test_x))
        kept[epoch] = weights
    first_x, first_y = first[0]
    loss, gradient = loss_of(first_x, first_y, start)
    stepped = start - RATE * gradient
    scores = first_x @ start
    dress = int(torch.where((first_y == 1) & (scores < 0))[0][0])
    answers = test_x @ weights
    worst = int(torch.where((answers > 0) != (test_y == 1), answers.abs(), 0.0).argmax())
    label = int(test_y[worst])
    return _Training(
        weights={epoch: _square(kept[epoch]) for epoch in STRIP},
        first=tuple(start[:3].tolist()),
        after_a_step=_square(stepped),
        losses=(loss, loss_of(first_x, first_y, stepped)[0]),
        right=(right(first_x, first_y, start), right(first_x, first_y, stepped)),
        picture=_square(first_x[dress]),
        score=scores[dress].item(),
        gradient=_square(gradient),
        counts=(len(x), len(test_x)),
        accuracies=tuple(accuracies),
        mistake=_square(test_x[worst]),
        mistaken_for=splits.classes[1 - label],
        labeled=splits.classes[label],
    )


def _square(numbers: Tensor) -> Picture:
    """Return one number for each pixel as a picture, without the bias."""
    return numbers[:-1].reshape(SIDE, SIDE).double().numpy()


def _rounded(number: float) -> float:
    """Return a number with three decimals, and 0 without a sign."""
    return round(number, 3) + 0.0


def _row(numbers: tuple[float, ...], digits: int = 1) -> str:
    return " ".join(f"{number:{digits + 3}.{digits}f}" for number in numbers)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _initialize(tiny: _Tiny, real: _Training) -> Screen:
    first = ", ".join(f"{weight:.3f}" for weight in real.first)
    return Screen(
        number=1,
        name="initialize",
        question="The model has one weight for each pixel. Nobody knows the right weights. Where does it start?",
        sums=(
            "A tiny picture: 4 pixels,",
            "from 0 (black) to 1 (white).",
            "So 4 weights, and a bias:",
            f"pixels  {_row(tiny.pixels)}",
            f"weights {_row(tiny.weights)}",
            "bias     0.0",
        ),
        real="A weight says how much its pixel counts. The bias is added at the end. Real pictures have 784 pixels, so "
        f"784 random weights: {first} and so on. They show nothing yet.",
        pictures=(Shown(kind="map", numbers=real.weights[0], caption="784 random weights"),),
    )


def _predict(tiny: _Tiny, real: _Training) -> Screen:
    products = [f"{x:.1f} x {w:4.1f} = {x * w + 0.0:5.2f}" for x, w in zip(tiny.pixels, tiny.weights, strict=True)]
    return Screen(
        number=2,
        name="predict",
        question="The weights are random. What will the model say about a dress? How often will it be right?",
        sums=(
            "Each pixel times its weight:",
            *products,
            f"score, their sum: {tiny.score:.2f}",
            "Above 0 means Dress. It says",
            "Pullover, but it is a dress.",
        ),
        real=f"The real dress gets {real.score:.3f}: also wrong. Of {BATCH} real pictures (a batch), "
        f"{real.right[0]} are right, by luck.",
        pictures=(Shown(kind="picture", numbers=real.picture, caption="a dress"),),
    )


def _loss(tiny: _Tiny, real: _Training) -> Screen:
    return Screen(
        number=3,
        name="loss",
        question="Count the right answers, or measure how far off each answer is? From which of the two can it learn?",
        sums=(
            "The sigmoid turns a score",
            "into a number from 0 to 1:",
            f"sigmoid({tiny.score:.2f}) = {tiny.share:.3f}",
            "It is a dress: 1 is right.",
            f"loss = 1 - {tiny.share:.3f} = {tiny.loss:.3f}",
        ),
        real=f"Mean loss of {BATCH} pictures: {real.losses[0]:.3f}. 0 is perfect, 0.5 is guessing. A small change of "
        "a weight changes the loss. It rarely changes how many are right.",
        pictures=(Shown(kind="picture", numbers=_curve(tiny.score), caption="the sigmoid, and our score on it"),),
    )


def _curve(score: float) -> Picture:
    """Draw the sigmoid from -7 to 7, with a bright square where a score is."""
    picture = np.zeros((SIDE, SIDE))
    places = (np.arange(SIDE) + 0.5) / SIDE
    rows = ((1 - 1 / (1 + np.exp(-14 * (places - 0.5)))) * (SIDE - 1)).round().astype(int)
    for column in range(SIDE):
        before = rows[max(column - 1, 0)]
        picture[min(rows[column], before) : max(rows[column], before) + 1, column] = 0.5
    column = int((score / 14 + 0.5) * SIDE)
    picture[rows[column] - 1 : rows[column] + 2, column - 1 : column + 2] = 1
    return picture


def _gradient(tiny: _Tiny, real: _Training) -> Screen:
    return Screen(
        number=4,
        name="gradient",
        question="The score of the dress was too low. Which weights should grow? Which of them most?",
        sums=(
            "Slope of the sigmoid there:",
            f"{tiny.share:.3f} x (1 - {tiny.share:.3f}) = {-tiny.slope:.3f}",
            "A higher score, a lower loss:",
            f"gradient = {tiny.slope:.3f} x pixel",
            _row(tiny.gradient, 3),
            f"bias: {tiny.slope:.3f}",
        ),
        real=f"Real: 785 slopes, each the mean over {BATCH} pictures. In {{blue}}, a larger weight raises the loss; "
        "in {red}, it lowers it. A step goes the other way.",
        pictures=(Shown(kind="map", numbers=real.gradient, caption="the gradient of 784 weights"),),
    )


def _step(tiny: _Tiny, real: _Training) -> Screen:
    after = tiny.stepped()
    rows = [
        f"{weight:4.1f} + {-slope + 0.0:.3f} = {new:6.3f}"
        for weight, slope, new in zip(tiny.weights, tiny.gradient, after.weights, strict=True)
    ]
    return Screen(
        number=5,
        name="step",
        question="Each weight moves against its gradient. After one step: is the tiny picture right?",
        sums=(
            "new = weight - rate x gradient",
            "With a learning rate of 1:",
            *rows,
            f"bias: {after.bias:.3f}",
            f"new score {after.score:.3f}: Dress!",
        ),
        real=f"One real step. The same {BATCH} pictures: loss {real.losses[0]:.3f}, now {real.losses[1]:.3f}. "
        f"Right: {real.right[0]}, now {real.right[1]}.",
        pictures=(Shown(kind="map", numbers=real.after_a_step, caption="the weights after one step"),),
    )


def _repeat(tiny: _Tiny, real: _Training) -> Screen:
    steps = [tiny]
    while len(steps) < 5:
        steps.append(steps[-1].stepped())
    losses = " ".join(f"{each.loss:.3f}" for each in steps)
    shares = ", ".join(_percent(real.accuracies[epoch]) for epoch in STRIP)
    (count, others), batches = real.counts, math.ceil(real.counts[0] / BATCH)
    return Screen(
        number=6,
        name="repeat",
        question=f"Again with the next batch, and the next. What will the weights look like after {EPOCHS} epochs?",
        sums=(f"Loss of the tiny picture: {losses}",),
        real=f"{batches} batches make an epoch: each of {count:,} pictures once. Right of {others:,} other pictures "
        f"after {', '.join(map(str, STRIP[:-1]))} and {STRIP[-1]} epochs: {shares}. In {{blue}}: evidence for a dress, "
        "in {red} for a pullover. It looks for sleeves.",
        pictures=tuple(
            Shown(kind="map", numbers=real.weights[epoch], caption=f"{epoch} epoch{'s' * (epoch != 1)}")
            for epoch in STRIP
        ),
    )


def _stop(tiny: _Tiny, real: _Training) -> Screen:
    for _ in range(10):
        tiny = tiny.stepped()
    return Screen(
        number=7,
        name="stop",
        question="When should it stop? And what could still go wrong?",
        sums=(
            "Tiny picture, after 10 steps:",
            f"loss {tiny.loss:.3f}. It never gets to",
            "0, so you must say: stop.",
        ),
        real=f"After {EPOCHS} epochs, {_percent(real.accuracies[-1])} of {real.counts[1]:,} pictures that it never "
        f"learned from are right. Its surest mistake: the label of this one is {real.labeled}, it says "
        f"{real.mistaken_for}. Stop when new pictures get no better.",
        pictures=(Shown(kind="picture", numbers=real.mistake, caption=f"{real.labeled}; it says {real.mistaken_for}"),),
    )
