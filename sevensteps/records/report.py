"""The contents of a report, and of two other results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .audit import AuditResult
from .calibration import Calibration
from .events import Epoch, Finding
from .scores import Against, Coverage, Interval, Score, Scores
from .steps import Chain, XRay

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """One picture with its label and the model's answer."""

    id: str
    label: str
    answer: str
    probability: float  # of the answer
    pixels: np.ndarray | None  # uint8 (c, h, w); None if the picture is no longer available


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Confused:
    """How many pictures of one class were classified as another, and some of them, the most confident first."""

    label: str
    answer: str
    count: int
    n: int  # pictures of the class
    interval: Interval  # of the share that was confused
    pictures: Sequence[Answered]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mistakes:
    """The pictures of one split that the model gets wrong."""

    split: str
    n: int
    wrong: int
    pairs: Sequence[Confused]  # the most frequent first
    pairs_in_all: int  # with those that are not listed
    surest: Sequence[Answered]  # the wrong answers with the highest probability
    without_pictures: str = ""  # why no pictures are shown


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Report:
    """Everything that the report of a run shows. None stands for what was not measured; `missing` says why."""

    run: str
    verdict: str  # one sentence
    doubts: Sequence[str]  # reasons not to rely on the result
    following: Sequence[tuple[str, str]]  # what to do next, and the command for it ("" if there is none)
    classes: Sequence[str]
    scores: Mapping[str, Score]  # by split
    baselines: Mapping[str, Score]
    history: Sequence[Epoch]
    validated_on: str  # "validation", or "test" if the test pictures were used after each epoch
    kept_epoch: int
    stopped_because: str  # "" while training is not finished
    mistakes: Mistakes | None
    figures: Scores | None
    calibration: Calibration | None
    coverage: Coverage | None
    audit: AuditResult | None
    source: str
    origins: Mapping[str, str]  # for each split, the split of the source that it was taken from
    looked_at: Mapping[str, np.ndarray]  # the pixels, by id, of the first pictures that the audit names
    findings: Sequence[Finding]
    xray: XRay | None  # with NumPy arrays
    chain: Chain | None
    place: str  # the batch that xray and chain come from, in words
    recipe: str  # the text of recipe.toml
    recorded: Mapping[str, str]  # versions, hardware and the like
    digests: Mapping[str, str]  # SHA-256 of the run's files
    repeat: str  # the command that trains it again
    missing: Mapping[str, str]  # by field, why it was not measured
    against: Against | None = None  # the result compared with the best baseline
    features: str = ""  # the pretrained network whose features the model learned from; "" if it learned from pixels
    with_splits: Mapping[str, str] = field(default_factory=dict)  # copies in two splits, by id: the id and its split


@dataclass(frozen=True, slots=True)
class Varied:
    """A figure of pictures as training sees them."""

    file: str
    augment: str  # how they are varied
    pictures: tuple[str, ...]  # their ids
    epochs: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A store that was prepared."""

    store: str  # the path of the file
    bytes: int  # its size
    counts: Mapping[str, int]  # pictures in each split

    def as_json(self) -> dict[str, Any]:
        """Return what `prepare --json` prints."""
        return {"store": self.store, "bytes": self.bytes, "counts": dict(self.counts)}
