"""The documentation site: it builds without a warning, requests nothing from elsewhere, and is searched from disk."""

from __future__ import annotations

import base64
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
KINDS = [
    "index",
    "walkthrough",
    "exercises",
    "pictures",
    "coming-from",
    "site/settings",
    "commands",
    "site/api",
    "site/api/learner",
    "decisions/0056-teaching",
    "site/changelog",
    "search",
]


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

    index, settings = (site.joinpath(f"site/{name}.html").read_text("utf-8") for name in ("api", "settings"))
    api = "".join(page.read_text("utf-8") for page in sorted(site.glob("site/api/*.html")))
    for name in ss.__all__:
        target = getattr(ss, name)
        if hasattr(target, "__qualname__"):
            place = f"{target.__module__}.{name}"
            assert f'id="{place}"' in api
            assert re.search(rf'href="api/\w+\.html#{re.escape(place)}"', index), name
    assert "height width" in re.sub(r"<[^>]+>", "", api)  # shapes
    for setting in dataclasses.fields(ss.Recipe):
        assert f">{setting.name}<" in settings


@pytest.mark.parametrize("name", ["walkthrough", "exercises"])
def test_a_page_that_is_a_notebook_can_be_downloaded(site: Path, name: str) -> None:
    assert f'href="{name}.ipynb"' in (site / f"{name}.html").read_text("utf-8")
    assert (site / f"{name}.ipynb").read_bytes() == (ROOT / f"docs/{name}.ipynb").read_bytes()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_page_is_accessible_and_complete(site: Path, there: Any, kind: str, theme: str) -> None:
    console, asked = show(there, site / f"{kind}.html", "desktop", theme)
    assert console == []
    assert all(address.startswith(site.as_uri()) for address in asked)
    assert violations(there) == []


def test_the_card_is_printed_on_one_sheet(site: Path, there: Any) -> None:
    show(there, site / "card.html")
    how = {"paperWidth": 8.27, "paperHeight": 11.69}  # A4, in inches
    there.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    size = {"width": 717, "height": 1046, "deviceScaleFactor": 1, "mobile": False}  # what its margins leave
    there.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert there.execute_script("return document.querySelector('table').getBoundingClientRect().right <= innerWidth")
    printed = base64.b64decode(there.execute_cdp_cmd("Page.printToPDF", how)["data"])
    assert printed.count(b"/Type /Page\n") == 1


def test_search_works_from_disk(site: Path, there: Any) -> None:
    show(there, site / "search.html")
    there.get(f"{(site / 'search.html').as_uri()}?q=sigmoid")
    until = time.monotonic() + 20
    links = "return [...document.querySelectorAll('ul.search li a')].map(a => a.href)"
    while not any("walkthrough.html" in address for address in there.execute_script(links)):
        assert time.monotonic() < until, there.execute_script(links)
        time.sleep(0.1)
