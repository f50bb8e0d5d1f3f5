"""Baselines: what a result must beat to mean something. They need no torch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from ..data.images import Images
from ..records import Score
from .intervals import score


def most_frequent(train: Images, test: Images, split: str = "test") -> Score:
    """Always the class that is most frequent in training; `split` is what the pictures to answer are called."""
    answer = int(np.bincount(train.labels, minlength=len(train.classes)).argmax())
    return score(split, int((test.labels == answer).sum()), len(test))


def pixel_similarity(train: Images, test: Images, split: str = "test") -> Score:
    """The class whose mean training picture is nearest, by the mean absolute difference of pixels.

    The baseline of "Deep Learning for Coders with fastai and PyTorch", chapter 4.
    """
    return score(split, int((nearest_mean_picture(train, test) == test.labels).sum()), len(test))


def nearest_mean_picture(train: Images, test: Images) -> Int64[np.ndarray, " n"]:
    """For each test picture the class whose mean training picture is nearest; a class without pictures is never."""
    flat = train.pixels.reshape(len(train), -1)
    counts = np.bincount(train.labels, minlength=len(train.classes))
    present = np.flatnonzero(counts)
    means = np.stack([flat[train.labels == label].mean(0, dtype=np.float32) for label in present])
    answers = np.empty(len(test), dtype=np.int64)
    for start in range(0, len(test), 256):  # a block of differences stays in the processor's cache
        block = test.pixels[start : start + 256].reshape(-1, flat.shape[1]).astype(np.float32)
        distances = np.stack([np.abs(block - mean).mean(1) for mean in means], axis=1)
        answers[start : start + 256] = present[distances.argmin(1)]
    return answers


BASELINES = {"most frequent class": most_frequent, "pixel similarity": pixel_similarity}
