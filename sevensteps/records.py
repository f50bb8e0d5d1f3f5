"""The plain records that travel between the rooms: no behavior beyond reading themselves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .words import counted
from .words import pictures as pictures

if TYPE_CHECKING:
    import numpy as np
    import torch

OUT_OF_FOLD = "out-of-fold"  # the split of pictures that are each answered by a model that was trained without them


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a corrections file did to the pictures of a source, and the file's bytes with their SHA-256."""

    relabeled: int
    excluded: int
    sha256: str
    content: bytes = field(repr=False)
    elsewhere: int = 0  # rows for pictures of classes that were not chosen

    def as_json(self) -> dict[str, Any]:
        """As recipes and `data --json` give it: without the bytes."""
        made = {"relabeled": self.relabeled, "excluded": self.excluded, "sha256": self.sha256}
        return made | ({"elsewhere": self.elsewhere} if self.elsewhere else {})

    @property
    def in_words(self) -> str:
        """Such as "3 relabeled, 5 left out; 1 row is of classes that were not chosen"."""
        rows = counted(self.elsewhere, "row is", "rows are")
        more = f"; {rows} of classes that were not chosen" if self.elsewhere else ""
        return f"{self.relabeled:,} relabeled, {self.excluded:,} left out{more}"


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One mini-batch has been through steps 2 to 5.

    `loss` is a detached scalar tensor; reading it as a number (`float(event.loss)`) is what waits for the device.
    """

    epoch: int  # the epoch under way, from 1
    number: int  # this batch within the epoch, from 1
    total: int | None  # batches in an epoch, where the loader knows
    size: int  # pictures in this batch
    loss: torch.Tensor
    lr: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training pictures is done, and the validation pictures have been looked at."""

    number: int  # from 1, counted over the learner's whole life
    train_loss: float  # mean over this epoch's pictures, each at the parameters of its own batch
    valid_loss: float | None
    metrics: Mapping[str, float]
    lr: float  # of the last step
    seconds: float = field(default=0.0, compare=False)


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


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong with a run: what, since which epoch, and the command that fixes it."""

    code: str
    epoch: int
    message: str
    fix: str
    recovered_at: int | None = None
    evidence: Mapping[str, Any] | None = field(default=None, hash=False)  # the numbers, as they last were; plain data

    def as_json(self) -> dict[str, Any]:
        """The keys that `train --json` promises."""
        return {
            "code": self.code,
            "epoch": self.epoch,
            "recovered_at": self.recovered_at,
            "message": self.message,
            "fix": self.fix,
            "evidence": self.evidence,
        }


@dataclass(frozen=True, slots=True)
class StepView:
    """One of the seven steps as it went for one batch: its name, a line in words, and its numbers."""

    number: int
    name: str
    line: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.number} {self.name:<10} {self.line}"


@dataclass(frozen=True, slots=True)
class XRay:
    """The seven steps of one batch with every number; see `Learner.xray`."""

    steps: tuple[StepView, ...]

    def __getitem__(self, number: int) -> StepView:
        """The step by its number, from 1."""
        return self.steps[number - 1]

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Note:
    """A line for a person about something that takes long."""

    line: str


@dataclass(frozen=True, slots=True)
class Check:
    """Whether one thing of a run or model is as it must be, and what was seen."""

    name: str
    passed: bool
    line: str


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

    @property
    def share(self) -> float:
        """The share of pictures that are answered."""
        return self.answered / self.n

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
        }


@dataclass(frozen=True, slots=True)
class Opening:
    """What a run begins with: how many pictures each split has of each class, and the recipe's name."""

    source: str
    recipe: str
    counts: Mapping[str, Mapping[str, int]]
    origins: Mapping[str, str]  # the source's own split that each was taken from
    shape: tuple[int, int, int]
    epochs: int
    imbalance: Imbalance | None = None


@dataclass(frozen=True, slots=True)
class Baselines:
    """What the result will have to beat."""

    scores: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Ready:
    """The model stands at its start, or where it was left: the seven steps of the batch that comes next."""

    xray: XRay
    epochs: int
    batches_per_epoch: int
    batches_done: int = 0
    stopped: bool = False  # nothing is left to train


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """One picture of a batch all the way: pixels, score, probability, loss, slope, gradient. Arrays are NumPy's.

    `slopes` says for each score what the loss of this picture would change by for one more of it; `gradients` are
    those of this picture's own loss, of which the batch's are the mean.
    """

    number: int  # its place in the batch, from 1
    size: int  # of the batch
    classes: tuple[str, ...]
    label: int | float | np.ndarray  # its class, or its shares of the classes; a number for a model that fits numbers
    pixels: np.ndarray  # (c, h, w), or (pixels,) where pictures are flat
    layers: Sequence[tuple[str, np.ndarray]]  # what each layer makes of it, the first first
    contributions: np.ndarray | None  # (scores, *pixels): weight times pixel, of a linear model, which add up to ...
    bias: np.ndarray | None  # ... the score less this
    scores: np.ndarray  # (scores,)
    probabilities: np.ndarray | None  # (classes,)
    activation: str  # what makes probabilities of scores
    loss: float
    loss_name: str
    slopes: np.ndarray  # (scores,)
    gradients: Mapping[str, np.ndarray]  # of the parameters
    on_pixels: np.ndarray  # in the shape of the pixels: what the loss would change by for one more of each


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """One picture with its label and what the model said of it."""

    id: str
    label: str
    answer: str
    probability: float  # of the answer
    pixels: np.ndarray | None  # uint8 (c, h, w); None where the pictures cannot be had any more


@dataclass(frozen=True, slots=True, eq=False)
class Confused:
    """How many pictures of one class were taken for another, and some of them, the surest first."""

    label: str
    answer: str
    count: int
    n: int  # pictures of the class
    interval: Interval  # of their share
    pictures: Sequence[Answered]


@dataclass(frozen=True, slots=True, eq=False)
class Mistakes:
    """What the model gets wrong in one split."""

    split: str
    n: int
    wrong: int
    pairs: Sequence[Confused]  # the most frequent first
    pairs_in_all: int
    surest: Sequence[Answered]  # the wrong answers with the highest probability
    without_pictures: str = ""  # why none are shown


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture whose label looks wrong to a model that has not learned from it."""

    id: str
    label: str
    likely: str  # the class that it looks like
    score: float  # one less the probability of the label, in [0, 1]


@dataclass(frozen=True, slots=True)
class Outlier:
    """A picture that is unlike all others."""

    id: str
    label: str
    score: float | None  # robust standard deviations above what is usual in its class; None of a picture of one color


@dataclass(frozen=True, slots=True)
class ToldApart:
    """How well a quick model tells test from training pictures: the area under its ROC curve, 0.5 by chance."""

    area: float
    interval: Interval
    n: int  # pictures of both that it was judged on

    @property
    def is_told(self) -> bool:
        """Whether chance does not explain it, and it is enough to matter."""
        return self.interval.low > 0.5 and self.area >= 0.55

    def as_json(self) -> dict[str, Any]:
        """As `data --json` gives it."""
        return {"auc": self.area, "low": self.interval.low, "high": self.interval.high, "n": self.n}


Copies = tuple[Sequence[str], float]  # ids of pictures that are near-copies, and the score of the least alike pair


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What was found in pictures before anybody trained on them; of what was not looked for, the reason.

    Copies are groups of picture ids: `leaks` are in more than one split. Scores of near-copies are in [0.5, 1].
    """

    shape: tuple[int, int, int]
    counts: Mapping[str, Mapping[str, int]]  # of each split, of each class
    duplicates: Sequence[Sequence[str]]
    leaks: Sequence[Sequence[str]]
    near_duplicates: Sequence[Copies] = ()
    near_leaks: Sequence[Copies] = ()
    suspects: Sequence[Suspect] = ()  # the likeliest first; see judge/suspects
    outliers: Sequence[Outlier] = ()  # the most unlike first; see judge/outliers
    told_apart: ToldApart | None = None  # train from test; None also of a source without test pictures
    imbalance: Imbalance | None = None  # of the training pictures
    conflicts: Sequence[Sequence[str]] = ()  # those exact copies that have several labels
    not_looked_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in order."""
        return list(self.counts["train"])

    @property
    def alone(self) -> dict[str, list[str]]:
        """Classes of which all pictures are in one of several splits, by split."""
        splits = {name: [split for split, counts in self.counts.items() if counts.get(name)] for name in self.classes}
        found = {split: [name for name, there in splits.items() if there == [split]] for split in self.counts}
        return {split: names for split, names in found.items() if names} if len(self.counts) > 1 else {}

    def as_json(self) -> dict[str, Any]:
        """The keys that `data --json` promises."""

        def scored(exact: Sequence[Sequence[str]], near: Sequence[Copies]) -> list[dict[str, Any]]:
            same = [{"pictures": list(ids), "score": 1.0} for ids in exact]
            return same + [{"pictures": list(ids), "score": round(min(score, 0.99), 3)} for ids, score in near]

        suspects = [(one.id, one.label, one.likely, round(one.score, 4)) for one in self.suspects]
        outliers = [(one.id, one.label, one.score and round(one.score, 2)) for one in self.outliers]
        return {
            "duplicates": scored(self.duplicates, self.near_duplicates),
            "leaks": scored(self.leaks, self.near_leaks),
            "conflicts": [list(ids) for ids in self.conflicts],
            "suspects": [dict(zip(("picture", "label", "likely", "score"), one, strict=True)) for one in suspects],
            "outliers": [dict(zip(("picture", "label", "score"), one, strict=True)) for one in outliers],
            "train_against_test": self.told_apart and self.told_apart.as_json(),
            "imbalance": self.imbalance and self.imbalance.as_json(),
            "not_looked_for": list(self.not_looked_for),
        }

    def in_numbers(self) -> dict[str, Any]:
        """How much of each was found, as `train --json` gives it; None of what was not looked for."""
        found = {
            "near-duplicates": {
                "near_duplicates": len(self.near_duplicates), "near_leaks": len(self.near_leaks),
            },
            "suspects": {"suspects": len(self.suspects)},
            "outliers": {"outliers": len(self.outliers)},
        }  # fmt: skip
        numbers: dict[str, Any] = {"duplicates": len(self.duplicates), "leaks": len(self.leaks)}
        for what, counts in found.items():
            numbers |= dict.fromkeys(counts) if what in self.not_looked_for else counts
        return numbers


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything that the report of a run shows. What is None was not measured, and `missing` says why, by name."""

    run: str
    verdict: str  # one sentence
    doubts: Sequence[str]  # what speaks against relying on it
    following: Sequence[tuple[str, str]]  # what to do next, and the command for it ("" where there is none)
    classes: Sequence[str]
    scores: Mapping[str, Score]  # by split
    baselines: Mapping[str, Score]
    history: Sequence[Epoch]
    validated_on: str  # "validation", or "test" where the test pictures were looked at after each epoch
    kept_epoch: int
    stopped_because: str
    mistakes: Mistakes | None
    figures: Scores | None
    calibration: Calibration | None
    coverage: Coverage | None
    audit: AuditResult | None
    source: str
    origins: Mapping[str, str]  # the source's own split that each split was taken from
    looked_at: Mapping[str, np.ndarray]  # pixels of the pictures that the audit names first, by id
    findings: Sequence[Finding]
    xray: XRay | None  # with NumPy's arrays
    chain: Chain | None
    place: str  # the batch that they are of, in words
    recipe: str  # the text of recipe.toml
    recorded: Mapping[str, str]  # what it was made with
    digests: Mapping[str, str]  # of the run's files
    repeat: str  # the command that trains it again
    missing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Portion:
    """How far something that takes long is: so many bytes of so many."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Varied:
    """A figure of pictures as training sees them: its file, what varies them, which they are, and how many epochs."""

    file: str
    augment: str
    pictures: tuple[str, ...]
    epochs: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A store that was made: its file, its size, and how many pictures of each split it has."""

    store: str
    bytes: int
    counts: Mapping[str, int]
