"""The events that observers receive while a command works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ..base.words import with_names
from .scores import Imbalance, Score
from .steps import XRay

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Batch:
    """One mini-batch has gone through steps 2 to 5.

    `loss` is a detached scalar tensor. Only reading it as a number (`float(event.loss)`) waits for the device.
    """

    epoch: int  # the current epoch, from 1
    number: int  # the batch within the epoch, from 1
    total: int | None  # batches in an epoch, if the loader knows
    size: int  # pictures in this batch
    loss: torch.Tensor
    lr: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One pass over the training pictures is done, and so is its validation."""

    number: int  # from 1, counted over all fits of the learner
    train_loss: float  # mean over this epoch's pictures, each with the parameters of its own batch
    valid_loss: float | None
    metrics: Mapping[str, float]
    lr: float  # of the last step
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something is wrong with a run: what it is, since which epoch, and the command that fixes it."""

    code: str
    epoch: int
    message: str
    fix: str
    recovered_at: int | None = None
    evidence: Mapping[str, Any] | None = field(default=None, hash=False)  # the latest numbers, as plain data

    def __repr__(self) -> str:
        until = "" if self.recovered_at is None else f" until epoch {self.recovered_at}"
        return f"since epoch {self.epoch}{until}: {self.message} {self.fix}"

    def as_json(self) -> dict[str, Any]:
        """Return the finding as `train --json` prints it."""
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
        """Read a finding that `as_json` wrote.

        Args:
            saved: What JSON holds.

        Returns:
            The finding.

        Raises:
            ValueError: `saved` is not a finding.
        """
        kinds = {"code": str, "epoch": int, "message": str, "fix": str, "recovered_at": (int, type(None))}
        if not isinstance(saved, Mapping) or not all(isinstance(saved.get(name), kinds[name]) for name in kinds):  # type: ignore[arg-type]
            raise ValueError("it does not hold a valid finding")
        return cls(**{own.name: saved.get(own.name) for own in fields(cls)})  # type: ignore[arg-type]


def with_run_named(findings: Any, run: str, source: str = "") -> Any:
    """Return the plain data of findings, whose commands name this run where the saved ones say RUN.

    Args:
        findings: What `as_json` gave for each; `None` is returned as it is.
        run: The run's folder.
        source: Its pictures.

    Returns:
        The findings.
    """
    if not run or not isinstance(findings, list):
        return findings
    names = {"run": run, "source": source}
    return [
        {**each, "fix": with_names(each["fix"], names)} if isinstance(each, dict) and "fix" in each else each
        for each in findings
    ]


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the user. A `detail` says how the work goes; the user must not miss any other line."""

    line: str
    detail: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a run, a model or a store: whether it passed, and what was seen."""

    name: str
    passed: bool
    line: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """The start of a run: the number of pictures of each split and class, and the recipe's name and settings."""

    source: str
    recipe: str
    counts: Mapping[str, Mapping[str, int]]
    origins: Mapping[str, str]  # for each split, the split of the source that it was taken from
    shape: tuple[int, int, int]
    epochs: int
    imbalance: Imbalance | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the recipe, by name
    bad_files: int = 0  # files that cannot be read and are left out
    is_of_files: bool = False  # whether the pictures come from picture files
    corrected: str = ""  # what a corrections file changed
    test_is_corrected: bool = False  # whether it changed pictures that the result is measured on


@dataclass(frozen=True, slots=True)
class Baselines:
    """The scores that the result should beat."""

    scores: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is ready to train, at its start or where it stopped: the seven steps of the next batch."""

    xray: XRay
    epochs: int
    batches_per_epoch: int
    batches_done: int = 0
    stopped: bool = False  # whether training is finished
    epochs_done: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """The trained model is judged: its score on each split, the one that counts first."""

    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class Portion:
    """The progress of something that takes long, in bytes."""

    done: int
    total: int


Event = Opening | Baselines | Ready | Note | Portion | Batch | Epoch | Finding | Judged
Observe = Callable[[Event], None]
