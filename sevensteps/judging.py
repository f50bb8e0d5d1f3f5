"""Judging saved runs: every figure of one, several compared, and what was wrong with one. Nothing is trained."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import checkpoint, files, runs
from .advice import against_from, coverage_from, mapping, score_from
from .device import computing_with
from .errors import DataError, RunError, UsageError
from .opening import prepared, refuse_other_pictures, take_up
from .recipe import Recipe, recorded_in
from .records import OUT_OF_FOLD, Against, Calibration, Comparison, Coverage, Note, Score, Scores, Spread

if TYPE_CHECKING:
    from .judge.predictions import Predictions
    from .training import Observe


@dataclass(frozen=True)
class Judged:
    """Every figure of a saved run on one of its splits."""

    saved: runs.SavedRun
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
    from .judge import ledger
    from .judge.calibration import calibration
    from .judge.scores import score_of, score_table

    folder = runs.find(Path(run))
    found = runs.checkpoint_of(folder)
    tables, damage = _tables(folder, found)
    if damage:
        observe(Note(f"{damage} It is judged again."))
    known, folds = set(tables), Recipe.from_toml(found.recipe).folds
    if split is None:
        of_folds = "test" not in recorded_in(found.recipe).get("data", {}) and folds > 1
        split = OUT_OF_FOLD if of_folds else "test"
    if split not in tables:
        tables = _judged_again(folder, found, split, tables, observe)
    saved = runs.open_run(folder)
    if split == "test" or "test" in tables.keys() - known:
        pictures = recorded_in(found.recipe).get("data", {}).get("test", "")
        _, problem = ledger.look(pictures, [checkpoint.digest(found.model_bytes())])
        if problem:
            observe(Note(problem))
    shares = "clopper-pearson" if clopper_pearson else "wilson"
    temperature = float(found.about.get("temperature") or 1.0)
    table = tables[split]
    coverage = coverage_from(saved.judgement.get("coverage"))
    baselines = {name: score_from(split, said) for name, said in mapping(saved.judgement.get("baselines")).items()}
    against = against_from(saved.judgement.get("against_best_baseline"))
    return Judged(
        saved,
        shares,
        {name: _with_interval(score_of(of_split, folds), shares) for name, of_split in tables.items()},
        score_table(table, shares=shares),
        calibration(split, temperature, table.probabilities, table.labels, shares),
        _of_shares(coverage, shares) if coverage and coverage.split == split else None,
        {name: _with_interval(score, shares) for name, score in baselines.items()},
        against if all(score.split == split for score in baselines.values()) else None,
    )


def _with_interval(score: Score, shares: str) -> Score:
    """The score with the interval that `shares` names."""
    from .judge.intervals import SHARES

    return dataclasses.replace(score, interval=SHARES[shares](score.correct, score.n))


def _of_shares(coverage: Coverage, shares: str) -> Coverage:
    """The coverage with the intervals that `shares` names."""
    from .judge.intervals import SHARES

    score = coverage.score and _with_interval(coverage.score, shares)
    foreign = tuple(dataclasses.replace(of, interval=SHARES[shares](of.left_out, of.n)) for of in coverage.foreign)
    interval = SHARES[shares](coverage.answered, coverage.n)
    return dataclasses.replace(coverage, interval=interval, score=score, foreign=foreign)


def doctor(run: str | Path) -> tuple[Path, int, list[Mapping[str, Any]]]:
    """What the doctor found wrong with a saved run while it trained, as plain data; nothing is trained or read anew.

    The first two are the run's folder and how many epochs it has trained.

    Raises:
        RunError: no such run, one that has not trained yet, or none of its checkpoints is whole.
    """
    folder = runs.find(Path(run))
    runs.refuse_if_no_run(folder)
    found, _ = checkpoint.load(folder)
    failed = runs.failure_of(folder)  # a run that diverged may have saved nothing but why, or only what was before
    if found is None and not failed:
        raise RunError(
            f"{folder} has not trained yet: there is nothing to examine.", hint=f"sevensteps resume {folder}"
        )
    findings = failed.get("findings") or [] if failed else found.findings if found else []
    epochs = len(found.epochs if found else runs.open_run(folder).history)
    return folder, epochs, [finding for finding in findings if isinstance(finding, dict)]


def compare(names: Sequence[str | Path], split: str | None = None) -> tuple[tuple[Comparison, ...], Spread | None, str]:
    """Whether saved runs differ on the same pictures, pair by pair, and what choosing between them by these does.

    The second is how far seeds differ, where that is all in which the runs do. Unless a split is named it is that of
    the test pictures, or out of folds where all were cross-validated instead: then recipes are compared, and models
    that share most of their training pictures make p somewhat too small (Dietterich, "Approximate statistical tests for
    comparing supervised classification learning algorithms", 1998).

    Needs neither pictures nor PyTorch. More than two are corrected for their number.

    Raises:
        RunError: no such run, one without predictions of this split, or runs that were judged on different pictures.
        UsageError: fewer than two runs.
    """
    from .judge import ledger
    from .judge.comparison import compare_all, over_seeds

    if len(names) < 2:
        first = shlex.quote(str(names[0])) if names else "RUN"
        raise UsageError("compare takes two runs or more.", hint=f"sevensteps compare {first} ANOTHER-RUN")
    all_tables: dict[str, dict[str, Predictions]] = {}
    folders, texts = [], []
    for typed in names:
        folder, name = runs.find(Path(typed)), str(typed)
        while name in all_tables:  # the same run, which is no better than itself
            name += " again"
        runs.refuse_if_no_run(folder)
        found = runs.checkpoint_of(folder)
        all_tables[name], _ = _tables(folder, found)
        folders.append(folder)
        texts.append(found.recipe)
    if split is None:
        split = "test"
        if all(OUT_OF_FOLD in of_run and "test" not in of_run for of_run in all_tables.values()):
            split = OUT_OF_FOLD
    tables: dict[str, Predictions] = {}
    pictures = {}
    recipes = [Recipe.from_toml(text) for text in texts]
    for folder, text, (name, of_run) in zip(folders, texts, all_tables.items(), strict=True):
        if split not in of_run:
            folds = f", and was judged by {OUT_OF_FOLD} ones" if OUT_OF_FOLD in of_run else ""
            hint = f"sevensteps judge {folder} --split {split}"
            if folds:
                hint = "Train both with --folds 5 and compare these, or both with --folds 1."
            raise RunError(f"{folder} has no predictions of {split} pictures{folds}.", hint=hint)
        tables[name] = of_run[split]
        data = recorded_in(text).get("data", {})
        pictures[name] = data.get({"test": "test", OUT_OF_FOLD: OUT_OF_FOLD}.get(split, "train"), "")
    first, *others = pictures
    for other in others:
        if pictures[other] != pictures[first]:
            raise RunError(
                f"{first} and {other} were judged on different pictures.",
                hint="Train both on the same source, with the same seed for what is held out.",
            )
    if split == "test" and pictures[first]:
        tables = {name: _named_as(tables[first], table) for name, table in tables.items()}
    seeds = {recipe.seed for recipe in recipes}
    is_batch = len(seeds) == len(recipes) and all(
        recipe.replace(seed=recipes[0].seed) == recipes[0] for recipe in recipes
    )
    spread = over_seeds(list(tables.values())) if is_batch else None
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
    return compare_all(tables), spread, effect


def _named_as(first: Predictions, other: Predictions) -> Predictions:
    """The table with the names that the first has for the same pictures in the same order, which have others elsewhere.

    Fashion-MNIST's pullovers and dresses are the embedded ones, under their numbers in the whole set.
    """
    labels, others = ([table.classes[label] for label in table.labels.tolist()] for table in (first, other))
    return dataclasses.replace(other, ids=first.ids) if labels == others else other


def _tables(folder: Path, found: checkpoint.Checkpoint) -> tuple[dict[str, Predictions], str]:
    """The tables of predictions of a run's own model; none where they are missing, or damaged, which is said."""
    from .judge.predictions import from_jsonl

    _, problem = runs.judgement_of(folder, found)
    if not problem:
        return from_jsonl(folder / checkpoint.PREDICTIONS, found.about.get("classes") or ()), ""
    is_new = not any((folder / name).exists() for name in (checkpoint.JUDGEMENT, checkpoint.PREDICTIONS))
    return {}, "" if is_new or not found.stopped else f"{folder}: {problem}"


def _judged_again(
    folder: Path,
    found: checkpoint.Checkpoint,
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
    recipe, recorded = Recipe.from_toml(found.recipe), recorded_in(found.recipe)
    splits, recipe = prepared(recipe, {}, observe, runs.corrections_of(folder, recipe, recorded))
    refuse_other_pictures(folder, recipe, recorded, splits)
    named = {"test": splits.test, "valid": splits.valid, "train": splits.train}
    images = named.get(split)
    if images is None and not (split == OUT_OF_FOLD and recipe.folds > 1):
        there = [name for name in ("test", "valid") if named[name] is not None]
        there += [OUT_OF_FOLD] if recipe.folds > 1 else []
        raise DataError(f"{recipe.source} has no {split} pictures.", hint=f"--split {' or '.join(there)}.")
    from .judge.doctor import Doctor
    from .training import Work, finding_from, judged, save_judgement

    is_whole_run = recipe.test and found.stopped is not None
    with computing_with(recipe.threads), files.locked(folder):
        recipe = recipe.replace(test="test" in (split, recipe.validate_on, *tables) or is_whole_run)
        learn = recipe.learner(splits)
        take_up(learn, found, folder)
        doctor = Doctor(learn)
        doctor.findings = [finding_from(finding) for finding in found.findings]
        more = {} if images is None else {split: images}
        run = judged(Work(folder, recipe, recorded, splits, learn, {}, doctor), more, observe)
        checkpoint.rebuild(folder, found)
        save_judgement(folder, run.judgement(), run.tables)
    return dict(run.tables)
