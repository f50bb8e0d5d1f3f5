"""The Studio's train view in a real browser: what it shows is what the library computes, in every state."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: F401  imported before the Studio's thread would, which waits for the test's own turns
from browser import browser, violations
from in_studio import Page, array

import sevensteps as ss
from sevensteps.records.events import Batch
from sevensteps.studio.start import beside

SIZES = {"desktop": (1440, 900), "tablet": (1024, 800), "phone": (390, 844)}
NAMES = ["Initialize", "Predict", "Loss", "Gradient", "Step", "Repeat", "Stop"]


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Any]:
    with browser(tmp_path / "profile", sees_this_machine=True) as there:
        yield there


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    studio = beside("pullover-dress", port=0)
    yield studio
    studio.close()


def look(there: Any, size: str = "desktop", **media: str) -> None:
    """Give the browser's window a size and its page preferences, such as `prefers_color_scheme="dark"`."""
    wide, high = SIZES[size]
    metrics = {"width": wide, "height": high, "deviceScaleFactor": 1, "mobile": size == "phone"}
    there.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
    there.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def opened(there: Any, studio: Any, **media: str) -> Page:
    """Open the page as a person does, and wait until its first batch is drawn."""
    page = Page(studio.url)
    page.rest()
    look(there, **media)
    there.get(studio.url)
    until(there, "return document.querySelectorAll('.batch .pic').length > 0")
    return page


def until(there: Any, script: str, *given: Any, seconds: float = 20.0) -> Any:
    """Wait until a script returns something true, and return that."""
    end = time.monotonic() + seconds
    while not (value := there.execute_script(script, *given)):
        assert time.monotonic() < end, script
        time.sleep(0.02)
    return value


def press(there: Any, key: str) -> None:
    """Press a key as a person does: wherever the focus is."""
    from selenium.webdriver import ActionChains

    ActionChains(there).send_keys(key).perform()


def complaints(there: Any) -> list[str]:
    """Return the errors of the console, but for the icon that browsers ask every server for."""
    return [
        entry["message"]
        for entry in there.get_log("browser")
        if entry["level"] == "SEVERE" and "favicon.ico" not in entry["message"]
    ]


def text(there: Any, selector: str) -> str:
    """Return the text of an element."""
    return str(there.execute_script("return document.querySelector(arguments[0]).textContent", selector))


def station(there: Any, number: int, name: str | None = None) -> None:
    """Wait until a station is open."""
    name = name or NAMES[number - 1]
    until(there, "return document.querySelector('#station')?.textContent === arguments[0]", f"{name} {number} of 7")


def choose(there: Any, number: int) -> None:
    """Open a station by a click."""
    there.execute_script("document.querySelectorAll('.stop')[arguments[0]].click()", number - 1)
    station(there, number)


def losses_of(page: Page, count: int) -> list[float]:
    """Return the losses that the library computes for the same recipe."""
    recipe = page.state["run"]["recipe"]
    splits = ss.load("pullover-dress")
    made = ss.Recipe.load(recipe["name"]).replace(
        **{name: recipe[name] for name in ("lr", "batch_size", "epochs", "seed")}
    )
    learn = made.learner(made.held_out(splits))
    events = (event for event in learn.stream() if isinstance(event, Batch))
    losses = [float(next(events).loss) for _ in range(count)]
    learn.close()
    return losses


def test_keys_alone_walk_train_and_go_back_with_the_numbers_of_the_library(studio: Any, there: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened(there, studio, prefers_reduced_motion="reduce")
    losses = losses_of(page, 3)
    station(there, 1)
    for number in range(2, 8):
        press(there, Keys.ARROW_RIGHT)
        station(there, number)
        done = number > 5
        assert page.place["batch"] == int(done)
        shown = f"{losses[0]:.4f}{'batch 1' if done else 'this batch'}" if number > 2 else "–no batch done yet"
        until(there, "return document.querySelector('.readout').textContent === arguments[0]", shown)
    press(there, "b")
    press(there, "b")
    read = "return document.querySelector('.readout').textContent"
    until(there, f"{read} === arguments[0]", f"{losses[2]:.4f}batch 3")
    until(there, "return document.querySelector('.dock label').textContent === 'Batch 3 of 338'")
    press(there, Keys.ARROW_LEFT)  # the batch in hand is trained: back to its start, untrained
    station(there, 2)
    until(there, f"{read} === arguments[0]", f"{losses[1]:.4f}batch 2")
    press(there, "r")
    station(there, 1)
    assert page.place["batch"] == 0
    assert complaints(there) == []


def test_a_station_follows_a_key_that_is_pressed_while_the_batch_before_it_is_on_its_way(
    studio: Any, there: Any
) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened(there, studio, prefers_reduced_motion="reduce")
    page.do("batch")
    page.do("batch")
    choose(there, 7)
    there.execute_script(
        """const real = window.fetch;
        window.fetch = async (path, ...more) => {
          const answer = await real(path, ...more);
          if (String(path).startsWith('xray')) await new Promise(done => setTimeout(done, 700));
          return answer;
        };"""
    )
    press(there, "b")
    page.wait(lambda state: state["place"]["batch"] == 3)
    until(there, "return document.querySelector('.readout').textContent.endsWith('batch 3')")
    press(there, Keys.ARROW_LEFT)
    station(there, 2)
    until(there, "return document.querySelector('.dock label').textContent === 'Batch 3 of 338'")
    assert page.place["batch"] == 2
    assert complaints(there) == []


@pytest.mark.slow
def test_a_resting_pointer_reads_out_the_arithmetic_of_a_pixel(studio: Any, there: Any) -> None:
    page = opened(there, studio, prefers_reduced_motion="reduce")
    for _ in range(2):
        page.do("batch")
    page.do("step")
    station(there, 1)
    there.execute_script("document.querySelectorAll('.stop')[1].click()")
    station(there, 2)
    seen = page.get("/xray")
    row, column = 14, 15
    there.execute_script(
        """const box = document.querySelector('.px'), {left, top, width, height} = box.getBoundingClientRect();
        box.dispatchEvent(new PointerEvent('pointermove', {clientX: left + (arguments[1] + .5) * width / 28,
          clientY: top + (arguments[0] + .5) * height / 28, bubbles: true}));""",
        row,
        column,
    )
    pick = there.execute_script(
        "return [...document.querySelectorAll('.batch .pic')].findIndex(p => p.ariaPressed === 'true')"
    )
    pixel, weight = array(seen["x"])[pick, 0, row, column], array(seen["weights"]["before"])[0, 0, row, column]
    words = until(there, "return document.querySelector('.read').textContent")
    assert words.startswith("row 15, column 16: pixel")
    numbers = [
        float(found.replace("−", "-")) for found in re.findall(r"[+−]?\d+\.\d+(?:e−\d+)?", words.replace("e−", "e-"))
    ]
    assert numbers == pytest.approx([pixel, weight, pixel * weight], abs=6e-3)
    marks = there.execute_script(
        "return [...document.querySelectorAll('.at')].map(mark => [mark.style.left, mark.style.top])"
    )
    assert len(marks) == 3
    assert len({tuple(mark) for mark in marks}) == 1  # one pointer for all pictures


@pytest.mark.slow
def test_weights_keep_one_scale_and_the_step_says_how_strongly_it_is_drawn(studio: Any, there: Any) -> None:
    page = opened(there, studio, prefers_reduced_motion="reduce")
    page.do("batch")
    choose(there, 5)
    until(there, "return document.querySelector('.fig .scale')")
    seen = page.get("/xray")
    low = there.execute_script(
        "return [...document.querySelectorAll('.eq .nums')].map(one => one.firstChild.textContent)"
    )
    scale = seen["scale"]
    moved = np.abs(array(seen["weights"]["after"]) - array(seen["weights"]["before"])).max()
    times = int(re.search(r"drawn (\d+) times", text(there, ".fig"))[1])  # type: ignore[index]
    assert float(low[0][1:]) == float(low[2][1:]) == pytest.approx(scale)
    assert float(low[1][1:]) == pytest.approx(scale / times, rel=0.05)
    assert moved <= scale / times
    there.execute_script("document.querySelector('.seg button').click()")
    until(there, "return document.querySelector('.fig').textContent.includes('Learning is many small steps')")


@pytest.mark.slow
def test_guess_first_hides_a_station_until_it_is_answered(studio: Any, there: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened(there, studio, prefers_reduced_motion="reduce")
    there.execute_script("document.querySelector('[role=switch]').click()")
    press(there, Keys.ARROW_RIGHT)
    until(there, "return document.querySelector('.guess input')")
    assert "right" not in text(there, ".batch .head")
    assert text(there, ".stop[aria-current] .val") == "–"
    there.find_element("css selector", ".guess input").send_keys("7" + Keys.ENTER)
    said = until(there, "const p = document.querySelector('.guessed'); return !p.hidden && p.textContent")
    right = page.get("/xray")["right"]
    assert said == f"Your guess: 7. It is: {right}."
    assert text(there, ".batch .head").endswith(f"{right} of 32 right")


@pytest.mark.slow
def test_a_picture_travels_and_one_journey_ends_before_the_next(studio: Any, there: Any) -> None:
    page = opened(there, studio, prefers_reduced_motion="no-preference")
    there.execute_script(
        """window.most = 0; window.flown = 0;
        new MutationObserver(list => {
          for (const {addedNodes} of list) for (const node of addedNodes) window.flown += node.className === 'ghost';
          window.most = Math.max(window.most, document.querySelectorAll('.ghost').length);
        }).observe(document.body, {childList: true});"""
    )
    for _ in range(3):
        page.do("step")
        there.execute_script("document.querySelector('[data-do=step]').click()")
        time.sleep(0.15)
    until(there, "return window.flown > 1 && !document.querySelector('.ghost')")
    assert there.execute_script("return window.most") == 1
    look(there, prefers_reduced_motion="reduce")
    flown = there.execute_script("return window.flown")
    there.execute_script("document.querySelector('[data-do=step]').click()")
    time.sleep(0.5)
    assert there.execute_script("return window.flown") == flown


def states(page: Page, there: Any) -> Iterator[str]:
    """Bring the page into one state after the other."""
    from selenium.webdriver.common.keys import Keys

    yield "loaded"
    press(there, Keys.ARROW_RIGHT)
    choose(there, 5)
    yield "not yet come to this station"
    press(there, "b")
    until(there, "return !document.querySelector('.waiting')")
    for number in range(1, 8):
        choose(there, number)
        yield NAMES[number - 1]
    there.execute_script("document.querySelector('[role=switch]').click()")
    press(there, Keys.ARROW_RIGHT)
    until(there, "return document.querySelector('.guess')")
    yield "guess first"
    there.execute_script("document.querySelector('[role=switch]').click()")
    there.execute_script("document.querySelector('.anew summary').click()")
    yield "another model"
    press(there, " ")
    until(there, "return document.querySelector('.run').textContent.startsWith('Pause')")
    yield "running"
    press(there, " ")
    until(there, "return document.querySelector('.run').textContent.startsWith('Run')")
    yield "paused"
    there.execute_script(
        "const t = document.querySelector('#time'); t.value = t.max; t.dispatchEvent(new Event('change'))"
    )
    until(there, "return !document.querySelector('#problem').hidden")
    yield "a problem"
    page.do("start", loss="mse_loss", lr=1e15)
    page.rest()
    page.do("epoch")
    station(there, 7)
    assert "loss became" in text(there, ".fig")
    yield "failed"


# The run that is made to fail overflows, which NumPy says before the loss is seen to be infinite.
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_in_any_state_and_nothing_is_wider_than_the_window(
    studio: Any, there: Any, size: str, theme: str
) -> None:
    page = opened(there, studio, prefers_reduced_motion="reduce")
    look(there, size, prefers_reduced_motion="reduce", prefers_color_scheme=theme)
    wide = SIZES[size][0]
    for state in states(page, there):
        assert violations(there) == [], state
        assert there.execute_script("return document.documentElement.scrollWidth") <= wide, state
    studio.close()
    until(there, "return !document.querySelector('#lost').hidden")
    assert violations(there) == []
    assert "has stopped" in text(there, "#lost")
    assert there.execute_script("return [...document.querySelectorAll('.dock .btn')].every(one => one.disabled)")


@pytest.mark.slow
def test_at_twice_the_size_and_in_forced_colors_all_can_be_reached_and_seen(studio: Any, there: Any) -> None:
    opened(there, studio, prefers_reduced_motion="reduce")
    # 200 % of 1440×900 is a page of 720×450.
    metrics = {"width": 720, "height": 450, "deviceScaleFactor": 2, "mobile": False}
    there.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert there.execute_script("return document.documentElement.scrollWidth") <= 720
    assert there.execute_script("return document.querySelector('.dock').getBoundingClientRect().height") < 90
    assert violations(there) == []
    look(there, forced_colors="active", prefers_reduced_motion="reduce")
    assert violations(there) == []
    outline = "return getComputedStyle(document.querySelector('.stop[aria-current] .mini canvas')).outlineWidth"
    assert there.execute_script(outline) == "4px"


@pytest.mark.slow
def test_without_the_server_a_view_stays_another_one_says_so_and_both_come_back(studio: Any, there: Any) -> None:
    cut = """const real = window.fetch, line = new AbortController();
        window.fetch = (path, options = {}) => window.cut ? Promise.reject(new TypeError('cut'))
          : real(path, window.cut === undefined && path === 'events' ? {...options, signal: line.signal} : options);
        window.cutOff = () => { window.cut = true; line.abort(); };"""
    there.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": cut})
    opened(there, studio, prefers_reduced_motion="reduce")
    shown = "const dock = document.querySelector('.dock'); return Boolean(dock?.checkVisibility()) === arguments[0]"
    there.execute_script("window.cutOff()")
    until(there, "return !document.querySelector('#lost').hidden")
    assert text(there, "#lost code") == "sevensteps studio pullover-dress"  # no batch is done, so there is no folder
    assert "kept" not in text(there, "#lost")
    there.execute_script("location.hash = '#verdict'")
    until(there, shown, False)
    assert "“Verdict” needs the program" in text(there, "main")
    assert violations(there) == []
    there.execute_script("location.hash = '#train'")
    until(there, shown, True)
    there.execute_script("location.hash = '#verdict'")
    until(there, shown, False)
    there.execute_script("window.cut = false")
    until(there, "return document.querySelector('main h1')?.textContent === 'Nothing has been trained yet.'")
    there.execute_script("location.hash = '#train'")
    until(there, shown, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "settings", "tiles"),
    [("fashion-mini", {}, 10), ("pullover-dress", {"model": "cnn"}, None)],
)
def test_each_station_has_its_pictures_for_many_classes_and_for_a_network(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: Any,
    source: str,
    settings: dict[str, Any],
    tiles: int | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    studio = beside(source, port=0)
    try:
        page = opened(there, studio, prefers_reduced_motion="reduce")
        if settings:
            page.do("start", **settings)
            page.rest()
        page.do("batch")
        there.refresh()
        station(there, 7)
        seen = page.get("/xray")
        expected = tiles or seen["filters"]["before"]["shape"][0]
        for number in (1, 4):
            choose(there, number)
            assert (
                until(there, "return document.querySelectorAll('.fig .tileset:last-of-type .tile').length") == expected
            )
        choose(there, 2)
        if not tiles:  # where each of the filters responds
            responses = "return document.querySelectorAll('.fig .tileset:last-of-type .tile').length === arguments[0]"
            until(there, responses, expected)
        rows = until(there, "return document.querySelectorAll('.classrow').length")
        assert rows == len(page.state["run"]["classes"])
        choose(there, 5)
        assert until(there, "return document.querySelectorAll('.fig canvas').length") >= 3
        for number in range(1, 8):
            choose(there, number)
            assert violations(there) == []
        assert complaints(there) == []
    finally:
        studio.close()


@pytest.mark.slow
def test_a_reloaded_page_finds_a_run_where_it_is(studio: Any, there: Any) -> None:
    page = opened(there, studio)
    page.do("speed", value=0, unit="batches")
    page.do("run")
    page.wait(lambda state: state["place"]["batch"] > 20)
    there.refresh()
    until(there, "return document.querySelector('.run')?.textContent.startsWith('Pause')")
    batch = page.place["batch"]
    until(there, "return Number(document.querySelector('#time').value) >= arguments[0]", batch)
    page.do("pause")
    done = page.rest()["place"]["batch"]
    until(there, "return Number(document.querySelector('#time').value) === arguments[0]", done)


@pytest.mark.slow
def test_without_a_run_the_train_view_says_where_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    studio = beside(port=0)
    try:
        look(there)
        there.get(studio.url)
        until(there, "return document.querySelector('[aria-current=page]')?.hash === '#start'")
        there.execute_script("location.hash = '#train'")
        until(there, "return document.querySelector('.nothing a')?.hash === '#start'")
        assert violations(there) == []
        assert complaints(there) == []
    finally:
        studio.close()


@pytest.mark.slow
def test_a_changed_rate_is_marked_and_the_cursor_reads_any_batch_and_leads_back_to_it(studio: Any, there: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened(there, studio, prefers_reduced_motion="reduce")
    for _ in range(4):
        page.do("batch")
    there.find_element("id", "rate").send_keys(Keys.ARROW_RIGHT)
    until(there, "return document.querySelector('.curve').textContent.includes('rate 0.5')")
    assert page.state["marks"] == [{"batch": 4, "lr": pytest.approx(0.5)}]
    page.do("batch")
    losses = array(page.state["curve"]["values"])
    until(there, "return document.querySelector('.curve').ariaValueMax === '5'")
    curve = there.find_element("css selector", ".curve")
    curve.send_keys(Keys.HOME)
    assert text(there, ".readout") == f"{losses[0]:.4f}batch 1"
    curve.send_keys(Keys.ARROW_RIGHT)
    assert text(there, ".readout") == f"{losses[1]:.4f}batch 2"
    there.find_element("css selector", ".curve-head .plain").click()
    station(there, 2)
    until(there, "return document.querySelector('.readout').textContent === arguments[0]", f"{losses[0]:.4f}batch 1")
    assert page.place["batch"] == 1


@pytest.mark.slow
def test_a_story_begins_with_one_click_and_the_doctor_speaks_and_shows_its_evidence(studio: Any, there: Any) -> None:
    page = opened(there, studio, prefers_reduced_motion="reduce")
    there.execute_script("document.querySelector('[data-story=saturated]').click()")
    page.wait(lambda state: state["doctor"])
    until(there, "return document.querySelector('.doctor.warn')")
    [finding, *_] = page.state["doctor"]
    there.execute_script("document.querySelector('.doctor summary').click()")
    shown = text(there, ".doctor details")
    assert finding["message"] in shown
    assert finding["fix"] in shown
    assert there.execute_script("return document.querySelector('[data-story=saturated]').ariaPressed") == "true"
    assert violations(there) == []


@pytest.mark.slow
def test_a_run_that_ends_opens_the_last_station_and_leads_to_the_verdict(studio: Any, there: Any) -> None:
    page = opened(there, studio, prefers_reduced_motion="reduce")
    page.do("start", epochs=1, batch_size=512)
    page.rest()
    page.do("speed", value=0, unit="batches")
    page.do("run")
    station(there, 7)
    until(there, "return !document.querySelector('.fig a').hidden")
    assert page.place["stopped"]["words"] in text(there, ".fig")
    until(there, "return [...document.querySelectorAll('[data-do=step], [data-do=run]')].every(one => one.disabled)")
    there.refresh()
    station(there, 7)
    assert violations(there) == []
    assert complaints(there) == []


@pytest.mark.slow
def test_a_run_by_steps_walks_the_line_and_the_open_station_goes_along(studio: Any, there: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened(there, studio, prefers_reduced_motion="reduce")
    there.find_element("id", "speed").send_keys(Keys.HOME)
    until(there, "return document.querySelector('.speed .row').textContent === 'Speed1 step/s'")
    page.wait(lambda state: state["place"]["speed"] == {"value": 1, "unit": "steps"})
    there.execute_script("document.querySelector('.run').click()")
    for number in (2, 3, 4):
        station(there, number)
    there.execute_script("document.querySelector('.run').click()")
    until(there, "return document.querySelector('.run').textContent.startsWith('Run')")
