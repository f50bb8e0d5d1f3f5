"""Send the events of a training to a tracker. A tracker that fails is left out with a warning; training goes on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

from ..errors import ModelError, UsageError
from ..records.events import Event, Judged, Note, Observe
from . import mlflow, tensorboard

End = Literal["finished", "failed", "interrupted"]


class Tracker(Protocol):
    """An observer that is closed at the end."""

    def observe(self, event: Event) -> None:
        """Take up what matters of an event."""

    def close(self, end: End) -> None:
        """Write what is not written yet.

        Args:
            end: How the training ended.
        """


# Each file has `load`, which imports the tracker's package, and a class `Tracker`.
TRACKERS: dict[str, Any] = {"tensorboard": tensorboard, "mlflow": mlflow}


def check_tracker(name: str, is_saved: bool) -> None:
    """Raise if a tracker that a recipe names cannot be used.

    Args:
        name: The tracker; "none" for none.
        is_saved: Whether the run has a folder.

    Raises:
        UsageError: The run is not saved.
        ModelError: The tracker's package is not installed.
    """
    if name == "none":
        return
    if not is_saved:
        raise UsageError(
            f"track = {name} needs a saved run: the tracker's files are written in its folder, or beside it.",
            hint="ss.train(..., save=True)",
        )
    try:
        TRACKERS[name].load()
    except ImportError as error:
        raise ModelError(
            f"track = {name} needs the package {name} ({error}).", hint=f"pip install 'sevensteps[{name}]'"
        ) from error


@contextlib.contextmanager
def tracked(name: str, folder: Path | None, observe: Observe, *, resumed: bool = False) -> Iterator[Observe]:
    """Yield an observer that also sends what it receives to a tracker.

    Args:
        name: The tracker; "none" for none.
        folder: The run's folder.
        observe: The observer of the training; it is told once if the tracker fails.
        resumed: Whether the run goes on: then it goes on in the tracker, too.

    Yields:
        The observer.
    """
    if name == "none" or folder is None:
        yield observe
        return
    tracker: Tracker | None = None
    is_judged = False

    def fail(error: Exception) -> None:
        nonlocal tracker
        failed, tracker = tracker, None
        if failed is not None:  # so that its threads and files end, too
            with contextlib.suppress(Exception):
                failed.close("failed")
        words = _without_passwords(" ".join(str(error).split()))
        observe(Note(f"! {name} failed; training continues without it: {type(error).__name__}: {words:.200}"))

    def observe_both(event: Event) -> None:
        nonlocal is_judged
        is_judged = is_judged or isinstance(event, Judged)
        observe(event)
        if tracker is not None:
            try:
                tracker.observe(event)
            except Exception as error:  # whatever a tracker raises
                fail(error)

    def close(end: End) -> None:
        nonlocal tracker
        last, tracker = tracker, None
        if last is not None:
            try:
                last.close(end)
            except Exception as error:
                fail(error)

    try:
        tracker = TRACKERS[name].Tracker(folder, resumed)
    except Exception as error:
        fail(error)
    try:
        yield observe_both
    except BaseException as error:
        close("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    close("finished" if is_judged else "interrupted")


def _without_passwords(text: str) -> str:
    """Return what a tracker says of an error without the name and the password in an address."""
    return re.sub(r"(?<=://)\S*@", "***@", text)
