"""Charts as inline SVG with a title, a description, and the table of their numbers beside: no library, no script.

Colors are classes that the stylesheet fills, so that a chart is light or dark as its page is. A second line is dashed
and its points are square: nothing is told by color alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .html import Html, details, plain, shape, tag

WIDTH, HEIGHT = 440.0, 250.0  # so narrow that its letters can be read on a phone


LEFT, RIGHT, TOP, BOTTOM = 72.0, 26.0, 14.0, 44.0


LEGEND = 20.0  # what two lines have above them


LEAST_ACROSS = 250.0  # of the dots and their figures, beside the names


MOST_POINTS = 400  # of one line: more cannot be told apart on its width


LETTER = 7.0  # an average one's width at the size that labels have


Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """From numbers to places in the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers in the range, `most` at most."""
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * round_ for round_ in (1, 2, 2.5, 5, 10) if power * round_ >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [step * place for place in range(first, math.floor(self.high / step + 1e-9) + 1)]


def chart(
    title: str, description: str, marks: Sequence[Html], numbers: Html, *, size: tuple[float, float] = (WIDTH, HEIGHT)
) -> Html:
    """A drawing with its words and, behind `details`, its numbers."""
    name = "c" + hashlib.sha256(f"{title}|{description}".encode("utf-8", "replace")).hexdigest()[:10]
    drawing = tag(
        "svg",
        tag("title", title, id=f"{name}t"),
        tag("desc", description, id=f"{name}d"),
        marks,
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        role="img",
        aria_labelledby=f"{name}t {name}d",
    )
    return tag(
        "figure", drawing, tag("figcaption", tag("strong", title), " ", description), details("The numbers", numbers)
    )


def lines(
    title: str,
    description: str,
    series: Sequence[tuple[str, Sequence[Point]]],
    numbers: Html,
    *,
    x_name: str,
    y_name: str,
    marked: float | None = None,
) -> Html:
    """Up to two lines over a common axis; `marked` is a place on it that a line stands at. Gaps where no number is."""
    seen = [(x, y) for _, points in series for x, y in points if _can_be_drawn(y)]
    if not seen:
        return tag("p", f"{title}: there is no number to draw.")
    top = TOP + LEGEND * (len(series) > 1)
    across = _scale([x for x, _ in seen], LEFT, WIDTH - RIGHT, room=0.02, least=1.0)
    up = _scale([y for _, y in seen], HEIGHT - BOTTOM, top)
    marks = [*_grid(across, up, x_name, y_name, whole=True)]
    if marked is not None and across.low <= marked <= across.high:
        marks.append(_line(across(marked), top, across(marked), HEIGHT - BOTTOM, "mark"))
    for place, (name, points) in enumerate(series):
        look = ("one", "two")[place]
        for run in _runs(_thinned(points)):
            there = [(across(x), up(y)) for x, y in run]
            if len(there) > 1:
                joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in there)
                marks.append(shape("polyline", points=joined, class_=f"line {look}"))
            if len(run) <= 40:
                marks += [_point(x, y, look) for x, y in there]
        if len(series) > 1:
            x = LEFT + place * 150
            marks += [_line(x, TOP, x + 26, TOP, f"line {look}"), _point(x + 13, TOP, look)]
            marks.append(_text(x + 32, TOP + 4, name))
    return chart(title, description, marks, numbers)


def dots(
    title: str,
    description: str,
    rows: Sequence[tuple[str, float, float, float]],
    numbers: Html,
    *,
    x_name: str,
    within: tuple[float, float] | None = None,
) -> Html:
    """A row each: a dot at its value, and the interval from low to high as a bar through it. Values are shares."""
    left = max(LETTER * max(len(_short(row[0])) for row in rows) + 16, LEFT)
    size = (max(WIDTH, left + LEAST_ACROSS), TOP + 26.0 * len(rows) + BOTTOM)
    width, height = size
    low, high = within or (min(row[2] for row in rows), max(row[3] for row in rows))
    across = _scale([low, high], left, width - 68, clip=(0.0, 1.0))
    marks = _ticks_below(across, height, x_name, percent=True)
    for place, (name, value, low, high) in enumerate(rows):
        y = TOP + 26 * place + 13
        marks += [
            _text(left - 8, y + 4, _short(name), anchor="end"),
            _line(across(low), y, across(high), y, "interval"),
            _line(across(low), y - 4, across(low), y + 4, "interval"),
            _line(across(high), y - 4, across(high), y + 4, "interval"),
            _point(across(value), y, "one"),
            _text(width, y + 4, f"{value:.1%}", anchor="end"),
        ]
    return chart(title, description, marks, numbers, size=size)


def diagonal(
    title: str,
    description: str,
    points: Sequence[tuple[float, float, float, float]],
    numbers: Html,
    *,
    names: tuple[str, str],
) -> Html:
    """Shares against shares, each `(x, y, low, high)`, with the line on which they would be the same."""
    side = 320.0
    size = (LEFT + side + RIGHT, TOP + side + BOTTOM)
    across, up = Scale(0.0, 1.0, LEFT, LEFT + side), Scale(0.0, 1.0, TOP + side, TOP)
    marks = [*_grid(across, up, *names, percent=True, size=size)]
    marks.append(_line(across(0.0), up(0.0), across(1.0), up(1.0), "mark"))
    for x, y, low, high in points:
        marks += [_line(across(x), up(low), across(x), up(high), "interval"), _point(across(x), up(y), "one")]
    return chart(title, description, marks, numbers, size=size)


def _scale(
    values: Sequence[float],
    start: float,
    end: float,
    *,
    room: float = 0.06,
    clip: tuple[float, float] | None = None,
    least: float = 0.0,
) -> Scale:
    """A scale on which all the values are, with some room; it is `least` wide, or a tenth where they are all one."""
    low, high = min(values), max(values)
    span = high - low if high - low > 1e-9 * abs(high) else 0.1 * abs(high) or 1.0
    span = max(span, least)
    room = max(room * span, (span - (high - low)) / 2)
    low, high = low - room, high + room
    if clip:
        low, high = max(low, clip[0] - 0.02), min(high, clip[1] + 0.02)
    return Scale(low, high, start, end)


def _grid(
    across: Scale,
    up: Scale,
    x_name: str,
    y_name: str,
    *,
    percent: bool = False,
    whole: bool = False,
    size: tuple[float, float] = (WIDTH, HEIGHT),
) -> list[Html]:
    """Ticks on both axes, with lines across for the upper one, and what the axes are."""
    marks = []
    for tick in up.ticks(5):
        marks.append(_line(across.start, up(tick), across.end, up(tick), "grid"))
        marks.append(_text(across.start - 8, up(tick) + 4, _number(tick, percent), anchor="end"))
    marks += _ticks_below(across, size[1], x_name, percent=percent, whole=whole)
    middle = (up.start + up.end) / 2
    turned = f"rotate(-90 12 {middle:.1f})"
    return [*marks, shape("text", _short(y_name, 40), x=12, y=middle, text_anchor="middle", transform=turned)]


def _ticks_below(across: Scale, height: float, name: str, *, percent: bool = False, whole: bool = False) -> list[Html]:
    y = height - BOTTOM
    marks = [_line(across.start, y, across.end, y, "axis")]
    for tick in across.ticks(max(int((across.end - across.start) / 54), 2)):
        if whole and tick != int(tick):
            continue
        marks.append(_line(across(tick), y, across(tick), y + 5, "axis"))
        marks.append(_text(across(tick), y + 18, _number(tick, percent), anchor="middle"))
    return [*marks, _text((across.start + across.end) / 2, height - 6, name, anchor="middle")]


def _line(x1: float, y1: float, x2: float, y2: float, look: str) -> Html:
    return shape("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=look)


def _point(x: float, y: float, look: str) -> Html:
    if look == "two":
        return shape("rect", x=x - 3, y=y - 3, width=6, height=6, class_="dot two")
    return shape("circle", cx=x, cy=y, r=3.5, class_="dot one")


def _text(x: float, y: float, text: str, anchor: str | None = None) -> Html:
    return shape("text", text, x=x, y=y, text_anchor=anchor)


def _number(value: float, percent: bool) -> str:
    """A tick's number, without the dust of sums of tenths."""
    return f"{100 * value:.4g} %" if percent else f"{value if abs(value) > 1e-12 else 0.0:.4g}"


def _short(name: str, most: int = 40) -> str:
    name = plain(name)
    return name if len(name) <= most else name[: most - 1] + "…"


def _can_be_drawn(value: float) -> bool:
    return math.isfinite(value) and abs(value) < 1e100  # a scale over larger ones would overflow


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Every k-th of too many points, and the last."""
    every = -(-len(points) // MOST_POINTS) or 1
    return points if every == 1 else [*points[:-1:every], points[-1]]


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    """The stretches of points without a gap."""
    runs: list[list[Point]] = [[]]
    for x, y in points:
        if _can_be_drawn(y):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
