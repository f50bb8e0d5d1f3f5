"""One run of the Studio: the batch in hand, station by station; its past; its folder; its end."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..base import files
from ..errors import UsageError
from ..learner.arguments import checked_rate
from ..recipes.rate_changes import rate_changes_text
from ..recipes.recipe import Recipe
from ..records.events import Batch, Epoch, Observe
from ..runs import checkpoint
from ..runs import folder as folders
from ..runs.judged import baselines_of, count_look, judged
from ..runs.run import Run, Work, is_finite
from ..runs.training import is_due, judge_end, save, settle_end, snapshot
from ..steps.stop import code_of
from .hand import Hand
from .session import Curve
from .timeline import Timeline, put_back

INITIALIZE, PREDICT, STEP, REPEAT, STOP = 1, 2, 5, 6, 7  # stations


class UnderWay:
    """A run that is looked at and trained, batch by batch. It belongs to the trainer's thread.

    Args:
        work: The run, at its beginning or where it was saved.
        chosen: Its recipe before it was settled.
        base: The recipe that ships which it is closest to.
        parent: The run that it comes from.
        story: The story that it tells.
        timeline: Its past; one that begins here unless given.
        curve: The losses of its past; none unless given.
        saves: Whether it gets a folder.
    """

    def __init__(
        self,
        work: Work,
        chosen: Recipe,
        *,
        base: str = "plain",
        parent: str = "",
        story: str = "",
        timeline: Timeline | None = None,
        curve: Curve | None = None,
        saves: bool = True,
    ) -> None:
        self.work, self.chosen, self.base, self.parent, self.story = work, chosen, base, parent, story
        self.before: Recipe | None = None  # the recipe of the run that was open before a story
        self.saves = saves
        self.judged: Run | None = None
        self.epochs_shown, self.is_in_folder = -1, False  # what the page was told last
        self.station = PREDICT if work.learn.state.batch else INITIALIZE
        self._timeline = timeline or Timeline(work)
        self.curve = curve or Curve()
        self.curve.cut(work.learn.state.batch)  # a learner may have been trained before
        self._judged_at = -1
        self._half_made: Path | None = None  # a folder on a disk that was full: it is taken again
        self._stack = contextlib.ExitStack()  # what is left when the run is: its threads, the lock of its folder
        self._stream: Iterator[Batch | Epoch] | None = None
        self._per_epoch = work.learn.batches_per_epoch  # which the loader is asked for once: a batch takes 0.2 ms
        self._is_saved = True
        self._has_end = self.is_over  # whether the folder holds a run at its end
        self._hand = Hand(work, self._timeline.start)

    def enter(self, stack: contextlib.ExitStack | None = None) -> None:
        """Compute with the threads of the recipe until the run is left.

        Args:
            stack: What is left with it.
        """
        if stack is not None:
            self._stack.push(stack)
        self._stack.enter_context(self.work.recipe.computing())

    def leave(self) -> None:
        """Save what is not saved, and let the folder go, unless it was deleted or the run's numbers are not finite.

        Raises:
            FileError: It cannot be written; the last save is still there, and the run stays open.
        """
        self.work.learn.close()
        self._stream, folder = None, self.work.folder
        if folder is not None and folder.is_dir() and not self._is_saved and is_finite(self.work.learn):
            save(self.work)
            checkpoint.rebuild(folder, snapshot(self.work))
            self._is_saved = True
        self._stack.close()

    @property
    def is_over(self) -> bool:
        """Whether training has come to its end."""
        return self.work.learn.state.stopped is not None

    @property
    def is_verdict_fresh(self) -> bool:
        """Whether the run was judged as it stands."""
        return self.judged is not None and self._judged_at == self.work.learn.state.batch

    @property
    def lasting(self) -> Recipe:
        """Its recipe before it was settled, with the copy of its corrections that stays in its folder."""
        if not self.chosen.fix or self.work.folder is None:
            return self.chosen
        return self.chosen.replace(fix=str(self.work.folder / folders.CORRECTIONS))

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The changes of the learning rate: after how many batches, and to what."""
        return self.work.learn.state.changes

    def step(self) -> None:
        """Walk to the next station; to leave station 5 is to train the batch in hand.

        Raises:
            SevenstepsError: The folder cannot be written.
        """
        if self.station == STEP:
            self._hand.look()
            self._train()
            self.station = REPEAT
        elif self.station == STOP:
            self.station = PREDICT
            self._hand.look()
        else:
            self.station += 1

    def batch(self, *, look: bool) -> None:
        """Complete the batch in hand, or the next one where that is done.

        Args:
            look: Whether to look at it before.

        Raises:
            SevenstepsError: The folder cannot be written.
        """
        if look:
            self._hand.look()
        self._train()
        self.station = STOP

    @property
    def is_seen(self) -> bool:
        """Whether the batch at which training stands was looked at before it was trained."""
        return self.station < REPEAT or self._hand.number == self.work.learn.state.batch - 1

    def comes_to_rest(self, epoch: int | None) -> bool:
        """Return whether training rests after the next batch: it is the last one of an epoch, or of the run.

        Args:
            epoch: The number of epochs that are to be done; None for all.
        """
        learn, state = self.work.learn, self.work.learn.state
        is_last = state.batch - state.fit_batch + 1 == learn.total_batches
        return is_last or (state.epoch + 1 == epoch and state.position + 1 == self._per_epoch)

    def in_hand(self) -> dict[str, Any]:
        """Return the batch in hand as the page shows it: the one that was trained last, or the one that comes next."""
        self._look_if_empty()
        return self._hand.shown(self._per_epoch)

    def chain(self, number: int) -> dict[str, Any]:
        """Return one picture of the batch in hand from its pixels to its loss.

        Args:
            number: The picture, from 1.

        Raises:
            UsageError: There is no such picture.
        """
        self._look_if_empty()
        return self._hand.chain(number)

    def _look_if_empty(self) -> None:
        """Look at the next batch, unless the one in hand is that, or was trained last and is still looked at."""
        is_last = self.station >= REPEAT and self._hand.number == self.work.learn.state.batch - 1
        if not is_last:
            self._hand.look()

    def _train(self) -> None:
        """Train the next batch, and the end of the epoch with it; keep, look and save as is due."""
        work, state = self.work, self.work.learn.state
        self._make_folder()
        self._take_back_end()
        if self._stream is None:
            self._stream = work.learn.stream()
        is_trained = False
        while (event := next(self._stream, None)) is not None:
            self._is_saved = False
            work.doctor.observe(event)
            ends_epoch = state.position == self._per_epoch
            if isinstance(event, Batch):
                loss = float(event.loss)
                self.curve.put(state.batch - 1, loss)
                is_trained, goes_on = True, math.isfinite(loss)
            else:
                if work.recipe.keep == "best":
                    state.keep_if_best()
                goes_on = work.learn.stop.reason(state.progress()) is None
            if not ends_epoch:
                self._timeline.keep_if_due(work)
            if work.folder and is_due(work, event):
                save(work)
                self._is_saved = True
            if is_trained and goes_on and not ends_epoch:
                return
        self._stream = None

    def _make_folder(self) -> None:
        """Make the run's folder, once there is something to keep."""
        work = self.work
        if work.folder is not None or not self.saves:
            return
        with contextlib.ExitStack() as stack:
            making = folders.new_folder(work.recipe, self._half_made, force=self._half_made is not None)
            folder = self._half_made = stack.enter_context(making)
            folders.save_corrections(folder, work.splits.corrected)
            folders.save_recipe(folder, work.recipe, work.recorded)
            work.folder, work.saved_at = folder, time.monotonic()
            self._stack.push(stack.pop_all())

    def _take_back_end(self) -> None:
        """Remove what is of a run at its end from the folder of one that goes on from an earlier batch."""
        if self._has_end and self.work.folder is not None:
            for name in checkpoint.JUDGED:
                files.remove(self.work.folder / name)
            self._has_end = False
            save(self.work)

    def back(self, to: int | None) -> None:
        """Go back in time, exactly; batches whose moment was not kept are computed again.

        Args:
            to: The number of batches that are done then; None for the start of the batch in hand, or the one before.

        Raises:
            UsageError: So many batches are not done.
        """
        state = self.work.learn.state
        if to is None:
            if PREDICT < self.station <= STEP:
                self.station = PREDICT
                return
            if self.station == PREDICT and state.batch == 0:
                self.station = INITIALIZE
                return
            to = max(state.batch - 1, 0)
        first = self._timeline.first
        to = max(to, first) if to in (0, state.batch - 1) else to
        if not first <= to <= state.batch:
            raise UsageError(f"There is no batch {to:,} to go back to.", hint=f"{state.batch:,} batches are done.")
        self._go_to(to)
        self.station = PREDICT if to else INITIALIZE
        self._hand.forget(scale=not to)

    def _go_to(self, to: int) -> None:
        """Make the run what it was when so many batches were done."""
        work = self.work
        self._plan_changes({at: lr for at, lr in work.learn.rate_changes.items() if at <= to})
        moment = self._timeline.before(to)
        put_back(work, moment)
        self._stream = None
        self._timeline.cut(to)
        self.curve.cut(moment.batch)
        while work.learn.state.batch < to:
            self._again()
        if (lr := work.learn.rate_changes.get(to)) is not None:
            work.learn.set(lr=lr)
        self._is_saved = False
        self._judged_at = -1  # as many batches may be done again with other numbers

    def _again(self) -> None:
        """Train one batch again that was trained before; nothing is saved."""
        work, state = self.work, self.work.learn.state
        if self._stream is None:
            self._stream = work.learn.stream()
        event = next(self._stream, None)
        while event is not None:
            if isinstance(event, Batch):
                self.curve.put(state.batch - 1, float(event.loss))
            elif work.recipe.keep == "best":
                state.keep_if_best()
            work.doctor.observe(event)
            if state.position != self._per_epoch:
                return
            event = next(self._stream, None)

    def set_rate(self, lr: float) -> None:
        """Change the learning rate from the next batch on; before the first, it is the recipe's.

        Args:
            lr: The rate.

        Raises:
            UsageError: It is not a number of 0 or more.
            FileError: The recipe cannot be written; the rate stays as it is.
        """
        work, state = self.work, self.work.learn.state
        if state.batch == 0:
            work.learn.lr = lr
            work.recipe = work.recipe.replace(lr=lr)
            self.chosen = self.chosen.replace(lr=lr)
            self._timeline = Timeline(work)
        else:
            lr = checked_rate(lr)
            self._plan_changes({**work.learn.rate_changes, state.batch: lr})
            work.learn.set(lr=lr)
            self._is_saved = False
        if self.station < REPEAT:
            self._hand.forget()

    def _plan_changes(self, changes: dict[int, float]) -> None:
        """Let the recipe replay these changes of the learning rate, and no others; first of all on the disk."""
        work, text = self.work, rate_changes_text(changes)
        if text != work.recipe.lr_changes:
            recipe = work.recipe.replace(lr_changes=text)
            if work.folder is not None:
                folders.save_recipe(work.folder, recipe, work.recorded)
            work.recipe, self.chosen = recipe, self.chosen.replace(lr_changes=text)
        work.learn.rate_changes = changes

    def end(self, observe: Observe) -> None:
        """Judge the run that has come to its end, and write what belongs into its folder.

        Args:
            observe: Receives what there is to say.

        Raises:
            TrainingError: The loss became infinite or not a number.
        """
        work = self.work
        settle_end(work, observe)
        self._is_saved = self._has_end = True
        run = judge_end(work, baselines_of(work), observe)
        self._judged(run, observe)

    def judge(self, observe: Observe) -> None:
        """Judge the run as it stands, with its last parameters.

        Args:
            observe: Receives what there is to say.
        """
        if self.is_over:
            if not self.is_verdict_fresh:
                self.end(observe)
            return
        work, model = self.work, self.work.learn.model
        was_training = model.training
        now = {name: value.clone() for name, value in model.state_dict().items()}
        best, work.learn.state.best = work.learn.state.best, {}
        try:
            self._judged(judged(work, {}, observe), observe)
        finally:
            work.learn.state.best = best
            model.load_state_dict(now)
            model.train(was_training)

    def _judged(self, run: Run, observe: Observe) -> None:
        """Take up a judged run, and count the look at its test pictures."""
        self.take_judged(count_look([run], self.work.recorded["data"].get("test", ""), observe)[0])

    def take_judged(self, run: Run) -> None:
        """Take up what a judged run says of the model as it stands.

        Args:
            run: The judged run.
        """
        self.judged, self._judged_at = run, self.work.learn.state.batch

    def live(self) -> dict[str, Any]:
        """Return the weights that can be drawn, as they are now."""
        return self._hand.live()

    def place(self) -> dict[str, Any]:
        """Return where training stands."""
        work, learn, state = self.work, self.work.learn, self.work.learn.state
        factor = learn.schedule(state.batch - state.fit_batch, learn.total_batches) if not self.is_over else 0.0
        stopped = None if state.stopped is None else {"code": code_of(state.stopped), "words": str(state.stopped)}
        return {
            "station": self.station,
            "epoch": state.epoch + 1,
            "position": state.position,
            "batch": state.batch,
            "per_epoch": self._per_epoch,
            "total": learn.total_batches,
            "epochs": work.recipe.epochs,
            "lr": state.lr,
            "lr_now": state.lr * factor,
            "loss": self.curve.at(state.batch - 1),
            "stopped": stopped,
        }
