"""Figures together with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MANY_LOOKS = 5  # models tested on the same pictures, from which on the best of them is partly luck


OUT_OF_FOLD = "out-of-fold"  # the "split" in which each picture is classified by a model that was trained without it


REFUSALS = ("not sure", "none of these")  # what a model says instead of a class


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval, both ends included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __repr__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How many of the `n` pictures of a split are classified correctly, with the interval of that share."""

    split: str
    correct: int
    n: int
    interval: Interval
    note: str = ""  # what one must know about how it was measured
    balanced: Metric | None = None  # the mean recall of the classes, if it was computed
    absent: tuple[str, ...] = ()  # classes without a picture in the split, which that mean leaves out

    @property
    def accuracy(self) -> float:
        """The share of correct answers, in [0, 1]."""
        return self.correct / self.n

    def __repr__(self) -> str:
        interval = f"95 % interval {self.interval.low:.2%} to {self.interval.high:.2%}"
        right = f"{self.correct:,} of {self.n:,} {self.split} pictures right"
        return f"{right}: {self.accuracy:.2%} ({interval})" + (f", {self.note}" if self.note else "")

    def as_json(self) -> dict[str, Any]:
        """Return the score as `train --json` and `judge --json` print it."""
        low, high = self.interval.low, self.interval.high
        facts = {"accuracy": self.accuracy, "low": low, "high": high, "n": self.n, "correct": self.correct}
        balanced = {"balanced_accuracy": self.balanced.as_json()} if self.balanced else {}
        return {**facts, "split": self.split, **balanced, **({"note": self.note} if self.note else {})}

    @classmethod
    def from_json(cls, saved: Any, split: str) -> Score:
        """Read a score that `as_json` wrote.

        Args:
            saved: What JSON holds.
            split: The split, if `saved` does not name one.

        Returns:
            The score, without its balanced accuracy.

        Raises:
            ValueError: `saved` is not a score.
        """
        try:
            interval = Interval(float(saved["low"]), float(saved["high"]))
            correct, n = int(saved["correct"]), int(saved["n"])
            name, note = str(saved.get("split") or split), str(saved.get("note") or "")
            score = cls(split=name, correct=correct, n=n, interval=interval, note=note)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("it does not hold a score") from error
        if score.n < 1:
            raise ValueError("its score is about no pictures")
        return score


@dataclass(frozen=True, slots=True)
class Imbalance:
    """The classes with the most and the fewest training pictures, if these numbers differ much."""

    largest: str
    most: int
    smallest: str
    fewest: int

    @property
    def ratio(self) -> float:
        """The ratio of the largest class to the smallest."""
        return self.most / self.fewest

    def as_json(self) -> dict[str, Any]:
        """Return the imbalance as `train --json` prints it."""
        facts = {"largest": self.largest, "most": self.most, "smallest": self.smallest, "fewest": self.fewest}
        return {**facts, "ratio": self.ratio}

    @classmethod
    def from_json(cls, saved: Any) -> Imbalance | None:
        """Read an imbalance that `as_json` wrote.

        Args:
            saved: What JSON holds.

        Returns:
            The imbalance, or None if there is none.

        Raises:
            ValueError: `saved` is not an imbalance.
        """
        if not saved:
            return None
        try:
            return cls(str(saved["largest"]), int(saved["most"]), str(saved["smallest"]), int(saved["fewest"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("it does not hold an imbalance") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Bootstrap:
    """A statistic with its interval; if the value or the interval is missing, `reason` says why."""

    value: float | None
    interval: Interval | None
    n: int  # rows that are resampled
    resamples: int  # resamples with a value, which give the interval; 0 where the jackknife gives it
    excluded: int  # resamples in which the statistic has no value
    reason: str = ""

    @property
    def method(self) -> str:
        """What the interval is from: "bootstrap", "jackknife", or "" without an interval."""
        return "" if self.interval is None else "bootstrap" if self.resamples else "jackknife"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One figure of a split with its 95 % interval; if either is missing, `note` says why."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int  # pictures that it is a share or a mean of
    split: str
    method: str  # of the interval: "wilson", "clopper-pearson", "newcombe", "bootstrap", "jackknife"; "" without one
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the figure as `judge --json` prints it."""
        facts = {"value": self.value, "low": self.low, "high": self.high}
        return {**facts, "n": self.n, "split": self.split, "method": self.method, "note": self.note}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassScores:
    """The scores of one class: recall, precision and F1."""

    name: str
    n: int  # pictures of the class
    answers: int  # pictures that were classified as this class
    recall: Metric
    precision: Metric
    f1: Metric

    def as_json(self) -> dict[str, Any]:
        """Return the class as `judge --json` prints it."""
        figures = {metric.name: metric.as_json() for metric in (self.recall, self.precision, self.f1)}
        return {"class": self.name, "n": self.n, "answers": self.answers, **figures}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Every figure of one split, computed from its table of predictions."""

    split: str
    n: int
    classes: tuple[str, ...]
    absent: tuple[str, ...]  # classes without pictures in this split
    metrics: Mapping[str, Metric]  # accuracy, balanced_accuracy, top_2 ..., roc_auc, log_loss, brier
    per_class: tuple[ClassScores, ...]  # one for each of `classes`, in their order
    confusion: tuple[tuple[int, ...], ...]  # a row for each label, a column for each predicted class
    resamples: int
    seed: int

    def __getitem__(self, name: str) -> Metric:
        """Return the figure with this name."""
        return self.metrics[name]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as `judge --json` prints them."""
        return {
            "split": self.split,
            "n": self.n,
            "classes": list(self.classes),
            "absent": list(self.absent),
            "metrics": {name: metric.as_json() for name, metric in self.metrics.items()},
            "per_class": [scores.as_json() for scores in self.per_class],
            "confusion": [list(row) for row in self.confusion],
            "resamples": self.resamples,
            "seed": self.seed,
        }


@dataclass(frozen=True, slots=True)
class Against:
    """A result compared with the best baseline on the same pictures: the difference in accuracy, as a share."""

    baseline: str
    difference: float
    interval: Interval
    n: int  # pictures that both answered
    split: str
    sample: int = 0  # training pictures that the baseline learned from, if these are a sample

    def __repr__(self) -> str:
        low, high = (f"{100 * end:+.2f}" for end in (self.interval.low, self.interval.high))
        return f"{100 * self.difference:+.2f} points against {self.baseline} (95 % interval {low} to {high})"

    def as_json(self) -> dict[str, Any]:
        """Return the difference as `train --json` and `judge --json` print it."""
        facts = {"baseline": self.baseline, "difference": self.difference, "n": self.n, "split": self.split}
        facts |= {"low": self.interval.low, "high": self.interval.high}
        return {**facts, **({"sample": self.sample} if self.sample else {})}

    @classmethod
    def from_json(cls, saved: Any) -> Against | None:
        """Read a difference that `as_json` wrote.

        Args:
            saved: What JSON holds.

        Returns:
            The difference, or None if there was no baseline.

        Raises:
            ValueError: `saved` is not such a difference.
        """
        if not saved:
            return None
        try:
            interval = Interval(float(saved["low"]), float(saved["high"]))
            baseline, split = str(saved["baseline"]), str(saved.get("split") or "")
            sample = int(saved.get("sample") or 0)
            return cls(baseline, float(saved["difference"]), interval, int(saved["n"]), split, sample)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("it does not hold a difference from a baseline") from error


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many artificial pictures, which belong to no class, a model refuses to classify."""

    pictures: str  # what they show
    left_out: int  # how many are refused
    n: int
    interval: Interval  # of the share that is refused

    @property
    def share(self) -> float:
        """The share that is refused."""
        return self.left_out / self.n

    def as_json(self) -> dict[str, Any]:
        """Return the share as `judge --json` prints it."""
        low, high = self.interval.low, self.interval.high
        facts = {"pictures": self.pictures, "left_out": self.left_out, "n": self.n}
        return {**facts, "share": self.share, "low": low, "high": high}

    @classmethod
    def from_json(cls, saved: Any) -> LeftOut:
        """Read what `as_json` wrote.

        Args:
            saved: What JSON holds.

        Returns:
            The record.

        Raises:
            KeyError, TypeError, ValueError: `saved` is something else; `Coverage.from_json` handles it.
        """
        interval = Interval(float(saved["low"]), float(saved["high"]))
        return cls(str(saved["pictures"]), int(saved["left_out"]), int(saved["n"]), interval)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """How many pictures of a split a model answers if it may abstain, and how many of these answers are right."""

    split: str
    n: int
    stated: float  # the share that should be answered, for which the limits were chosen
    answered: int
    interval: Interval  # of the share that is answered
    not_sure: int  # refused because the confidence is too low
    none_of_these: int  # refused because the picture is too far from those of training
    score: Score | None  # on the answered pictures; None if there are none
    foreign: tuple[LeftOut, ...] = ()  # what happens to pictures that belong to no class
    never_says: tuple[str, ...] = ()  # "not sure", "none of these": those that too few validation pictures switch off

    def __repr__(self) -> str:
        return f"{self.answered:,} of {self.n:,} {self.split} pictures answered; of these, {self.score!r}"

    @property
    def share(self) -> float:
        """The share of pictures that are answered."""
        return self.answered / self.n

    @property
    def needed(self) -> int:
        """The fewest validation pictures from which both limits can be learned.

        Of n validation pictures, (1 - stated) (n + 1) may be left out; each limit takes one of them.
        """
        return math.ceil(2 / max(1 - self.stated, 1e-9) - 1 - 1e-6)

    def as_json(self) -> dict[str, Any]:
        """Return the coverage as `judge --json` prints it."""
        return {
            "split": self.split,
            "stated": self.stated,
            "coverage": self.share,
            "low": self.interval.low,
            "high": self.interval.high,
            "n": self.n,
            "answered": self.answered,
            "not_sure": self.not_sure,
            "none_of_these": self.none_of_these,
            "of_answered": self.score and self.score.as_json(),
            "foreign": [refused.as_json() for refused in self.foreign],
            "never_says": list(self.never_says),
        }

    @classmethod
    def from_json(cls, saved: Any) -> Coverage | None:
        """Read a coverage that `as_json` wrote.

        Args:
            saved: What JSON holds.

        Returns:
            The coverage, or None for a model that answers every picture.

        Raises:
            ValueError: `saved` is not a coverage.
        """
        if not saved:
            return None
        try:
            n, answered, stated = int(saved["n"]), int(saved["answered"]), float(saved["stated"])
            interval = Interval(float(saved["low"]), float(saved["high"]))
            return cls(
                split=str(saved["split"]),
                n=n,
                stated=stated,
                answered=answered,
                interval=interval,
                not_sure=int(saved["not_sure"]),
                none_of_these=int(saved["none_of_these"]),
                score=saved["of_answered"] and Score.from_json(saved["of_answered"], str(saved["split"])),
                foreign=tuple(map(LeftOut.from_json, saved.get("foreign") or ())),
                never_says=tuple(map(str, saved.get("never_says") or ())),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("it does not hold a coverage") from error
