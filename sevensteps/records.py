"""The plain records that travel between the rooms: no behavior beyond reading themselves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


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

    @property
    def accuracy(self) -> float:
        """The share of correct answers, in [0, 1]."""
        return self.correct / self.n

    def as_json(self) -> dict[str, float | int]:
        """The keys that `train --json` and `judge --json` promise."""
        low, high = self.interval.low, self.interval.high
        return {"accuracy": self.accuracy, "low": low, "high": high, "n": self.n, "correct": self.correct}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong with a run: what, since which epoch, and the command that fixes it."""

    code: str
    epoch: int
    message: str
    fix: str
    recovered_at: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The keys that `train --json` promises."""
        return {
            "code": self.code,
            "epoch": self.epoch,
            "recovered_at": self.recovered_at,
            "message": self.message,
            "fix": self.fix,
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
class Opening:
    """What a run begins with: how many pictures each split has of each class, and the recipe's name."""

    source: str
    recipe: str
    counts: Mapping[str, Mapping[str, int]]
    origins: Mapping[str, str]  # the source's own split that each was taken from
    shape: tuple[int, int, int]
    epochs: int


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
