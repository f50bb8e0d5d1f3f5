"""Baselines: what a result must beat to mean something. Computed once for the same pictures, and kept in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from jaxtyping import Int64

from .. import files
from ..data.images import Images
from ..device import computing_with
from ..errors import SevenstepsError
from ..places import cache_folder
from ..records import Score
from .intervals import score

MOST_NEIGHBORS = 10_000  # training pictures that the nearest neighbor is looked for among
VERSION = 1  # of the computations below: raise it when one gives other answers

Answers = Int64[np.ndarray, " n"]  # the class that a baseline gives each picture


def most_frequent(train: Images, pictures: Images) -> Answers:
    """Always the class that is most frequent in training."""
    return np.full(len(pictures), np.bincount(train.labels, minlength=len(train.classes)).argmax(), dtype=np.int64)


def pixel_similarity(train: Images, pictures: Images) -> Answers:
    """The class whose mean training picture is nearest, by the mean absolute difference of pixels.

    The baseline of "Deep Learning for Coders with fastai and PyTorch", chapter 4. A class without training pictures is
    never answered.
    """
    flat = train.pixels.reshape(len(train), -1)
    present = np.flatnonzero(np.bincount(train.labels, minlength=len(train.classes)))
    means = np.stack([flat[train.labels == label].mean(0, dtype=np.float32) for label in present])

    def nearest(block: np.ndarray) -> np.ndarray:
        distances = np.stack([np.abs(block - mean).mean(1) for mean in means], axis=1)
        found: np.ndarray = present[distances.argmin(1)]
        return found

    return _in_blocks(nearest, pictures, 256)  # whose differences stay in the processor's cache


def nearest_neighbor(train: Images, pictures: Images) -> Answers:
    """The class of the nearest training picture by the squared distance of pixels, among at most 10,000 of them.

    Those are taken from each class in proportion, the same ones each time. (Cover and Hart, "Nearest neighbor pattern
    classification", 1967.)
    """
    if len(train) > MOST_NEIGHBORS:
        train = train.split(MOST_NEIGHBORS / len(train))[1]
    known = train.pixels.reshape(len(train), -1).astype(np.float32)
    squares = (known * known).sum(1)

    def nearest(block: np.ndarray) -> np.ndarray:
        # |a - b|^2 without |a|^2, which is the same for all b.
        found: np.ndarray = train.labels[(squares - 2 * (block @ known.T)).argmin(1)]
        return found

    return _in_blocks(nearest, pictures, 512)


def logistic_regression(train: Images, pictures: Images) -> Answers:
    """The default recipe, which is one: a weighted sum of the pixels, trained by formula."""
    from ..data.batches import Batches
    from ..data.images import Splits
    from ..recipe import Recipe

    with computing_with(1):  # two threads make such a small step slower
        recipe = Recipe.load("linear").replace(hold_out=0.0, keep="last")
        learn = recipe.learner(Splits(train))
        learn.fit(show=False)
        logits, _ = learn.get_logits(dl=Batches(pictures, 1000))
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


def baseline_scores(answers: Mapping[str, Answers], pictures: Images, split: str) -> dict[str, Score]:
    """How many of the pictures, which are those of `split`, each baseline gets right."""
    return {
        name: score(split, int((of_one == pictures.labels).sum()), len(pictures)) for name, of_one in answers.items()
    }


def _checked(known: object, name: str, train: Images, pictures: Images) -> Answers | None:
    """Answers from the cache, if they can be answers."""
    listed = known.get(name) if isinstance(known, dict) else None
    if not isinstance(listed, list) or len(listed) != len(pictures):
        return None
    if not all(type(label) is int and 0 <= label < len(train.classes) for label in listed):
        return None
    return np.array(listed, dtype=np.int64)


def _in_blocks(answer: Callable[[np.ndarray], np.ndarray], pictures: Images, size: int) -> Answers:
    """The answers for all pictures, so many of them at a time as rows of float32 pixels."""
    answers = np.empty(len(pictures), dtype=np.int64)
    for start in range(0, len(pictures), size):
        block = pictures.pixels[start : start + size]
        answers[start : start + size] = answer(block.reshape(len(block), -1).astype(np.float32))
    return answers
