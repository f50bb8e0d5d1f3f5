"""Judge a trained run: its predictions, scores and baselines."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..base import files, memory
from ..base.own_code import is_own
from ..data.balance import imbalance_of
from ..data.images import Images
from ..learner.learner import Learner
from ..records.calibration import Calibration
from ..records.events import Note, Observe
from ..records.scores import OUT_OF_FOLD, Against, Coverage, LeftOut, Score
from ..ship import file as model_file
from ..ship.abstention import Abstention
from ..steps.stop import Reason
from ..trust import ledger
from ..trust.abstain import foreign_pictures, home_coverage, left_out
from ..trust.audit.audit import at_hand
from ..trust.baselines import NOT_ANSWERED, baseline_answers, baseline_scores, is_large, sample_of
from ..trust.calibration import calibration
from ..trust.comparison import tango
from ..trust.predictions import Predictions, predict_split
from ..trust.predictions_file import MANY, to_bytes
from ..trust.scores import score_of
from . import checkpoint
from . import folder as folders
from .cross_validation import cross_validate, out_of_fold_answers
from .fine_tuning import compared
from .run import Run, Work, place


def judged(work: Work, more: Mapping[str, Images], observe: Observe) -> Run:
    """Judge a saved run as it stands; nothing is trained.

    Args:
        work: The run.
        more: Pictures to judge it on besides the splits of its recipe, by split.
        observe: Receives notes.

    Returns:
        The judged run.
    """
    if work.learn.state.stopped is not None:
        work.fine_tuning = compared(work.learn, work.splits, work.recipe)
    if best := work.learn.state.best:
        work.learn.model.load_state_dict(best)
    tables, crossed = _predictions(work, observe)
    tables |= {split: predict_split(work.learn, images, split) for split, images in more.items() if split not in tables}
    return _run(work, tables, *baselines_of(work), crossed)


def baselines_of(work: Work) -> tuple[Mapping[str, Any], dict[str, Score]]:
    """Return what each baseline answers for the pictures that count, and its score.

    Args:
        work: The run.
    """
    for split, images in work.judged_splits.items():
        is_of_folds = split == OUT_OF_FOLD
        answers = (
            out_of_fold_answers(work.splits, work.recipe)
            if is_of_folds
            else baseline_answers(work.splits.train, images)
        )
        return answers, baseline_scores(answers, work.splits.train, images, split)
    return {}, {}


def _run(
    work: Work,
    tables: Mapping[str, Predictions],
    answers: Mapping[str, Any],
    baselines: Mapping[str, Score],
    crossed: Coverage | None,
    interrupted: int = 0,
) -> Run:
    """Return the run as it stands, from the answers of its model and of the baselines; not judged without tables."""
    learn, state = work.learn, work.learn.state
    split, images = next(iter(work.judged_splits.items()), ("", None))
    table = tables.get(split)
    coverage = crossed if split == OUT_OF_FOLD else None
    against = None
    if table is not None and images is not None:
        against = _against(table, answers, baselines, work.splits.train, images)
    if table is not None and images is not None and learn.abstention:
        coverage = coverage or home_coverage(learn.abstention, images, table.probabilities, split)
        coverage = dataclasses.replace(
            coverage,
            foreign=_foreign(learn, learn.abstention, images, work.recipe.seed),
            never_says=learn.abstention.never_says,  # of the model that is saved, not of those of the folds
        )
    return Run(
        folder=work.folder,
        recipe=work.recipe,
        learn=learn,
        test=score_of(tables["test"]) if "test" in tables else None,
        valid=score_of(tables["valid"]) if "valid" in tables else None,
        baselines=baselines,
        epochs=state.epoch,
        kept_epoch=state.kept_epoch,
        seconds={name: round(value, 4) for name, value in work.seconds.items()},
        stopped_because=state.stopped or Reason(f"it was interrupted {place(learn)}", "interrupted"),
        gradient=learn.gradient,
        findings=tuple(work.doctor.findings),
        against=against,
        tables=tables,
        digest=checkpoint.digest(model_file.to_bytes(learn.arrays(), work.about_model)),
        interrupted=interrupted,
        calibration=calibration_of(learn, table) if table is not None else None,
        coverage=coverage,
        imbalance=imbalance_of(work.splits.train.counts),
        cross_validation=score_of(tables[OUT_OF_FOLD], work.recipe.folds) if OUT_OF_FOLD in tables else None,
        audit=at_hand(work.splits),
        fine_tuning=work.fine_tuning,
    )


def _foreign(learn: Learner, abstention: Abstention, images: Images, seed: int) -> tuple[LeftOut, ...]:
    """Return what the model does with pictures that belong to none of its classes."""
    return tuple(
        left_out(abstention, made, predict_split(learn, made, name).probabilities, name)
        for name, made in foreign_pictures(images, seed).items()
    )


def count_look(runs_together: Sequence[Run], pictures: str, observe: Observe) -> list[Run]:
    """Write into the ledger that these models have been tested, and tell the runs how many models that makes.

    If the ledger cannot be written, a note says so, and nothing fails.

    Args:
        runs_together: Runs that count as one look.
        pictures: The fingerprint of the test pictures.
        observe: Receives the note.

    Returns:
        The runs, with their number of looks.
    """
    read = [run.digest for run in runs_together if run.test is not None]
    if not read:
        return list(runs_together)
    looks, problem = ledger.look(pictures, read)
    if problem:
        observe(Note(problem))
    return [dataclasses.replace(run, looks=looks) for run in runs_together]


def _against(
    table: Predictions, answers: Mapping[str, Any], baselines: Mapping[str, Score], train: Images, images: Images
) -> Against:
    """Compare the result with the best baseline, picture by picture."""
    best = max(baselines, key=lambda name: baselines[name].accuracy)
    answered = answers[best] != NOT_ANSWERED
    theirs, ours = answers[best] == table.labels, table.right & answered
    only_theirs, only_ours = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
    n = int(answered.sum())
    difference, interval = (only_ours - only_theirs) / n, tango(only_theirs, only_ours, n)
    sample = sample_of(best, train, images, table.split) if is_large(train, images, table.split) else 0
    return Against(best, difference, interval, n, table.split, sample)


def calibration_of(learn: Learner, table: Predictions) -> Calibration:
    """Measure how well a learner's probabilities hold on a split.

    Args:
        learn: The learner.
        table: Its predictions.

    Returns:
        The calibration.
    """
    return calibration(table.split, learn.temperature, table.probabilities, table.labels)


def _predictions(work: Work, observe: Observe) -> tuple[dict[str, Predictions], Coverage | None]:
    """Return the predictions on each split of the run, out of folds too; and how many the folds' models answer."""
    memory.give_back()
    tables, crossed = {}, None
    for split, images in work.judged_splits.items():
        if split == OUT_OF_FOLD:
            tables[split], crossed = cross_validate(work.splits, work.recipe, work.learn.state.epoch, observe)
        else:
            tables[split] = predict_split(work.learn, images, split)
    return tables, crossed


def save_judgement(folder: Path, judgement: Mapping[str, Any], tables: Mapping[str, Predictions]) -> None:
    """Write predictions and judgement, with the digests of the judged files.

    Args:
        folder: The run's folder.
        judgement: What judgement.json holds.
        tables: The predictions by split.

    Raises:
        FileError: They cannot be written.
    """
    made = {checkpoint.MODEL: checkpoint.digest((folder / checkpoint.MODEL).read_bytes())}
    if sum(map(len, tables.values())) > MANY:
        content = to_bytes(tables)
        files.write(folder / checkpoint.MANY_PREDICTIONS, content)
        made[checkpoint.MANY_PREDICTIONS] = checkpoint.digest(content)
    elif tables:
        digest = hashlib.sha256()
        with files.replacing(folder / checkpoint.PREDICTIONS) as file:
            for table in tables.values():
                for line in table.lines():
                    digest.update(line.encode())
                    file.write(line.encode())
        made[checkpoint.PREDICTIONS] = digest.hexdigest()
    folders.save_judgement(folder, {**judgement, "files": made})
    for name in set(checkpoint.TABLES) - set(made) if tables else ():  # of an earlier judgement, of more or fewer
        files.remove(folder / name)


def save_plots(folder: Path, run: Run, table: Any, images: Any, observe: Observe) -> None:
    """Draw the run's figures into its folder: curves, weights, results, mistakes, confusion; say which cannot be drawn.

    Args:
        folder: The run's folder.
        run: The run.
        table: The predictions that the figures show.
        images: Their pictures.
        observe: Receives a note on what is not drawn.

    Raises:
        FileError: They cannot be written.
    """
    from ..show import drawing, figures

    drawn = {
        "curves": run.learn.recorder.plot_metrics(),
        "results": figures.results(
            images.pixels[:16] / 255, table.labels[:16].tolist(), table.probabilities[:16], table.classes
        ),
        "mistakes": figures.worst_mistakes(images.pixels, table.labels, table.probabilities, table.classes),
        "confusion": figures.confusion(table.labels, table.predicted, table.classes),
    }
    if run.recipe.features != "none":
        observe(Note("weights.png is not drawn: the weights are for features, which are no pictures."))
    elif run.recipe.model in ("linear", "relu"):
        weight = next(tensor.cpu().numpy() for tensor in run.learn.model.state_dict().values() if tensor.ndim == 2)
        drawn["weights"] = (
            figures.weights(weight, images.shape, table.classes)
            if run.recipe.model == "linear"
            else figures.hidden_weights(weight, images.shape)
        )
    else:
        a_model = run.recipe.model if is_own(run.recipe.model) else f"a {run.recipe.model}"
        observe(Note(f"weights.png is not drawn: {a_model} has no weight for each pixel."))
    for name, figure in drawn.items():
        drawing.save(figure, folder / f"{name}.png")
