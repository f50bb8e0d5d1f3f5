"""Learn from training and validation pictures when a model should say "not sure" or "none of these"."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8

from ..base.seeds import ABSTAIN, seed_of
from ..data.folds import USUAL, folds_of
from ..data.images import Images
from ..errors import UsageError
from ..records.scores import Coverage, LeftOut
from ..ship.abstention import NO_LIMIT, Abstention, reduced
from ..ship.backbone.extract import finisher
from .intervals import score, wilson

DIRECTIONS = 20  # of each class; docs/decisions/0009-sure-unsure-none-of-these.md compares 10, 20 and 40


MOST_DIRECTIONS = 400  # of all classes together, which keeps a model's file small: 0.3 MB at 28x28


PICTURES_EACH = 10  # pictures that each direction needs


MOST_PICTURES = 3_000  # of a class; more change little and take long


FOREIGN_BY_FEATURES = 20  # where a network computes features of each, which takes 0.01 s


MOST_OUT_OF_FOLD = 1_000  # training pictures, which place the limit better than few validation pictures


FOREIGN = 200  # made-up pictures of each kind: about 0.01 s for all, and shares known to 7 points or better


SMALLEST_SPREAD = 1 / 255**2  # of a value: rounding to 256 grays; identical pictures would have none


def fit_abstention(
    train: Images, valid: Images, confidences: Float[np.ndarray, " n"], coverage: float, seed: int = 0
) -> Abstention | None:
    """Find the limits beyond which a model should not answer, so that it answers a share `coverage` of such pictures.

    Half of the refused pictures are those farthest from every class, the other half the least confident of the rest.
    Both limits are order statistics of the validation pictures, with the correction of conformal prediction: on
    average, new pictures like them are answered at least as often as `coverage` says (Papadopoulos et al., "Inductive
    confidence machines for regression", 2002). With few pictures that leaves one limit or both without effect; see
    `Abstention.never_says`. On features, which few pictures describe well, the distances of training pictures to
    classes that were learned without them count, too, if the validation pictures are too few (Vovk, "Cross-conformal
    predictors", 2015). Then all refused pictures are far ones.

    Args:
        train: The training pictures.
        valid: The validation pictures.
        confidences: The probability of the model's answer to each validation picture.
        coverage: The share to be answered, above 0, up to 1.
        seed: The seed for choosing among the pictures of a large class.

    Returns:
        The limits, or None if all pictures are to be answered.

    Raises:
        UsageError: If the coverage is not a share, there are no pictures, or the numbers of confidences and validation
            pictures differ.
    """
    if not 0 < coverage <= 1 or len(confidences) != len(valid) or not len(train) or not len(valid):
        raise UsageError(
            f"The limits cannot be found for a coverage of {coverage}, {len(train):,} training pictures, "
            f"{len(valid):,} validation pictures and {len(confidences):,} confidences.",
            hint="Give pictures, a coverage above 0 and up to 1, and one confidence for each validation picture.",
        )
    if coverage == 1:
        return None
    whole = _all_classes(train, coverage, seed)

    # Rounded in favor of answering: the last digits of a matrix product may depend on the number of cores.
    distances = whole.distances(valid.inputs)
    left_out = _left_out(1 - coverage, len(valid))
    far = left_out // 2
    distance = _rounded_up(float(np.sort(distances)[-far])) if far else NO_LIMIT
    if not far and train.features is not None:
        more = np.concatenate([distances, _out_of_fold(train, seed)])
        far_of_all = _left_out(1 - coverage, len(more))
        if far_of_all:
            distance, left_out = _rounded_up(float(np.sort(more)[-far_of_all])), 0
    unsure = np.sort(confidences[distances <= distance])[: left_out - far]
    confidence = math.floor(float(unsure[-1]) * 1e6) / 1e6 if len(unsure) else 0.0
    return replace(whole, confidence=confidence, distance=distance)


def _left_out(share: float, count: int) -> int:
    """Return how many of the pictures that a limit is chosen by lie beyond it, if it refuses this share of others."""
    return math.floor(share * (count + 1) + 1e-9)


def _out_of_fold(train: Images, seed: int) -> Float[np.ndarray, " n"]:
    """Return the distance of each of at most 1,000 training pictures from classes that were learned without it."""
    if len(train) > MOST_OUT_OF_FOLD:
        random = np.random.Generator(np.random.PCG64(seed_of(seed, ABSTAIN)))
        train = train.take(np.sort(random.permutation(len(train))[:MOST_OUT_OF_FOLD]))
    groups = None if train.groups is None else train.groups[train.rows]
    places = folds_of(train.labels, len(train.classes), USUAL, seed, groups)
    distances = []
    for fold in np.unique(places).tolist():
        held, rest = np.flatnonzero(places == fold), np.flatnonzero(places != fold)
        if len(rest):
            distances.append(_all_classes(train.take(rest), 1.0, seed).distances(train.take(held).inputs))
    return np.concatenate(distances) if distances else np.empty(0)


def _all_classes(train: Images, coverage: float, seed: int) -> Abstention:
    """Return the models of all classes, without limits."""
    parts = [_class_model(train, label, seed) for label in np.flatnonzero(np.bincount(train.labels)).tolist()]
    most = max(len(directions) for _, directions, _ in parts)
    directions = np.zeros((len(parts), most, len(parts[0][0])), dtype=np.float32)
    for place, (_, of_class, _) in enumerate(parts):
        directions[place, : len(of_class)] = of_class
    means = np.stack([mean for mean, _, _ in parts])
    precision = np.array([precision for _, _, precision in parts], dtype=np.float32)
    features = train.features
    finish = None if features is None or features.layers is None else finisher(features.name, features.layers)
    return Abstention(coverage, 0.0, math.inf, means, directions, precision, finish)


def home_coverage(
    abstention: Abstention, images: Images, probabilities: Float[np.ndarray, "n classes"], split: str
) -> Coverage:
    """Count how many pictures of a split the model answers, and how many of these correctly.

    Args:
        abstention: The model's limits.
        images: The pictures of the split.
        probabilities: The probability of each class for each picture.
        split: The name of the split.

    Raises:
        UsageError: If there are no pictures, or not one row of probabilities for each.
    """
    if not len(images) or len(images) != len(probabilities):
        raise UsageError(
            f"There are {len(images):,} pictures and {len(probabilities):,} rows of probabilities.",
            hint="Give one row for each picture.",
        )
    confidences, distances = probabilities.max(1), abstention.distances(images.inputs)
    answered = abstention.answered(confidences, distances)
    n, right = int(answered.sum()), int((probabilities.argmax(1) == images.labels)[answered].sum())
    far = int((distances > abstention.distance).sum())
    return Coverage(
        split=split,
        n=len(images),
        stated=abstention.coverage,
        answered=n,
        interval=wilson(n, len(images)),
        not_sure=len(images) - n - far,
        none_of_these=far,
        score=score(split, right, n) if n else None,
        never_says=abstention.never_says,
    )


def foreign_pictures(images: Images, seed: int = 0) -> dict[str, Images]:
    """Make pictures that belong to none of the classes.

    Args:
        images: Pictures of the classes, of which up to 200 are inverted and shuffled.
        seed: The seed; the same seed gives the same pictures.

    Returns:
        The pictures of each kind, by its name.
    """
    random = np.random.Generator(np.random.PCG64(seed_of(seed, ABSTAIN)))
    most = FOREIGN if images.features is None else FOREIGN_BY_FEATURES
    some = images.take(np.sort(random.permutation(len(images))[:most]))
    pixels = some.pixels[:]
    flat = pixels.reshape(len(pixels), -1)
    pixels_of = {
        "noise": random.integers(0, 256, pixels.shape, dtype=np.uint8),
        "inverted": 255 - pixels,
        "shuffled pixels": random.permuted(flat, axis=1).reshape(pixels.shape),
    }
    made = {name: replace(some, pixels=changed) for name, changed in pixels_of.items()}
    if images.features is None:
        return made
    from ..learner.features import of_pixels

    return {name: of_pixels(each) for name, each in made.items()}


def left_out(
    abstention: Abstention, images: Images, probabilities: Float[np.ndarray, "n classes"], name: str
) -> LeftOut:
    """Count how many pictures are not answered.

    Args:
        abstention: The model's limits.
        images: The pictures.
        probabilities: The probability of each class for each picture.
        name: What kind of pictures they are.
    """
    n = len(images)
    answered = abstention.answered(probabilities.max(1), abstention.distances(images.inputs))
    count = n - int(answered.sum())
    return LeftOut(name, count, n, wilson(count, n))


def _class_model(
    train: Images, label: int, seed: int
) -> tuple[Float32[np.ndarray, " values"], Float32[np.ndarray, "some values"], float]:
    """Return the mean of a class, its scaled directions, and the precision of the others; see `Abstention`.

    It uses torch, whose number of threads a run records and restores, so that the same pictures give the same bits.
    """
    places = np.flatnonzero(train.labels == label)
    if len(places) > MOST_PICTURES:
        random = np.random.Generator(np.random.PCG64(seed_of(seed, ABSTAIN, label)))
        random.shuffle(places)
        places = np.sort(places[:MOST_PICTURES])
    x = torch.from_numpy(reduced(_measured_on(train, places)))
    n, values = x.shape
    mean = x.mean(0)
    steps = x - mean
    if train.features is None:
        variances, vectors = torch.linalg.eigh(steps.T @ steps / max(n - 1, 1))
        variances, vectors = variances.flip(0), vectors.flip(1).T
    else:  # fewer pictures than features: the same from the smaller matrix, with zeros for the other directions
        _, lengths, vectors = torch.linalg.svd(steps, full_matrices=False)
        variances = torch.zeros(values, dtype=steps.dtype)
        variances[: len(lengths)] = lengths**2 / max(n - 1, 1)
    k = min(DIRECTIONS, MOST_DIRECTIONS // len(train.classes), n // PICTURES_EACH, values - 1)
    spread = max(float(variances[k:].clamp(min=0).mean()), SMALLEST_SPREAD)
    along = variances[:k].clamp(min=spread)  # a direction never counts more than the discarded ones
    # The sign of a direction is arbitrary; its largest component is made positive.
    largest = vectors[:k].gather(1, vectors[:k].abs().argmax(1, keepdim=True))
    scaled = vectors[:k] * largest.sign() * (1 / spread - 1 / along).sqrt()[:, None]
    return _float32(mean), _float32(scaled), 1 / spread


def _measured_on(train: Images, places: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n channels height width"]:
    """Return what the distance of some training pictures is measured on: pixels, or features of the whole network."""
    features = train.features
    if features is None or features.layers is None:
        inputs: np.ndarray = train.inputs[places]
        return inputs
    if features.whole is not None:
        return features.whole.of(train.rows[places])
    whole: np.ndarray = finisher(features.name, features.layers)(train.inputs[places])
    return whole


def _float32(tensor: torch.Tensor) -> Float32[np.ndarray, ...]:
    """Return a tensor as an array in single precision."""
    array: np.ndarray = tensor.to(torch.float32).numpy()
    return array


def _rounded_up(value: float) -> float:
    """Return a slightly larger number with six digits."""
    return float(f"{value * (1 + 1e-5):.6g}")
