"""`judge`: evaluate a saved run."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base import files, own_code
from ..base.own_code import OwnCode, given
from ..base.words import pictures, split_in_words
from ..errors import DataError
from ..records.calibration import Calibration
from ..records.events import Note, with_run_named
from ..records.scores import (
    OUT_OF_FOLD,
    Against,
    Coverage,
    Metric,
    Score,
    Scores,
)
from ..runs import checkpoint
from ..runs.folder import AnyRun
from ..runs.kept_files import mapping, reading_judgement
from ..runs.saved import Saved

if TYPE_CHECKING:
    from ..records.events import Observe
    from ..trust.predictions import Predictions


@dataclass(frozen=True, kw_only=True, repr=False)
class Judged:
    """Every figure of a saved run on one of its splits."""

    saved: Saved
    shares: str  # what the intervals of shares are from: "wilson" or "clopper-pearson"
    splits: Mapping[str, Score]  # each that it has been judged on
    scores: Scores
    calibration: Calibration
    coverage: Coverage | None  # None where every picture is answered, or that split's was not counted
    baselines: Mapping[str, Score]  # on the split that counts, which may be another
    against: Against | None  # the best of them, where they are of this split
    seconds: float = 0.0  # that judging took

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.saved.folder

    @property
    def score(self) -> Score:
        """The accuracy on the split, with its interval."""
        return self.splits[self.scores.split]

    def as_json(self) -> dict[str, Any]:
        """Return what `judge --json` prints."""
        kept = {key: self.saved.judgement.get(key) for key in _KEPT}
        scores = {split: score.as_json() for split, score in self.splits.items()}
        crossed = scores.get(OUT_OF_FOLD)
        return {
            "run": str(self.folder),
            **kept,
            "findings": with_run_named(kept["findings"], str(self.folder), self.saved.recipe.source),
            "test": scores.get("test"),
            "valid": scores.get("valid"),
            "cross_validation": crossed and {**crossed, "folds": self.saved.recipe.folds},
            "baselines": {name: score.as_json() for name, score in self.baselines.items()},
            "seconds": {"import": 0.0, "data": 0.0, "train": 0.0, "judge": round(self.seconds, 4)},
            "scores": self.scores.as_json(),
            "calibration": self.calibration.as_json(),
            "coverage": self.coverage.as_json() if self.coverage else None,
            "shares": self.shares,
        }

    def __repr__(self) -> str:
        from ..show import sentences

        lines = [f"Judged {self.folder} on {pictures(self.scores.n, self.scores.split)}"]
        lines.append(f"  accuracy {sentences.in_words(self.score)}")
        if self.against:
            lines.append(f"  {sentences.against_in_words(self.against)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the figures and those of each class, as a notebook shows them."""
        from ..show import notebook

        def share(metric: Metric) -> str:
            interval = "" if metric.low is None else f" ({metric.low:.1%} to {metric.high:.1%})"
            return metric.note if metric.value is None else f"{metric.value:.1%}{interval}"

        rows = [[of.name, f"{of.n:,}", *map(share, (of.recall, of.precision, of.f1))] for of in self.scores.per_class]
        classes = notebook.grid(("class", "pictures", "recall", "precision", "F1"), rows)
        return notebook.framed(notebook.paragraphs(repr(self)), classes)


# What a judgement holds that needs the pictures, and that is repeated as it was saved.
_KEPT = (
    "against_best_baseline",
    "epochs",
    "stopped_because",
    "stopped_code",
    "gradient",
    "model",
    "findings",
    "imbalance",
    "audit",
)


def judge(
    run: AnyRun,
    split: str | None = None,
    *,
    clopper_pearson: bool = False,
    model: OwnCode = None,
    observe: Observe = lambda event: None,
) -> Judged:
    """Judge a saved run on one of its splits: every figure with its interval, from its table of predictions.

    Nothing is trained. If the table exists, neither pictures nor PyTorch are needed. If it does not (the run was
    interrupted, or left the test pictures unread), or the judgement is damaged, the run's model predicts first, and
    the judgement is written again.

    Args:
        run: A run's folder, its name under `runs/`, or the run that `train` returned.
        split: The pictures to judge it on. Default: test. For a cross-validated run, out-of-fold: each picture is
            answered by a model that has not seen it.
        clopper_pearson: Whether to use that interval for shares instead of Wilson's.
        model: The network of your own that the run was trained with: a function, or its name,
            `package.module:function`.
        observe: Receives notes.

    Returns:
        The figures.

    Raises:
        RunError: There is no such run, nothing was saved in it, or its pictures have changed.
        DataError: There is no such split.
        ModelError: It is to predict, it was trained with a network of your own, and `model` is not given.
    """
    from ..trust import ledger
    from ..trust.calibration import calibration
    from ..trust.scores import score_of, score_table

    began = time.perf_counter()
    saved = Saved.open(run)
    tables, damage = saved.tables()
    if damage:
        observe(Note(f"{damage} It is judged again."))
    known, folds = set(tables), saved.recipe.folds
    if split is None:
        of_folds = "test" not in saved.recorded.get("data", {}) and folds > 1
        split = OUT_OF_FOLD if of_folds else "test"
    with given(model):
        own_code.refuse_idle(saved.recipe.model)
        if split not in tables:
            tables = _judged_again(saved, split, tables, observe)
    if split == "test" or "test" in tables.keys() - known:
        tested_on = saved.recorded.get("data", {}).get("test", "")
        _, problem = ledger.look(tested_on, [checkpoint.digest(saved.checkpoint.model_bytes())])
        if problem:
            observe(Note(problem))
    shares = "clopper-pearson" if clopper_pearson else "wilson"
    table, judgement = tables[split], saved.judgement
    with reading_judgement(saved.folder):
        coverage = Coverage.from_json(judgement.get("coverage"))
        answers = mapping(judgement.get("baselines"))
        baselines = {name: Score.from_json(score, split) for name, score in answers.items()}
        against = Against.from_json(judgement.get("against_best_baseline"))
    return Judged(
        saved=saved,
        shares=shares,
        splits={name: _with_interval(score_of(of_split, folds), shares) for name, of_split in tables.items()},
        scores=score_table(table, shares=shares),
        calibration=calibration(split, saved.temperature, table.probabilities, table.labels, shares),
        coverage=_of_shares(coverage, shares) if coverage and coverage.split == split else None,
        baselines={name: _with_interval(score, shares) for name, score in baselines.items()},
        against=against if all(score.split == split for score in baselines.values()) else None,
        seconds=time.perf_counter() - began,
    )


def _with_interval(score: Score, shares: str) -> Score:
    """Return the score with the interval that `shares` names."""
    from ..trust.intervals import SHARES

    return dataclasses.replace(score, interval=SHARES[shares](score.correct, score.n))


def _of_shares(coverage: Coverage, shares: str) -> Coverage:
    """Return the coverage with the intervals that `shares` names."""
    from ..trust.intervals import SHARES

    score = coverage.score and _with_interval(coverage.score, shares)
    foreign = tuple(dataclasses.replace(of, interval=SHARES[shares](of.left_out, of.n)) for of in coverage.foreign)
    interval = SHARES[shares](coverage.answered, coverage.n)
    return dataclasses.replace(coverage, interval=interval, score=score, foreign=foreign)


def _judged_again(
    saved: Saved,
    split: str,
    tables: Mapping[str, Predictions],
    observe: Observe,
) -> dict[str, Predictions]:
    """Predict again by the run's checkpoint, on this split and on those that it is judged on, and save the judgement.

    Test pictures that nobody asked for stay unread: those of a run that is not finished, or that left them out.

    Raises:
        RunError: The pictures have changed, or another process has the run.
        DataError: There is no such split.
    """
    splits, recipe = saved.pictures(observe)
    named = {"test": splits.test, "valid": splits.valid, "train": splits.train}
    images = named.get(split)
    if images is None and not (split == OUT_OF_FOLD and recipe.folds > 1):
        there = [name for name in ("test", "valid") if named[name] is not None]
        there += [OUT_OF_FOLD] if recipe.folds > 1 else []
        raise DataError(
            f"{recipe.source} has no {split_in_words(split)} pictures.", hint=f"--split {' or '.join(there)}."
        )
    from ..runs.judged import judged, save_judgement
    from ..runs.run import Work
    from ..trust.doctor.doctor import Doctor

    is_whole_run = recipe.test and saved.checkpoint.stopped is not None
    recipe = recipe.replace(test="test" in (split, recipe.validate_on, *tables) or is_whole_run)
    with files.locked(saved.folder), saved.learner(splits, recipe) as learn:
        work = Work(
            folder=saved.folder,
            recipe=recipe,
            recorded=saved.recorded,
            splits=splits,
            learn=learn,
            seconds={},
            doctor=Doctor(learn, saved.findings),
        )
        run = judged(work, {} if images is None else {split: images}, observe)
        checkpoint.rebuild(saved.folder, saved.checkpoint)
        save_judgement(saved.folder, run.judgement(), run.tables)
    return dict(run.tables)
