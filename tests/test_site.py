"""The documentation site: it builds without a warning, requests nothing from elsewhere, and is searched from disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browser, show, violations

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
# Not the reference of the API: axe-core takes minutes for a page of its size.
KINDS = ["index", "walkthrough", "exercises", "pictures", "site/settings", "commands"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("sphinx", "myst_nb", "furo"):
        pytest.importorskip(package, reason="the extra docs is not installed")
    built = tmp_path_factory.mktemp("site")
    before = sum(os.times()[2:4])
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", built],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(os.times()[2:4]) - before < 60  # seconds of CPU
    return built


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


def test_every_page_asks_only_for_files_of_the_site(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 70
    for page in pages:
        text = page.read_text("utf-8")
        for address in re.findall(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="([^"]+)"', text):
            assert not re.match(r"(https?:)?//", address), f"{page}: {address}"
            is_inside = address.startswith("data:") or (page.parent / address.split("?")[0].split("#")[0]).exists()
            assert is_inside, f"{page}: {address}"


def test_every_link_between_pages_leads_to_a_page(site: Path) -> None:
    for page in site.rglob("*.html"):
        for address in re.findall(r'<a [^>]*href="([^"#]+)[^"]*"', page.read_text("utf-8")):
            if not re.match(r"\w+:", address):
                assert (page.parent / address).exists(), f"{page.relative_to(site)}: {address}"


def test_the_reference_has_every_public_name_and_setting(site: Path) -> None:
    import dataclasses

    import sevensteps as ss

    api, settings = (site.joinpath(f"site/{name}.html").read_text("utf-8") for name in ("api", "settings"))
    for name in ss.__all__:
        if hasattr(getattr(ss, name), "__qualname__"):
            assert re.search(rf'id="sevensteps\.[\w.]*\b{name}"', api), name
    assert "height width" in re.sub(r"<[^>]+>", "", api)  # shapes
    for setting in dataclasses.fields(ss.Recipe):
        assert f">{setting.name}<" in settings


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_page_is_accessible_and_complete(site: Path, there: Any, kind: str, theme: str) -> None:
    console, asked = show(there, site / f"{kind}.html", "desktop", theme)
    assert console == []
    assert all(address.startswith(site.as_uri()) for address in asked)
    assert violations(there) == []


def test_search_works_from_disk(site: Path, there: Any) -> None:
    show(there, site / "search.html")
    there.get(f"{(site / 'search.html').as_uri()}?q=sigmoid")
    until = time.monotonic() + 20
    links = "return [...document.querySelectorAll('ul.search li a')].map(a => a.href)"
    while not any("walkthrough.html" in address for address in there.execute_script(links)):
        assert time.monotonic() < until, there.execute_script(links)
        time.sleep(0.1)
