"""What every view in a terminal shares: consoles, safe text, wrapped lines, tables, and a bar. In a pipe, plain lines.

Results go to stdout; progress and warnings to stderr. Escape codes and bars appear only in a terminal, and rich obeys
NO_COLOR.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..base.words import readable
from ..records.events import Note, Portion

Observer = Callable[[object], None]


_LONG = 100_000_000  # bytes; less than that is done before anyone has read a line


def consoles(*, quiet_stdout: bool = False) -> tuple[Console, Console]:
    """Return consoles on stdout and stderr; with `quiet_stdout` (for --json) both write to stderr."""
    options = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": True}
    error = Console(file=sys.stderr, **options)  # type: ignore[arg-type]
    return (error if quiet_stdout else Console(file=sys.stdout, **options)), error  # type: ignore[arg-type]


def printable(text: str) -> str:
    """Return the text with control characters, and bytes that are not UTF-8, spelled out: names may hold any.

    A terminal would obey them: move its cursor, change its title, or turn the line around.

    >>> printable("Dress\\x1b[2J")
    'Dress\\\\x1b[2J'
    """
    return "".join(c.encode("unicode_escape").decode() if _is_obeyed(c) else c for c in readable(text))


def _is_obeyed(character: str) -> bool:
    """Whether it is a control, a format or a separator of lines; Persian and emoji need the two joiners."""
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in "\u200c\u200d"


@contextlib.contextmanager
def working(error: Console) -> Iterator[Observer]:
    """Yield an observer of work on many bytes: it shows a bar with the time left; in a pipe, one line per tenth."""
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


LABEL = 13  # columns of the names on the left


def paragraph(out: Console, label: str, text: str, style: str = "default") -> None:
    """Print a text beside a label, wrapped to the width of the console, with further lines under the first."""
    lines = Text(printable(text)).wrap(out, max(out.width - LABEL, 20))
    for place, line in enumerate(lines):
        line.rstrip()
        out.print(pair("" if place else label, line.plain, style))


def sentence(out: Console, text: str, style: str = "default") -> None:
    """Print a text over the whole width of the console."""
    for line in Text(printable(text)).wrap(out, out.width):
        line.rstrip()
        out.print(Text(line.plain, style=style))


def command(out: Console, text: str) -> None:
    """Print a command to copy; one that is wider than the terminal continues after a backslash, as a shell takes it."""
    is_bounded = (out.is_terminal or "COLUMNS" in os.environ) and os.name != "nt"
    first, *words = re.findall(r"(?:'[^']*'|[^ '])+", printable(text))
    lines = [first]
    for place, word in enumerate(words, 1):
        room = out.width - 2 * (place < len(words))
        if is_bounded and len(f"{lines[-1]} {word}") > room:
            lines[-1] += " \\"
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    for line in lines:
        out.print(Text(line, style="cyan"))


def percent(share: float) -> str:
    """Return a share as people read it.

    >>> percent(0.96851)
    '96.9 %'
    """
    return f"{100 * share:.1f} %"


def print_next(out: Console, folder: str | None, commands: Sequence[str]) -> None:
    """Print where everything is, and what to type next."""
    if folder is not None:
        out.print(pair("saved", folder))
    for place, typed in enumerate(commands):
        out.print(pair("" if place else "next", typed, style="cyan"))


def print_table(out: Console, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, with numbers to the right."""
    titles, rows = [*map(printable, titles)], [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for place, row in enumerate([titles, *rows]):
        cells = [
            cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        out.print(Text("  ".join(cells).rstrip(), style="default" if place else "bold"))


def pair(name: str, value: str, style: str = "default") -> Text:
    """Return a line with a bold name on the left and a value beside it."""
    style = style if "bold" in style else f"not bold {style}"
    return Text(f"{name:<{LABEL}}", style="bold").append(printable(value), style=style)


def _notes_to(show: Callable[[str], None]) -> Callable[[object], None]:
    """Return an observer that shows notes and nothing else."""

    def observe(event: object) -> None:
        if isinstance(event, Note):
            show(printable(event.line))

    return observe
