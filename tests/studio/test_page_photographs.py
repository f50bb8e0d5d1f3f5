"""Photographs on the Studio's page: a frozen network before the trained part, from a folder to the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import violations
from in_studio import Page
from on_page import click, complaints, drop, press, says, until, view
from photos import photos_in

import sevensteps as ss


@pytest.mark.slow  # features of photographs, and the zip of a network that is 16 MB large
def test_photographs_go_through_a_frozen_network_and_a_model_of_them_is_taken(
    there: Any, studio: Any, tmp_path: Path
) -> None:
    from selenium.webdriver.common.keys import Keys

    page, folder = Page(studio.url), photos_in(tmp_path / "photos", 16)
    there.get(studio.url)
    says(there, "Bring pictures")
    drop(there, folder)
    page.wait(lambda state: sum((state["gathering"] or {"counts": {}})["counts"].values()) == 48)
    click(there, "Use these pictures")
    says(there, "Your pictures are in")
    assert page.rest()["run"]["kind"] == "backbone"
    click(there, "Watch it learn")
    until(there, "return Boolean(document.querySelector('.batch .pic'))")
    for number in range(2, 8):
        press(there, Keys.ARROW_RIGHT)
        until(there, "return document.querySelector('#station').textContent.endsWith(`${arguments[0]} of 7`)", number)
        assert violations(there) == []
        said = there.execute_script("return document.querySelector('.stage').innerText")
        if number == 2:
            assert "The frozen network turns each picture into features" in said
        if number in (4, 5):
            assert "frozen" in said
    seen = page.get("/xray")
    shown = until(there, "return document.querySelector('.batch .pic canvas').width")
    assert shown > 28  # the photographs themselves, not their features
    page.do("speed", value=0, unit="batches")
    page.do("run")
    page.wait(lambda state: state["place"]["phase"] == "done" and state["verdict"], seconds=120)
    assert seen["features"]

    said = view(there, "verdict", "What it mixes up")
    assert page.get("/verdict")["headline"] in said
    view(there, "repair", "Corrections go into one small file")
    view(there, "try", "Drop or paste a picture")
    photo = folder / "flower/03.png"
    drop(there, photo)
    says(there, "What the model saw")
    run = page.state["run"]
    wanted = ss.predict(tmp_path / run["folder"], photo)[0]
    said = there.execute_script("return document.querySelector('.reply .h1').textContent")
    assert said.lower() == f"{wanted.reason or wanted.best}.".lower()
    assert until(there, "return document.querySelectorAll('.duo canvas').length >= 2")  # with the patches that count
    assert violations(there) == []
    view(there, "take", "Take it with you")
    click(there, "Download the zip")
    says(there, "The self-test passed", seconds=120)
    assert violations(there) == []
    assert complaints(there) == []
