"""The lesson in a terminal: each screen in at most 15 lines of 60 columns, with its picture beside the text."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ..records.lesson import COLUMNS, Lesson, Screen, Shown
from .blocks import Block, has_colors, map_block, picture_block

LINES, WIDTH = 15, 60
BESIDE = 28  # columns of a picture beside the text; it has half as many rows
GAP = 2
KEYS = "Enter: on  <-: back  q: quit"


def screen_lines(out: Console, screen: Screen, *, keys: bool = False) -> Block:
    """Return the lines of a screen.

    Args:
        out: The console, which may show colors.
        screen: The screen.
        keys: Whether the first line names the keys.
    """
    words = {"blue": "blue", "red": "red"} if has_colors(out) else {"blue": "# and +", "red": "= and -"}
    real = screen.real.format(**words)
    if len(screen.pictures) > 1:
        strip = _side_by_side([_block(out, shown, BESIDE // 2) for shown in screen.pictures], BESIDE // 2)
        captions = "".join(f"{shown.caption:<{BESIDE // 2 + GAP - 1}}" for shown in screen.pictures)
        body = [*strip, Text(captions.rstrip()), *map(Text, screen.sums), *_wrapped(out, real, WIDTH)]
    else:
        text = [*map(Text, screen.sums), Text(), *_wrapped(out, real, COLUMNS)]
        body = _side_by_side([_block(out, screen.pictures[0], BESIDE), text], BESIDE, GAP)
    return [_title(screen, keys), *body]


def question_lines(out: Console, screen: Screen, *, keys: bool = False) -> Block:
    """Return the lines of the question before a screen.

    Args:
        out: The console.
        screen: The screen that has the answer.
        keys: Whether the first line names the keys.
    """
    return [_title(screen, keys), Text(), *_wrapped(out, screen.question, WIDTH, "bold")]


def print_lesson(out: Console, lesson: Lesson, *, ask: bool) -> None:
    """Print all screens, one after the other.

    Args:
        out: The console.
        lesson: The lesson.
        ask: Whether a question comes before each screen.
    """
    for screen in lesson.screens:
        for lines in ([question_lines(out, screen)] if ask else []) + [screen_lines(out, screen)]:
            for line in lines:
                out.print(line)
            out.print()


def _title(screen: Screen, keys: bool) -> Text:
    """Return the first line of a screen."""
    title = Text(f"{screen.number} of 7  {screen.name}", style="bold")
    if keys:
        title.append(KEYS.rjust(WIDTH - len(title)), style="not bold dim")
    return title


def _wrapped(out: Console, text: str, width: int, style: str = "") -> Block:
    """Return a text in lines of a width."""
    lines = list(Text(text, style=style).wrap(out, width))
    for line in lines:
        line.rstrip()
    return lines


def _block(out: Console, shown: Shown, columns: int) -> Block:
    """Return a picture in a number of columns; without colors, each of its pixels takes two of them."""
    side = columns if has_colors(out) else columns // 2
    if shown.kind == "map":
        return map_block(out, shown.numbers, side)
    return picture_block(out, shown.numbers[None], side)


def _side_by_side(blocks: list[Block], width: int, gap: int = 1) -> Block:
    """Return blocks in columns of a width, each but the last padded to it."""
    lines = []
    for row in range(max(map(len, blocks))):
        line = Text()
        for place, block in enumerate(blocks):
            part = block[row].copy() if row < len(block) else Text()
            if place + 1 < len(blocks):
                part.pad_right(width + gap - len(part))
            line.append_text(part)
        line.rstrip()
        lines.append(line)
    return lines
