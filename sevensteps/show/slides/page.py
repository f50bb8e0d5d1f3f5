"""The lesson as one HTML page: seven slides, with everything inside. It sends no request."""

from __future__ import annotations

from importlib import resources

from ...records.lesson import Lesson, Screen, Shown
from ..pixels import colors_of, colors_of_map, data_uri
from ..report.html import Html, escaped, filled, source_of, tag


def page(lesson: Lesson, *, ask: bool) -> str:
    """Return the page.

    Args:
        lesson: The lesson.
        ask: Whether a question comes before each answer.
    """
    style, script = _content("page.css"), _content("page.js")
    policy = (
        f"default-src 'none'; script-src {source_of(script)}; style-src {source_of(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    slides = "".join(_slide(screen) for screen in lesson.screens)
    parts = {"policy": policy, "style": style, "script": script, "slides": slides, "ask": "yes" if ask else "no"}
    return filled(_content("page.html"), parts)


def _slide(screen: Screen) -> Html:
    """Return one step."""
    title = f"title-{screen.number}"
    many = " many" if len(screen.pictures) > 1 else ""
    sums = tag("pre", Html("\n".join(map(escaped, screen.sums))), tabindex="0", aria_label="Sums with four pixels")
    real = tag("p", screen.real.format(blue="blue", red="red"))
    return tag(
        "section",
        tag("h2", tag("span", f"{screen.number} of 7"), f" {screen.name}", id=title, tabindex="-1"),
        tag("p", screen.question, class_="question"),
        tag(
            "div",
            tag("div", *map(_figure, screen.pictures), class_="pictures"),
            tag("div", sums, real, class_="text"),
            class_=f"answer{many}",
        ),
        class_="slide",
        aria_labelledby=title,
    )


def _figure(shown: Shown) -> Html:
    """Return a picture with its caption."""
    colors = colors_of_map(shown.numbers) if shown.kind == "map" else colors_of(shown.numbers[None])
    image = tag("img", src=data_uri(colors), alt="", width=28, height=28)
    return tag("figure", image, tag("figcaption", shown.caption))


def _content(name: str) -> str:
    """Return a part of the page that lies beside this file."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")
