"""Show a record in a notebook: pieces of HTML in one frame with the little style that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .report.html import Html, Piece, tag

STYLE = (
    ".sevensteps table{border-collapse:collapse;margin:.5em 0}"
    ".sevensteps td,.sevensteps th{padding:.15em .6em;text-align:left;vertical-align:top}"
    ".sevensteps ul.pictures{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.6em}"
    ".sevensteps ul.pictures li{margin:0;text-align:center;font-size:.8em}"
    ".sevensteps ul.pictures img{display:block;width:4.5em;image-rendering:pixelated}"
)


def framed(*pieces: Piece) -> str:
    """Return pieces of a page as a notebook shows them.

    Args:
        pieces: Text, which is escaped, or HTML.

    Returns:
        One element of HTML.
    """
    return str(tag("div", tag("style", Html(STYLE)), *pieces, class_="sevensteps"))


def paragraphs(text: str) -> list[Html]:
    """Return each line of a text as a paragraph.

    Args:
        text: Plain text.

    Returns:
        The paragraphs.
    """
    return [tag("p", line) for line in text.splitlines()]


def facts(rows: Mapping[str, Piece]) -> Html:
    """Return named facts as a table of two columns.

    Args:
        rows: What stands beside each name.

    Returns:
        The table.
    """
    return tag("table", *(tag("tr", tag("th", name), tag("td", value)) for name, value in rows.items()))


def grid(titles: Sequence[str], rows: Sequence[Sequence[Piece]]) -> Html:
    """Return rows as a table with titles.

    Args:
        titles: The titles of the columns.
        rows: The cells of each row.

    Returns:
        The table.
    """
    head = tag("tr", *(tag("th", title) for title in titles))
    return tag("table", head, *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
