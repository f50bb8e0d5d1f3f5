"""Baselines: simple answers that a model must beat. Computed once for the same pictures, then read from the cache."""

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

MOST_NEIGHBORS = 10_000  # training pictures among which the nearest neighbor is searched


VERSION = 2  # of the computations below: raise it when one gives different answers


Answers = Int64[np.ndarray, " n"]  # the class that a baseline gives each picture


def most_frequent(train: Images, pictures: Images) -> Answers:
    """Answer always the most frequent class of the training pictures.

    Args:
        train: The training pictures.
        pictures: The pictures to answer.
    """
    return np.full(len(pictures), np.bincount(train.labels, minlength=len(train.classes)).argmax(), dtype=np.int64)


def pixel_similarity(train: Images, pictures: Images) -> Answers:
    """Answer the class whose mean training picture is nearest, by the mean absolute difference of pixels.

    This is the baseline of "Deep Learning for Coders with fastai and PyTorch", chapter 4. A class without training
    pictures is never answered.

    Args:
        train: The training pictures.
        pictures: The pictures to answer.
    """
    counts = np.bincount(train.labels, minlength=len(train.classes))
    present = np.flatnonzero(counts)
    sums = np.zeros((len(counts), math.prod(train.shape)), dtype=np.int64)
    for rows in _blocks(len(train), math.prod(train.shape)):  # a whole class may not fit into memory
        block, labels = train.pixels[rows].reshape(-1, sums.shape[1]), train.labels[rows]
        for label in np.unique(labels).tolist():
            sums[label] += block[labels == label].sum(0, dtype=np.int64)
    means = (sums[present] / counts[present, None]).astype(np.float32)

    def nearest(block: np.ndarray) -> np.ndarray:
        distances = np.stack([np.abs(block - mean).mean(1) for mean in means], axis=1)
        classes: np.ndarray = present[distances.argmin(1)]
        return classes

    answers = np.empty(len(pictures), dtype=np.int64)
    for rows in _blocks(len(pictures), 8 * math.prod(train.shape)):  # differences stay in the processor's cache
        block = pictures.pixels[rows].reshape(-1, sums.shape[1]).astype(np.float32)
        answers[rows] = nearest(block)
    return answers


def nearest_neighbor(train: Images, pictures: Images) -> Answers:
    """Answer the class of the nearest training picture, by the squared distance of pixels.

    At most 10,000 training pictures are searched, taken from each class in proportion and always the same. Cover and
    Hart, "Nearest neighbor pattern classification" (1967).

    Args:
        train: The training pictures.
        pictures: The pictures to answer.
    """
    if len(train) > MOST_NEIGHBORS:
        share = MOST_NEIGHBORS / len(train)
        train = train.take(np.flatnonzero(held_out(train.labels, len(train.classes), share, 0)))
    size = math.prod(train.shape)
    least = np.full(len(pictures), np.inf, dtype=np.float32)
    answers = np.zeros(len(pictures), dtype=np.int64)
    for train_rows in _blocks(len(train), size):
        candidates = train.pixels[train_rows].reshape(-1, size).astype(np.float32)
        squares, labels = (candidates * candidates).sum(1), train.labels[train_rows]
        for rows in _blocks(len(pictures), 16 * size):  # the distances take as much memory again
            block = pictures.pixels[rows].reshape(-1, size).astype(np.float32)
            # |a - b|^2 without |a|^2, which is the same for all b.
            distances = squares - 2 * (block @ candidates.T)
            nearest = distances.argmin(1)
            smallest = distances[np.arange(len(block)), nearest]
            nearer = smallest < least[rows]
            least[rows] = np.where(nearer, smallest, least[rows])
            answers[rows] = np.where(nearer, labels[nearest], answers[rows])
    return answers


def logistic_regression(train: Images, pictures: Images) -> Answers:
    """Answer with the default recipe, a logistic regression on the pixels.

    Args:
        train: The training pictures.
        pictures: The pictures to answer.
    """
    from ..data.batches import Batches
    from ..data.images import Splits
    from ..recipes.recipe import Recipe

    with computing_with(1):  # a second thread slows down steps as small as these
        recipe = Recipe.load("linear").replace(hold_out=0.0, keep="last")
        learn = recipe.learner(Splits(dataclasses.replace(train, features=None)))
        for _ in learn.stream():  # unlike `fit`, this keeps no record of each batch
            pass
        logits, _ = learn.get_logits(dl=Batches(dataclasses.replace(pictures, features=None), 256))
    answers: np.ndarray = learn.probabilities(logits).argmax(1).numpy()
    return answers


BASELINES: dict[str, Callable[[Images, Images], Answers]] = {
    "most frequent class": most_frequent,
    "pixel similarity": pixel_similarity,
    "nearest neighbor": nearest_neighbor,
    "logistic regression": logistic_regression,
}


def baseline_answers(train: Images, pictures: Images, names: Iterable[str] = BASELINES) -> dict[str, Answers]:
    """Return what each baseline answers, from the cache if the same pictures were answered before.

    Args:
        train: The training pictures.
        pictures: The pictures to answer.
        names: Keys of `BASELINES`.

    Returns:
        The answers of each baseline, by its name.
    """
    key = hashlib.sha256(f"{VERSION} {train.fingerprint} {pictures.fingerprint}".encode()).hexdigest()
    path = cache_folder() / "baselines" / f"{key}.json"
    cached = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):  # missing or damaged: computed again
        cached = json.loads(path.read_text("utf-8"))
    usable = {name: _checked(cached, name, train, pictures) for name in names}
    answers = {name: BASELINES[name](train, pictures) if column is None else column for name, column in usable.items()}
    if any(column is None for column in usable.values()):
        with contextlib.suppress(SevenstepsError):  # a cache that cannot be written costs a second next time
            files.write(path, json.dumps({name: column.tolist() for name, column in answers.items()}))
    return answers


def baseline_scores(answers: Mapping[str, Answers], train: Images, pictures: Images, split: str) -> dict[str, Score]:
    """Return the accuracy of each baseline; the nearest neighbor's has a note if it searched only some pictures.

    Args:
        answers: The answers of each baseline, by its name.
        train: The training pictures.
        pictures: The pictures that were answered.
        split: The name of their split.
    """
    scores = {
        name: score(split, int((column == pictures.labels).sum()), len(pictures)) for name, column in answers.items()
    }
    if len(train) > MOST_NEIGHBORS and "nearest neighbor" in scores:
        note = f"compared with {MOST_NEIGHBORS:,} of the {len(train):,} training pictures"
        scores["nearest neighbor"] = dataclasses.replace(scores["nearest neighbor"], note=note)
    return scores


def _checked(cached: object, name: str, train: Images, pictures: Images) -> Answers | None:
    """Return a baseline's answers from the cache, or None if they are not valid answers to these pictures."""
    listed = cached.get(name) if isinstance(cached, dict) else None
    if not isinstance(listed, list) or len(listed) != len(pictures):
        return None
    if not all(type(label) is int and 0 <= label < len(train.classes) for label in listed):
        return None
    return np.array(listed, dtype=np.int64)


def _blocks(count: int, size: int) -> Iterator[slice]:
    """Yield slices of `count` pictures, each of `size` bytes, in blocks of about 2 MiB."""
    at_once = max(1, (2 << 20) // size)
    return (slice(first, min(first + at_once, count)) for first in range(0, count, at_once))
