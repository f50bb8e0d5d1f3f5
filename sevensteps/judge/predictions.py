"""Predictions of a split as one table, from which every figure is computed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from ..data.batches import Batches
from ..data.images import Images
from ..learner import Learner
from ..records import Score
from .intervals import score


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row a picture: its id, its label, the raw scores and the probabilities of the classes."""

    split: str
    ids: Sequence[str]
    classes: tuple[str, ...]
    labels: Int64[np.ndarray, " n"]
    logits: Float[np.ndarray, "n scores"]
    probabilities: Float[np.ndarray, "n classes"]

    @property
    def predicted(self) -> Int64[np.ndarray, " n"]:
        """The class with the highest probability."""
        best: np.ndarray = self.probabilities.argmax(1)
        return best

    @property
    def score(self) -> Score:
        """Accuracy with its interval."""
        return score(self.split, int((self.predicted == self.labels).sum()), len(self.labels))

    def to_jsonl(self) -> str:
        """A line a picture, with the numbers as they are."""
        rows = zip(self.ids, self.labels.tolist(), self.logits.tolist(), self.probabilities.tolist(), strict=True)
        return "".join(
            json.dumps({"id": name, "label": self.classes[label], "logits": scores, "probabilities": shares}) + "\n"
            for name, label, scores, shares in rows
        )


def predict_split(learn: Learner, images: Images, split: str) -> Predictions:
    """What the learner says of every picture of a split."""
    flat = bool(getattr(learn.dls.train, "flat", False))
    logits, _ = learn.get_logits(dl=Batches(images, 1000, flat=flat))
    shares = learn.probabilities(logits)
    return Predictions(split, images.ids, images.classes, images.labels, logits.numpy(), shares.numpy())
