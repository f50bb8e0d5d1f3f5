"""`sevensteps lesson`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .flags import Common
from .printed_json import print_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ..records.lesson import Lesson


def lesson(*, ask: bool = False, html: Path | None = None, common: Common = Common()) -> int:
    """Show the seven steps one at a time, on seven screens, with the numbers of a real training.

    Each step comes twice: first with four pixels, so that you can check the sums, then with real pictures. Enter or the
    right arrow goes on, the left arrow goes back, q quits. Without a terminal, all screens are printed.

    Parameters
    ----------
    ask
        Ask a question before each answer.
    html
        Write the lesson into this HTML file instead, as slides with large type. It needs no network.
    """
    from ..jobs.lesson import lesson as lesson_job
    from ..jobs.lesson import refuse_other_names, write_page
    from ..show import terminal
    from .keys import can_read_keys

    console, error = terminal.consoles(quiet_stdout=common.json)
    if html is not None:
        refuse_other_names(html)
    if can_read_keys() or html is not None:
        error.print("A model learns from 12,000 pictures, for a few seconds …")
    made = lesson_job()
    if html is not None:
        write_page(made, html, ask=ask)
    if common.json:
        print_json(made.as_json() | ({"html": str(html)} if html is not None else {}))
    elif html is not None:
        console.print(terminal.printable(str(html)))
    elif can_read_keys():
        _show(console, made, ask)
    else:
        from ..show.lesson import print_lesson

        print_lesson(console, made, ask=ask)
    return 0


def _show(out: Console, made: Lesson, ask: bool) -> None:
    """Show one screen at a time, until the last is left or q is pressed."""
    from ..show.lesson import question_lines, screen_lines
    from .keys import next_key, whole_screen

    screens: list[list[Text]] = []
    for screen in made.screens:
        screens += [question_lines(out, screen, keys=True)] if ask else []
        screens.append(screen_lines(out, screen, keys=True))
    place = 0
    with whole_screen():
        while place < len(screens):
            out.file.write("\x1b[H\x1b[2J")
            for at, line in enumerate(screens[place]):
                out.print(line, end="\n" if at + 1 < len(screens[place]) else "")
            out.file.flush()
            match next_key():
                case "on":
                    place += 1
                case "back":
                    place = max(place - 1, 0)
                case _:
                    return
