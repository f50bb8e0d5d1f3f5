"""A Studio that runs beside the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from in_studio import Page

from sevensteps.studio.start import beside


@pytest.fixture
def empty_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A Studio in which nothing is open."""
    monkeypatch.chdir(tmp_path)
    studio = beside(port=0)
    try:
        page = Page(studio.url)
        page.wait(lambda state: state["studio"]["offers"])
        yield page
    finally:
        studio.close()


@pytest.fixture
def page(empty_page: Page) -> Page:
    """A Studio with pullover against dress, before the first batch."""
    empty_page.do("open", source="pullover-dress")
    return empty_page
