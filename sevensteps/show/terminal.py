"""What a person sees in a terminal: a run as it goes, results in words, and tables. In a pipe, plain lines.

Results go to stdout; progress, findings and warnings to stderr. Escape codes and bars only where a terminal is, and
NO_COLOR is obeyed (rich does both).
"""

from __future__ import annotations

import contextlib
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..records.events import Baselines, Batch, Epoch, Finding, Note, Opening, Portion, Ready
from ..records.scores import Against, Coverage, Imbalance, Score, few_in_words
from .sentences import (
    against_in_words,
    balanced_in_words,
    coverage_in_words,
    imbalance_in_words,
    in_words,
    looks_in_words,
)

Observer = Callable[[object], None]


_LONG = 100_000_000  # bytes; what is shorter is done before a line is read


class _Console(Console):
    """A console whose reader may leave, as `| head` does: what is said from then on goes nowhere, no run is lost."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def consoles(*, quiet_stdout: bool = False) -> tuple[Console, Console]:
    """Consoles on stdout and stderr; with `quiet_stdout` (for --json) everything for a person goes to stderr."""
    options = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": True}
    error = _Console(file=sys.stderr, **options)  # type: ignore[arg-type]
    return (error if quiet_stdout else _Console(file=sys.stdout, **options)), error  # type: ignore[arg-type]


def printable(text: str) -> str:
    """The text with its control characters spelled out: class names and file names are other people's words.

    A terminal would obey them: move its cursor, change its title, or turn the line around.

    >>> printable("Dress\\x1b[2J")
    'Dress\\\\x1b[2J'
    """
    return "".join(c.encode("unicode_escape").decode() if _is_obeyed(c) else c for c in text)


def _is_obeyed(character: str) -> bool:
    """Whether it is a control, a format or a separator of lines; Persian and emoji need the two joiners."""
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in "\u200c\u200d"


@contextlib.contextmanager
def training(out: Console, error: Console) -> Iterator[Observer]:
    """An observer of a run that shows it: data, baseline, the seven steps of the first batch, then the epoch table."""
    view = _Training(out, error)
    try:
        yield view.observe
    finally:
        view.end()


@contextlib.contextmanager
def working(error: Console) -> Iterator[Observer]:
    """An observer of something that goes through many bytes: a bar with the time left, in a pipe a line a tenth."""
    bar = Progress(
        BarColumn(None), DownloadColumn(), TimeRemainingColumn(compact=True), TextColumn("left"), console=error,
        transient=True,
    )  # fmt: skip
    tenths, task = 0, bar.add_task("", total=None)

    def observe(event: object) -> None:
        nonlocal tenths
        match event:
            case Note():
                error.print(Text(printable(event.line), style="dim"))
            case Portion() if error.is_terminal:
                bar.update(task, completed=event.done, total=event.total)
            case Portion() if event.total >= _LONG and event.done * 10 // event.total > tenths:
                tenths = event.done * 10 // event.total
                error.print(f"{10 * tenths:3d} % of {event.total / 1e6:,.0f} MB")

    with bar if error.is_terminal else contextlib.nullcontext():
        yield observe


class _Training:
    """The state of that view: the bar, and how wide the table's columns are."""

    def __init__(self, out: Console, error: Console) -> None:
        self.out, self.error = out, error
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.header = False
        self.epochs = 0

    def observe(self, event: object) -> None:
        match event:
            case Batch():
                if self.bar is not None:
                    self.bar.update(self.task, advance=1, epoch=event.epoch)
            case Epoch():
                self._epoch(event)
            case Opening():
                self._opening(event)
            case Baselines():
                for place, (name, score) in enumerate(event.scores.items()):
                    self.out.print(_pair("" if place else "baseline", f"{name}: {in_words(score)}"))
            case Ready():
                self._ready(event)
            case Finding():
                print_finding(self.error, event)
            case Note():
                self.error.print(Text(printable(event.line), style="dim"))

    def end(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _opening(self, event: Opening) -> None:
        channels, height, width = event.shape
        classes = list(event.counts["train"])
        kind = {1: "grey", 3: "color"}.get(channels, f"{channels}-channel")
        shown = ", ".join(classes) if len(classes) <= 10 else f"{', '.join(classes[:10])} and {len(classes) - 10} more"
        self.out.print(_pair("data", f"{event.source}: {width}x{height} {kind} pictures of {shown}"))
        sizes = [f"{sum(counts.values()):,} {_PURPOSE[split]}" for split, counts in event.counts.items()]
        if event.origins.get("test") == "train":
            sizes[list(event.counts).index("test")] += " (taken from the training pictures)"
        self.out.print(_pair("", ", ".join(sizes)))
        if event.imbalance is not None:
            self.out.print(_pair("", imbalance_in_words(event.imbalance)))
        self.out.print(_pair("recipe", event.recipe))
        self.epochs = event.epochs

    def _ready(self, event: Ready) -> None:
        if event.stopped:
            self.out.print()
            return
        self.out.print()
        which = "first batch" if not event.batches_done else "batch that would come next"
        self.out.print(Text(f"The seven steps of the {which}", style="bold"))
        for step in event.xray.steps:
            line = Text(f"{step.number} {step.name:<11}", style="cyan")
            self.out.print(line.append(printable(step.line), style="default"))
        self.out.print()
        if self.error.is_terminal:
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

    def _epoch(self, event: Epoch) -> None:
        columns = [("train_loss", _figure(event.train_loss))]
        columns += [] if event.valid_loss is None else [("valid_loss", _figure(event.valid_loss))]
        columns += [(name, _figure(value)) for name, value in event.metrics.items()]
        columns += [("time", f"{event.seconds:.2f} s")]
        if not self.header:
            self.header = True
            titles = "".join(f"{name:>12}" for name, _ in columns)
            self.error.print(Text(f"{'epoch':>5}{titles}", style="bold"))
        self.error.print(f"{event.number:>5}" + "".join(f"{value:>12}" for _, value in columns))


def _figure(value: float) -> str:
    """Four decimals, as long as they leave room between the columns."""
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.4g}"


_PURPOSE = {"train": "to train on", "valid": "held out for validation", "test": "to test on"}


def print_result(
    out: Console,
    *,
    score: Score | None,
    stopped_because: str,
    kept: str,
    findings: Sequence[Finding],
    validated_on_test: bool,
    baselines: Mapping[str, Score],
    against: Against | None,
    looks: int | None,
    coverage: Coverage | None,
    fewest: int | None,
    imbalance: Imbalance | None,
    balance: str,
    audit: str | None,
) -> None:
    """The end of a run: why it stopped, the figure with its interval, and the baselines to hold it against."""
    out.print(_pair("stopped", f"because {stopped_because}{kept}"))
    if score is not None:
        out.print(_pair("accuracy", in_words(score), style="bold green"))
    if score is not None and imbalance is not None:
        out.print(_pair("balanced", balanced_in_words(score, imbalance, baselines)))
        out.print(_pair("", _BALANCES[balance], style="dim"))
    if against is not None:
        out.print(_pair("", against_in_words(against)))
    if coverage is not None:
        out.print(_pair("", coverage_in_words(coverage), style="dim"))
    if looks is not None:
        out.print(_pair("", looks_in_words(looks), style="dim"))
    if audit is not None:
        out.print(_pair("audit", audit, style="dim"))
    if fewest is not None:
        out.print(_pair("few pictures", few_in_words(fewest), style="dim"))
    for finding in findings:
        passed = "" if finding.recovered_at is None else f" It recovered at epoch {finding.recovered_at}."
        out.print(_pair("warning", finding.message + passed, style="yellow"))
        if finding.recovered_at is None:
            out.print(_pair("", finding.fix))
    if validated_on_test:
        out.print(_pair("note", "the test pictures were looked at after every epoch, so this is no untouched test"))


_BALANCES = {
    "none": "--balance loss makes small classes count as much as large ones; so does --balance sampling",
    "loss": "the loss was weighted: probabilities are as if each class came equally often",
    "sampling": "classes were drawn alike: probabilities are as if each class came equally often",
}


def print_finding(out: Console, finding: Finding) -> None:
    """What is wrong, and what to do."""
    out.print(Text(printable(f"! {finding.message}"), style="yellow"))
    out.print(Text(printable(f"  {finding.fix}"), style="dim"))


def print_next(out: Console, folder: str | None, commands: Sequence[str]) -> None:
    """Where everything is, and what to type next."""
    if folder is not None:
        out.print(_pair("saved", folder))
    for place, command in enumerate(commands):
        out.print(_pair("" if place else "next", command, style="cyan"))


def print_table(out: Console, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns; numbers to the right."""
    titles, rows = [*map(printable, titles)], [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for place, row in enumerate([titles, *rows]):
        cells = [
            cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        out.print(Text("  ".join(cells).rstrip(), style="default" if place else "bold"))


def _pair(name: str, value: str, style: str = "default") -> Text:
    style = style if "bold" in style else f"not bold {style}"
    return Text(f"{name:<13}", style="bold").append(printable(value), style=style)


def _notes_to(show: Callable[[str], None]) -> Callable[[object], None]:
    """An observer that shows notes and nothing else."""
    from ..records.events import Note

    def observe(event: object) -> None:
        if isinstance(event, Note):
            show(printable(event.line))

    return observe
