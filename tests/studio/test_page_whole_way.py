"""A person's whole way through the Studio in a real browser: from a dropped folder to a zip whose model answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import violations
from clothes import folder_of, png_of
from in_studio import Page
from on_page import click, complaints, drop, press, reach, says, until, view
from typed import start

import sevensteps as ss
from sevensteps.data import corrections
from sevensteps.data.images import Splits


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Page]:
    """The Studio as a user types it, in a process of its own, which checks no shapes and so is as fast as theirs."""
    with start("studio", "--no-browser", "--port", "0", "--json", cwd=tmp_path) as process:
        yield Page(json.loads(process.stdout.readline())["url"])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.slow  # a training with five folds, twice, an ONNX file and a report
def test_from_a_dropped_folder_to_a_zip_whose_model_answers(
    there: Any, command: Page, splits: Splits, tmp_path: Path
) -> None:
    page, folder = command, folder_of(splits, tmp_path / "clothes", 60)
    (folder / "Dress/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n not a picture")
    (folder / "Dress/notes.txt").write_text("not a picture either")
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}

    there.get(page.url)
    says(there, "Bring pictures")
    assert violations(there) == []
    drop(there, folder)
    said = says(there, "2 files left out")
    assert "Nothing leaves this computer" in said
    assert violations(there) == []
    counts = page.wait(lambda state: sum((state["gathering"] or {"counts": {}})["counts"].values()) == 120)
    assert counts["gathering"]["counts"] == {"Pullover": 60, "Dress": 60}
    click(there, "Use these pictures")
    said = says(there, "Your pictures are in")
    assert "5 models take turns" in said
    says(there, "Worth a look after training")
    assert violations(there) == []

    click(there, "Watch it learn")
    until(there, "return location.hash === '#train' && Boolean(document.querySelector('.batch .pic'))")
    view(there, "verdict", "Nothing has been trained yet")
    there.execute_script("location.hash = '#train'")
    page.do("start", recipe="linear", epochs=3)  # the network that is chosen for photographs takes longer
    page.do("speed", value=0, unit="batches")
    page.do("run")
    page.wait(lambda state: state["place"]["phase"] == "done" and state["verdict"], seconds=120)

    said = view(there, "verdict", "What it mixes up")
    shown = page.get("/verdict")
    assert shown["headline"] in said
    assert shown["lead"] in said.replace("\n", " ")
    label, answer = next((a, b) for a in range(2) for b in range(2) if a != b and shown["confusion"][a][b])
    there.execute_script(
        "document.querySelector(`[data-cell='${arguments[0]}-${arguments[1]}']`).click()", label, answer
    )
    count = shown["confusion"][label][answer]
    says(there, f"{count} picture")
    assert until(there, "return document.querySelectorAll('#cell li canvas').length") == min(count, 48)

    view(there, "repair", "You decide.")
    suspects = page.get("/suspects")["items"]
    first = suspects[0]
    classes = shown["classes"]
    assert first["id"] in there.execute_script("return document.querySelector('#case').textContent")
    press(there, str(classes.index(first["likely"]) + 1))
    page.wait(lambda state: state["edits"]["count"] == 1)
    press(there, "x")
    page.wait(lambda state: state["edits"]["count"] == 2)
    press(there, "u")
    state = page.wait(lambda state: state["edits"]["count"] == 1)
    says(there, "The verdict is about the old labels")
    assert violations(there) == []
    edits = tmp_path / state["run"]["folder"] / "edits.csv"
    rows = [row for _, row in corrections.read(edits).rows]
    assert [(row.now, row.was) for row in rows] == [(first["likely"], first["label"])]
    says(there, "Every report will say so") if state["edits"]["test"] else None
    view(there, "verdict", "This verdict is about the old labels")
    view(there, "repair", "Train again with these")
    click(there, "Train again with these")
    says(there, "Right on the same pictures", seconds=120)
    assert violations(there) == []
    compared = page.get(f"/compare?with={state['run']['name']}")
    assert compared["comparison"]["n"] == shown["score"]["n"]
    assert "changed" in " ".join(compared["notes"])  # a label of a tested picture

    run = page.state["run"]
    view(there, "try", "Drop or paste a picture")
    (tmp_path / "one.png").write_bytes(png_of(splits, 4000))
    drop(there, tmp_path / "one.png")
    wanted = ss.predict(tmp_path / run["folder"], tmp_path / "one.png")[0]
    says(there, "What the model saw")
    said = there.execute_script("return document.querySelector('.reply .h1').textContent")
    assert said.lower() == f"{wanted.reason or wanted.best}.".lower()
    assert violations(there) == []

    view(there, "take", "Take it with you")
    click(there, "Download the zip")
    says(there, "The self-test passed", seconds=120)
    assert violations(there) == []
    archive = tmp_path / f"{run['name']}.zip"
    end = time.monotonic() + 20
    while not archive.is_file():
        assert time.monotonic() < end, list(tmp_path.iterdir())
        time.sleep(0.1)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "taken")
    taken = tmp_path / "taken" / run["name"]
    done = subprocess.run([sys.executable, "selftest.py"], cwd=taken, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "passed")
    again = ss.predict(taken / "model.safetensors", tmp_path / "one.png")[0]
    assert again.probabilities == wanted.probabilities
    assert len(corrections.read(taken / "corrections.csv").rows) == 1

    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before  # the originals are as they were
    assert complaints(there) == []


@pytest.mark.slow  # a camera that shows a moving picture
def test_pictures_of_the_camera_become_classes_and_can_be_tried(there: Any, studio: Any) -> None:
    page = Page(studio.url)
    there.get(studio.url)
    says(there, "Bring pictures")
    click(there, "Use the camera")
    for name, count in (("left hand", 3), ("right hand", 2)):
        field = until(there, "return document.querySelector('#cameraclass')")
        field.clear()
        field.send_keys(name)
        for number in range(1, count + 1):
            click(there, "Take a picture")
            page.wait(lambda state: ((state["gathering"] or {"counts": {}})["counts"]).get(name, 0) == number)  # noqa: B023
    assert page.state["gathering"]["counts"] == {"left hand": 3, "right hand": 2}
    assert violations(there) == []
    click(there, "Close the camera")
    page.do("open", source="pullover-dress")
    view(there, "try", "Drop or paste a picture")
    click(there, "Use the camera")
    click(there, "Take and ask")
    says(there, "What the model saw")
    assert violations(there) == []
    assert complaints(there) == []


@pytest.mark.slow  # a folder is opened in a browser
def test_names_are_text_whatever_they_hold(there: Any, studio: Any, splits: Splits, tmp_path: Path) -> None:
    page, names = Page(studio.url), ["<img src=x onerror=alert(1)>", "日本 & co", "a'b\"c"]
    for name in names:
        (tmp_path / "hostile" / name).mkdir(parents=True)
        for number in range(4):
            content = png_of(splits, number + 10 * names.index(name))
            (tmp_path / "hostile" / name / f"<b>{number}&amp;.png").write_bytes(content)
    there.get(studio.url)
    says(there, "Bring pictures")
    drop(there, tmp_path / "hostile")
    page.wait(lambda state: sum((state["gathering"] or {"counts": {}})["counts"].values()) == 12)
    for name in names:
        says(there, name)
    click(there, "Use these pictures")
    says(there, "Your pictures are in")
    for name in names:
        says(there, name)
    assert there.execute_script("return document.querySelectorAll('main img, main b b, main script').length") == 0
    assert violations(there) == []
    assert complaints(there) == []


@pytest.mark.slow  # a training, twice, in a browser
def test_by_keys_alone_a_person_goes_the_whole_way_and_no_view_is_a_dead_end(there: Any, studio: Any) -> None:
    from selenium.webdriver import Keys

    page = Page(studio.url)
    there.get(studio.url)
    says(there, "Bring pictures")
    for name in ("verdict", "repair", "try", "take", "compare"):
        there.execute_script("location.hash = arguments[0]", name)
        until(there, "return document.body.dataset.view === arguments[0] && document.querySelector('main .btn')", name)
        assert violations(there) == []
    there.execute_script("location.hash = '#start'; document.querySelector('main').focus()")
    says(there, "Start with these")
    reach(there, "Start with these")
    until(there, "return location.hash === '#train' && Boolean(document.querySelector('.batch .pic'))")
    page.do("start", epochs=1)
    page.do("speed", value=0, unit="batches")
    press(there, Keys.ARROW_RIGHT)
    page.wait(lambda state: state["place"]["station"] == 2)
    press(there, " ")
    says(there, "See how good it is")
    reach(there, "See how good it is")
    says(there, "What it mixes up")
    reach(there, "Look at ")
    says(there, "You decide.")
    press(there, "1")
    press(there, "x")
    page.wait(lambda state: state["edits"]["count"])
    reach(there, "Train again with these")
    says(there, "Right on the same pictures")
    reach(there, "Try it", back=True)
    says(there, "Or one of these test pictures")
    reach(there, "Test picture 2")
    says(there, "What the model saw")
    reach(there, "Take it", back=True)
    says(there, "Take it with you")
    reach(there, "Download the zip")
    says(there, "The self-test passed")
    assert complaints(there) == []


def test_a_hostile_name_of_a_run_finds_nothing(page: Page) -> None:
    for name in ("../../etc", "..%2f..", "/etc", "C:\\", "<b>", ""):
        reply = page.send("GET", f"/compare?with={name}")
        assert (reply.status, "error" in reply.json) == (400, True), name
    for path in ("/suspects/picture?id=../../etc/passwd", "/verdict/cell?label=-1&answer=0", "/verdict/cell?label=9e9"):
        assert page.send("GET", path).status == 400, path
    for body in (b"[]", b"{", json.dumps({"changes": [{"id": "../x", "now": ""}]}).encode(), b"\xff"):
        assert page.send("POST", "/do/relabel", body).status == 400, body
    assert page.send("POST", "/try", b"not a picture").json["error"]["message"]
    assert page.send("POST", "/do/pack", b"{}").status == 400
    assert page.send("GET", "/take").status == 400
