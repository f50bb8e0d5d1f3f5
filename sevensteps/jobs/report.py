"""`report`: write the report of a saved run from its checkpoint, predictions and pictures; nothing is trained."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import files
from ..base.own_code import OwnCode, given
from ..base.words import with_names
from ..data.files.summary import with_splits
from ..data.folds import whole
from ..errors import DataError, SevenstepsError, UsageError
from ..recipes.recipe_file import shipped_recipes
from ..records.report import Answered, Confused, Mistakes, Report
from ..records.scores import OUT_OF_FOLD, Against, Coverage, Imbalance, Score
from ..runs import checkpoint
from ..runs.checkpoint import Checkpoint
from ..runs.folder import AnyRun
from ..runs.kept_files import mapping, reading_judgement
from ..runs.recorded import edited_of
from ..runs.saved import Saved
from ..show.sentences import edited_in_words
from ..trust.audit.audit import audited, split_anew
from .advice import doubts_of, following_of, verdict_of
from .xray import view_with_a_mistake

if TYPE_CHECKING:
    from ..data.images import Images, Splits
    from ..recipes.recipe import Recipe
    from ..records.audit import AuditResult
    from ..records.events import Event
    from ..trust.predictions import Predictions


_COUNTS = ("test", OUT_OF_FOLD, "valid")  # splits: the first that is there is the result


PAIRS, PICTURES_EACH, SUREST = 8, 6, 24  # kinds of mistakes, pictures of each, and surest mistakes that are shown


@dataclass(frozen=True)
class ReportFile:
    """The report of a run, as it was written."""

    path: Path

    def as_json(self) -> dict[str, Any]:
        """Return what `report --json` prints."""
        return {"report": str(self.path)}


def report(run: AnyRun, out: str | Path | None = None, *, model: OwnCode = None) -> ReportFile:
    """Write the report of a run as one HTML file: the same bytes for the same run.

    Args:
        run: A run's folder, its name under `runs/`, or the run that `train` returned.
        out: The file to write; `report.html` in the run's folder unless given.
        model: The network of your own that the run was trained with: a function, or its name,
            `package.module:function`. Without it, the report leaves the seven steps of a batch out.

    Returns:
        Where it was written.

    Raises:
        RunError: There is no such run, nothing was saved in it yet, or its files are damaged.
        RecipeError: Its recipe is damaged.
        FileError: The file cannot be written.
        UsageError: The file's name ends as those of other kinds of files do.
    """
    with given(model):
        return ReportFile(write_report(run, Path(out) if out else None))


def write_report(folder: AnyRun, out: Path | None = None) -> Path:
    """Write the report of a run: the same bytes for the same run.

    Args:
        folder: A run's folder, its name under `runs/`, or the run that `train` returned.
        out: The file to write; `report.html` in the run's folder for None.

    Returns:
        The file.

    Raises:
        RunError: There is no such run, nothing was saved in it yet, or its files are damaged.
        RecipeError: Its recipe is damaged.
        FileError: The file cannot be written.
        UsageError: The file's name ends as those of other kinds of files do.
    """
    from ..show.report.report import page

    if out is not None and out.suffix.lower() not in ("", ".html", ".htm", ".xhtml"):
        raise UsageError(
            f"A report is an HTML page, and {out.name} is named as another kind of file.",
            hint=f"--out {shlex.quote(str(out.with_suffix('.html')))}; a browser prints it as a PDF.",
        )
    saved = Saved.open(folder)
    target = saved.folder / checkpoint.REPORT if out is None else out
    files.write(target, page(_collect(saved)))
    return target


def collect(folder: Path) -> Report:
    """Collect everything that the report of a run shows, from its folder and, if they can be had, its pictures.

    Args:
        folder: The run's folder.

    Returns:
        The report; `missing` gives the reason for each part that is not there.

    Raises:
        RunError: There is no such run, nothing was saved in it yet, or its files are damaged.
        RecipeError: Its recipe is damaged.
    """
    return _collect(Saved.open(folder))


def _collect(saved: Saved) -> Report:
    """Return everything that the report of an opened run shows; see `collect`."""
    from ..show.report.audit import shown_in

    found, recipe = saved.checkpoint, saved.recipe
    judgement, problem = saved.own_judgement()
    unjudged = f"{problem} sevensteps judge creates it again."
    tables = saved.tables()[0]
    split = next((name for name in _COUNTS if name in tables), None)
    table = tables[split] if split else None
    source, pictures, gone = _pictures(saved)
    splits = pictures[0] if pictures else None
    missing: dict[str, str] = {}
    figures = calibrated = mistakes = None
    scores: dict[str, Score] = {}
    if table is None:
        missing |= dict.fromkeys(("result", "mistakes", "surest", "classes", "calibration"), unjudged)
    else:
        from ..trust.calibration import calibration
        from ..trust.scores import score_of, score_table

        figures = score_table(table)
        scores = {name: score_of(tables[name], recipe.folds) for name in _COUNTS if name in tables}
        calibrated = calibration(table.split, saved.temperature, table.probabilities, table.labels)
        mistakes = _mistakes(table, splits, gone, saved.recipe.source)
    with reading_judgement(saved.folder):
        coverage = Coverage.from_json(judgement.get("coverage"))
        answers = mapping(judgement.get("baselines"))
        baselines = {name: Score.from_json(score, split or "") for name, score in answers.items()}
        against = Against.from_json(judgement.get("against_best_baseline"))
        imbalance = Imbalance.from_json(judgement.get("imbalance"))
    if coverage is None:
        missing["coverage"] = "every picture is answered." if table is not None else unjudged
    if not found.epochs:
        missing["curves"] = "no epoch is done yet."
    if splits is None:
        missing |= dict.fromkeys(("data", "steps"), gone)
    view, problem = view_with_a_mistake(saved, *pictures) if pictures else (None, "")
    if splits and view is None:
        missing["steps"] = problem
    named = {"run": saved.folder.resolve().name, "source": recipe.source}
    edited = edited_of(saved.recorded)
    findings = [dataclasses.replace(finding, fix=with_names(finding.fix, named)) for finding in saved.findings]
    audit = split_anew(audited(source), splits) if source and splits else None
    name = saved.folder.resolve().name
    return Report(
        run=name,
        verdict=verdict_of(found, scores, against, recipe.features != "none"),
        doubts=[
            *doubts_of(found, scores, findings, audit, judgement, imbalance),
            *([edited_in_words(edited)] if edited else []),
        ],
        following=following_of(name, found, recipe, scores, findings, audit, mistakes, imbalance is not None),
        classes=saved.classes,
        scores=scores,
        baselines=baselines,
        against=against,
        history=found.epochs,
        validated_on="test" if recipe.validate_on == "test" else "validation",
        kept_epoch=found.kept_epoch,
        stopped_because=found.stopped or "",
        mistakes=mistakes,
        figures=figures,
        calibration=calibrated,
        coverage=coverage,
        audit=audit,
        source=(splits.source if splits else "") or recipe.source,
        origins={name: images.origin for name, images in splits.present().items()} if splits else {},
        looked_at=_pixels_of(splits, shown_in(audit), saved.recipe.source) if splits and audit else {},
        features="" if recipe.features == "none" else recipe.features,
        with_splits=_with_splits(splits, audit),
        findings=findings,
        xray=view.xray if view else None,
        chain=view.chain if view else None,
        place=view.place if view else "",
        recipe=found.recipe,
        recorded=dict(_flat(saved.recorded)),
        digests=_digests(found, judgement),
        repeat=f"sevensteps train --recipe {shlex.quote(name if name not in shipped_recipes() else f'./{name}')}",
        missing=missing,
    )


def _pictures(saved: Saved) -> tuple[Splits | None, tuple[Splits, Recipe] | None, str]:
    """Return the source's pictures, and the run's with its settled recipe; or why they cannot be had."""

    def observe(event: Event) -> None:
        """A report is made without a word."""

    try:
        source = saved.source(observe)
        return source, saved.pictures(observe, source=source), ""
    except SevenstepsError as error:
        return None, None, error.message


def _with_splits(splits: Splits | None, audit: AuditResult | None) -> dict[str, str]:
    """Return the ids of copies that are in two splits, each with its split: all may come from one of the source."""
    if splits is None or audit is None:
        return {}
    ids = [name for group in (*audit.leaks, *(near for near, _ in audit.near_leaks)) for name in group]
    present = {name for images in splits.present().values() for name in images.ids}
    here = [name for name in dict.fromkeys(ids) if name in present]
    return dict(zip(here, with_splits(splits, here), strict=True))


def _pixels_of(splits: Splits, ids: Sequence[str], source: str) -> dict[str, np.ndarray]:
    """Return the pixels of pictures by their ids."""
    wanted = set(ids)
    return {
        name: _shown(images, row, source)
        for images in splits.present().values()
        for row, name in enumerate(images.ids)
        if name in wanted
    }


def _shown(images: Images, row: int, source: str) -> np.ndarray:
    """Return the pixels of a picture; of a photograph that has features those of its file, on white as they were."""
    from PIL import Image

    from ..data.on_white import whole_on_white
    from ..show.pixels import LARGEST

    pixels: np.ndarray = images.pixels[row]
    file = Path(source) / images.ids[row]
    if images.features is None or not file.is_file():
        return pixels
    try:
        photo = whole_on_white(file, images.range)
    except DataError:
        return pixels
    photo.thumbnail((LARGEST, LARGEST))
    square = Image.new("RGB", (LARGEST, LARGEST), "white")
    square.paste(photo, ((LARGEST - photo.width) // 2, (LARGEST - photo.height) // 2))
    return np.asarray(square).transpose(2, 0, 1)


def _mistakes(table: Predictions, splits: Splits | None, gone: str, source: str) -> Mistakes:
    """Return what the model gets wrong: by kind, the most frequent first, and the surest."""
    from ..trust.intervals import wilson

    images = whole(splits) if splits and table.split == OUT_OF_FOLD else getattr(splits, table.split, None)
    place = {name: row for row, name in enumerate(images.ids)} if images is not None else {}
    answers = table.predicted
    sure = table.probabilities[np.arange(len(answers)), answers]
    wrong = np.flatnonzero(answers != table.labels)
    wrong = wrong[np.lexsort((wrong, -sure[wrong]))]  # the surest first, and the same order for the same numbers

    def answered(row: int) -> Answered:
        name = table.ids[row]
        pixels = _shown(images, place[name], source) if images is not None and name in place else None
        label, answer = table.classes[table.labels[row]], table.classes[answers[row]]
        return Answered(name, label, answer, float(sure[row]), pixels)

    kinds: dict[tuple[int, int], list[int]] = {}
    for row in wrong.tolist():
        kinds.setdefault((int(table.labels[row]), int(answers[row])), []).append(row)
    counts = np.bincount(table.labels, minlength=len(table.classes))
    pairs = []
    for (label, answer), rows in sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0]))[:PAIRS]:
        n = int(counts[label])
        shown = [answered(row) for row in rows[:PICTURES_EACH]]
        pairs.append(
            Confused(
                label=table.classes[label],
                answer=table.classes[answer],
                count=len(rows),
                n=n,
                interval=wilson(len(rows), n),
                pictures=shown,
            )
        )
    surest = [answered(row) for row in wrong[:SUREST].tolist()]
    return Mistakes(
        split=table.split,
        n=len(answers),
        wrong=len(wrong),
        pairs=pairs,
        pairs_in_all=len(kinds),
        surest=surest,
        without_pictures=gone if images is None else "",
    )


def _digests(found: Checkpoint, judgement: Mapping[str, Any]) -> dict[str, str]:
    content = {name: checkpoint.digest(data) for name, data in checkpoint.derived(found).items()}
    table = checkpoint.table_in(judgement)
    return {**content, **({table: str(judgement["files"][table])} if table else {})}


def _flat(recorded: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Give nested tables as one, with names such as `data.train`."""
    for key, value in recorded.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", str(value)
