"""`judge`: evaluate a saved run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..base import files
from ..errors import DataError
from ..records.events import Note
from ..records.scores import (
    OUT_OF_FOLD,
    Against,
    Calibration,
    Coverage,
    Score,
    Scores,
)
from ..runs import checkpoint
from ..runs.kept_files import mapping, reading_judgement
from ..runs.saved import Saved

if TYPE_CHECKING:
    from ..records.events import Observe
    from ..trust.predictions import Predictions


@dataclass(frozen=True)
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


def judge(
    run: str | Path,
    split: str | None = None,
    *,
    clopper_pearson: bool = False,
    observe: Observe = lambda event: None,
) -> Judged:
    """Every figure of a saved run on one of its splits, with its interval, from its table of predictions.

    Unless a split is named it is that of the test pictures; of a run that was cross-validated instead, out of folds.
    Nothing is trained, and where the table is there neither pictures nor PyTorch are needed. Where it is not there (the
    run was interrupted, or left the test pictures unread), or the judgement is damaged, the run's model answers first,
    and the judgement is made again whole and kept. `clopper_pearson` asks for that interval of each share in the place
    of Wilson's.

    Raises:
        RunError: no such run, one in which nothing was saved, or one whose pictures are others now.
        DataError: there is no such split.
    """
    from ..trust import ledger
    from ..trust.calibration import calibration
    from ..trust.scores import score_of, score_table

    saved = Saved.open(run)
    tables, damage = saved.tables()
    if damage:
        observe(Note(f"{damage} It is judged again."))
    known, folds = set(tables), saved.recipe.folds
    if split is None:
        of_folds = "test" not in saved.recorded.get("data", {}) and folds > 1
        split = OUT_OF_FOLD if of_folds else "test"
    if split not in tables:
        tables = _judged_again(saved, split, tables, observe)
    if split == "test" or "test" in tables.keys() - known:
        pictures = saved.recorded.get("data", {}).get("test", "")
        _, problem = ledger.look(pictures, [checkpoint.digest(saved.checkpoint.model_bytes())])
        if problem:
            observe(Note(problem))
    shares = "clopper-pearson" if clopper_pearson else "wilson"
    table, judgement = tables[split], saved.judgement
    with reading_judgement():
        coverage = Coverage.from_json(judgement.get("coverage"))
        answers = mapping(judgement.get("baselines"))
        baselines = {name: Score.from_json(score, split) for name, score in answers.items()}
        against = Against.from_json(judgement.get("against_best_baseline"))
    return Judged(
        saved,
        shares,
        {name: _with_interval(score_of(of_split, folds), shares) for name, of_split in tables.items()},
        score_table(table, shares=shares),
        calibration(split, saved.temperature, table.probabilities, table.labels, shares),
        _of_shares(coverage, shares) if coverage and coverage.split == split else None,
        {name: _with_interval(score, shares) for name, score in baselines.items()},
        against if all(score.split == split for score in baselines.values()) else None,
    )


def _with_interval(score: Score, shares: str) -> Score:
    """The score with the interval that `shares` names."""
    from ..trust.intervals import SHARES

    return dataclasses.replace(score, interval=SHARES[shares](score.correct, score.n))


def _of_shares(coverage: Coverage, shares: str) -> Coverage:
    """The coverage with the intervals that `shares` names."""
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
    """The tables of a run that is judged anew by its checkpoint: on this split, and on those that it is judged on.

    Test pictures that nobody asked for stay unread: those of a run that is not at its end, or left them out. The
    judgement and its tables are kept in the run's folder.

    Raises:
        RunError: the pictures are others now, or another process has the run.
        DataError: there is no such split.
    """
    splits, recipe = saved.pictures(observe)
    named = {"test": splits.test, "valid": splits.valid, "train": splits.train}
    images = named.get(split)
    if images is None and not (split == OUT_OF_FOLD and recipe.folds > 1):
        there = [name for name in ("test", "valid") if named[name] is not None]
        there += [OUT_OF_FOLD] if recipe.folds > 1 else []
        raise DataError(f"{recipe.source} has no {split} pictures.", hint=f"--split {' or '.join(there)}.")
    from ..runs.judged import judged, save_judgement
    from ..runs.run import Work
    from ..trust.doctor.doctor import Doctor

    is_whole_run = recipe.test and saved.checkpoint.stopped is not None
    recipe = recipe.replace(test="test" in (split, recipe.validate_on, *tables) or is_whole_run)
    with files.locked(saved.folder), saved.learner(splits, recipe) as learn:
        work = Work(saved.folder, recipe, saved.recorded, splits, learn, {}, Doctor(learn, saved.findings))
        run = judged(work, {} if images is None else {split: images}, observe)
        checkpoint.rebuild(saved.folder, saved.checkpoint)
        save_judgement(saved.folder, run.judgement(), run.tables)
    return dict(run.tables)
