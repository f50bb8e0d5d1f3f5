"""Small artificial pictures to train on, and a way to call our functions as users do, without shape checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping
import numpy as np
import torch
from torch import Tensor, nn

from sevensteps.base.seeds import seed_of
from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.learner.learner import Learner
from sevensteps.learner.metrics import accuracy
from sevensteps.steps.initialize import initialize
from sevensteps.steps.predict import MODELS, Normalize


@contextmanager
def unchecked() -> Iterator[None]:
    """Let wrong shapes and types reach our own errors instead of the tests' type checker."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def images(count: int, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 2, seed: int = 0) -> Images:
    """Return noise over a pattern for each class, which can be learned, but not perfectly."""
    random = np.random.default_rng(seed_of(seed, count))
    patterns = np.random.default_rng(0).integers(0, 256, (classes, *shape))
    labels = np.arange(count, dtype=np.int64) % classes
    noise = random.integers(0, 256, (count, *shape))
    pixels = (0.3 * patterns[labels] + 0.7 * noise).astype(np.uint8)
    return Images(pixels, labels, tuple(f"class {label}" for label in range(classes)))


def loaders(count: int = 80, batch_size: int = 16, classes: int = 2, shape: Any = (1, 8, 8), **how: Any) -> DataLoaders:
    """Return shuffled training batches and validation batches of artificial pictures."""
    splits = Splits(images(count, shape, classes), valid=images(count // 2, shape, classes, seed=1))
    return DataLoaders.from_images(splits, batch_size, **how)


def learner(model: str = "linear", dls: DataLoaders | None = None, *arguments: Any, **how: Any) -> Learner:
    """Return a learner with one of our models on artificial pictures, the same each time."""
    dls = dls or loaders()
    shape, classes = dls.train.images.shape, len(dls.classes or ())
    normalize = Normalize([0.5] * shape[0], [0.25] * shape[0])
    made = initialize(MODELS[model](shape, classes, normalize, 4), seed=1)
    return Learner(dls, made, *arguments, **{"metrics": accuracy, "lr": 0.1, **how})


def with_dropout() -> nn.Module:
    """Return a model with batch norm and dropout, whose buffers and random numbers a resumed run must restore."""
    return initialize(
        nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 1)
        )
    )


def everything(learn: Learner) -> dict[str, Any]:
    """Copy the whole state of a run: tensors, and facts as plain values."""
    return {
        **{name: tensor.clone() for name, tensor in learn.state.tensors().items()},
        "facts": learn.state.facts(),
        "history": list(learn.state.history),
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Assert that two states are equal, bit for bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, other[name]), name
        else:
            assert value == other[name], name
