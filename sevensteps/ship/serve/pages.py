"""The two pages of the server. They load nothing, and their policy forbids it."""

from __future__ import annotations

import functools
import html
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from starlette.responses import HTMLResponse, Response

from ...show.report.html import filled, source_of


def page(name: str, classes: Sequence[str]) -> Response:
    """Return the page that a picture can be dropped on.

    Args:
        name: Of the model.
        classes: Its classes.
    """
    script = _file("page.js")
    parts = {"name": html.escape(name), "classes": html.escape(", ".join(classes))}
    content = filled(_file("page.html"), {**parts, "style": _file("page.css"), "script": script})
    return _response(content, f"script-src {source_of(script)}; connect-src 'self'; img-src blob:")


def docs(openapi: Mapping[str, Any]) -> Response:
    """Return the list of routes.

    Args:
        openapi: What FastAPI knows of them.
    """
    rows = [
        f"<tr><td><code>{method.upper()} {_breakable(path)}</code><td>{html.escape(route['description'])}"
        for path, methods in openapi["paths"].items()
        for method, route in methods.items()
    ]
    title = html.escape(openapi["info"]["title"])
    return _response(
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_file('page.css')}</style>\n<main>\n<h1>{title}</h1>\n"
        f"<table>\n<tr><th>Route</th><th>What it does</th></tr>\n{''.join(rows)}\n</table>\n"
        '<p>The same list for programs: <a href="openapi.json">openapi.json</a></p>\n</main>\n</html>\n',
        "",
    )


def _breakable(path: str) -> str:
    """Return a route that a narrow screen breaks only before a slash."""
    return html.escape(path[:1]) + html.escape(path[1:]).replace("/", "<wbr>/")


def _response(content: str, more: str) -> Response:
    """Return a page with its policy."""
    policy = (
        f"default-src 'none'; style-src {source_of(_file('page.css'))}; base-uri 'none'; form-action 'none'; {more}"
    )
    headers = {
        "content-security-policy": f"{policy.rstrip('; ')}; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(content, headers=headers)


@functools.cache
def _file(name: str) -> str:
    """Return the content of a file beside this one."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")
