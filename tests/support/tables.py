"""Artificial tables of predictions, as of a model on pictures that do not exist."""

from __future__ import annotations

import dataclasses

import numpy as np

from sevensteps.trust.predictions import Predictions


def table(
    n: int, classes: int = 2, seed: int = 0, skill: float = 2.0, split: str = "test", digits: int | None = None
) -> Predictions:
    """Return random labels and noisy scores, in which the right class is higher by `skill`; `digits` rounds them."""
    random = np.random.default_rng([seed, n, classes])
    labels = random.integers(0, classes, n)
    scores = random.normal(size=(n, classes)) + skill * np.eye(classes)[labels]
    if digits is not None:
        scores = scores.round(digits)
    if classes == 2:
        logits = (scores[:, 1:] - scores[:, :1]).astype(np.float32)
        second = 1 / (1 + np.exp(-logits.astype(np.float64)))
        shares = np.concatenate([1 - second, second], axis=1)
    else:
        logits = scores.astype(np.float32)
        shares = np.exp(logits - logits.max(1, keepdims=True), dtype=np.float64)
        shares /= shares.sum(1, keepdims=True)
    names = tuple(f"class {label}" for label in range(classes))
    return Predictions(
        split=split,
        ids=[f"test/{row}" for row in range(n)],
        classes=names,
        labels=labels,
        logits=logits,
        probabilities=shares.astype(np.float32),
    )


def assert_same(one: Predictions, other: Predictions) -> None:
    """The same table, number for number."""
    assert (one.split, list(one.ids), one.classes) == (other.split, list(other.ids), other.classes)
    for name in ("labels", "logits", "probabilities"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def answering(labels: np.ndarray, answers: np.ndarray, classes: int = 2) -> Predictions:
    """Return a table with these labels and answers, each answer with a probability of 0.7."""
    shares = np.full((len(labels), classes), 0.3 / (classes - 1))
    shares[np.arange(len(labels)), answers] = 0.7
    names = tuple(f"class {label}" for label in range(classes))
    ids = [f"test/{row}" for row in range(len(labels))]
    return Predictions(
        split="test",
        ids=ids,
        classes=names,
        labels=np.asarray(labels, dtype=np.int64),
        logits=np.log(shares),
        probabilities=shares,
    )


def pair(both: int, only_a: int, only_b: int, neither: int) -> tuple[Predictions, Predictions]:
    """Return the tables of two models, given how many pictures both, one, or neither gets right."""
    n = both + only_a + only_b + neither
    labels = np.arange(n) % 2
    kind = np.repeat([0, 1, 2, 3], [both, only_a, only_b, neither])
    a, b = np.isin(kind, [0, 1]), np.isin(kind, [0, 2])
    return answering(labels, np.where(a, labels, 1 - labels)), answering(labels, np.where(b, labels, 1 - labels))


def rows_of(one: Predictions, rows: np.ndarray) -> Predictions:
    """Return some rows of a table, in the given order."""
    return dataclasses.replace(
        one,
        ids=[one.ids[row] for row in rows.tolist()],
        labels=one.labels[rows],
        logits=one.logits[rows],
        probabilities=one.probabilities[rows],
    )
