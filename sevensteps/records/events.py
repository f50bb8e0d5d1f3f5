"""What happens while a command works: the events that observers receive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .scores import Imbalance, Score
from .steps import XRay

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

    @classmethod
    def from_json(cls, saved: Any) -> Finding:
        """Read a finding as `as_json` wrote it.

        Raises:
            ValueError: it is not a finding.
        """
        kinds = {"code": str, "epoch": int, "message": str, "fix": str, "recovered_at": (int, type(None))}
        if not isinstance(saved, Mapping) or not all(isinstance(saved.get(name), kinds[name]) for name in kinds):  # type: ignore[arg-type]
            raise ValueError("it holds a finding that is none")
        return cls(**{known.name: saved.get(known.name) for known in fields(cls)})  # type: ignore[arg-type]


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


@dataclass(frozen=True, slots=True)
class Portion:
    """How far something that takes long is: so many bytes of so many."""

    done: int
    total: int


Event = Opening | Baselines | Ready | Note | Portion | Batch | Epoch | Finding
Observe = Callable[[Event], None]
