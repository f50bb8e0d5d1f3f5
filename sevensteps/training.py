"""One run, from where it stands to its end: trained, saved as it goes, and judged. `train` and `resume` share it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from . import checkpoint, files, memory, model_file, runs, saving
from .abstention import Abstention
from .auditing import at_hand
from .checkpoint import Checkpoint
from .cross_validation import cross_validate, out_of_fold_answers
from .data.balance import imbalance_of
from .data.folds import whole
from .data.images import Images, Splits
from .errors import TrainingError
from .fitting import learn_from_validation
from .judge import ledger
from .judge.abstain import foreign_pictures, home_coverage, left_out
from .judge.baselines import baseline_answers, baseline_scores
from .judge.calibration import calibration
from .judge.comparison import tango
from .judge.doctor import Doctor
from .judge.predictions import Predictions, predict_split
from .judge.scores import score_of
from .learner import Learner
from .recipe import Recipe
from .records import (
    OUT_OF_FOLD,
    Against,
    AuditResult,
    Baselines,
    Batch,
    Calibration,
    Coverage,
    Epoch,
    Finding,
    Imbalance,
    LeftOut,
    Note,
    Opening,
    Ready,
    Score,
)
from .words import FEW, few_as_json

Event = Opening | Baselines | Ready | Note | Batch | Epoch | Finding
Observe = Callable[[Event], None]

# Half a minute of work is what a power cut may cost; five seconds of it are for the batch and the save under way.
SECONDS_BETWEEN_SAVES = 25.0
SHARE_FOR_SAVING = 0.01


@dataclass
class Work:
    """A run under way: where it is written, what it is made of, and how long each part of it took."""

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

    @property
    def judged_splits(self) -> dict[str, Images]:
        """The pictures that the run is judged on, by split; the first is what counts."""
        test = self.splits.test if self.recipe.test else None
        # Folds are no part of the model that `until` asks for again.
        folds = whole(self.splits) if self.recipe.folds > 1 and self.until is None else None
        named = {"test": test, OUT_OF_FOLD: folds, "valid": self.splits.valid}
        return {name: images for name, images in named.items() if images is not None}

    @property
    def about_model(self) -> dict[str, Any]:
        """What the model's file says beside its tensors."""
        return saving.about(self.learn)


@dataclass(frozen=True)
class Run:
    """A finished (or interrupted) run: its scores, how it went, and the learner itself."""

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

    @property
    def score(self) -> Score | None:
        """The one that counts: on test pictures, else out of folds, else on validation pictures."""
        return self.test or self.cross_validation or self.valid

    @property
    def fewest(self) -> int | None:
        """Pictures to train on of the class that has the fewest of them, where these are few."""
        images = getattr(self.learn.dls.train, "images", None)
        counts = [count for count in images.counts.values() if count] if isinstance(images, Images) else []
        return min(counts) if counts and min(counts) < FEW else None

    def as_json(self) -> dict[str, Any]:
        """The keys that `train --json` promises."""
        return {
            "run": str(self.folder) if self.folder else None,
            "recipe": self.recipe.name,
            **self.judgement(),
            "seconds": dict(self.seconds),
            "test_looks": self.looks,
            "audit": self.audit and self.audit.in_numbers(),
        }

    def judgement(self) -> dict[str, Any]:
        """How the run did: what is saved with it, and is the same for the same run."""
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
            "few_pictures": few_as_json(self.fewest),
            "audit": self.audit and {"duplicates": len(self.audit.duplicates), "leaks": len(self.audit.leaks)},
            "epochs": self.epochs,
            "kept_epoch": self.kept_epoch,
            "stopped_because": self.stopped_because,
            "gradient": self.gradient,
            "model": {"name": self.recipe.model, "parameters": self.learn.parameter_count},
            "findings": [finding.as_json() for finding in self.findings],
            "validated_on_test": self.recipe.validate_on == "test",
        }


def to_the_end(work: Work, observe: Observe) -> Run:
    """Train until the recipe's stop rule gives a reason or a signal comes, save, and judge.

    Raises:
        FileError: the folder cannot be written any more; the last save is still there.
        TrainingError: the loss became infinite or not a number; the history is saved before.
    """
    learn, state = work.learn, work.learn.state
    _open(work, observe)
    with timed(work.seconds, "judge"):
        answers, baselines = _baselines(work)
    memory.give_back()
    observe(Baselines(baselines))
    done = state.stopped is not None  # a finished run is judged again and nothing else
    observe(Ready(learn.xray(), work.recipe.epochs, learn.batches_per_epoch or 0, state.batch, done))
    broken_off = 0
    with learn.interrupts_between_batches(signal.SIGTERM) as interrupted:
        if not done:
            _train(work, observe, interrupted)
        if work.folder and not _is_finite(learn):
            runs.save_history(work.folder, state.history)
            findings = [finding.as_json() for finding in work.doctor.findings]
            ended = {"test": None, "valid": None, "stopped_because": state.stopped, "findings": findings}
            runs.save_judgement(work.folder, ended)  # nothing to judge, and why
        _check_finite(work)
        if state.stopped and not done:
            try:
                with timed(work.seconds, "judge"):
                    learn_from_validation(learn, work.splits, work.recipe)
            except KeyboardInterrupt as interrupt:  # the run is not at its end: going on with it does this again
                state.stopped, broken_off = None, next(iter(interrupt.args), int(signal.SIGINT))
        if work.folder:
            if not done:
                save(work)
            checkpoint.rebuild(work.folder, snapshot(work))
        number = interrupted() or broken_off
    if state.best:
        learn.model.load_state_dict(state.best)
    tables: dict[str, Predictions] = {}
    crossed: Coverage | None = None
    with timed(work.seconds, "judge"):
        try:
            if not number:
                tables, crossed = _predictions(work, observe)
        except KeyboardInterrupt as interrupt:  # training is done and saved; judging can be done again
            number = next(iter(interrupt.args), int(signal.SIGINT))
    run = _run(work, tables, answers, baselines, crossed, number)
    if work.folder:
        save_judgement(work.folder, run.judgement(), tables)
        if work.plots and tables:
            split, images = next(iter(work.judged_splits.items()))
            save_plots(work.folder, run, tables[split], images)
    return run


def judged(work: Work, more: Mapping[str, Images], observe: Observe) -> Run:
    """A run that was saved, judged as it stands: on the splits of its recipe and on `more`. Nothing is trained."""
    if best := work.learn.state.best:
        work.learn.model.load_state_dict(best)
    tables, crossed = _predictions(work, observe)
    tables |= {split: predict_split(work.learn, images, split) for split, images in more.items() if split not in tables}
    return _run(work, tables, *_baselines(work), crossed)


def _baselines(work: Work) -> tuple[Mapping[str, Any], dict[str, Score]]:
    """What each baseline answers for the pictures that count, and how many of these it has right."""
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
    """The run as it stands, from what its model and the baselines say of its pictures; without tables, not judged."""
    learn, state = work.learn, work.learn.state
    split, images = next(iter(work.judged_splits.items()), ("", None))
    table = tables.get(split)
    coverage = crossed if split == OUT_OF_FOLD else None
    if table is not None and images is not None and learn.abstention:
        coverage = coverage or home_coverage(learn.abstention, images, table.probabilities, split)
        coverage = dataclasses.replace(coverage, foreign=_foreign(learn, learn.abstention, images, work.recipe.seed))
    return Run(
        work.folder,
        work.recipe,
        learn,
        score_of(tables["test"]) if "test" in tables else None,
        score_of(tables["valid"]) if "valid" in tables else None,
        baselines,
        state.epoch,
        state.best_epoch or state.epoch,
        {name: round(value, 4) for name, value in work.seconds.items()},
        state.stopped or f"it was interrupted {place(learn)}",
        learn.gradient,
        tuple(work.doctor.findings),
        _against(table, answers, baselines) if table is not None else None,
        tables,
        checkpoint.digest(model_file.to_bytes(saving.model_arrays(learn), work.about_model)),
        interrupted,
        calibration=calibration_of(learn, table) if table is not None else None,
        coverage=coverage,
        imbalance=imbalance_of(work.splits.train.counts),
        cross_validation=score_of(tables[OUT_OF_FOLD], work.recipe.folds) if OUT_OF_FOLD in tables else None,
        audit=at_hand(work.splits),
    )


def _check_finite(work: Work) -> None:
    """Raise if training led to infinity, with what the doctor says to do about it.

    Raises:
        TrainingError: the loss became infinite or not a number.
    """
    try:
        work.learn.check_finite()
    except TrainingError as error:
        if diverged := work.doctor.open.get("diverging"):
            error.hint = diverged.fix
        raise


def _foreign(learn: Learner, abstention: Abstention, images: Images, seed: int) -> tuple[LeftOut, ...]:
    """What becomes of pictures that are none of the classes."""
    return tuple(
        left_out(abstention, made, predict_split(learn, made, name).probabilities, name)
        for name, made in foreign_pictures(images, seed).items()
    )


def count_look(runs_together: Sequence[Run], pictures: str, observe: Observe) -> list[Run]:
    """Write a look of these runs' models, together, at test pictures into the ledger; the runs know how many it makes.

    Where the ledger cannot be written that is said, and fails nothing.
    """
    read = [run.digest for run in runs_together if run.test is not None]
    if not read:
        return list(runs_together)
    looks, problem = ledger.look(pictures, read)
    if problem:
        observe(Note(problem))
    return [dataclasses.replace(run, looks=looks) for run in runs_together]


def _against(table: Predictions, answers: Mapping[str, Any], baselines: Mapping[str, Score]) -> Against:
    """The result against the best baseline, picture by picture."""
    best = max(baselines, key=lambda name: baselines[name].accuracy)
    theirs, ours = answers[best] == table.labels, table.right
    only_theirs, only_ours = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
    n = len(table.labels)
    return Against(best, (only_ours - only_theirs) / n, tango(only_theirs, only_ours, n), n, table.split)


def calibration_of(learn: Learner, table: Predictions) -> Calibration:
    """How well a learner's probabilities hold on a split."""
    return calibration(table.split, learn.temperature, table.probabilities, table.labels)


def snapshot(work: Work) -> Checkpoint:
    """The run as it stands, as its checkpoint holds it.

    Raises:
        ModelError: there are numbers that are not finite.
    """
    state = work.learn.state
    recorded = {**work.recorded, "stopped_at": state.batch}
    abstention = work.learn.abstention
    return Checkpoint(
        {**saving.finite_arrays(state.tensors()), **(abstention.arrays() if abstention else {})},
        state.facts(),
        work.recipe.to_toml(recorded),
        work.about_model,
        [finding.as_json() for finding in work.doctor.findings],
    )


def place(learn: Learner) -> str:
    """How far training is, in words."""
    epoch, position = learn.state.epoch, learn.state.position
    if position:
        return f"in epoch {epoch + 1}, after batch {position}"
    return f"after epoch {epoch}" if epoch else "before its first batch"


@contextlib.contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds that the block takes to `seconds[name]`."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began


def _open(work: Work, observe: Observe) -> None:
    recipe, splits = work.recipe, work.splits
    named = {name: images for name, images in vars(splits).items() if isinstance(images, Images)}
    counts, origins = ({name: getattr(images, of) for name, images in named.items()} for of in ("counts", "origin"))
    source = splits.source or recipe.source  # the recipe's may be a long path
    imbalance = imbalance_of(splits.train.counts)
    observe(Opening(source, recipe.name, counts, origins, splits.train.shape, recipe.epochs, imbalance))


def _train(work: Work, observe: Observe, interrupted: Callable[[], int]) -> None:
    """Steps 2 to 7, seen by all observers and saved as it goes, until the end or a signal."""
    learn = work.learn
    with timed(work.seconds, "train"), contextlib.closing(learn):
        try:
            if (learn.state.epoch, learn.state.position) == work.until:
                return
            for event in learn.stream():
                observe(event)
                learn.recorder.observe(event)
                if isinstance(event, Epoch) and work.recipe.keep == "best":
                    learn.state.keep_if_best()
                for finding in work.doctor.observe(event):
                    observe(finding)
                if interrupted() or (learn.state.epoch, learn.state.position) == work.until:
                    return
                if work.folder and _is_due(work, event):
                    save(work)
        except KeyboardInterrupt:  # while the validation pictures were looked at
            if not interrupted():
                raise


def _is_due(work: Work, event: Batch | Epoch) -> bool:
    """Whether the run is to be saved after this event."""
    every, unit = work.recipe.saves_every()
    state = work.learn.state
    if unit == "epochs":
        return isinstance(event, Epoch) and state.epoch % every == 0
    if unit == "batches":
        return isinstance(event, Batch) and state.batch % every == 0
    pause = every if unit == "seconds" else max(SECONDS_BETWEEN_SAVES, work.save_took / SHARE_FOR_SAVING)
    return time.monotonic() - work.saved_at >= pause


def save(work: Work) -> None:
    """Write the checkpoint; one with numbers that are not finite is left out, since the next batch ends the run."""
    assert work.folder is not None
    began = time.monotonic()
    state = work.learn.state
    if _is_finite(work.learn):
        checkpoint.save(work.folder, snapshot(work))
        runs.save_timings(work.folder, state.history, state.batch, state.seconds)
    work.saved_at = time.monotonic()
    work.save_took = work.saved_at - began


def _is_finite(learn: Learner) -> bool:
    """Whether the last loss and every number of the state is one that training can go on from."""
    loss = learn.state.last_loss
    tensors = [t for name, t in learn.state.tensors().items() if not name.startswith("history.")]
    return (loss is None or bool(torch.isfinite(loss))) and all(bool(torch.isfinite(t).all()) for t in tensors)


def _predictions(work: Work, observe: Observe) -> tuple[dict[str, Predictions], Coverage | None]:
    """What the model says of each split that it is judged on, models like it of each fold, and what these answer."""
    memory.give_back()
    tables, crossed = {}, None
    for split, images in work.judged_splits.items():
        if split == OUT_OF_FOLD:
            tables[split], crossed = cross_validate(work.splits, work.recipe, work.learn.state.epoch, observe)
        else:
            tables[split] = predict_split(work.learn, images, split)
    return tables, crossed


def save_judgement(folder: Path, judgement: Mapping[str, Any], tables: Mapping[str, Predictions]) -> None:
    """Write predictions and judgement, with the digests of what was judged.

    Raises:
        FileError: they cannot be written.
    """
    made = {checkpoint.MODEL: checkpoint.digest((folder / checkpoint.MODEL).read_bytes())}
    if tables:
        digest = hashlib.sha256()
        with files.replacing(folder / checkpoint.PREDICTIONS) as file:
            for table in tables.values():
                for line in table.lines():
                    digest.update(line.encode())
                    file.write(line.encode())
        made[checkpoint.PREDICTIONS] = digest.hexdigest()
    runs.save_judgement(folder, {**judgement, "files": made})


def save_plots(folder: Path, run: Run, table: Any, images: Any) -> None:
    """Draw the run's figures into its folder: curves, weights, results, mistakes, confusion.

    Raises:
        FileError: they cannot be written.
    """
    from .show import drawing, figures

    drawn = {
        "curves": run.learn.recorder.plot_metrics(),
        "results": figures.results(
            images.pixels[:16] / 255, table.labels[:16].tolist(), table.probabilities[:16], table.classes
        ),
        "mistakes": figures.worst_mistakes(images.pixels, table.labels, table.probabilities, table.classes),
        "confusion": figures.confusion(table.labels, table.predicted, table.classes),
    }
    if run.recipe.model == "linear":
        weight = next(tensor.numpy() for tensor in run.learn.model.state_dict().values() if tensor.ndim == 2)
        drawn["weights"] = figures.weights(weight, images.shape, table.classes)
    for name, figure in drawn.items():
        drawing.save(figure, folder / f"{name}.png")


def finding_from(saved: Mapping[str, Any]) -> Finding:
    """The finding that a checkpoint holds.

    Raises:
        TypeError: it holds something else.
    """
    return Finding(**{known.name: saved.get(known.name) for known in dataclasses.fields(Finding)})  # type: ignore[arg-type]
