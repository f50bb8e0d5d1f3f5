"""Train one run from where it stands to its end, save it on the way, and judge it: for `train` and `resume`."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..base import memory
from ..base.interrupts import signal_of
from ..base.words import with_names
from ..data.balance import imbalance_of
from ..data.images import Images
from ..errors import TrainingError
from ..learner import saving
from ..records.events import Baselines, Batch, Epoch, Judged, Note, Observe, Opening, Ready
from ..records.scores import Coverage, Score
from ..steps.stop import code_of
from ..trust.predictions import Predictions
from . import checkpoint
from . import folder as folders
from .checkpoint import Checkpoint
from .fine_tuning import compared
from .judged import _predictions, _run, baselines_of, save_judgement, save_plots
from .run import Run, Work, is_finite
from .together import led
from .validation import learn_from_validation

# Half a minute of work is what a power cut may cost; five seconds of it are for the batch and the save under way.
SECONDS_BETWEEN_SAVES = 25.0


SHARE_FOR_SAVING = 0.01


def to_the_end(work: Work, observe: Observe) -> Run:
    """Train until a stop rule of the recipe holds or a signal comes; save, and judge.

    Args:
        work: The run.
        observe: Receives every event.

    Returns:
        The run as it ended.

    Raises:
        FileError: The folder cannot be written any more; the last save is still there.
        TrainingError: The loss became infinite or not a number; the history is saved first.
    """
    learn, state = work.learn, work.learn.state
    _open(work, observe)
    with timed(work.seconds, "judge"):
        baselines = baselines_of(work)
    memory.give_back()
    observe(Baselines(baselines[1]))
    done = state.stopped is not None  # a finished run is judged again and nothing else
    observe(Ready(learn.xray(), work.recipe.epochs, learn.batches_per_epoch or 0, state.batch, done, state.epoch))
    if not done and not state.best_epoch:  # a probe that was kept before there were more epochs
        state.forget_best()
    with learn.interrupts_between_batches(signal.SIGTERM) as interrupted:
        if not done:
            _train(work, observe, interrupted)
        broken_off = settle_end(work, observe, was_done=done)
        number = interrupted() or broken_off
    return judge_end(work, baselines, observe, number)


def settle_end(work: Work, observe: Observe, *, was_done: bool = False) -> int:
    """Learn what the validation pictures decide if training is at its end, and save the run as it stands.

    Args:
        work: The run, whose training was left or is at its end.
        observe: Receives notes.
        was_done: Whether training was at its end before, so that nothing is learned or saved anew.

    Returns:
        The signal that broke this off; 0 for none.

    Raises:
        FileError: The folder cannot be written any more; the last save is still there.
        TrainingError: The loss became infinite or not a number; the history is saved first.
    """
    learn, state = work.learn, work.learn.state
    broken_off = 0
    if work.folder and not is_finite(learn):
        folders.save_history(work.folder, state.history)
        findings = [finding.as_json() for finding in work.doctor.findings]
        why = {"stopped_because": state.stopped, "stopped_code": code_of(state.stopped)}
        folders.save_judgement(work.folder, {"test": None, "valid": None, **why, "findings": findings})
    _check_finite(work)
    if state.stopped and not was_done:
        try:
            with timed(work.seconds, "judge"):
                work.fine_tuning = learn_from_validation(learn, work.splits, work.recipe)
            if work.fine_tuning is not None:
                observe(Note(work.fine_tuning.in_words))
        except KeyboardInterrupt as interrupted_then:  # the run is not at its end: going on with it does this again
            state.stopped, broken_off = None, signal_of(interrupted_then)
    if was_done:
        work.fine_tuning = compared(learn, work.splits, work.recipe)
    if work.folder:
        if not was_done:
            save(work)
        checkpoint.rebuild(work.folder, snapshot(work))
    return broken_off


def judge_end(
    work: Work, baselines: tuple[Mapping[str, Any], dict[str, Score]], observe: Observe, number: int = 0
) -> Run:
    """Judge a run whose end is settled, and write the judgement; an interrupted run is only recorded.

    Args:
        work: The run.
        baselines: What each baseline answers, and its score.
        observe: Receives every event.
        number: The signal that interrupted training; 0 for none.

    Returns:
        The run as it ended.

    Raises:
        FileError: The folder cannot be written any more.
    """
    learn, state = work.learn, work.learn.state
    if state.best:
        learn.model.load_state_dict(state.best)
    tables: dict[str, Predictions] = {}
    crossed: Coverage | None = None
    with timed(work.seconds, "judge"):
        try:
            if not number:
                tables, crossed = _predictions(work, observe)
        except KeyboardInterrupt as interrupted_then:  # training is done and saved; judging can be done again
            number = signal_of(interrupted_then)
    run = _run(work, tables, *baselines, crossed, number)
    if not number:
        observe(Judged(tuple(score for score in (run.test, run.cross_validation, run.valid) if score is not None)))
    if work.folder:
        save_judgement(work.folder, run.judgement(), tables)
        if work.plots and tables:
            split, images = next(iter(work.judged_splits.items()))
            save_plots(work.folder, run, tables[split], images, observe)
    return run


def _check_finite(work: Work) -> None:
    """Raise if training led to infinity, with what the doctor says to do about it.

    Raises:
        TrainingError: the loss became infinite or not a number.
    """
    try:
        work.learn.check_finite()
    except TrainingError as error:
        if diverged := work.doctor.open.get("diverging"):
            error.hint = with_names(diverged.fix, {"run": work.folder, "source": work.recipe.source})
        raise


def snapshot(work: Work) -> Checkpoint:
    """Return the run as it stands, as its checkpoint holds it.

    Args:
        work: The run.

    Returns:
        The checkpoint.

    Raises:
        ModelError: There are numbers that are not finite.
    """
    state = work.learn.state
    kept = {"kept": work.fine_tuning.in_words} if work.fine_tuning else {}
    recorded = {**work.recorded, "stopped_at": state.batch, **kept}
    abstention = work.learn.abstention
    return Checkpoint(
        {**saving.finite_arrays(state.tensors()), **(abstention.arrays() if abstention else {})},
        state.facts(),
        work.recipe.to_toml(recorded),
        work.about_model,
        [finding.as_json() for finding in work.doctor.findings],
    )


@contextlib.contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds that the block takes to `seconds[name]`.

    Args:
        seconds: The seconds so far, by name.
        name: The part of the work.
    """
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
    observe(
        Opening(
            source=source,
            recipe=recipe.name,
            counts=counts,
            origins=origins,
            shape=splits.train.shape,
            epochs=recipe.epochs,
            imbalance=imbalance,
            settings=vars(recipe),
            bad_files=len(splits.bad_files),
            corrected=splits.corrected.in_words if splits.corrected else "",
            is_of_files=bool(splits.train.names),
            test_is_corrected=_test_is_corrected(work),
        )
    )


def _test_is_corrected(work: Work) -> bool:
    """Return whether corrections have changed pictures that the result is measured on."""
    splits = work.splits
    tested = splits.train if work.recipe.folds > 1 or splits.test is None else splits.test
    return splits.corrected is not None and any(one.split == tested.origin for one in splits.corrected.changes)


def _train(work: Work, observe: Observe, interrupted: Callable[[], int]) -> None:
    """Run steps 2 to 7 with every observer, saving on the way, until the end or a signal."""
    learn = work.learn
    if (learn.state.epoch, learn.state.position) == work.until:
        return
    shared = led(learn, work.folder, lambda: snapshot(work).to_bytes())
    with timed(work.seconds, "train"), contextlib.closing(learn), shared:
        try:
            for event in learn.stream():
                observe(event)
                learn.recorder.observe(event)
                if isinstance(event, Epoch) and work.recipe.keep == "best":
                    learn.state.keep_if_best()
                for finding in work.doctor.observe(event):
                    names = {"run": work.folder, "source": work.recipe.source}
                    observe(dataclasses.replace(finding, fix=with_names(finding.fix, names)))
                if interrupted() or (learn.state.epoch, learn.state.position) == work.until:
                    return
                if work.folder and is_due(work, event):
                    save(work)
        except KeyboardInterrupt:  # while the validation pictures were looked at
            if not interrupted():
                raise


def is_due(work: Work, event: Batch | Epoch) -> bool:
    """Return whether to save the run after this event.

    Args:
        work: The run.
        event: The event.
    """
    every, unit = work.recipe.saves_every()
    state = work.learn.state
    if unit == "epochs":
        return isinstance(event, Epoch) and state.epoch % every == 0
    if unit == "batches":
        return isinstance(event, Batch) and state.batch % every == 0
    pause = every if unit == "seconds" else max(SECONDS_BETWEEN_SAVES, work.save_took / SHARE_FOR_SAVING)
    return time.monotonic() - work.saved_at >= pause


def save(work: Work) -> None:
    """Write the checkpoint, unless it holds numbers that are not finite: then the next batch ends the run.

    Args:
        work: The run, which has a folder.

    Raises:
        FileError: It cannot be written.
    """
    assert work.folder is not None
    began = time.monotonic()
    state = work.learn.state
    if is_finite(work.learn):
        checkpoint.save(work.folder, snapshot(work))
        folders.save_timings(work.folder, state.history, state.batch, state.seconds)
    work.saved_at = time.monotonic()
    work.save_took = work.saved_at - began
