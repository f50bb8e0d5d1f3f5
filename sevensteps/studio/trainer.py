"""The trainer of the Studio: one thread that holds the pictures and the run, and does what the page asks, in order.

It trains by `learn.stream()`; to pause is not to call `next()`. What it is asked comes between two batches.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import SevenstepsError, UsageError
from ..runs import folder as folders
from .line import Line, internal
from .session import FRAME, Session
from .telling import Telling

if TYPE_CHECKING:
    from ..data.images import Splits
    from ..recipes.recipe import Recipe
    from .under_way import UnderWay

T = TypeVar("T")

LOOKED_AT = 10.0  # batches a second up to which each one is looked at before it is trained


class Trainer(Telling):
    """Does the work of one session on a thread of its own.

    Args:
        session: Receives the sections.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.raw: Splits | None = None  # the pictures as their source has them
        self.raw_key: Any = None  # what they were opened with
        self.is_own = False  # whether the pictures were given on the page
        self._goal: Callable[[UnderWay], bool] | None = None  # while it runs: whether to pause now
        self._until: int | None = None  # while it runs: the epochs that are to be done; None for all
        self._due = 0.0  # when the next batch or step may begin
        self._line = Line("studio-trainer", self._wait, lambda: self._guarded(self._advance), self._save)

    @property
    def is_running(self) -> bool:
        """Whether training goes on by itself."""
        return self._goal is not None

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
        return None if self._goal is None else max(self._due - time.perf_counter(), 0.0)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do something whose failure nobody is told of but the page."""
        try:
            act()
        except Exception as error:
            self._goal, self._phase = None, "" if self.run else "empty"
            found = error if isinstance(error, SevenstepsError) else internal(error)
            self._error = {"message": found.message, "hint": found.hint}
            with contextlib.suppress(Exception):  # of telling, which may be what failed
                self.show(whole=True)

    def _advance(self) -> None:
        """Do the next batch or step of a training that runs."""
        assert self.run is not None
        assert self._goal is not None
        began = time.perf_counter()
        value, unit = self.speed["value"], self.speed["unit"]
        try:
            if value and unit == "steps":
                self.run.step()
            else:
                self.run.batch(look=0 < value <= LOOKED_AT or self.run.comes_to_rest(self._until))
            if self.run.is_over or self._goal(self.run):
                self._goal = None
        except SevenstepsError as error:
            self.say_failed(error)
        self._due = max(self._due, began - 1) + 1 / value if value else 0.0
        if self._goal is None:
            self._end_if_over()
        elif began - self._shown >= FRAME and self.session.is_watched:
            self.show()

    def say_failed(self, error: SevenstepsError) -> None:
        """Stop, and say why.

        Args:
            error: Why.
        """
        self._goal = None
        super().say_failed(error)

    def _end_if_over(self) -> None:
        """Judge a run that has come to its end; show where it stands."""
        run = self.run
        if run is None or not run.is_over or run.is_verdict_fresh or self._error is not None:
            self.show(whole=True)
            return
        self._phase = "judging"
        self.show(whole=True)
        try:
            run.end(self._say)
        except SevenstepsError as error:
            self._error = {"message": error.message, "hint": error.hint}
        finally:
            self._phase = ""
            self.show(whole=True)
            self.show_runs()

    # What the page asks for, on this thread.

    def open_offered(self, source: str) -> None:
        """Open pictures that the page offers; a page cannot name a path.

        Args:
            source: Their name.

        Raises:
            UsageError: They are not offered.
        """
        if source not in [offer["source"] for offer in self.session.section("studio")["offers"]]:
            raise UsageError(f"{source!r:.80} is not offered here.", hint="Drop the pictures on the page.")
        self.open_source(source)

    def open_listed(self, name: str) -> None:
        """Open a run that the page lists; a page cannot name a path.

        Args:
            name: Its name under runs/.

        Raises:
            UsageError: It is not listed.
        """
        if name not in [run["name"] for run in self.session.section("runs")]:
            raise UsageError(f"There is no run {name!r:.80} under runs/.", hint="Choose one from the list.")
        self.open_run(str(folders.ROOT / name))

    def open_source(self, source: str, recipe: Recipe | None = None, *, is_own: bool = False) -> None:
        """Open pictures, and begin a run with them that has done nothing yet.

        Args:
            source: A name or path, as for `train`.
            recipe: The recipe; the plain one, or what suits large pictures, unless given.
            is_own: Whether the pictures were given on the page.

        Raises:
            SevenstepsError: They cannot be used.
        """
        from .beginning import first_recipe

        was_own = self.is_own
        with self._opening():
            self.is_own = is_own
            try:
                self.begin(recipe or first_recipe(source))
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
            run = reopened(name, self._say)
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
        self, recipe: Recipe, *, parent: str = "", story: str = "", source: Splits | None = None, base: str = "plain"
    ) -> None:
        """Begin a new run; the one before is saved and stays in its folder.

        Args:
            recipe: Its recipe, not settled yet.
            parent: The run that it comes from.
            story: The story that it tells.
            source: The pictures as their source has them, where they are open already.
            base: The recipe that ships which it is closest to.

        Raises:
            SevenstepsError: It cannot begin; the run before stays open.
        """
        from .beginning import begun, raw_key

        key = raw_key(recipe)
        known = source if source is not None else self.raw if key == self.raw_key else None
        run, raw = begun(recipe, known, self._say, parent=parent, story=story, base=base)
        self.take(run)
        self.raw, self.raw_key = raw, key

    def _begun(self) -> None:
        """Show a run that has just been opened."""
        from ..runs.recorded import tested_on
        from .described import data_section
        from .edits import Edits, edits_of, section_of

        assert self.run is not None
        self._goal, self._error, self._phase = None, None, ""
        self.session.curve.cut(0)
        self.run.curve_into(self.session.curve)
        work = self.run.work
        self.session.put("data", data_section(work.splits, work.recipe, self.notes, is_own=self.is_own))
        edits = Edits()
        if work.folder is not None:
            with contextlib.suppress(SevenstepsError):  # a damaged file: Repair says so
                edits = edits_of(work.folder)
        self.session.put("edits", section_of(edits, tested_on(work.splits, work.recipe)))
        self.show(whole=True)
        self.show_runs()

    @contextlib.contextmanager
    def _opening(self) -> Any:
        """Show that pictures are being opened; if that fails, everything is as it was."""
        before, self._phase = self._phase, "opening"
        self._goal, self.notes = None, []
        self.session.put("notes", [])
        self.show(whole=False)
        try:
            yield
        finally:
            self._phase = before if self._phase == "opening" else self._phase
            if self.run is not None:
                self._phase = ""
            self.show(whole=True)

    def _leave(self) -> None:
        """Save the run that is open, and close it."""
        self._goal = None
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
        if run.is_over:
            raise UsageError("This run has ended.", hint="Go back in time, rewind, or begin a new run.")
        self._error = None
        if how == "run":
            self._goal, self._until, self._due = (lambda run: False), None, 0.0
        elif how == "epoch":
            self._until = target = run.work.learn.state.epoch + 1
            self._goal, self._due = (lambda run: run.work.learn.state.epoch >= target), 0.0
        else:
            self._goal = None
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
        self.show(whole=True)

    def pause(self) -> None:
        """Stop between two batches; where the last one was not looked at, after one more that is."""
        if self._goal is not None and self.run is not None and not self.run.is_seen:
            self.walk("batch")
            return
        self._goal = None
        self.show(whole=True)

    def back(self, to: int | None) -> None:
        """Go back in time.

        Args:
            to: The number of batches that are done then; None for one thing back.

        Raises:
            UsageError: There is no such batch.
        """
        run = self.need_run()
        self._goal = self._error = None
        run.back(to, self.session.curve)
        self.show(whole=True)

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
        self.show()

    def set_rate(self, lr: float) -> None:
        """Change the learning rate from the next batch on.

        Args:
            lr: The rate.

        Raises:
            UsageError: It is not a number of 0 or more.
        """
        self.need_run().set_rate(lr)
        self.show(whole=True)

    def judge(self) -> None:
        """Judge the run as it stands.

        Raises:
            SevenstepsError: It cannot be judged.
        """
        run = self.need_run()
        self._goal, before = None, self._phase
        self._phase = "judging"
        self.show(whole=True)
        try:
            run.judge(self._say)
        finally:
            self._phase = before
            self.show(whole=True)
            self.show_runs()
