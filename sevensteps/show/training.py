"""A run as it goes, in a terminal: what the pictures are, the seven steps in words, and the epoch table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.text import Text

from ..base.words import counted, pictures
from ..records.events import Baselines, Batch, Epoch, Finding, Note, Opening, Ready
from .findings import print_finding
from .sentences import imbalance_in_words, in_words
from .seven_steps import steps_in_words
from .terminal import Observer, pair, paragraph, printable

MOST_ROWS = 20  # of the table: of more epochs every tenth is shown, or every hundredth, and the first and the last


MOST_CLASSES = 3  # that are named in a line


@contextlib.contextmanager
def training(out: Console, error: Console, *, numbers: bool = False) -> Iterator[Observer]:
    """Yield an observer that shows a run: in words, or with all its numbers."""
    view = _Numbers(out, error) if numbers else _Words(out, error)
    try:
        yield view.observe
    finally:
        view.end()


class _Words:
    """The view for a beginner, and what both views share: the bar, and the table's columns and rows."""

    def __init__(self, out: Console, error: Console) -> None:
        self.out, self.error = out, error
        # On a terminal rows must go through the console of the bar, which stays below them; else a file gets them all.
        self.table = error if out.is_terminal and error.is_terminal else out
        self.bar: Progress | None = None
        self.status: Status | None = None
        self.task = TaskID(0)
        self.has_header = False
        self.step = 1  # of the epochs that are shown
        self.waiting: Epoch | None = None  # the last one, as long as it is not shown
        self.epochs = 0
        self.opening: Opening | None = None

    def observe(self, event: object) -> None:
        match event:
            case Batch():
                if self.bar is not None:
                    self.bar.update(self.task, advance=1, epoch=event.epoch)
            case Epoch():
                self._epoch(event)
            case Opening():
                self._quiet()
                self.opening = event
                self._opening(event)
            case Ready():
                self._quiet()
                self._ready(event)
            case Note():
                self._note(event)
            case Baselines():
                self._quiet()
                self._baselines(event)
            case Finding():
                self._finding(event)

    def end(self) -> None:
        self._quiet()
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
        if self.waiting is not None:
            self._row(self.waiting)
            self.waiting = None
        if self.has_header and self.table.is_terminal:
            self.table.print()

    def _quiet(self) -> None:
        """Take the passing line away, so that it leaves nothing between the lines that stay."""
        if self.status is not None:
            self.status.stop()
            self.status = None

    def _note(self, event: Note) -> None:
        if not event.detail:
            self._quiet()
            paragraph(self.error, "note", event.line)
        elif self.error.is_terminal and self.bar is None:
            line = Text(printable(event.line).strip())
            line.truncate(max(self.error.width - 4, 20), overflow="ellipsis")
            if self.status is None:
                self.status = self.error.status(line)
                self.status.start()
            self.status.update(line)

    def _finding(self, event: Finding) -> None:
        """Say nothing yet: what still holds at the end is said there."""

    def _baselines(self, event: Baselines) -> None:
        """Say nothing: the best one is in the result."""

    def _opening(self, event: Opening) -> None:
        counts, folds = event.counts, int(event.settings.get("folds") or 1)
        learning = (
            [of_split for split, of_split in counts.items() if split != "test"] if folds > 1 else [counts["train"]]
        )
        learned = sum(sum(of_split.values()) for of_split in learning)
        channels, height, width = event.shape
        classes = list(counts["train"])
        kinds = " or ".join([", ".join(classes[:-1]), classes[-1]] if len(classes) > 1 else classes)
        which = f": {kinds}" if len(classes) <= MOST_CLASSES else f", in {len(classes)} classes"
        is_featured = event.settings.get("features", "none") != "none"
        of = "features of the original files" if is_featured and event.is_of_files else f"{width}x{height}"
        paragraph(self.out, "data", f"{learned:,} {_kind(channels)} pictures, {of}{which}")
        if event.bad_files:
            paragraph(self.out, "", f"{counted(event.bad_files, 'file')} left out, named in recipe.toml: not readable")
        if event.corrected:
            test = "; the test uses the new labels: do not compare this accuracy with one from before"
            paragraph(self.out, "", f"corrected: {event.corrected}{test * event.test_is_corrected}")
        if folds > 1:
            also = (
                "; the saved model is tested on the test pictures"
                if counts.get("test") and event.settings.get("test", True)
                else ""
            )
            paragraph(self.out, "", f"{folds} models are trained and tested in turn (cross-validation){also}")
        elif event.origins.get("test") == "train":
            paragraph(self.out, "", f"{pictures(_sum(event, 'test'))} more are kept for the test")
        if (imbalance := event.imbalance) is not None:
            uneven = f"{imbalance.most:,} of {imbalance.largest}, {imbalance.fewest:,} of {imbalance.smallest}"
            paragraph(self.out, "", f"uneven: {uneven} to train on")

    def _ready(self, event: Ready) -> None:
        if event.stopped:
            return
        opening = self.opening
        assert opening is not None
        for name, line in steps_in_words(event, opening.settings, list(opening.counts["train"])):
            paragraph(self.out, name, line)
        self._start(event)

    def _start(self, event: Ready) -> None:
        """Begin the table, and the bar under it."""
        self.epochs = event.epochs
        while self._is_worded and self.epochs > MOST_ROWS * self.step:
            self.step *= 10
        if not self.error.is_terminal:
            return
        self.error.print()
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/" + str(event.epochs)),
            BarColumn(None),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.error,
            transient=True,
        )
        total, done = event.epochs * event.batches_per_epoch, event.batches_done
        epoch = done // max(event.batches_per_epoch, 1) + 1
        self.task = self.bar.add_task("", total=total, completed=done, epoch=epoch)
        self.bar.start()

    @property
    def _is_worded(self) -> bool:
        return True

    def _epoch(self, event: Epoch) -> None:
        is_shown = event.number % self.step == 0 or not self.has_header or event.number == self.epochs
        self.waiting = None if is_shown else event
        if is_shown:
            self._row(event)
        if event.number == self.epochs and self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _row(self, event: Epoch) -> None:
        columns = [("train_loss", _figure(event.train_loss))]
        columns += [] if event.valid_loss is None else [("valid_loss", _figure(event.valid_loss))]
        columns += [(name, _figure(value)) for name, value in event.metrics.items()]
        columns += [("time", f"{event.seconds:.2f} s")]
        if not self.has_header:
            self.has_header = True
            titles = "".join(f"{name:>12}" for name, _ in columns)
            self.table.print(Text(f"{'epoch':>5}{titles}", style="bold"))
        self.table.print(f"{event.number:>5}" + "".join(f"{value:>12}" for _, value in columns))


class _Numbers(_Words):
    """The view with all numbers: every note, baseline, epoch and finding as it comes."""

    @property
    def _is_worded(self) -> bool:
        return False

    def _note(self, event: Note) -> None:
        self.error.print(Text(printable(event.line), style="dim"))

    def _finding(self, event: Finding) -> None:
        print_finding(self.error, event)

    def _baselines(self, event: Baselines) -> None:
        for place, (name, score) in enumerate(event.scores.items()):
            self.out.print(pair("" if place else "baseline", f"{name}: {in_words(score)}"))

    def _opening(self, event: Opening) -> None:
        channels, height, width = event.shape
        classes = list(event.counts["train"])
        shown = ", ".join(classes) if len(classes) <= 10 else f"{', '.join(classes[:10])} and {len(classes) - 10} more"
        self.out.print(pair("data", f"{event.source}: {width}x{height} {_kind(channels)} pictures of {shown}"))
        sizes = [f"{sum(counts.values()):,} {_PURPOSE[split]}" for split, counts in event.counts.items()]
        if event.origins.get("test") == "train":
            sizes[list(event.counts).index("test")] += " (taken from the training pictures)"
        self.out.print(pair("", ", ".join(sizes)))
        if event.imbalance is not None:
            self.out.print(pair("", imbalance_in_words(event.imbalance)))
        self.out.print(pair("recipe", event.recipe))

    def _ready(self, event: Ready) -> None:
        self.out.print()
        if event.stopped:
            return
        which = "first batch" if not event.batches_done else "batch that comes next"
        self.out.print(Text(f"The seven steps of the {which}", style="bold"))
        for step in event.xray.steps:
            line = Text(f"{step.number} {step.name:<11}", style="cyan")
            self.out.print(line.append(printable(step.line), style="default"))
        self.out.print()
        self._start(event)


def _sum(event: Opening, split: str) -> int:
    return sum(event.counts.get(split, {}).values())


def _kind(channels: int) -> str:
    return {1: "gray", 3: "color"}.get(channels, f"{channels}-channel")


def _figure(value: float) -> str:
    """Four decimals, as long as they leave room between the columns."""
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.4g}"


_PURPOSE = {"train": "to train on", "valid": "held out for validation", "test": "to test on"}
