"""Judging saved runs: every figure of one, several compared, and what was wrong with one. Nothing is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import checkpoint, files, runs
from .advice import coverage_from
from .device import computing_with
from .errors import DataError, RunError, UsageError
from .opening import prepared, refuse_other_pictures, take_up
from .recipe import Recipe, recorded_in
from .records import Calibration, Comparison, Coverage, Note, Scores

if TYPE_CHECKING:
    from .judge.predictions import Predictions
    from .training import Observe


@dataclass(frozen=True)
class Judged:
    """Every figure of a saved run on one of its splits."""

    saved: runs.SavedRun
    scores: Scores
    calibration: Calibration
    coverage: Coverage | None  # None where every picture is answered, or that split's was not counted


def judge(
    run: str | Path,
    split: str = "test",
    *,
    clopper_pearson: bool = False,
    observe: Observe = lambda event: None,
) -> Judged:
    """Every figure of a saved run on one of its splits, with its interval, from its table of predictions.

    Nothing is trained, and where the table is there neither pictures nor PyTorch are needed. Where it is not there (the
    run was interrupted, or left the test pictures unread) the run's model answers first, and the table is kept.
    `clopper_pearson` asks for that interval of each share in the place of Wilson's.

    Raises:
        RunError: no such run, one in which nothing was saved, or one whose pictures are others now.
        DataError: there is no such split.
    """
    from .judge import ledger
    from .judge.calibration import calibration
    from .judge.intervals import clopper_pearson as exact_interval
    from .judge.scores import score_table

    saved = runs.open_run(Path(run))
    found = runs.checkpoint_of(saved.folder)
    tables = _tables(saved.folder, found)
    if split not in tables:
        tables = _answered(saved, found, split, tables, observe)
        saved = runs.open_run(Path(run))
    if split == "test":
        pictures = recorded_in(found.recipe).get("data", {}).get("test", "")
        _, problem = ledger.look(pictures, [checkpoint.digest(found.model_bytes())])
        if problem:
            observe(Note(problem))
    scores = score_table(tables[split])
    if clopper_pearson:
        exact = {
            name: dataclasses.replace(metric, low=interval.low, high=interval.high, method="clopper-pearson")
            for name, metric in scores.metrics.items()
            if metric.method == "wilson" and metric.value is not None
            for interval in [exact_interval(round(metric.value * metric.n), metric.n)]
        }
        scores = dataclasses.replace(scores, metrics={**scores.metrics, **exact})
    temperature = float(found.about.get("temperature") or 1.0)
    table = tables[split]
    calibrated = calibration(split, temperature, table.probabilities, table.labels)
    coverage = coverage_from(saved.judgement.get("coverage"))
    return Judged(saved, scores, calibrated, coverage if coverage and coverage.split == split else None)


def doctor(run: str | Path) -> tuple[runs.SavedRun, list[Mapping[str, Any]]]:
    """What the doctor found wrong with a saved run while it trained, as plain data; nothing is trained or read anew.

    Raises:
        RunError: no such run, or none of its checkpoints is whole.
    """
    saved = runs.open_run(Path(run))
    found, _ = checkpoint.load(saved.folder)
    # A run that diverged may have saved nothing but why.
    findings = found.findings if found else saved.judgement.get("findings") or []
    return saved, [finding for finding in findings if isinstance(finding, dict)]


def compare(names: Sequence[str | Path], split: str = "test") -> tuple[tuple[Comparison, ...], str]:
    """Whether saved runs differ on the same pictures, pair by pair, and what choosing between them by these does.

    Needs neither pictures nor PyTorch. More than two are corrected for their number.

    Raises:
        RunError: no such run, one without predictions of this split, or runs that were judged on different pictures.
        UsageError: fewer than two runs, or one named twice.
    """
    from .judge import ledger
    from .judge.comparison import compare_all

    if len(names) < 2 or len(set(map(str, names))) != len(names):
        raise UsageError("compare takes two runs or more, each once.", hint="sevensteps compare RUN RUN")
    tables, pictures = {}, {}
    for name in names:
        folder = runs.find(Path(name))
        runs.refuse_if_no_run(folder)
        found = runs.checkpoint_of(folder)
        of_run = _tables(folder, found)
        if split not in of_run:
            raise RunError(
                f"{folder} has no predictions of {split} pictures.", hint=f"sevensteps judge {folder} --split {split}"
            )
        tables[str(name)] = of_run[split]
        data = recorded_in(found.recipe).get("data", {})
        pictures[str(name)] = data.get("test" if split == "test" else "train", "")
    first, *others = pictures
    for other in others:
        if pictures[other] != pictures[first]:
            raise RunError(
                f"{first} and {other} were judged on different pictures.",
                hint="Train both on the same source, with the same seed for what is held out.",
            )
    effect = ""
    looks = len(ledger.looks_at(pictures[first])) if split == "test" else 0
    if looks > 1:
        best = max(tables.values(), key=lambda table: table.score.accuracy).score
        points = 100 * ledger.luck_of_the_best(looks, best.accuracy, best.n)
        effect = (
            f"These test pictures have judged {looks} models on this machine. Whoever keeps the best of so many by "
            f"them may report up to {points:.2f} points of luck: choose on validation pictures (--split valid), or "
            "test the choice on new ones."
        )
    return compare_all(tables), effect


def _tables(folder: Path, found: checkpoint.Checkpoint) -> dict[str, Predictions]:
    """The tables of predictions of a run's own model; none where they are missing, damaged, or another model's."""
    from .judge.predictions import from_jsonl

    if not checkpoint.is_judged(folder, found):
        return {}
    return from_jsonl(folder / checkpoint.PREDICTIONS, found.about.get("classes") or ())


def _answered(
    saved: runs.SavedRun,
    found: checkpoint.Checkpoint,
    split: str,
    tables: Mapping[str, Predictions],
    observe: Observe,
) -> dict[str, Predictions]:
    """The tables with that of one more split, which the run's model answers now; kept in the run's folder.

    Raises:
        RunError: the pictures are others now, or another process has the run.
        DataError: there is no such split.
    """
    splits, recipe = prepared(Recipe.from_toml(found.recipe), {}, observe)
    refuse_other_pictures(saved.folder, recipe, recorded_in(found.recipe), splits)
    images = {"test": splits.test, "valid": splits.valid, "train": splits.train}.get(split)
    if images is None:
        raise DataError(f"{recipe.source} has no {split} pictures.", hint="--split test, valid or train.")
    from .judge.abstain import home_coverage
    from .judge.predictions import predict_split
    from .training import calibration_of, save_judgement

    with computing_with(recipe.threads), files.locked(saved.folder):
        learn = recipe.learner(splits)
        take_up(learn, found, saved.folder)
        if learn.state.best:
            learn.model.load_state_dict(learn.state.best)
        learn.temperature = float(found.about.get("temperature") or 1.0)
        more = {**tables, split: predict_split(learn, images, split)}
        judgement = {key: value for key, value in saved.judgement.items() if key not in ("sha256", "files")}
        if split in ("test", "valid"):
            judgement[split] = more[split].score.as_json()
        if split == "test" or not judgement.get("calibration"):  # the split that counts
            judgement["calibration"] = calibration_of(learn, more[split]).as_json()
            if learn.abstention:
                coverage = home_coverage(learn.abstention, images, more[split].probabilities, split)
                judgement["coverage"] = coverage.as_json()
        checkpoint.rebuild(saved.folder, found)
        save_judgement(saved.folder, judgement, more)
    return more
