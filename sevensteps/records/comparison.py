"""Comparisons: two models on the same pictures, and runs that differ only in their seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .scores import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two models on the same pictures; a difference is the second accuracy minus the first, as a share."""

    names: tuple[str, str]
    split: str
    n: int
    correct: tuple[int, int]
    only_a: int  # pictures that only the first classifies correctly
    only_b: int  # pictures that only the second classifies correctly
    difference: float
    interval: Interval  # of the difference
    p_value: float  # of McNemar's test, mid-p
    adjusted_p_value: float  # by Holm if more than one pair is compared, otherwise the same
    comparisons: int  # the number of pairs that are compared together
    more_pictures: int | None  # how many more would show which is better; None if that is known, or no number would
    verdict: str

    @property
    def is_told(self) -> bool:
        """Whether one of the two is better, tested at 5 % over all pairs that are compared together."""
        return self.adjusted_p_value < 0.05

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as `compare --json` prints it."""
        return {
            "difference": self.difference,
            "low": self.interval.low,
            "high": self.interval.high,
            "p_value": self.p_value,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "n": self.n,
            "verdict": self.verdict,
            "a": self.names[0],
            "b": self.names[1],
            "split": self.split,
            "correct_a": self.correct[0],
            "correct_b": self.correct[1],
            "adjusted_p_value": self.adjusted_p_value,
            "comparisons": self.comparisons,
            "more_pictures": self.more_pictures,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Runs that differ only in their seed: the spread over seeds and, separately, the interval over pictures."""

    split: str
    n: int  # pictures that each run was tested on
    accuracies: tuple[float, ...]  # of each run
    mean: float
    deviation: float | None  # sample standard deviation over seeds; None for a single run
    pictures: Interval | None  # of the mean, over other pictures of the same kind; None if runs have different pictures
    method: str  # of that interval: "wilson", "bootstrap" or "jackknife"; "" without an interval
    line: str  # both in words

    def as_json(self) -> dict[str, Any]:
        """Return the spread as `train --seeds N --json` prints it."""
        over = self.pictures and {"low": self.pictures.low, "high": self.pictures.high, "method": self.method}
        return {
            "split": self.split,
            "n": self.n,
            "seeds": len(self.accuracies),
            "accuracies": list(self.accuracies),
            "mean": self.mean,
            "lowest": min(self.accuracies),
            "highest": max(self.accuracies),
            "over_seeds": {"deviation": self.deviation},
            "over_pictures": over,
            "line": self.line,
        }
