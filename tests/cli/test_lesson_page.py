"""`lesson --html` in a real browser: one slide at a time by keys, all of them on paper, nothing requested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import WIDTHS, browser, show, violations
from typed import here

from sevensteps.jobs.lesson import lesson, write_page
from sevensteps.records.lesson import Lesson

STATE = """const isShown = element => getComputedStyle(element).display !== "none";
const now = [...document.querySelectorAll(".slide")].filter(isShown);
return now.map(slide => [slide.querySelector("h2").textContent, isShown(slide.querySelector(".answer"))])"""
FITS = """const root = document.documentElement;
return [root.scrollWidth <= innerWidth, root.scrollHeight <= innerHeight]"""


@pytest.fixture(scope="module")
def made() -> Lesson:
    return lesson()


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


def press(there: Any, key: str) -> list[Any]:
    from selenium.webdriver.common.keys import Keys

    there.switch_to.active_element.send_keys(getattr(Keys, key))
    state: list[Any] = there.execute_script(STATE)
    return state


def test_keys_show_one_slide_at_a_time(there: Any, made: Lesson, tmp_path: Path) -> None:
    page = tmp_path / "lesson.html"
    write_page(made, page, ask=True)
    assert show(there, page) == ([], [])
    assert there.execute_script(STATE) == [["1 of 7 initialize", False]]
    assert press(there, "ARROW_RIGHT") == [["1 of 7 initialize", True]]
    assert press(there, "ENTER") == [["2 of 7 predict", False]]
    assert press(there, "ARROW_LEFT") == [["1 of 7 initialize", True]]
    assert press(there, "END") == [["7 of 7 stop", True]]
    assert press(there, "ARROW_RIGHT") == [["7 of 7 stop", True]]
    there.refresh()
    assert there.execute_script(STATE) == [["7 of 7 stop", False]]  # the slide that was shown


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", list(WIDTHS))
def test_every_slide_is_accessible_and_fits(there: Any, made: Lesson, tmp_path: Path, width: str, theme: str) -> None:
    page = tmp_path / "lesson.html"
    write_page(made, page, ask=False)
    assert show(there, page, width, theme) == ([], [])
    for _ in made.screens:
        if width == "desktop" or theme == "dark":
            assert violations(there) == []
        is_narrow_enough, is_low_enough = there.execute_script(FITS)
        assert is_narrow_enough
        assert is_low_enough or width == "phone", there.execute_script(STATE)
        press(there, "ARROW_RIGHT")


def test_all_slides_are_printed(there: Any, made: Lesson, tmp_path: Path) -> None:
    page = tmp_path / "lesson.html"
    write_page(made, page, ask=True)
    show(there, page)
    there.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        state = there.execute_script(STATE)
    finally:
        there.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert [shown for _, shown in state] == [True] * 7


def test_the_page_is_written_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("lesson", "--html", "lesson.html", cwd=tmp_path, capsys=capsys)
    assert (done.code, done.out) == (0, "lesson.html\n")
    text = (tmp_path / "lesson.html").read_text("utf-8")
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
