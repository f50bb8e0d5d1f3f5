"""The results of an audit of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..base.words import counted
from .scores import Imbalance, Interval


@dataclass(frozen=True, slots=True)
class Change:
    """A picture that a corrections file gives another class, or leaves out."""

    split: str  # of the source
    id: str
    was: str
    now: str  # "": left out

    @property
    def in_words(self) -> str:
        """The change, such as "fruit/banana.png: fruit -> vegetables"."""
        return f"{self.id}: {self.was} -> {self.now or 'left out'}"


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a corrections file did to the pictures of a source, and the file's bytes with their SHA-256."""

    relabeled: int
    excluded: int
    sha256: str
    content: bytes = field(repr=False)
    elsewhere: int = 0  # rows for pictures of classes that were not chosen
    changes: tuple[Change, ...] = field(default=(), repr=False)  # in the order of the file

    def as_json(self) -> dict[str, Any]:
        """Return the corrections as recipes and `data --json` hold them, without the bytes."""
        facts = {"relabeled": self.relabeled, "excluded": self.excluded, "sha256": self.sha256}
        return facts | ({"elsewhere": self.elsewhere} if self.elsewhere else {})

    @property
    def in_words(self) -> str:
        """A summary, such as "3 relabeled, 5 left out; 1 row is for classes that were not chosen"."""
        rows = counted(self.elsewhere, "row is", "rows are")
        more = f"; {rows} for classes that were not chosen" if self.elsewhere else ""
        return f"{self.relabeled:,} relabeled, {self.excluded:,} left out{more}"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture whose label looks wrong to a model that was not trained on it."""

    id: str
    label: str
    likely: str  # the class that it looks like
    score: float  # one minus the probability of the label, in [0, 1]


@dataclass(frozen=True, slots=True)
class Outlier:
    """A picture that differs from all others."""

    id: str
    label: str
    score: float | None  # robust standard deviations above the usual in its class; None for a picture of one color


@dataclass(frozen=True, slots=True)
class ToldApart:
    """How well a quick model tells test from training pictures: the area under its ROC curve, 0.5 by chance."""

    area: float
    interval: Interval
    n: int  # test and training pictures that it was tested on

    @property
    def is_told(self) -> bool:
        """Whether the difference is more than chance, and large enough to matter."""
        return self.interval.low > 0.5 and self.area >= 0.55

    def as_json(self) -> dict[str, Any]:
        """Return the area as `data --json` prints it."""
        return {"auc": self.area, "low": self.interval.low, "high": self.interval.high, "n": self.n}


Copies = tuple[Sequence[str], float]  # ids of pictures that are near-copies, and the score of the least alike pair


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditResult:
    """What an audit found in pictures, and why it did not search for the rest.

    Copies are groups of picture ids; `leaks` are copies in more than one split. Scores of near-copies are in [0.5, 1].
    """

    shape: tuple[int, int, int]
    counts: Mapping[str, Mapping[str, int]]  # by split, and then by class
    duplicates: Sequence[Sequence[str]]
    leaks: Sequence[Sequence[str]]
    near_duplicates: Sequence[Copies] = ()
    near_leaks: Sequence[Copies] = ()
    near_reach: float | None = None  # the share of planted near-copies found; None if all were compared with all
    suspects: Sequence[Suspect] = ()  # the most suspicious first; see trust/audit/wrong_labels
    outliers: Sequence[Outlier] = ()  # the most unusual first; see trust/audit/outliers
    told_apart: ToldApart | None = None  # train from test; None also for a source without test pictures
    imbalance: Imbalance | None = None  # of the training pictures
    conflicts: Sequence[Sequence[str]] = ()  # exact copies with different labels
    not_looked_for: Mapping[str, str] = field(default_factory=dict)  # what was skipped, each with the reason

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in order."""
        return list(self.counts["train"])

    @property
    def alone(self) -> dict[str, list[str]]:
        """By split, the classes whose pictures are all in that one split, if there are several splits."""
        splits = {name: [split for split, counts in self.counts.items() if counts.get(name)] for name in self.classes}
        alone = {split: [name for name, present in splits.items() if present == [split]] for split in self.counts}
        return {split: names for split, names in alone.items() if names} if len(self.counts) > 1 else {}

    def as_json(self) -> dict[str, Any]:
        """Return the audit as `data --json` prints it."""

        def scored(exact: Sequence[Sequence[str]], near: Sequence[Copies]) -> list[dict[str, Any]]:
            same = [{"pictures": list(ids), "score": 1.0} for ids in exact]
            return same + [{"pictures": list(ids), "score": round(min(score, 0.99), 3)} for ids, score in near]

        suspects = [
            {"picture": s.id, "label": s.label, "likely": s.likely, "score": round(s.score, 4)} for s in self.suspects
        ]
        outliers = [{"picture": o.id, "label": o.label, "score": o.score and round(o.score, 2)} for o in self.outliers]
        return {
            "duplicates": scored(self.duplicates, self.near_duplicates),
            "leaks": scored(self.leaks, self.near_leaks),
            "near_reach": self.near_reach and round(self.near_reach, 4),
            "conflicts": [list(ids) for ids in self.conflicts],
            "suspects": suspects,
            "outliers": outliers,
            "train_against_test": self.told_apart and self.told_apart.as_json(),
            "imbalance": self.imbalance and self.imbalance.as_json(),
            "not_looked_for": list(self.not_looked_for),
            "not_looked_for_because": dict(self.not_looked_for),
        }

    def in_numbers(self) -> dict[str, Any]:
        """Return how much of each was found, as `train --json` prints it; None for what was not searched for."""
        optional = {
            "near-duplicates": {
                "near_duplicates": len(self.near_duplicates), "near_leaks": len(self.near_leaks),
            },
            "suspects": {"suspects": len(self.suspects)},
            "outliers": {"outliers": len(self.outliers)},
        }  # fmt: skip
        numbers: dict[str, Any] = {"duplicates": len(self.duplicates), "leaks": len(self.leaks)}
        for what, counts in optional.items():
            numbers |= dict.fromkeys(counts) if what in self.not_looked_for else counts
        return numbers

    @classmethod
    def from_json(cls, saved: Any) -> AuditResult:
        """Read an audit that was saved field by field.

        Args:
            saved: What JSON holds.

        Returns:
            The audit.

        Raises:
            ValueError: `saved` is not an audit.
        """

        def near(groups: Any) -> list[Copies]:
            return [(list(map(str, ids)), float(score)) for ids, score in groups]

        try:
            apart, imbalance = saved["told_apart"], saved["imbalance"]
            channels, height, width = map(int, saved["shape"])
            return cls(
                shape=(channels, height, width),
                counts=saved["counts"],
                duplicates=saved["duplicates"],
                leaks=saved["leaks"],
                near_duplicates=near(saved["near_duplicates"]),
                near_leaks=near(saved["near_leaks"]),
                near_reach=None if saved.get("near_reach") is None else float(saved["near_reach"]),
                suspects=[Suspect(**suspect) for suspect in saved["suspects"]],
                outliers=[Outlier(**outlier) for outlier in saved["outliers"]],
                told_apart=apart and ToldApart(float(apart["area"]), Interval(**apart["interval"]), int(apart["n"])),
                imbalance=imbalance and Imbalance(**imbalance),
                conflicts=saved["conflicts"],
                not_looked_for=saved["not_looked_for"],
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError("it does not hold an audit") from error
