"""What the page is told of the run that is open: where it stands, its epochs, its doctor, its verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SevenstepsError, UsageError
from .session import EMPTY, Session

if TYPE_CHECKING:
    from ..data.images import Splits
    from .under_way import UnderWay


class Telling:
    """Holds the run that is open, and tells the page of it. It belongs to the trainer's thread.

    Args:
        session: Receives the sections.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.run: UnderWay | None = None
        self.notes: list[str] = []
        self.speed: dict[str, Any] = {"value": 6.0, "unit": "batches"}
        self._phase = "empty"  # "" where the run itself says it
        self._error: dict[str, str] | None = None
        self._shown = 0.0  # when the page was last told

    @property
    def is_running(self) -> bool:
        """Whether training goes on by itself."""
        return False

    @property
    def work(self) -> Any:
        """The run's `Work`; None before there is one."""
        return self.run and self.run.work

    @property
    def splits(self) -> Splits | None:
        """The pictures as the run holds them out."""
        return self.run.work.splits if self.run else None

    @property
    def judged(self) -> Any:
        """The judged run, a `Run`; None where it was not judged."""
        return self.run and self.run.judged

    def need_run(self) -> UnderWay:
        """Return the run that is open.

        Raises:
            UsageError: There is none.
        """
        if self.run is None:
            raise UsageError("No pictures are open yet.", hint="Choose pictures first.")
        return self.run

    def say_failed(self, error: SevenstepsError) -> None:
        """Say why nothing goes on.

        Args:
            error: Why.
        """
        self._error = {"message": error.message, "hint": error.hint}
        self.show(whole=True)

    def _say(self, event: Any) -> None:
        """Keep what is said while something long is done."""
        line = getattr(event, "line", None)
        if isinstance(line, str):
            self.notes = [*self.notes, line][-40:]
            self.session.put("notes", self.notes)

    def show(self, *, whole: bool = False) -> None:
        """Tell the page where training stands.

        Args:
            whole: Whether also to tell what seldom changes.
        """
        from .described import doctor_section, epochs_section, run_section, verdict_section

        self._shown = time.perf_counter()
        put, run = self.session.put, self.run
        place = self._place()
        if run is None:
            put("place", place)
            return
        self.session.curve_changed()
        put("live", run.live())
        if whole or run.epochs_shown != len(run.work.learn.state.history):
            run.epochs_shown = len(run.work.learn.state.history)
            put("epochs", epochs_section(run.work))
            put("doctor", doctor_section(run.work))
        if whole or run.is_in_folder != (run.work.folder is not None):
            run.is_in_folder = run.work.folder is not None
            status = "judging" if self._phase == "judging" else "fresh" if run.is_verdict_fresh else "stale"
            last = {int(change["at_batch"]): change["lr"] for change in run.changes}  # of several, the one that applied
            put("marks", [{"batch": batch, "lr": lr} for batch, lr in last.items()])
            put("run", run_section(run.work, run.chosen, run.base, run.parent, run.story, is_saved=run.saves))
            put("verdict", verdict_section(run.judged, status))
        put("place", place)  # last: who sees that a run is done sees its verdict, too

    def show_runs(self) -> None:
        """Tell the page which runs there are."""
        from .described import runs_section

        self.session.put("runs", runs_section())

    def _place(self) -> Mapping[str, Any]:
        """Return where training stands."""
        place = {} if self.run is None else self.run.place(self.session.curve)
        phase = self._phase
        if not phase:
            over = self.run is not None and self.run.is_over
            phase = "failed" if self._error else "done" if over else "running" if self.is_running else "paused"
        return {**EMPTY["place"], **place, "phase": phase, "speed": self.speed, "error": self._error}
