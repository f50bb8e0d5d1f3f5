"""The trainer of the Studio: one thread that holds the pictures and the run, and does what the page asks, in order.

It trains by `learn.stream()`; to pause is not to call `next()`. What it is asked comes between two batches.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import SevenstepsError, UsageError
from ..runs import folder as folders
from .line import Line, internal
from .session import Session, next_frame
from .telling import Teller

if TYPE_CHECKING:
    from ..data.images import Splits
    from ..recipes.recipe import Recipe
    from .under_way import UnderWay

T = TypeVar("T")

LOOKED_AT = 10.0  # batches a second up to which each one is looked at before it is trained


class Trainer:
    """Does the work of one session on a thread of its own.

    Args:
        session: Receives the sections.
    """

    def __init__(self, session: Session) -> None:
        self.session, self.teller = session, Teller(session)
        self.run: UnderWay | None = None
        self.speed: dict[str, Any] = {"value": 6.0, "unit": "batches"}
        self.raw: Splits | None = None  # the pictures as their source has them
        self.raw_key: Any = None  # what they were opened with
        self.is_own = False  # whether the pictures were given on the page
        self.is_running = False  # whether training goes on by itself
        self._until: int | None = None  # while it runs: the epochs that are to be done; None for all
        self._due = 0.0  # when the next batch or step may begin
        self._frame_due = 0.0  # when the pages may be told again
        self._line = Line("studio-trainer", self._wait, lambda: self._guarded(self._advance), self._save)

    def need_run(self) -> UnderWay:
        """Return the run that is open.

        Raises:
            UsageError: There is none.
        """
        if self.run is None:
            raise UsageError("No pictures are open yet.", hint="Choose pictures first.")
        return self.run

    def _show(self, *, whole: bool = True) -> None:
        """Tell the pages where training stands."""
        self.teller.show(self.run, is_running=self.is_running, speed=self.speed, whole=whole)

    def start(self, first: Callable[[Trainer], None] | None = None) -> None:
        """Start the thread.

        Args:
            first: What it does first; the page shows where that fails.
        """
        self._line.start()
        if first is not None:
            self.post(lambda trainer: trainer._guarded(lambda: first(trainer)))

    def post(self, work: Callable[[Trainer], T]) -> Future[T]:
        """Ask for something to be done between two batches.

        Args:
            work: What to do, on the trainer's thread.

        Returns:
            Its result, in time.
        """
        return self._line.post(lambda: work(self))

    def close(self) -> None:
        """Pause, save the run, and end the thread; what is still asked for is refused.

        Raises:
            SevenstepsError: The run cannot be saved as it stands; the last save is still there.
        """
        self._line.close()

    def _save(self) -> None:
        """Save the run at the end."""
        if self.run is not None:
            self.run.leave()

    def _wait(self) -> float | None:
        """Return in how many seconds the next batch or step begins; None while nothing runs."""
        return max(self._due - time.perf_counter(), 0.0) if self.is_running else None

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do something whose failure nobody is told of but the page."""
        try:
            act()
        except Exception as error:
            self.is_running, self.teller.phase = False, "" if self.run else "empty"
            self.teller.failed(error if isinstance(error, SevenstepsError) else internal(error))
            with contextlib.suppress(Exception):  # of telling, which may be what failed
                self._show()

    def _advance(self) -> None:
        """Do the next batch or step of a training that runs."""
        assert self.run is not None
        began = time.perf_counter()
        value, unit = self.speed["value"], self.speed["unit"]
        try:
            if value and unit == "steps":
                self.run.step()
            else:
                self.run.batch(look=0 < value <= LOOKED_AT or self.run.comes_to_rest(self._until))
            is_far_enough = self._until is not None and self.run.work.learn.state.epoch >= self._until
            self.is_running = not (self.run.is_over or is_far_enough)
        except SevenstepsError as error:
            self.say_failed(error)
        now = time.perf_counter()
        self._due = max(self._due, began - 1) + 1 / value if value else 0.0
        if not self.is_running:
            self._end_if_over()
        elif now >= self._frame_due and self.session.is_watched:
            self._frame_due = next_frame(self._frame_due, now)
            self._show(whole=False)

    def say_failed(self, error: SevenstepsError) -> None:
        """Stop, and say why.

        Args:
            error: Why.
        """
        self.is_running = False
        self.teller.failed(error)
        self._show()

    def _end_if_over(self) -> None:
        """Judge a run that has come to its end; show where it stands."""
        run = self.run
        if run is None or not run.is_over or run.is_verdict_fresh or self.teller.error is not None:
            self._show()
            return
        with self._judging():
            try:
                run.end(self.teller.say)
            except SevenstepsError as error:
                self.teller.failed(error)

    @contextlib.contextmanager
    def _judging(self) -> Iterator[None]:
        """Show that the run is judged; afterward, where it stands."""
        teller = self.teller
        before, teller.phase = teller.phase, "judging"
        self._show()
        try:
            yield
        finally:
            teller.phase = before
            self._show()
            teller.show_runs()

    # What the page asks for, on this thread.

    def open_source(self, source: str, *, is_own: bool = False, fix: str = "", yes: bool = False) -> None:
        """Open pictures, and begin a run with them that has done nothing yet.

        Args:
            source: A name or path, as for `train`.
            is_own: Whether the pictures were given on the page.
            fix: A corrections file, which is applied first.
            yes: Whether to apply one that changes more than a fifth of the labels.

        Raises:
            SevenstepsError: They cannot be used.
        """
        from .beginning import first_recipe

        with self._opening():
            was_own, self.is_own = self.is_own, is_own
            try:
                recipe, pictures = first_recipe(source, self.teller.say, fix)
                self.begin(recipe, source=pictures, yes=yes)
            except SevenstepsError:
                self.is_own = was_own
                raise

    def open_run(self, name: str) -> None:
        """Open a saved run where it stands.

        Args:
            name: Its folder, or its name under runs/.

        Raises:
            SevenstepsError: It cannot be used.
        """
        from .beginning import reopened

        folder, open_now = folders.find_run(name), None if self.run is None else self.run.work.folder
        if open_now is not None and folder.resolve() == open_now.resolve():
            self.pause()  # it is open
            return
        with self._opening():
            run = reopened(name, self.teller.say)
            try:
                self._leave()
            except SevenstepsError:
                run.leave()
                raise
            self.run, self.raw, self.raw_key, self.is_own = run, None, None, False
        self._begun()
        self._end_if_over()

    def take(self, run: UnderWay) -> None:
        """Take up a run that stands already, such as a learner that somebody made.

        Args:
            run: The run.
        """
        self._leave()
        self.run = run
        run.enter()
        self._begun()

    def begin(
        self,
        recipe: Recipe,
        *,
        parent: str = "",
        story: str = "",
        source: Splits | None = None,
        base: str = "plain",
        yes: bool = True,
    ) -> None:
        """Begin a new run; the one before is saved and stays in its folder.

        Args:
            recipe: Its recipe, not settled yet.
            parent: The run that it comes from.
            story: The story that it tells.
            source: The pictures as their source has them, where they are open already.
            base: The recipe that ships which it is closest to.
            yes: Whether its corrections may change more than a fifth of the labels.

        Raises:
            SevenstepsError: It cannot begin; the run before stays open.
        """
        from .beginning import begun, raw_key, refuse_unread

        key = raw_key(recipe)
        known = source if source is not None else self.raw if key == self.raw_key else None
        run, raw = begun(recipe, known, self.teller.say, parent=parent, story=story, base=base)
        if not yes:
            refuse_unread(raw, recipe)
        self.take(run)
        self.raw, self.raw_key = raw, key

    def _begun(self) -> None:
        """Show a run that has just been opened."""
        from ..runs.recorded import tested_on
        from .described import data_section
        from .edits import Edits, edits_of, section_of

        assert self.run is not None
        self.is_running, self.teller.error, self.teller.phase = False, None, ""
        work = self.run.work
        self.session.put("data", data_section(work.splits, work.recipe, self.teller.remarks, is_own=self.is_own))
        edits = Edits()
        with contextlib.suppress(SevenstepsError):  # a damaged file: Repair says so
            edits = edits_of(work.folder, self.run.chosen.fix)
        self.session.put("edits", section_of(edits, tested_on(work.splits, work.recipe)))
        self._show()
        self.teller.show_runs()

    @contextlib.contextmanager
    def _opening(self) -> Any:
        """Show that pictures are being opened; if that fails, everything is as it was."""
        teller = self.teller
        before, teller.phase = teller.phase, "opening"
        self.is_running = False
        teller.forget_notes()
        self._show(whole=False)
        try:
            yield
        finally:
            if teller.phase == "opening":
                teller.phase = "" if self.run is not None else before
            self._show()

    def _leave(self) -> None:
        """Save the run that is open, and close it."""
        self.is_running = False
        if self.run is not None:
            self.run.leave()
            self.run = None

    def walk(self, how: str) -> None:
        """Go one step, one batch or one epoch on; or run until the end.

        Args:
            how: "step", "batch", "epoch" or "run".

        Raises:
            UsageError: There is nothing to train.
            TrainingError: The loss became infinite or not a number.
        """
        run = self.need_run()
        if run.is_over and run.is_verdict_fresh:
            raise UsageError("This run has ended.", hint="Go back in time, rewind, or begin a new run.")
        self.teller.error = None
        if run.is_over:  # its end could not be saved
            self._end_if_over()
            return
        if how in ("run", "epoch"):
            self.is_running, self._due = True, 0.0
            self._until = run.work.learn.state.epoch + 1 if how == "epoch" else None
        else:
            self.is_running = False
            try:
                if how == "step":
                    run.step()
                else:
                    run.batch(look=True)
            except SevenstepsError as error:
                self.say_failed(error)
                return
            self._end_if_over()
            return
        self._show()

    def pause(self) -> None:
        """Stop between two batches; where the last one was not looked at, after one more that is."""
        if self.is_running and self.run is not None and not self.run.is_seen:
            self.walk("batch")
            return
        self.is_running = False
        self._show()

    def back(self, to: int | None) -> None:
        """Go back in time.

        Args:
            to: The number of batches that are done then; None for one thing back.

        Raises:
            UsageError: There is no such batch.
        """
        run = self.need_run()
        self.is_running, self.teller.error = False, None
        run.back(to)
        self._show()

    def set_speed(self, value: float, unit: str) -> None:
        """Change how fast a training runs.

        Args:
            value: Steps or batches a second; 0 for full speed.
            unit: "steps" or "batches".

        Raises:
            UsageError: They make no sense.
        """
        if unit not in ("steps", "batches") or not 0 <= value <= 10_000:
            raise UsageError(f"There is no speed of {value:g} {unit:.20}.", hint="Steps or batches a second; 0: full.")
        self.speed, self._due = {"value": value, "unit": unit}, 0.0
        self._show(whole=False)

    def set_rate(self, lr: float) -> None:
        """Change the learning rate from the next batch on.

        Args:
            lr: The rate.

        Raises:
            UsageError: It is not a number of 0 or more.
        """
        self.need_run().set_rate(lr)
        self._show()

    def judge(self) -> None:
        """Judge the run as it stands.

        Raises:
            SevenstepsError: It cannot be judged.
        """
        run = self.need_run()
        self.is_running = False
        with self._judging():
            run.judge(self.teller.say)
            self.teller.error = None
