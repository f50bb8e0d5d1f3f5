"""Baselines: what a result must beat to mean something. Computed once for the same pictures, and kept in the cache."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from jaxtyping import Int64

from ..base import files
from ..base.device import computing_with
from ..base.user_folders import cache_folder
from ..data.hold_out import held_out
from ..data.images import Images
from ..errors import SevenstepsError
from ..records.scores import Score
from .intervals import score

MOST_NEIGHBORS = 10_000  # training pictures that the nearest neighbor is looked for among


VERSION = 2  # of the computations below: raise it when one gives other answers


Answers = Int64[np.ndarray, " n"]  # the class that a baseline gives each picture


def most_frequent(train: Images, pictures: Images) -> Answers:
    """Always the class that is most frequent in training."""
    return np.full(len(pictures), np.bincount(train.labels, minlength=len(train.classes)).argmax(), dtype=np.int64)


def pixel_similarity(train: Images, pictures: Images) -> Answers:
    """The class whose mean training picture is nearest, by the mean absolute difference of pixels.

    The baseline of "Deep Learning for Coders with fastai and PyTorch", chapter 4. A class without training pictures is
    never answered.
    """
    counts = np.bincount(train.labels, minlength=len(train.classes))
    present = np.flatnonzero(counts)
    sums = np.zeros((len(counts), math.prod(train.shape)), dtype=np.int64)
    for rows in _blocks(len(train), math.prod(train.shape)):  # not a whole class at once, which may not fit into memory
        block, labels = train.pixels[rows].reshape(-1, sums.shape[1]), train.labels[rows]
        for label in np.unique(labels).tolist():
            sums[label] += block[labels == label].sum(0, dtype=np.int64)
    means = (sums[present] / counts[present, None]).astype(np.float32)

    def nearest(block: np.ndarray) -> np.ndarray:
        distances = np.stack([np.abs(block - mean).mean(1) for mean in means], axis=1)
        found: np.ndarray = present[distances.argmin(1)]
        return found

    answers = np.empty(len(pictures), dtype=np.int64)
    for rows in _blocks(len(pictures), 8 * math.prod(train.shape)):  # differences stay in the processor's cache
        block = pictures.pixels[rows].reshape(-1, sums.shape[1]).astype(np.float32)
        answers[rows] = nearest(block)
    return answers


def nearest_neighbor(train: Images, pictures: Images) -> Answers:
    """The class of the nearest training picture by the squared distance of pixels, among at most 10,000 of them.

    Those are taken from each class in proportion, the same ones each time. (Cover and Hart, "Nearest neighbor pattern
    classification", 1967.)
    """
    if len(train) > MOST_NEIGHBORS:
        share = MOST_NEIGHBORS / len(train)
        train = train.take(np.flatnonzero(held_out(train.labels, len(train.classes), share, 0)))
    size = math.prod(train.shape)
    least = np.full(len(pictures), np.inf, dtype=np.float32)
    answers = np.zeros(len(pictures), dtype=np.int64)
    for known_rows in _blocks(len(train), size):
        known = train.pixels[known_rows].reshape(-1, size).astype(np.float32)
        squares, labels = (known * known).sum(1), train.labels[known_rows]
        for rows in _blocks(len(pictures), 16 * size):  # whose distances are as much again
            block = pictures.pixels[rows].reshape(-1, size).astype(np.float32)
            # |a - b|^2 without |a|^2, which is the same for all b.
            distances = squares - 2 * (block @ known.T)
            nearest = distances.argmin(1)
            found = distances[np.arange(len(block)), nearest]
            nearer = found < least[rows]
            least[rows] = np.where(nearer, found, least[rows])
            answers[rows] = np.where(nearer, labels[nearest], answers[rows])
    return answers


def logistic_regression(train: Images, pictures: Images) -> Answers:
    """The default recipe, which is one: a weighted sum of the pixels, trained by formula."""
    from ..data.batches import Batches
    from ..data.images import Splits
    from ..recipes.recipe import Recipe

    with computing_with(1):  # two threads make such a small step slower
        recipe = Recipe.load("linear").replace(hold_out=0.0, keep="last")
        learn = recipe.learner(Splits(train))
        for _ in learn.stream():  # without the record of each batch that `fit` keeps
            pass
        logits, _ = learn.get_logits(dl=Batches(pictures, 256))
    answers: np.ndarray = learn.probabilities(logits).argmax(1).numpy()
    return answers


BASELINES: dict[str, Callable[[Images, Images], Answers]] = {
    "most frequent class": most_frequent,
    "pixel similarity": pixel_similarity,
    "nearest neighbor": nearest_neighbor,
    "logistic regression": logistic_regression,
}


def baseline_answers(train: Images, pictures: Images, names: Iterable[str] = BASELINES) -> dict[str, Answers]:
    """What each baseline answers for each picture; from the cache where the same pictures were asked about before."""
    key = hashlib.sha256(f"{VERSION} {train.fingerprint} {pictures.fingerprint}".encode()).hexdigest()
    path = cache_folder() / "baselines" / f"{key}.json"
    known = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):  # not there, or damaged: it is made again
        known = json.loads(path.read_text("utf-8"))
    found = {name: _checked(known, name, train, pictures) for name in names}
    missing = [name for name, answers in found.items() if answers is None]
    for name in missing:
        found[name] = BASELINES[name](train, pictures)
    answers = {name: of_one for name, of_one in found.items() if of_one is not None}
    if missing:
        with contextlib.suppress(SevenstepsError):  # a cache that cannot be written costs a second next time
            files.write(path, json.dumps({name: of_one.tolist() for name, of_one in answers.items()}))
    return answers


def baseline_scores(answers: Mapping[str, Answers], train: Images, pictures: Images, split: str) -> dict[str, Score]:
    """How many of the pictures, which are those of `split`, each baseline gets right; a limit that it met is noted."""
    found = {
        name: score(split, int((of_one == pictures.labels).sum()), len(pictures)) for name, of_one in answers.items()
    }
    if len(train) > MOST_NEIGHBORS and "nearest neighbor" in found:
        note = f"among at most {MOST_NEIGHBORS:,} of {len(train):,} training pictures"
        found["nearest neighbor"] = dataclasses.replace(found["nearest neighbor"], note=note)
    return found


def _checked(known: object, name: str, train: Images, pictures: Images) -> Answers | None:
    """Answers from the cache, if they can be answers."""
    listed = known.get(name) if isinstance(known, dict) else None
    if not isinstance(listed, list) or len(listed) != len(pictures):
        return None
    if not all(type(label) is int and 0 <= label < len(train.classes) for label in listed):
        return None
    return np.array(listed, dtype=np.int64)


def _blocks(count: int, size: int) -> Iterator[slice]:
    """So many pictures of so many bytes in blocks of some 2 MiB."""
    at_once = max(1, (2 << 20) // size)
    return (slice(first, min(first + at_once, count)) for first in range(0, count, at_once))
