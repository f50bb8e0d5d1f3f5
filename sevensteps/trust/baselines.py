"""Baselines: simple answers that a model must beat. Computed once for the same pictures, then read from the cache.

Of more than 100,000 pictures, baselines use samples, and their scores say so.
"""

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
from ..base.words import counted
from ..data.hold_out import held_out
from ..data.images import Images
from ..data.store.store import StoredImages
from ..errors import SevenstepsError
from ..records.scores import OUT_OF_FOLD, Score
from .intervals import score

MOST_NEIGHBORS = 10_000  # training pictures among which the nearest neighbor is searched


# Above this many pictures, baselines use samples. On 10,000 held-out pictures of Fashion-MNIST, a logistic regression
# from 5,000, 10,000, 20,000 and 50,000 pictures gets 83.5, 84.1, 84.9 and 85.5 % right: small samples lower the bar.
LARGE = 100_000


MOST_TRAINING = 60_000  # training pictures of a large set that baselines learn from


MOST_ANSWERED = 10_000  # pictures of a large set that baselines answer


MOST_BYTES = 1 << 28  # of either sample: photographs of a large set would not fit into memory


NOT_ANSWERED = -1  # in place of an answer to a picture outside the sample


VERSION = 2  # of the computations below: raise it when one gives different answers


VERSION_OF_SAMPLES = 2  # the same for the samples of large sets


Answers = Int64[np.ndarray, " n"]  # the class that a baseline gives each picture; NOT_ANSWERED outside the sample


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
    train = train.take(_sampled(train, MOST_NEIGHBORS))
    size = math.prod(train.shape)
    least = np.full(len(pictures), np.inf, dtype=np.float32)
    answers = np.zeros(len(pictures), dtype=np.int64)
    for train_rows in _blocks(len(train), size):  # larger blocks are no faster, and take more memory
        candidates = train.pixels[train_rows].reshape(-1, size).astype(np.float32)
        squares, labels = (candidates * candidates).sum(1), train.labels[train_rows]
        candidates *= -2
        for rows in _blocks(len(pictures), 10 * size):
            block = pictures.pixels[rows].reshape(-1, size).astype(np.float32)
            # |a - b|^2 without |a|^2, which is the same for all b.
            distances = block @ candidates.T
            distances += squares
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


_OF_ALL = {"most frequent class"}  # baselines that count the labels of all training pictures in any set


def baseline_answers(
    train: Images, pictures: Images, names: Iterable[str] = BASELINES, total: int = 0
) -> dict[str, Answers]:
    """Return what each baseline answers, from the cache if the same pictures were answered before.

    If there are more than 100,000 pictures together, baselines learn from 60,000 of the training pictures and answer
    10,000 of the others, or as many as are 256 MiB. They are taken from each class in proportion and always the same.
    Of the training pictures of a store they are the first, which are in random order, and are not copied.

    Args:
        train: The training pictures.
        pictures: The pictures to answer.
        names: Keys of `BASELINES`.
        total: The number of pictures of the whole set, if these are those of a fold.

    Returns:
        The answers of each baseline, by its name; `NOT_ANSWERED` for a picture outside the sample.
    """
    is_sampled = (total or len(train) + len(pictures)) > LARGE
    most, is_stored = _most(MOST_TRAINING, train), isinstance(train, StoredImages)
    version = f"samples {VERSION_OF_SAMPLES}{' of a store' * is_stored}" if is_sampled else str(VERSION)
    key = hashlib.sha256(f"{version} {train.fingerprint} {pictures.fingerprint}".encode()).hexdigest()
    path = cache_folder() / "baselines" / f"{key}.json"
    cached = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):  # missing or damaged: computed again
        cached = json.loads(path.read_text("utf-8"))
    rows = _sampled(pictures, _most(MOST_ANSWERED, pictures) if is_sampled else len(pictures))
    usable = {name: _checked(cached, name, train, len(rows)) for name in names}
    answers = {name: column for name, column in usable.items() if column is not None}
    if missing := [name for name in usable if name not in answers]:
        asked = pictures.take(rows)
        rows_of_sample = np.arange(min(most, len(train))) if is_stored else _sampled(train, most)
        some = train.take(rows_of_sample if is_sampled else np.arange(len(train)))
        for name in missing:
            answers[name] = BASELINES[name](train if name in _OF_ALL else some, asked)
        answers = {name: answers[name] for name in usable}
        with contextlib.suppress(SevenstepsError):  # a cache that cannot be written costs a second next time
            files.write(path, json.dumps({name: column.tolist() for name, column in answers.items()}))
    return {name: _spread(column, rows, len(pictures)) for name, column in answers.items()}


def baseline_scores(answers: Mapping[str, Answers], train: Images, pictures: Images, split: str) -> dict[str, Score]:
    """Return the accuracy of each baseline on the pictures that it answered, with a note if it used samples.

    Args:
        answers: The answers of each baseline, by its name.
        train: The training pictures.
        pictures: The pictures to answer.
        split: The name of their split.
    """
    scores = {}
    for name, column in answers.items():
        answered = int((column != NOT_ANSWERED).sum())
        notes = []
        if used := sample_of(name, train, pictures, split):
            verb = "compared with" if name == "nearest neighbor" else "learned from"
            notes.append(f"{verb} {used:,} of the {len(train):,} training pictures")
        if answered < len(pictures):
            notes.append(f"a sample of the {counted(len(pictures), 'picture')}")
        found = score(split, int((column == pictures.labels).sum()), answered)
        scores[name] = dataclasses.replace(found, note="; ".join(notes))
    return scores


def sample_of(name: str, train: Images, pictures: Images, split: str) -> int:
    """Return how many training pictures a baseline used.

    Args:
        name: The baseline.
        train: The training pictures.
        pictures: The pictures to answer.
        split: The name of their split.

    Returns:
        The size of its sample; 0 if it used all.
    """
    most = _most(MOST_TRAINING, train) if is_large(train, pictures, split) and name not in _OF_ALL else len(train)
    used = min(most, MOST_NEIGHBORS) if name == "nearest neighbor" else most
    return used if used < len(train) else 0


def is_large(train: Images, pictures: Images, split: str) -> bool:
    """Return whether a set has so many pictures that baselines use samples.

    Args:
        train: The training pictures.
        pictures: The pictures to answer; if these are out-of-fold, they are the whole set.
        split: The name of their split.
    """
    return len(pictures) + len(train) * (split != OUT_OF_FOLD) > LARGE


def _most(pictures: int, images: Images) -> int:
    """Return how many pictures a sample has at most, which is fewer if they are large."""
    return min(pictures, max(1, MOST_BYTES // math.prod(images.shape)))


def _sampled(images: Images, most: int) -> Int64[np.ndarray, " rows"]:
    """Return the rows of at most so many pictures, taken from each class in proportion and always the same."""
    if len(images) <= most:
        return np.arange(len(images))
    return np.flatnonzero(held_out(images.labels, len(images.classes), most / len(images), 0))


def _spread(answers: Answers, rows: Int64[np.ndarray, " n"], count: int) -> Int64[np.ndarray, " all"]:
    """Return a row for each of `count` pictures: the answer, or `NOT_ANSWERED`."""
    if len(rows) == count:
        return answers
    column = np.full(count, NOT_ANSWERED, dtype=np.int64)
    column[rows] = answers
    return column


def _checked(cached: object, name: str, train: Images, count: int) -> Answers | None:
    """Return a baseline's answers from the cache, or None if they are not valid answers to this many pictures."""
    listed = cached.get(name) if isinstance(cached, dict) else None
    if not isinstance(listed, list) or len(listed) != count:
        return None
    if not all(type(label) is int and 0 <= label < len(train.classes) for label in listed):
        return None
    return np.array(listed, dtype=np.int64)


def _blocks(count: int, size: int, total: int = 2 << 20) -> Iterator[slice]:
    """Yield slices of `count` pictures, each of `size` bytes, in blocks of about `total` bytes."""
    at_once = max(1, total // size)
    return (slice(first, min(first + at_once, count)) for first in range(0, count, at_once))
