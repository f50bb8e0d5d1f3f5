"""Everything that a report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .audit import AuditResult
from .events import Epoch, Finding
from .scores import Calibration, Coverage, Interval, Score, Scores
from .steps import Chain, XRay

if TYPE_CHECKING:
    import numpy as np


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

    def as_json(self) -> dict[str, Any]:
        """Return what `prepare --json` prints."""
        return {"store": self.store, "bytes": self.bytes, "counts": dict(self.counts)}
