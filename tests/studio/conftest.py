"""A Studio that runs beside the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browser
from in_studio import Page
from on_page import CAMERA

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


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Any]:
    """A browser with a camera; what it downloads comes into the test's folder."""
    with browser(tmp_path / "profile", sees_this_machine=True, more=CAMERA) as there:
        there.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
        metrics = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        there.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield there


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Studio in which nothing is open."""
    monkeypatch.chdir(tmp_path)
    studio = beside(port=0)
    yield studio
    studio.close()
