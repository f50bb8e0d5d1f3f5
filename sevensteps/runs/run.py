"""A run under way and a finished run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..data.folds import whole
from ..data.images import Images, Splits
from ..data.loaders import as_loader
from ..learner.learner import Learner
from ..recipes.recipe import Recipe
from ..records.audit import AuditResult
from ..records.calibration import Calibration
from ..records.events import Finding, with_run_named
from ..records.few import FEW, few_as_json
from ..records.scores import OUT_OF_FOLD, Against, Coverage, Imbalance, Score
from ..steps.stop import code_of
from ..trust.doctor.doctor import Doctor
from ..trust.predictions import Predictions
from .fine_tuning import FineTuning


@dataclass(kw_only=True)
class Work:
    """A run that is being trained: its folder, what it is made of, and how long each part took."""

    folder: Path | None  # None: nothing is written
    recipe: Recipe  # settled
    recorded: Mapping[str, Any]  # what it is made with
    splits: Splits
    learn: Learner
    seconds: dict[str, float]
    doctor: Doctor
    plots: bool = False
    until: tuple[int, int] | None = None  # leave at this epoch and position, with the run under way
    saved_at: float = field(default_factory=time.monotonic)
    save_took: float = 0.0
    fine_tuning: FineTuning | None = None  # how it compares with its probe, once training is at its end

    def __post_init__(self) -> None:
        self.recipe = self.recipe.replace(gradient=self.learn.gradient)  # the one choice that is the model's to make

    @property
    def judged_splits(self) -> dict[str, Images]:
        """The pictures that the run is judged on, by split; the first split is the one that counts."""
        test = self.splits.test if self.recipe.test else None
        # Folds are no part of the model that `until` asks for again.
        folds = whole(self.splits) if self.recipe.folds > 1 and self.until is None else None
        named = {"test": test, OUT_OF_FOLD: folds, "valid": self.splits.valid}
        return {name: images for name, images in named.items() if images is not None}

    @property
    def about_model(self) -> dict[str, Any]:
        """The description of the model that its file holds beside the tensors."""
        return self.learn.facts().as_json()


@dataclass(frozen=True, kw_only=True, repr=False)
class Run:
    """A finished (or interrupted) run: its scores, how it went, and the learner itself.

    `score` is the one that counts. `test` is None where the run was cross-validated or left the test pictures unread.
    """

    folder: Path | None
    recipe: Recipe
    learn: Learner
    test: Score | None
    valid: Score | None
    baselines: Mapping[str, Score]
    epochs: int
    kept_epoch: int
    seconds: Mapping[str, float]
    stopped_because: str
    gradient: str
    findings: Sequence[Finding]
    against: Against | None  # the best baseline
    tables: Mapping[str, Predictions]  # of each split that it was judged on
    digest: str  # of the model
    interrupted: int = 0  # the signal, 0 for a run that ended by itself
    looks: int | None = None  # models that these test pictures have judged on this machine; None where none was counted
    calibration: Calibration | None = None  # on the split that counts
    coverage: Coverage | None = None  # of a model that may abstain
    imbalance: Imbalance | None = None  # of the training pictures
    cross_validation: Score | None = None  # of models like this one, each without a fold
    audit: AuditResult | None = None  # None of a set larger than memory
    fine_tuning: FineTuning | None = None  # which of probe and fine-tuned model is kept, where a network was unfrozen

    @property
    def score(self) -> Score | None:
        """The score that counts: on test pictures, else out of folds, else on validation pictures."""
        return self.test or self.cross_validation or self.valid

    @property
    def stopped_code(self) -> str | None:
        """Why training ended, for programs: see `steps.stop.Reason`; None for a run saved before there were codes."""
        return code_of(self.stopped_because) or None

    @property
    def fewest(self) -> int | None:
        """The number of training pictures of the smallest class, if that is small; else None."""
        images = as_loader(self.learn.dls.train).images
        counts = [count for count in images.counts.values() if count] if images is not None else []
        return min(counts) if counts and min(counts) < FEW else None

    def as_json(self) -> dict[str, Any]:
        """Return what `train --json` prints.

        Returns:
            Plain data.
        """
        return {
            "run": str(self.folder) if self.folder else None,
            "recipe": self.recipe.name,
            **self.judgement(),
            "findings": with_run_named(
                [finding.as_json() for finding in self.findings],
                str(self.folder) if self.folder else "",
                self.recipe.source,
            ),
            "seconds": dict(self.seconds),
            "test_looks": self.looks,
            "audit": self.audit and self.audit.in_numbers(),
        }

    def judgement(self) -> dict[str, Any]:
        """Return how the run did: what is saved with it, and is the same for the same run.

        Returns:
            Plain data.
        """
        return {
            "test": self.test and self.test.as_json(),
            "valid": self.valid and self.valid.as_json(),
            "cross_validation": self.cross_validation
            and {**self.cross_validation.as_json(), "folds": self.recipe.folds},
            "baselines": {name: score.as_json() for name, score in self.baselines.items()},
            "against_best_baseline": self.against and self.against.as_json(),
            "calibration": self.calibration and self.calibration.as_json(),
            "coverage": self.coverage and self.coverage.as_json(),
            "imbalance": self.imbalance and self.imbalance.as_json(),
            **({"fine_tuning": self.fine_tuning.as_json()} if self.fine_tuning else {}),
            "few_pictures": few_as_json(self.fewest, self.recipe.features != "none"),
            "audit": self.audit and {"duplicates": len(self.audit.duplicates), "leaks": len(self.audit.leaks)},
            "epochs": self.epochs,
            "kept_epoch": self.kept_epoch,
            "stopped_because": self.stopped_because,
            "stopped_code": self.stopped_code,
            "gradient": self.gradient,
            "model": {"name": self.recipe.model, "parameters": self.learn.parameter_count},
            "findings": [finding.as_json() for finding in self.findings],
            "validated_on_test": self.recipe.validate_on == "test",
        }

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {words}" for name, words in self._facts().items())

    def _repr_html_(self) -> str:
        """Return the same facts as a table, as a notebook shows them."""
        from ..show import notebook

        return notebook.framed(notebook.facts(self._facts()))

    def _facts(self) -> dict[str, str]:
        """Return what there is to say first about the run, by name."""
        from ..show import sentences

        epochs = f"{self.epochs:,} epoch{'s' * (self.epochs != 1)}"
        of = "" if self.recipe.features == "none" else f"features of {self.recipe.features}: "
        facts = {
            "run": str(self.folder) if self.folder else "not saved",
            "trained": f"{self.recipe.name} on {of}{self.recipe.source}, {epochs}",
            "stopped": sentences.stop_in_words(self.stopped_because),
        }
        if self.score is not None:
            facts["score"] = sentences.in_words(self.score)
        if self.against is not None:
            facts["baseline"] = sentences.against_in_words(self.against)
        for finding in self.findings:
            if finding.recovered_at is None:
                facts[f"warning, epoch {finding.epoch}"] = finding.message
        return facts


def place(learn: Learner) -> str:
    """Return in words how far training is.

    Args:
        learn: The learner.

    Returns:
        A clause such as "after epoch 3".
    """
    epoch, position = learn.state.epoch, learn.state.position
    if position:
        return f"in epoch {epoch + 1}, after batch {position}"
    return f"after epoch {epoch}" if epoch else "before its first batch"


def is_finite(learn: Learner) -> bool:
    """Return whether the last loss and every number of the state is finite, so that training can go on.

    Args:
        learn: The learner.
    """
    loss = learn.state.last_loss
    tensors = [t for name, t in learn.state.tensors().items() if not name.startswith("history.")]
    return (loss is None or bool(torch.isfinite(loss))) and all(bool(torch.isfinite(t).all()) for t in tensors)
