"""Two models on the same pictures, and runs that differ in their seed only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .scores import Interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same pictures. A difference is the second's accuracy minus the first's, in shares."""

    names: tuple[str, str]
    split: str
    n: int
    correct: tuple[int, int]
    only_a: int  # pictures that the first alone has right
    only_b: int
    difference: float
    interval: Interval  # of the difference
    p_value: float  # mid-p McNemar
    adjusted_p_value: float  # by Holm, where more than one pair is compared; else the same
    comparisons: int  # how many pairs were compared with it, itself included
    more_pictures: int | None  # how many it would take to tell; None where it is told, or no number would
    verdict: str

    @property
    def is_told(self) -> bool:
        """Whether one of the two is better, tested at 5 % (for all comparisons that were made with it)."""
        return self.adjusted_p_value < 0.05

    def as_json(self) -> dict[str, Any]:
        """The keys that `compare --json` promises, and more."""
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


@dataclass(frozen=True, slots=True)
class Spread:
    """Runs that differ in their seed only: how far seeds differ, and apart from it how far other pictures might."""

    split: str
    n: int  # pictures that each was judged on
    accuracies: tuple[float, ...]  # of each run
    mean: float
    deviation: float | None  # standard deviation over seeds, of a sample; None for one run
    pictures: Interval | None  # of the mean, over other pictures of the same kind; None where runs have their own
    method: str  # what that interval is from: "wilson" or "bootstrap"; "" without one
    line: str  # both in words

    def as_json(self) -> dict[str, Any]:
        """The spread as `train --seeds N --json` gives it."""
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
