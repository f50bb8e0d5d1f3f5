"""The table that `fit` shows while it trains: lines in a terminal, one live table in a notebook."""

from __future__ import annotations

import contextlib
import html
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..records.events import Batch, Epoch, Note, Ready

PAUSE = 0.2  # seconds between two drawings: fast enough to look alive


SHARE = 20  # a drawing is followed by this many times its own duration without one: at most 5 % of the time


@contextlib.contextmanager
def epoch_table(total: int) -> Iterator[Callable[[Batch | Epoch], None]]:
    """Inside, the function given shows each event it is called with, as a table with a row an epoch.

    `total` is how many epochs are to come at most. A terminal or a pipe gets one line an epoch on stdout. A notebook
    gets one table that is updated in place, with a line below it for the batch under way.
    """
    if not in_notebook():
        yield _lines()
        return
    observe, finish = _live(total)
    try:
        yield observe
    except BaseException:
        finish(True)
        raise
    finish(False)


@contextlib.contextmanager
def live_table() -> Iterator[Callable[[object], None]]:
    """Yield an observer of a run that shows notes and epochs in a terminal or notebook, and nothing elsewhere."""
    if not (in_notebook() or (sys.stdout is not None and sys.stdout.isatty())):
        yield lambda event: None
        return
    with contextlib.ExitStack() as stack:
        table: list[Callable[[Batch | Epoch], None]] = []

        def observe(event: object) -> None:
            if isinstance(event, Ready) and not event.stopped:
                table.append(stack.enter_context(epoch_table(event.epochs)))
            elif isinstance(event, Note) and not event.detail:
                print(one_line(event.line), file=sys.stderr)
            elif isinstance(event, (Batch, Epoch)) and table:
                table[-1](event)

        yield observe


def in_notebook() -> bool:
    """Whether this is a notebook's kernel, which shows figures and tables; an IPython terminal is not."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def one_line(text: str) -> str:
    """The text without line breaks and other characters that move a cursor: names come from files and functions."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _lines() -> Callable[[Batch | Epoch], None]:
    """Prints the header before the first epoch, and a line an epoch."""
    header: list[str] = []

    def observe(event: Batch | Epoch) -> None:
        if isinstance(event, Epoch):
            if not header:
                header.extend(_header(event))
                _print(_aligned(header, header))
            _print(_aligned(header, _row(event)))

    return observe


def _live(total: int) -> tuple[Callable[[Batch | Epoch], None], Callable[[bool], None]]:
    """Keeps one output of the notebook's cell up to date; the second function draws it a last time."""
    header: list[str] = []
    rows: list[list[str]] = []
    under_way: Batch | None = None
    next_drawing = 0.0
    handle: Any = None

    def observe(event: Batch | Epoch) -> None:
        nonlocal under_way
        if isinstance(event, Epoch):
            header[:] = header or _header(event)
            rows.append(_row(event))
            under_way = None
        else:
            under_way = event
        if time.monotonic() >= next_drawing:
            draw("" if under_way is None else _progress(under_way, len(rows), total))

    def draw(line: str) -> None:
        nonlocal handle, next_drawing
        from IPython.display import display

        started = time.monotonic()
        content = {"text/html": _as_html(header, rows, line), "text/plain": _as_text(header, rows, line)}
        if handle is None:
            handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            handle.update(content, raw=True)
        done = time.monotonic()
        next_drawing = done + max(PAUSE, SHARE * (done - started))

    def finish(stopped: bool) -> None:
        if stopped and under_way is not None:
            draw(f"Stopped in {_progress(under_way, len(rows), total)}")
        elif rows:
            draw("")

    return observe, finish


def _header(event: Epoch) -> list[str]:
    valid = [] if event.valid_loss is None else ["valid_loss"]
    return ["epoch", "train_loss", *valid, *map(one_line, event.metrics), "time"]


def _row(event: Epoch) -> list[str]:
    valid = [] if event.valid_loss is None else [event.valid_loss]
    numbers = [event.train_loss, *valid, *event.metrics.values()]
    return [str(event.number), *(f"{number:.6f}" for number in numbers), _duration(event.seconds)]


def _duration(seconds: float) -> str:
    """Hundredths below a minute, where an epoch of a small model lives; fastai's notation above."""
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def _progress(batch: Batch, done: int, total: int) -> str:
    """Where training is; epochs are counted as in the table, over the learner's whole life."""
    of_batches = f" of {batch.total}" if batch.total is not None else ""
    last = batch.epoch - done - 1 + total
    return f"epoch {batch.epoch} of {last}, batch {batch.number}{of_batches}, loss {float(batch.loss):.6f}"


def _aligned(header: list[str], cells: list[str]) -> str:
    """One line of the table in plain text, with room in each column for signs and three digits before the point."""
    least = {"epoch": 5, "time": 8}
    return "  ".join(cell.rjust(max(len(name), least.get(name, 10))) for name, cell in zip(header, cells, strict=True))


def _as_text(header: list[str], rows: list[list[str]], line: str) -> str:
    table = [_aligned(header, cells) for cells in ([header, *rows] if rows else [])]
    return "\n".join([*table, *([line] if line else [])])


def _as_html(header: list[str], rows: list[list[str]], line: str) -> str:
    parts = []
    if rows:
        head = "".join(f'<th scope="col" style="text-align: right">{html.escape(name)}</th>' for name in header)
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align: right">{html.escape(cell)}</td>' for cell in row) + "</tr>"
            for row in rows
        )
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    if line:
        parts.append(f"<p>{html.escape(line)}</p>")
    return "\n".join(parts)


def _print(line: str) -> None:
    """Print, and let no name that the terminal cannot spell end the training."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding), flush=True)
