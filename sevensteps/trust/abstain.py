"""Abstain: when a model should say "not sure" or "none of these", learned from training and validation pictures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float32

from ..base.seeds import ABSTAIN, seed_of
from ..data.images import Images
from ..errors import UsageError
from ..records.scores import Coverage, LeftOut
from ..ship.abstention import NO_LIMIT, Abstention, reduced
from .intervals import score, wilson

DIRECTIONS = 20  # of each class; 10 and 40 were measured, too: docs/decisions/0009-sure-unsure-none-of-these.md


MOST_DIRECTIONS = 400  # of all classes, so that a model's file stays small: 0.3 MB at 28x28


PICTURES_EACH = 10  # pictures that a direction must have behind it


MOST_PICTURES = 3_000  # of a class that are looked at; more change little and take long


FOREIGN = 200  # made-up pictures of each kind: some 0.01 s for all, and shares that are known to 7 points or better


SMALLEST_SPREAD = 1 / 255**2  # of a value: what rounding to 256 grays leaves; so that pictures all alike have one


def fit_abstention(
    train: Images, valid: Images, confidences: Float[np.ndarray, " n"], coverage: float, seed: int = 0
) -> Abstention | None:
    """Where a model should not answer, so that of pictures like these a share `coverage` is answered.

    `confidences` are the probabilities of its answers to the validation pictures. Half of what is not to be answered is
    the farthest from every class, the other half the least confident of the rest. Both limits are order statistics of
    the validation pictures with the correction of conformal prediction, so that new pictures like them are answered at
    least as often as is said, on average (Papadopoulos et al., "Inductive confidence machines for regression", 2002):
    with few pictures nothing is left out. None where all are to be answered.

    Raises:
        UsageError: a coverage that is no share, no pictures, or not as many confidences as validation pictures.
    """
    if not 0 < coverage <= 1 or len(confidences) != len(valid) or not len(train) or not len(valid):
        raise UsageError(
            f"A coverage of {coverage}, {len(train):,} training pictures, {len(valid):,} validation pictures and "
            f"{len(confidences):,} confidences do not go together.",
            hint="Give a coverage between 0 and 1, and the confidence of each validation picture.",
        )
    if coverage == 1:
        return None
    parts = [_class_model(train, label, seed) for label in np.flatnonzero(np.bincount(train.labels)).tolist()]
    most = max(len(directions) for _, directions, _ in parts)
    directions = np.zeros((len(parts), most, len(parts[0][0])), dtype=np.float32)
    for place, (_, found, _) in enumerate(parts):
        directions[place, : len(found)] = found
    means = np.stack([mean for mean, _, _ in parts])
    precision = np.array([precision for _, _, precision in parts], dtype=np.float32)
    whole = Abstention(coverage, 0.0, math.inf, means, directions, precision)

    # Rounded to the side of answering: the last digits of a product of matrices may hang on how many cores made it.
    distances = whole.distances(valid.pixels)
    left_out = math.floor((1 - coverage) * (len(valid) + 1) + 1e-9)
    far = left_out // 2
    distance = _rounded_up(float(np.sort(distances)[-far])) if far else NO_LIMIT
    unsure = np.sort(confidences[distances <= distance])[: left_out - far]
    confidence = math.floor(float(unsure[-1]) * 1e6) / 1e6 if len(unsure) else 0.0
    return Abstention(coverage, confidence, distance, means, directions, precision)


def home_coverage(
    abstention: Abstention, images: Images, probabilities: Float[np.ndarray, "n classes"], split: str
) -> Coverage:
    """How many pictures of a split the model answers, and how many of these correctly.

    Raises:
        UsageError: there are no pictures, or not as many probabilities.
    """
    if not len(images) or len(images) != len(probabilities):
        raise UsageError(
            f"There are {len(images):,} pictures and {len(probabilities):,} rows of probabilities.",
            hint="Give one row each a picture.",
        )
    confidences, distances = probabilities.max(1), abstention.distances(images.pixels)
    answered = abstention.answered(confidences, distances)
    n, right = int(answered.sum()), int((probabilities.argmax(1) == images.labels)[answered].sum())
    far = int((distances > abstention.distance).sum())
    return Coverage(
        split,
        len(images),
        abstention.coverage,
        n,
        wilson(n, len(images)),
        len(images) - n - far,
        far,
        score(split, right, n) if n else None,
        never_says=abstention.never_says,
    )


def foreign_pictures(images: Images, seed: int = 0) -> dict[str, Images]:
    """Pictures that are none of the classes, by name: made of some of these, the same ones each time."""
    random = np.random.Generator(np.random.PCG64(seed_of(seed, ABSTAIN)))
    some = images.take(np.sort(random.permutation(len(images))[:FOREIGN]))
    pixels = some.pixels[:]
    flat = pixels.reshape(len(pixels), -1)
    made = {
        "noise": random.integers(0, 256, pixels.shape, dtype=np.uint8),
        "inverted": 255 - pixels,
        "shuffled pixels": random.permuted(flat, axis=1).reshape(pixels.shape),
    }
    return {name: replace(some, pixels=of_one) for name, of_one in made.items()}


def left_out(
    abstention: Abstention, images: Images, probabilities: Float[np.ndarray, "n classes"], name: str
) -> LeftOut:
    """How many of these pictures are not answered."""
    n = len(images)
    answered = abstention.answered(probabilities.max(1), abstention.distances(images.pixels))
    count = n - int(answered.sum())
    return LeftOut(name, count, n, wilson(count, n))


def _class_model(
    train: Images, label: int, seed: int
) -> tuple[Float32[np.ndarray, " values"], Float32[np.ndarray, "some values"], float]:
    """The mean of a class, its scaled directions, and the precision of all others; see `Abstention`.

    By torch, whose number of threads a run records and restores: the same pictures give the same bits.
    """
    places = np.flatnonzero(train.labels == label)
    if len(places) > MOST_PICTURES:
        random = np.random.Generator(np.random.PCG64(seed_of(seed, ABSTAIN, label)))
        random.shuffle(places)
        places = np.sort(places[:MOST_PICTURES])
    x = torch.from_numpy(reduced(train.pixels[places]))
    n, values = x.shape
    mean = x.mean(0)
    steps = x - mean
    variances, vectors = torch.linalg.eigh(steps.T @ steps / max(n - 1, 1))
    variances, vectors = variances.flip(0), vectors.flip(1).T
    k = min(DIRECTIONS, MOST_DIRECTIONS // len(train.classes), n // PICTURES_EACH, values - 1)
    spread = max(float(variances[k:].clamp(min=0).mean()), SMALLEST_SPREAD)
    along = variances[:k].clamp(min=spread)  # a direction never counts more than those that are not kept
    # Which of its two ways a direction points is chance; its largest part is positive.
    largest = vectors[:k].gather(1, vectors[:k].abs().argmax(1, keepdim=True))
    scaled = vectors[:k] * largest.sign() * (1 / spread - 1 / along).sqrt()[:, None]
    return _float32(mean), _float32(scaled), 1 / spread


def _float32(tensor: torch.Tensor) -> Float32[np.ndarray, ...]:
    found: np.ndarray = tensor.to(torch.float32).numpy()
    return found


def _rounded_up(value: float) -> float:
    """With six digits."""
    return float(f"{value * (1 + 1e-5):.6g}")
