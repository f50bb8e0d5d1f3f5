"""How well a model's probabilities agree with how often it is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .scores import Bootstrap, Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityBin:
    """The pictures for which the model is about equally confident, and how often it is right."""

    low: float  # confidences are above this
    high: float  # and at most this
    n: int
    correct: int
    confidence: float  # the mean confidence
    interval: Interval  # of the accuracy

    @property
    def accuracy(self) -> float:
        """The share of correct answers, which should equal the confidence."""
        return self.correct / self.n

    def as_json(self) -> dict[str, float | int]:
        """Return the bin as `judge --json` prints it; `low` and `high` are the interval of the accuracy."""
        low, high = self.interval.low, self.interval.high
        facts = {"above": self.low, "up_to": self.high, "confidence": self.confidence, "accuracy": self.accuracy}
        return {**facts, "low": low, "high": high, "n": self.n, "correct": self.correct}


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well the probabilities of a split agree with how often the model is right, after temperature scaling."""

    split: str
    n: int
    temperature: float  # 1 if none was fitted
    error: Bootstrap  # the expected calibration error
    bins: tuple[ReliabilityBin, ...]  # those with pictures, the least confident first

    def as_json(self) -> dict[str, Any]:
        """Return the calibration as `judge --json` prints it."""
        interval = self.error.interval
        return {
            "split": self.split,
            "n": self.n,
            "temperature": self.temperature,
            "error": self.error.value,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "bins": [reliability_bin.as_json() for reliability_bin in self.bins],
        }
