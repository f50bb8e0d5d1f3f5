"""What the pages are told of the run that is open: where it stands, its epochs, its doctor, its verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SevenstepsError
from .session import EMPTY, Session
from .wire import about

if TYPE_CHECKING:
    from .under_way import UnderWay

SELDOM = 0.5  # seconds between two looks at what changes with an epoch: small models do many epochs a second


class Teller:
    """Tells the pages what the trainer does. It belongs to the trainer's thread.

    Args:
        session: Receives the sections.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.phase = "empty"  # "" where the run itself says it
        self.error: dict[str, str] | None = None
        self.asked = 0  # how many things the pages have asked for; each place bears the count as it was then
        self._notes: list[str] = []
        self.remarks: list[str] = []  # those of the notes that nobody must miss
        self._seldom_due = 0.0  # when what seldom changes may be told again

    def failed(self, error: SevenstepsError) -> None:
        """Note why nothing goes on.

        Args:
            error: Why.
        """
        self.error = about(error)

    def say(self, event: Any) -> None:
        """Tell what is said while something long is done.

        Args:
            event: An event; those without words are left out.
        """
        line = getattr(event, "line", None)
        if isinstance(line, str):
            self._notes = [*self._notes, line][-40:]
            if not getattr(event, "detail", False):
                self.remarks = [*self.remarks, line][-40:]
            self.session.put("notes", self._notes)

    def forget_notes(self) -> None:
        """Begin to say something else."""
        self._notes, self.remarks = [], []
        self.session.put("notes", [])

    def show(self, run: UnderWay | None, *, is_running: bool, speed: Mapping[str, Any], whole: bool) -> None:
        """Tell where training stands, all at once: who sees that a run is done sees its verdict, too.

        Args:
            run: The run that is open.
            is_running: Whether training goes on by itself.
            speed: How fast it runs.
            whole: Whether also to tell what seldom changes.
        """
        from .described import doctor_section, epochs_section, run_section, verdict_section

        place = {} if run is None else run.place()
        over = run is not None and run.is_over
        phase = self.phase or ("failed" if self.error else "done" if over else "running" if is_running else "paused")
        place = {**EMPTY["place"], **place, "phase": phase, "speed": speed, "error": self.error, "asked": self.asked}
        sections: dict[str, Any] = {"place": place}
        if run is None:
            self.session.publish(sections)
            return
        sections |= {"live": run.live(), "curve": run.curve}
        now = time.monotonic()
        if whole or (run.epochs_shown != len(run.work.learn.state.history) and now >= self._seldom_due):
            run.epochs_shown, self._seldom_due = len(run.work.learn.state.history), now + SELDOM
            sections["epochs"] = epochs_section(run.work)
            sections["doctor"] = doctor_section(run.work)
        if whole or run.is_in_folder != (run.work.folder is not None):
            run.is_in_folder = run.work.folder is not None
            status = "judging" if self.phase == "judging" else "fresh" if run.is_verdict_fresh else "stale"
            last = {int(change["at_batch"]): change["lr"] for change in run.changes}  # of several, the one that applied
            sections["marks"] = [{"batch": batch, "lr": lr} for batch, lr in last.items()]
            sections["run"] = run_section(run.work, run.lasting, run.base, run.parent, run.story, is_saved=run.saves)
            sections["verdict"] = verdict_section(run.judged, status)
        self.session.publish(sections)

    def show_runs(self) -> None:
        """Tell which runs there are."""
        from .described import runs_section

        self.session.put("runs", runs_section())
