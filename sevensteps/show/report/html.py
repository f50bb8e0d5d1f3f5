"""HTML as a value: text that other people wrote is escaped because everything is that is not `Html` already."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_ROWS = 200  # of a table of numbers: of a longer one every k-th is shown, and that is said


_JOINERS = "\u200c\u200d"  # Persian and emoji need them


_VOID = {"br", "img", "link", "meta"}


class Html(str):
    """A piece of a page that is escaped already."""

    __slots__ = ()


Piece = str | Iterable[Any]  # text, or pieces side by side, as deep as they come


def plain(text: str, keep: str = "") -> str:
    """The text with its control characters spelled out, and those that turn a line around: names are others' words.

    >>> plain("Dress\\u202e\\x00")
    'Dress\\\\u202e\\\\x00'
    """
    if text.isprintable():  # most are, and pictures are long
        return text

    def is_obeyed(letter: str) -> bool:
        kind = unicodedata.category(letter)
        none = ord(letter) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(letter) <= 0xFDEF  # no characters, says Unicode
        return (kind in ("Cc", "Cf", "Cs", "Zl", "Zp") or none) and letter not in _JOINERS + keep

    return "".join(letter.encode("unicode_escape").decode() if is_obeyed(letter) else letter for letter in text)


def escaped(piece: Piece) -> Html:
    """A piece as HTML: what is not `Html` is text."""
    if isinstance(piece, Html):
        return piece
    if isinstance(piece, str):
        return Html(html.escape(plain(piece)))
    return Html("".join(map(escaped, piece)))


def tag(name: str, /, *content: Piece, **attributes: str | float | int | None) -> Html:
    """An element. An attribute's name is given with `_` for `-`, and a last `_` for what Python reserves.

    >>> str(tag("p", "1 < 2", class_="note"))
    '<p class="note">1 &lt; 2</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(plain(_written(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(map(escaped, content))
    return Html(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{inside}</{name}>")


def shape(name: str, /, *content: Piece, **attributes: str | float | int | None) -> Html:
    """An element of SVG, which HTML takes as well-formed XML would be."""
    return (
        Html(tag(name, *content, **attributes).removesuffix(">") + "/>")
        if not content
        else tag(name, *content, **attributes)
    )


def name_of(text: str) -> Html:
    """A name that somebody else chose, in its own direction, so that it turns nothing around that stands beside it."""
    return tag("bdi", text)


def section(id: str, title: str, *content: Piece) -> Html:
    """A part of the page under a heading."""
    return tag("section", tag("h2", title, id=id), *content, aria_labelledby=id)


def table(
    caption: Piece, titles: Sequence[Piece], rows: Sequence[Sequence[Piece]], *, classes: Sequence[str] = ()
) -> Html:
    """A table whose first column names the rows; it can be scrolled, with the keyboard too, where it is wide."""
    every = -(-len(rows) // MOST_ROWS) or 1
    shown = rows if every == 1 else [*rows[:-1:every], rows[-1]]
    note = "" if every == 1 else f" (every {every}th of {len(rows):,} rows)"
    looks = [None, *classes, *[None] * len(titles)]
    head = tag("tr", [tag("th", title, scope="col", class_=look) for title, look in zip(titles, looks, strict=False)])
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            [tag("td", cell, class_=classes[at] if at < len(classes) else None) for at, cell in enumerate(row[1:])],
        )
        for row in shown
    ]
    inside = tag("table", tag("caption", caption, note), tag("thead", head), tag("tbody", body))
    return tag("div", inside, class_="wide", tabindex="0", role="group", aria_label="A table that can be scrolled")


def details(summary: str, *content: Piece) -> Html:
    """Something that is shown on asking."""
    return tag("details", tag("summary", summary), *content)


def code(text: str) -> Html:
    """A command or a file's text as it stands."""
    return tag("pre", tag("code", Html(html.escape(plain(text, keep="\n")))), tabindex="0")


def _written(value: str | float | int) -> str:
    """A number of a drawing with as many decimals as can be seen."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def source_of(text: str) -> str:
    """Return the source of a Content-Security-Policy that allows just this script or style.

    Args:
        text: The script or style.
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def filled(template: str, parts: Mapping[str, str]) -> str:
    """Return a page with a part in the place of each `{{name}}`, in one pass: a part may look like such a place.

    Args:
        template: The page.
        parts: Pieces of HTML by their names.
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)
