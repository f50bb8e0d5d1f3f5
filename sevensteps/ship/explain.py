"""Explain an answer: how much each pixel of a picture adds to the score of a class, compared with a black picture.

For a model of linear layers the contributions are exact, and need no PyTorch. For any other model they are integrated
gradients: the slope of the score at each pixel, averaged on the way from black to the picture (Sundararajan, Taly and
Yan, "Axiomatic attribution for deep networks", 2017); for a linear model both are the same. Captum has them too, but
would add a dependency for twenty lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from ..data.decode import Fit
from ..data.value_range import Range
from ..errors import ModelError, UsageError, nearest
from . import file as model_file
from .abstention import in_file
from .facts import Facts
from .predict import Bound, bound_layers, load_model, numpy_layers

FEWEST_STEPS, MOST_STEPS = 32, 1024  # from black to the picture


COMPLETE = 0.01  # share of the score that may stay unexplained before more steps are taken


AT_ONCE = 1 << 18  # pixels of the pictures that are computed together


Pixels = UInt8[np.ndarray, "channels height width"]


Contributions = Float64[np.ndarray, "channels height width"]


# From pictures (n, channels, height, width) in [0, 1] and a column: all scores, and the slopes of that column's.
Slopes = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Explanation:
    """The evidence for a class in a picture: `start` plus all contributions plus `missing` is the score.

    The score is the raw one, before the temperature. With a single output, it is the score of the second class; with
    the opposite sign, that of the first.
    """

    name: str  # of the class
    contributions: Contributions
    start: float  # the score of a black picture
    score: float
    method: str  # "exact" or "integrated gradients"

    @property
    def missing(self) -> float:
        """The part of the score that is not explained: rounding, or too few steps for a strongly curved score."""
        return self.score - self.start - float(self.contributions.sum())


@dataclass(frozen=True)
class Explainer:
    """A loaded model that explains its answers."""

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    is_linear: bool
    slopes: Slopes
    fit: Fit = "squash"  # as of the model
    range: Range | None = None  # likewise

    def explain(self, pixels: Pixels, name: str) -> Explanation:
        """Return the evidence for a class in a picture.

        Args:
            pixels: A uint8 picture of the model's shape.
            name: The class.

        Raises:
            UsageError: The picture has another shape, or the model does not know the class.
            ModelError: The scores are not finite.
        """
        if pixels.shape != self.shape or pixels.dtype != np.uint8:
            raise UsageError(
                f"The picture is {pixels.dtype} of shape {pixels.shape}, but the model needs uint8 of {self.shape}.",
                hint="Read it with sevensteps.data.decode.read_picture(path, shape).",
            )
        if name not in self.classes:
            raise UsageError(f"The model does not know the class {name!r:.80}.", hint=nearest(name, self.classes))
        x = pixels / 255
        ends, _ = self.slopes(np.stack([np.zeros_like(x), x]), 0)
        label = self.classes.index(name)
        column, sign = (0, 2 * label - 1) if ends.shape[1] == 1 else (label, 1)
        start, score = ends[:, column].tolist()
        steps = 1 if self.is_linear else FEWEST_STEPS
        contributions = self._on_the_way(x, column, steps)
        while not self.is_linear and steps < MOST_STEPS:
            if abs(score - start - contributions.sum()) <= COMPLETE * abs(score - start):
                break
            steps *= 2
            contributions = self._on_the_way(x, column, steps)
        if not np.isfinite([start, score, *contributions.ravel()]).all():
            raise ModelError("The model's scores of this picture are not finite.", hint="Export the model again.")
        return Explanation(
            name,
            sign * contributions,
            sign * start,
            sign * score,
            "exact" if self.is_linear else "integrated gradients",
        )

    def _on_the_way(self, x: Float64[np.ndarray, "channels height width"], column: int, steps: int) -> Contributions:
        """Return the mean slope on the way from black to the picture, in this many steps, times the picture."""
        shares = ((np.arange(steps) + 0.5) / steps)[:, None, None, None]
        total, block = np.zeros(x.shape), max(1, AT_ONCE // x.size)
        for at in range(0, steps, block):
            total += self.slopes(shares[at : at + block] * x, column)[1].sum(0)
        contributions: np.ndarray = x * total / steps
        return contributions


def load_explainer(path: Path) -> Explainer:
    """Load the model in a run's folder or a model.safetensors, which anyone may have written, to explain its answers.

    Args:
        path: The folder or the file; for a model of features see `covered`.

    Raises:
        ModelError: As `load_model`.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    model = load_model(path)  # which checks all parts of the file
    arrays, about = model_file.read(path)
    arrays, _ = in_file(arrays, about, path)
    facts = Facts.from_json(about, path)
    layers = numpy_layers(facts.model, model.shape, facts.flat)
    if layers is None:
        return Explainer(model.classes, model.shape, False, _with_torch(arrays, facts, path), model.fit, model.range)
    bound = bound_layers(layers, {name: array.astype(np.float64) for name, array in arrays.items()}, path)
    is_linear = all(layer != "ReLU" for layer, _, _ in bound)
    return Explainer(model.classes, model.shape, is_linear, _with_numpy(bound), model.fit, model.range)


def _with_numpy(layers: list[Bound]) -> Slopes:
    """Return the function to scores and slopes of linear layers and ReLUs: forward, then back by the chain rule."""

    def slopes(x: np.ndarray, column: int) -> tuple[np.ndarray, np.ndarray]:
        shape, seen = x.shape, []
        with np.errstate(all="ignore"):  # the caller checks for NaN
            for layer, first, second in layers:
                seen.append(x)
                match layer:
                    case "Normalize":
                        x = (x - first) / second
                    case "Linear":
                        x = x.reshape(len(x), -1) @ first.T + second
                    case "ReLU":
                        x = np.maximum(x, 0)
            scores = x.reshape(len(x), -1)
            back = np.zeros_like(scores)
            back[:, column] = 1
            for (layer, first, second), before in zip(reversed(layers), reversed(seen), strict=True):
                match layer:
                    case "Normalize":
                        back = back.reshape(before.shape) / second
                    case "Linear":
                        back = back @ first
                    case "ReLU":
                        back = back * (before.reshape(back.shape) > 0)
        return scores, back.reshape(shape)

    return slopes


def _with_torch(arrays: dict[str, np.ndarray], facts: Facts, path: Path) -> Slopes:
    """Return the function to scores and slopes of any model, by autograd.

    Raises:
        ModelError: As `load_torch_model`.
    """
    import torch

    from .torch_model import load_torch_model

    model = load_torch_model(arrays, facts, path)

    def slopes(x: np.ndarray, column: int) -> tuple[np.ndarray, np.ndarray]:
        pixels = torch.from_numpy(x).float().requires_grad_()
        scores = model.scores(pixels)
        (gradient,) = torch.autograd.grad(scores[:, column].sum(), pixels)
        return scores.detach().double().numpy(), gradient.double().numpy()

    return slopes
