"""Figures with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OUT_OF_FOLD = "out-of-fold"  # the split of pictures that are each answered by a model that was trained without them


REFUSALS = ("not sure", "none of these")  # what a model says that does not answer


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval, both ends included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Score:
    """How many of `n` pictures of a split are classified correctly, with the interval of that share."""

    split: str
    correct: int
    n: int
    interval: Interval
    note: str = ""  # what must be known of how it came about
    balanced: Metric | None = None  # the mean of the classes' recalls, where it was computed

    @property
    def accuracy(self) -> float:
        """The share of correct answers, in [0, 1]."""
        return self.correct / self.n

    def as_json(self) -> dict[str, Any]:
        """The keys that `train --json` and `judge --json` promise, and more."""
        low, high = self.interval.low, self.interval.high
        found = {"accuracy": self.accuracy, "low": low, "high": high, "n": self.n, "correct": self.correct}
        balanced = {"balanced_accuracy": self.balanced.as_json()} if self.balanced else {}
        return {**found, "split": self.split, **balanced, **({"note": self.note} if self.note else {})}

    @classmethod
    def from_json(cls, saved: Any, split: str) -> Score:
        """Read a score as `as_json` wrote it; `split` is its split unless it names another.

        Raises:
            ValueError: it is not a score.
        """
        try:
            interval = Interval(float(saved["low"]), float(saved["high"]))
            correct, n = int(saved["correct"]), int(saved["n"])
            score = cls(str(saved.get("split") or split), correct, n, interval, str(saved.get("note") or ""))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("it holds no scores") from error
        if score.n < 1:
            raise ValueError("a score of no pictures")
        return score


@dataclass(frozen=True, slots=True)
class Imbalance:
    """The class with the most training pictures and the one with the fewest, which are far apart."""

    largest: str
    most: int
    smallest: str
    fewest: int

    @property
    def ratio(self) -> float:
        """How many times as many pictures the largest class has."""
        return self.most / self.fewest

    def as_json(self) -> dict[str, Any]:
        """The imbalance as `train --json` gives it."""
        found = {"largest": self.largest, "most": self.most, "smallest": self.smallest, "fewest": self.fewest}
        return {**found, "ratio": self.ratio}

    @classmethod
    def from_json(cls, saved: Any) -> Imbalance | None:
        """Read an imbalance as `as_json` wrote it; None where there is none.

        Raises:
            ValueError: it is not an imbalance.
        """
        if not saved:
            return None
        try:
            return cls(str(saved["largest"]), int(saved["most"]), str(saved["smallest"]), int(saved["fewest"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("it holds no imbalance") from error


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What resampling says of a statistic; without an interval, or without a value, `reason` says why."""

    value: float | None
    interval: Interval | None
    n: int  # rows
    resamples: int  # that have a value, from which the interval is
    excluded: int  # resamples in which the statistic has no value
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a split with its 95 % interval; where one of them is missing, `note` says why."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int  # pictures that it is a share or a mean of
    split: str
    method: str  # what the interval is from: "wilson", "clopper-pearson", "newcombe", "bootstrap"; "" without
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The figure as `judge --json` gives it."""
        found = {"value": self.value, "low": self.low, "high": self.high}
        return {**found, "n": self.n, "split": self.split, "method": self.method, "note": self.note}


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How one class fares: of its pictures, how many are found; of the answers that name it, how many are right."""

    name: str
    n: int  # pictures of the class
    answers: int  # pictures for which it was the answer
    recall: Metric
    precision: Metric
    f1: Metric

    def as_json(self) -> dict[str, Any]:
        """The class as `judge --json` gives it."""
        figures = {metric.name: metric.as_json() for metric in (self.recall, self.precision, self.f1)}
        return {"class": self.name, "n": self.n, "answers": self.answers, **figures}


@dataclass(frozen=True, slots=True)
class Scores:
    """Every figure of one split, from its table of predictions."""

    split: str
    n: int
    classes: tuple[str, ...]
    absent: tuple[str, ...]  # classes without pictures in this split
    metrics: Mapping[str, Metric]  # accuracy, balanced_accuracy, top_2 ..., roc_auc, log_loss, brier
    per_class: tuple[ClassScores, ...]  # one for each of `classes`, in their order
    confusion: tuple[tuple[int, ...], ...]  # a row for each label, a column for each answer
    resamples: int
    seed: int

    def __getitem__(self, name: str) -> Metric:
        """The figure of a name."""
        return self.metrics[name]

    def as_json(self) -> dict[str, Any]:
        """The figures as `judge --json` gives them."""
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
    """A result against the best baseline on the same pictures: the difference of their accuracies, in shares."""

    baseline: str
    difference: float
    interval: Interval
    n: int
    split: str

    def as_json(self) -> dict[str, Any]:
        """The difference as `train --json` and `judge --json` give it."""
        found = {"baseline": self.baseline, "difference": self.difference, "n": self.n, "split": self.split}
        return {**found, "low": self.interval.low, "high": self.interval.high}

    @classmethod
    def from_json(cls, saved: Any) -> Against | None:
        """Read a difference from a baseline as `as_json` wrote it; None where there was no baseline.

        Raises:
            ValueError: it is not such a difference.
        """
        if not saved:
            return None
        try:
            interval = Interval(float(saved["low"]), float(saved["high"]))
            baseline, split = str(saved["baseline"]), str(saved.get("split") or "")
            return cls(baseline, float(saved["difference"]), interval, int(saved["n"]), split)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("it holds no difference from a baseline") from error


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The pictures of which the model is about equally confident, and how often it is right."""

    low: float  # the confidences are above this
    high: float  # and at most this
    n: int
    correct: int
    confidence: float  # their mean
    interval: Interval  # of the accuracy

    @property
    def accuracy(self) -> float:
        """The share of correct answers, which should be the confidence."""
        return self.correct / self.n

    def as_json(self) -> dict[str, float | int]:
        """The bin as `judge --json` gives it; `low` and `high` are of the accuracy's interval."""
        low, high = self.interval.low, self.interval.high
        found = {"above": self.low, "up_to": self.high, "confidence": self.confidence, "accuracy": self.accuracy}
        return {**found, "low": low, "high": high, "n": self.n, "correct": self.correct}


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well the probabilities of a split's pictures hold, after the temperature."""

    split: str
    n: int
    temperature: float  # 1 where none was fitted
    error: Bootstrap  # the expected calibration error
    bins: tuple[ReliabilityBin, ...]  # that have pictures, the least confident first

    def as_json(self) -> dict[str, Any]:
        """The calibration as `judge --json` gives it."""
        interval = self.error.interval
        return {
            "split": self.split,
            "n": self.n,
            "temperature": self.temperature,
            "error": self.error.value,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
            "bins": [one.as_json() for one in self.bins],
        }


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many of some made-up pictures, which are none of the classes, a model does not answer."""

    pictures: str  # what they are
    left_out: int
    n: int
    interval: Interval  # of the share that is left out

    @property
    def share(self) -> float:
        """The share that is not answered."""
        return self.left_out / self.n

    def as_json(self) -> dict[str, Any]:
        """The share as `judge --json` gives it."""
        low, high = self.interval.low, self.interval.high
        found = {"pictures": self.pictures, "left_out": self.left_out, "n": self.n}
        return {**found, "share": self.share, "low": low, "high": high}

    @classmethod
    def from_json(cls, saved: Any) -> LeftOut:
        """Read what `as_json` wrote; a part of `Coverage.from_json`."""
        interval = Interval(float(saved["low"]), float(saved["high"]))
        return cls(str(saved["pictures"]), int(saved["left_out"]), int(saved["n"]), interval)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many pictures of a split a model answers that may abstain, and how many of these correctly."""

    split: str
    n: int
    stated: float  # the share to be answered for which its limits were chosen
    answered: int
    interval: Interval  # of the share that is answered
    not_sure: int  # left out since the confidence is too low
    none_of_these: int  # left out since the picture is too far from those of training
    score: Score | None  # of those that are answered; None where there are none
    foreign: tuple[LeftOut, ...] = ()  # what becomes of pictures that are none of the classes
    never_says: tuple[str, ...] = ()  # "not sure", "none of these": those that too few validation pictures switch off

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
        """The coverage as `judge --json` gives it."""
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
            "foreign": [of_one.as_json() for of_one in self.foreign],
            "never_says": list(self.never_says),
        }

    @classmethod
    def from_json(cls, saved: Any) -> Coverage | None:
        """Read a coverage as `as_json` wrote it; None for a model that answers every picture.

        Raises:
            ValueError: it is not a coverage.
        """
        if not saved:
            return None
        try:
            n, answered, stated = int(saved["n"]), int(saved["answered"]), float(saved["stated"])
            interval = Interval(float(saved["low"]), float(saved["high"]))
            left_out = int(saved["not_sure"]), int(saved["none_of_these"])
            score = saved["of_answered"] and Score.from_json(saved["of_answered"], str(saved["split"]))
            foreign = tuple(map(LeftOut.from_json, saved.get("foreign") or ()))
            never_says = tuple(map(str, saved.get("never_says") or ()))
            return cls(str(saved["split"]), n, stated, answered, interval, *left_out, score, foreign, never_says)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("it holds no coverage") from error


FEW = 200  # pictures of a class to train on, below which that there are so few says more than any setting


def few_in_words(fewest: int) -> str:
    """What so few training pictures of a class mean for the result."""
    return f"a class has {fewest:,} to train on: below {FEW} the interval is wide, and {_HELPS}"


def few_as_json(fewest: int | None) -> dict[str, Any] | None:
    """The same for programs; None where no class has few."""
    return None if fewest is None else {"fewest": fewest, "below": FEW, "advice": _HELPS}


_HELPS = "a pretrained backbone, trained on many other pictures, usually helps"
