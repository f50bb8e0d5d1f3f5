"""One run, from where it stands to its end: trained, saved as it goes, and judged. `train` and `resume` share it."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import checkpoint, files, runs, saving
from .checkpoint import Checkpoint
from .data.images import Images, Splits
from .judge.baselines import baseline_answers, baseline_scores
from .judge.doctor import Doctor
from .judge.predictions import Predictions, predict_split
from .learner import Learner
from .recipe import Recipe
from .records import Baselines, Batch, Epoch, Finding, Note, Opening, Ready, Score

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
    interrupted: int = 0  # the signal, 0 for a run that ended by itself

    def as_json(self) -> dict[str, Any]:
        """The keys that `train --json` promises."""
        return {
            "run": str(self.folder) if self.folder else None,
            "recipe": self.recipe.name,
            **self.judgement(),
            "seconds": dict(self.seconds),
        }

    def judgement(self) -> dict[str, Any]:
        """How the run did: what is saved with it, and is the same for the same run."""
        return {
            "test": self.test and self.test.as_json(),
            "valid": self.valid and self.valid.as_json(),
            "baselines": {name: score.as_json() for name, score in self.baselines.items()},
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
    learn, splits, state = work.learn, work.splits, work.learn.state
    judged_on = splits.test or splits.valid
    _open(work, observe)
    with timed(work.seconds, "judge"):
        split = "test" if splits.test else "valid"
        answers = baseline_answers(splits.train, judged_on) if judged_on else {}
        baselines = baseline_scores(answers, judged_on, split) if judged_on else {}
    observe(Baselines(baselines))
    done = state.stopped is not None  # a finished run is judged again and nothing else
    observe(Ready(learn.xray(), work.recipe.epochs, learn.batches_per_epoch or 0, state.batch, done))
    with learn.interrupts_between_batches(signal.SIGTERM) as interrupted:
        if not done:
            _train(work, observe, interrupted)
        if work.folder and not _is_finite(learn):
            runs.save_history(work.folder, state.history)
        learn.check_finite()
        if work.folder:
            if not done:
                save(work)
            checkpoint.rebuild(work.folder, snapshot(work))
        number = interrupted()
    stopped_because = state.stopped or f"it was interrupted {place(learn)}"
    kept_epoch = state.best_epoch or state.epoch
    if state.best:
        learn.model.load_state_dict(state.best)
    tables: dict[str, Predictions] = {}
    with timed(work.seconds, "judge"):
        try:
            if not number:
                tables = _predictions(work)
        except KeyboardInterrupt as interrupt:  # training is done and saved; judging can be done again
            number = next(iter(interrupt.args), int(signal.SIGINT))
    run = Run(
        work.folder,
        work.recipe,
        learn,
        tables["test"].score if "test" in tables else None,
        tables["valid"].score if "valid" in tables else None,
        baselines,
        state.epoch,
        kept_epoch,
        {name: round(value, 4) for name, value in work.seconds.items()},
        stopped_because,
        learn.gradient,
        tuple(work.doctor.findings),
        number,
    )
    if work.folder:
        _save_judgement(work, run, tables)
        if work.plots and tables:
            save_plots(work.folder, run, tables["test" if splits.test else "valid"], judged_on)
    return run


def snapshot(work: Work) -> Checkpoint:
    """The run as it stands, as its checkpoint holds it.

    Raises:
        ModelError: there are numbers that are not finite.
    """
    state = work.learn.state
    recorded = {**work.recorded, "stopped_at": state.batch}
    return Checkpoint(
        saving.finite_arrays(state.tensors()),
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
    observe(Opening(source, recipe.name, counts, origins, splits.train.shape, recipe.epochs))


def _train(work: Work, observe: Observe, interrupted: Callable[[], int]) -> None:
    """Steps 2 to 7, seen by all observers and saved as it goes, until the end or a signal."""
    learn = work.learn
    with timed(work.seconds, "train"), contextlib.closing(learn):
        try:
            for event in learn.stream():
                observe(event)
                learn.recorder.observe(event)
                if isinstance(event, Epoch) and work.recipe.keep == "best":
                    learn.state.keep_if_best()
                if finding := work.doctor.observe(event):
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
    import torch

    loss = learn.state.last_loss
    tensors = [t for name, t in learn.state.tensors().items() if not name.startswith("history.")]
    return (loss is None or bool(torch.isfinite(loss))) and all(bool(torch.isfinite(t).all()) for t in tensors)


def _predictions(work: Work) -> dict[str, Predictions]:
    """What the model says of each split that it is judged on."""
    return {
        split: predict_split(work.learn, images, split)
        for split, images in (("test", work.splits.test), ("valid", work.splits.valid))
        if images is not None
    }


def _save_judgement(work: Work, run: Run, tables: Mapping[str, Predictions]) -> None:
    """Write predictions and judgement, with the digests of what was judged."""
    assert work.folder is not None
    content = "".join(table.to_jsonl() for table in tables.values())
    made = {checkpoint.MODEL: checkpoint.digest((work.folder / checkpoint.MODEL).read_bytes())}
    if tables:
        files.write(work.folder / checkpoint.PREDICTIONS, content)
        made[checkpoint.PREDICTIONS] = checkpoint.digest(content.encode())
    runs.save_judgement(work.folder, {**run.judgement(), "files": made})


def save_plots(folder: Path, run: Run, table: Any, images: Any) -> None:
    """Draw the run's figures into its folder: curves, weights, results, mistakes, confusion.

    Raises:
        FileError: they cannot be written.
    """
    from .show import figures

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
        figures.save(figure, folder / f"{name}.png")


def finding_from(saved: Mapping[str, Any]) -> Finding:
    """The finding that a checkpoint holds.

    Raises:
        TypeError: it holds something else.
    """
    return Finding(**{known.name: saved.get(known.name) for known in dataclasses.fields(Finding)})  # type: ignore[arg-type]
