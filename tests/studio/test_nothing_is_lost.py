"""Opening something else, or failing to, loses nothing of the run that is open."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from in_studio import Page, array
from PIL import Image

import sevensteps as ss
from sevensteps.studio.start import beside


def folder_of_pictures(folder: Path) -> Path:
    """Make a folder of small pictures in two classes."""
    rng = np.random.default_rng(0)
    for of, low in (("dark", 0), ("light", 150)):
        (folder / of).mkdir(parents=True)
        for number in range(40):
            pixels = rng.integers(low, low + 100, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / of / f"{number}.png")
    return folder


def test_a_run_that_cannot_be_opened_leaves_the_open_one_as_it_is(page: Page, tmp_path: Path) -> None:
    pictures = folder_of_pictures(tmp_path / "pictures")
    ss.train(str(pictures), "plain", save=True, epochs=1, loss="auto")
    page.do("batch")
    page.do("start", lr=0.1)  # which lists the runs anew
    page.do("batch")
    [other] = [run["name"] for run in page.state["runs"] if run["source"] == str(pictures)]
    shutil.rmtree(pictures)
    before = page.state
    assert "pictures" in page.refused("open", run=other)["message"]
    after = page.state
    assert after["run"] == before["run"]
    assert (after["place"]["batch"], after["place"]["phase"]) == (1, "paused")
    page.do("batch")
    assert page.place["batch"] == 2


def test_a_run_whose_folder_was_deleted_can_be_left(page: Page) -> None:
    page.do("batch")
    shutil.rmtree(page.state["run"]["folder"])
    page.do("open", source="pullover-dress")
    page.do("batch")
    assert page.place["batch"] == 1
    assert Path(page.state["run"]["folder"], "recipe.toml").is_file()


def test_a_run_that_led_to_infinity_can_be_left(page: Page) -> None:
    page.do("start", model="relu", loss="auto", lr=1e15, epochs=1)
    page.do("speed", value=0)
    page.do("run")
    assert page.wait(lambda state: state["place"]["phase"] == "failed")["place"]["error"]["message"]
    page.do("open", source="pullover-dress")
    page.do("batch")
    assert page.place["batch"] == 1


def test_opening_the_run_that_is_open_changes_nothing(page: Page) -> None:
    page.do("batch")
    name, weights = page.state["run"]["name"], array(page.state["live"]["weights"])
    page.do("start", lr=0.3)  # which lists the runs anew
    page.do("open", run=name)
    page.do("open", run=name)
    assert page.state["run"]["name"] == name
    assert np.array_equal(array(page.state["live"]["weights"]), weights)


def test_a_number_or_text_that_nothing_can_hold_is_refused_in_words(page: Page) -> None:
    digits = b"9" * 400
    for verb, body in (
        ("lr", b'{"lr": 1e300}'),
        ("lr", b'{"lr": %s}' % digits),
        ("back", b'{"to": %s}' % digits),
        ("speed", b'{"value": -%s}' % digits),
        ("start", b'{"lr": 1e300}'),
        ("start", b'{"epochs": %s}' % digits),
        ("speed", b'{"value": 1, "unit": "\\ud800"}'),
        ("start", b'{"model": "\\ud800"}'),
    ):
        reply = page.send("POST", f"/do/{verb}", body)
        assert (reply.status, "Internal" in json.dumps(reply.json)) == (400, False), (verb, body[:40])
    page.do("batch")
    assert page.place["batch"] == 1


def test_a_studio_that_closes_lets_nobody_wait_and_tells_no_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    studio = beside(port=0)
    page = Page(studio.url)
    page.wait(lambda state: state["studio"]["offers"])
    page.do("open", source="pullover-dress")
    page.do("start", recipe="linear", epochs=1)
    page.do("speed", value=0)
    page.do("run")
    page.wait(lambda state: state["place"]["phase"] in ("judging", "done"))
    replies: list[int] = []

    def ask() -> None:
        try:
            replies.append(page.send("GET", "/xray").status)
        except (OSError, http.client.HTTPException):
            replies.append(0)  # the server hung up

    asking = [threading.Thread(target=ask) for _ in range(20)]
    for thread in asking:
        thread.start()
    time.sleep(0.05)
    studio.close()
    for thread in asking:
        thread.join(10)
    assert len(replies) == 20
    assert set(replies) <= {0, 200, 503}
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_run_that_was_judged_before_its_end_or_went_back_is_judged_at_its_end(page: Page) -> None:
    page.do("start", epochs=1, batch_size=2000)
    page.do("speed", value=0)
    page.do("batch")
    page.do("judge")
    early = page.state["verdict"]
    shown = page.get("/verdict")
    assert (shown["run"], shown["score"]["accuracy"]) == (page.state["run"]["name"], early["accuracy"])
    assert "after batch 1" in shown["stopped"]
    page.do("run")
    first = page.wait(lambda state: state["place"]["phase"] == "done")
    assert (first["verdict"]["status"], first["verdict"] == early) == ("fresh", False)
    page.do("back", to=1)
    assert page.state["verdict"]["status"] == "stale"
    page.do("lr", lr=0.9)
    page.do("run")
    second = page.wait(lambda state: state["place"]["phase"] == "done")
    judgement = json.loads(Path(second["run"]["folder"], "judgement.json").read_text())
    assert judgement["test"]["accuracy"] == second["verdict"]["accuracy"] != first["verdict"]["accuracy"]
