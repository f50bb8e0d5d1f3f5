"""Abstention: when a model answers "not sure" or "none of these", in use and in files.

A picture is unlike those of training if it is far from every class. Each class is a normal distribution of reduced
pictures, with a few directions of its own and one spread for all others (probabilistic principal components: Tipping
and Bishop, "Probabilistic principal component analysis", 1999). The distance is Mahalanobis' (Lee et al., "A simple
unified framework for detecting out-of-distribution samples", 2018, on the features of a network; here pixels were
measured to work better: docs/decisions/0009-sure-unsure-none-of-these.md). It needs neither PyTorch nor the model.
`trust/abstain.py` fits it.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8

from ..errors import ModelError
from ..records.scores import REFUSALS

PREFIX = "abstain."  # of the tensors' names in a model's file and in a checkpoint


KEY = "abstain"  # of the facts beside them


SIDE = 16  # pixels: pictures are averaged down to this side length at most


MOST_NUMBERS = 1 << 26  # of the directions in a file


AT_ONCE = 1 << 19  # numbers in a block of pictures; the calculation needs ten times their memory


NOT_SURE, NONE_OF_THESE = REFUSALS


NO_LIMIT = 1e300  # a distance that no picture exceeds; finite, because a file holds it as JSON


@dataclass(frozen=True, eq=False)
class Limits(abc.ABC):
    """When a model does not answer: its confidence is too low, or the picture is too far from every class."""

    coverage: float  # the share of pictures that the two limits were chosen to answer
    confidence: float  # the lowest confidence that is answered
    distance: float  # the largest distance that is answered

    @abc.abstractmethod
    def distances(
        self, pixels: UInt8[np.ndarray, "n channels height width"], *, each_alone: bool = False
    ) -> Float64[np.ndarray, " n"]:
        """Return how far each picture is from the nearest class; about 1 for a picture like those of training.

        Args:
            pixels: The pictures.
            each_alone: Compute each picture by itself, so that the last digits do not depend on the others.
        """

    @property
    def never_says(self) -> tuple[str, ...]:
        """Which of "not sure" and "none of these" this model can never say, because the limit lets everything pass."""
        return never_says(self.confidence, self.distance)

    def reasons(self, confidences: Float[np.ndarray, " n"], distances: Float[np.ndarray, " n"]) -> list[str | None]:
        """Return why there is no answer, for each picture; None where there is one.

        Args:
            confidences: The highest probability of each picture.
            distances: As `distances` returns them.
        """
        sure = confidences >= self.confidence
        near = distances <= self.distance
        words = np.where(near, np.where(sure, None, NOT_SURE), NONE_OF_THESE)  # type: ignore[call-overload]
        return list(words)

    def answered(
        self, confidences: Float[np.ndarray, " n"], distances: Float[np.ndarray, " n"]
    ) -> Bool[np.ndarray, " n"]:
        """Return whether each picture is answered.

        Args:
            confidences: The highest probability of each picture.
            distances: As `distances` returns them.
        """
        return (confidences >= self.confidence) & (distances <= self.distance)


@dataclass(frozen=True, eq=False)
class Abstention(Limits):
    """The limits of a model with what its distance is computed from.

    `directions` are scaled so that the distance is `precision * |x - mean|^2 - |directions @ (x - mean)|^2`, divided by
    the number of values: a step along them counts less than a step elsewhere.
    """

    means: Float32[np.ndarray, "classes values"]
    directions: Float32[np.ndarray, "classes most values"]
    precision: Float32[np.ndarray, " classes"]
    # From what a model takes to what the distance is measured on, if a model has the last stages of a network.
    finish: Callable[[UInt8[np.ndarray, "n channels height width"]], np.ndarray] | None = field(
        default=None, repr=False
    )

    def distances(
        self, pixels: UInt8[np.ndarray, "n channels height width"], *, each_alone: bool = False
    ) -> Float64[np.ndarray, " n"]:
        """See `Limits`."""
        distances = np.empty(len(pixels))
        block = max(1, AT_ONCE // max(1, math.prod(pixels.shape[1:])))
        for start in range(0, len(pixels), block):
            seen = pixels[start : start + block]
            seen = self.finish(seen) if self.finish is not None else seen
            whole = self.means.shape[1] == seen.shape[1]
            distances[start : start + block] = self._distances(reduced(seen, whole), each_alone)
        return distances

    def _distances(self, x: Float64[np.ndarray, "n values"], each_alone: bool) -> Float64[np.ndarray, " n"]:
        """Return the distances of one block of reduced pictures."""
        nearest = np.full(len(x), np.inf)
        for mean, directions, precision in zip(
            self.means.astype(np.float64), self.directions.astype(np.float64), self.precision.tolist(), strict=True
        ):
            steps = x - mean
            along = (steps[:, None] @ directions.T)[:, 0] if each_alone else steps @ directions.T
            far = precision * (steps**2).sum(1) - (along**2).sum(1)
            nearest = np.minimum(nearest, far)
        distances: np.ndarray = np.maximum(nearest, 0) / x.shape[1]
        return distances

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the tensors for a file."""
        return {f"{PREFIX}{name}": getattr(self, name) for name in _TENSORS}

    def facts(self) -> dict[str, float]:
        """Return the numbers for a file, in addition to the tensors."""
        return {name: getattr(self, name) for name in _LIMITS}


_TENSORS, _LIMITS = ("means", "directions", "precision"), ("coverage", "confidence", "distance")


def never_says(confidence: float, distance: float) -> tuple[str, ...]:
    """Return which of "not sure" and "none of these" a model can never say, because the limit lets everything pass.

    Args:
        confidence: The lowest confidence that is answered.
        distance: The largest distance that is answered.
    """
    limits = {NOT_SURE: confidence <= 0, NONE_OF_THESE: distance >= NO_LIMIT}
    return tuple(reason for reason, is_off in limits.items() if is_off)


def reduced(
    pixels: UInt8[np.ndarray, "n channels height width"], whole: bool = False
) -> Float64[np.ndarray, "n values"]:
    """Return pictures averaged over squares so that no side is longer than `SIDE`, as rows of numbers in [0, 1].

    The squares at the right and lower edge may be smaller.

    Args:
        pixels: The pictures.
        whole: Whether to average each channel over the whole picture: for what a pretrained network returns, which has
            hundreds of channels.
    """
    if whole:
        averages: np.ndarray = pixels.mean((2, 3), dtype=np.float64) / 255
        return averages
    rows = np.empty((len(pixels), reduced_size(pixels.shape[1:])))
    block = max(1, AT_ONCE // max(1, math.prod(pixels.shape[1:])))
    for start in range(0, len(pixels), block):
        rows[start : start + block] = _reduced(pixels[start : start + block])
    return rows


def _reduced(pixels: UInt8[np.ndarray, "n channels height width"]) -> Float64[np.ndarray, "n values"]:
    """Reduce one block of pictures."""
    sums = pixels.astype(np.float64)
    for axis in (2, 3):
        size = pixels.shape[axis]
        starts = np.arange(0, size, -(-size // SIDE))
        if len(starts) < size:
            counts = np.diff(np.append(starts, size)).reshape(-1, *[1] * (3 - axis))
            sums = np.add.reduceat(sums, starts, axis) / counts
    return sums.reshape(len(pixels), -1) / 255


def reduced_size(shape: tuple[int, int, int]) -> int:
    """Return how many numbers `reduced` makes of a picture.

    Args:
        shape: Channels, height and width.
    """
    channels, *sides = shape
    return channels * math.prod(-(-side // -(-side // SIDE)) for side in sides)


def in_file(
    arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], where: Any
) -> tuple[dict[str, np.ndarray], Abstention | None]:
    """Split the tensors of a file into those of its model and its abstention, which is None where the file has none.

    Args:
        arrays: The tensors of the file, which anyone may have written.
        about: The facts of the file.
        where: The file, for errors.

    Raises:
        ModelError: The abstention is not valid.
    """
    limits = about.get(KEY)
    if limits is None:
        return dict(arrays), None
    own = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
    others = {name: array for name, array in arrays.items() if not name.startswith(PREFIX)}
    if wrong := _wrong_limits(limits) or _wrong_tensors(own, about):
        raise ModelError(f"{where}: its abstention is not valid: {wrong}.", hint="Export the model again.")
    coverage, confidence, distance = (float(limits[name]) for name in _LIMITS)
    finish = None
    if own["means"].shape[1] == _whole_features(about):
        from .backbone.extract import finisher

        finish = finisher(about["features"]["name"], about["features"]["layers"])
    means, directions, precision = (own[name] for name in _TENSORS)
    return others, Abstention(coverage, confidence, distance, means, directions, precision, finish)


def _whole_features(about: Mapping[str, Any]) -> int | None:
    """Return the number of features of the whole network, for a model that has its last stages; None for others."""
    features = about.get("features")
    if not isinstance(features, dict) or "layers" not in features:
        return None
    from .backbone.lite0 import FEATURES

    return FEATURES


def _wrong_limits(limits: Any) -> str:
    """Return what is wrong with the numbers from a file; an empty string if they are valid."""
    if not isinstance(limits, dict) or set(limits) != set(_LIMITS):
        return f"its numbers must be {', '.join(_LIMITS)}, and no others"
    for name, most in zip(_LIMITS, (1.0, 1.0, 1e300), strict=True):
        if type(limits[name]) not in (int, float) or not 0 <= limits[name] <= most:
            return f"{name} is not a number from 0 to {most:g}"
    return ""


def _wrong_tensors(tensors: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> str:
    """Return what is wrong with the tensors from a file; an empty string if they are valid."""
    classes, shape = (about.get(name) for name in ("classes", "shape"))
    if set(tensors) != set(_TENSORS):
        return f"its tensors must be {', '.join(_TENSORS)}, and no others"
    if any(tensor.dtype != np.float32 for tensor in tensors.values()):
        return "its tensors are not float32"
    means, directions, precision = (tensors[name] for name in _TENSORS)
    if not (
        isinstance(shape, list) and len(shape) == 3 and all(type(size) is int and 0 < size < 1 << 31 for size in shape)
    ):
        return "the file does not say which pictures it takes"
    whole = _whole_features(about)
    values = reduced_size((shape[0], shape[1], shape[2])) if whole is None else shape[0]
    if whole is not None and means.ndim == 2 and means.shape[1] == whole:  # files of before average each channel
        values = whole
    most = len(classes) if isinstance(classes, list) else 0
    fits = (
        means.ndim == 2
        and 1 <= len(means) <= most
        and means.shape[1] == values
        and directions.ndim == 3
        and (directions.shape[0], directions.shape[2]) == means.shape
        and directions.shape[1] <= values
        and directions.size <= MOST_NUMBERS
        and precision.shape == (len(means),)
    )
    if not fits:
        return (
            f"tensors of {means.shape}, {directions.shape} and {precision.shape} do not fit pictures of {values} values"
        )
    return "" if bool((precision > 0).all()) else "a precision is not positive"
