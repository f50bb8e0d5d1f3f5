"""`ss.open_studio`: a learner of the user's own on the page, and the frame of a notebook."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browser, violations
from in_studio import Page, array
from on_page import CAMERA, click, complaints, press, says, until, view
from torch import nn

import sevensteps as ss
from sevensteps.steps.loss import sigmoid_l1_loss


def my_learner() -> ss.Learner:
    """Return a learner as a person makes it."""
    splits = ss.load("pullover-dress").hold_out(0.1)
    dls = ss.DataLoaders.from_images(splits, 512)
    return ss.Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(784, 1)), sigmoid_l1_loss, lr=0.3)


def test_a_learner_of_the_users_own_is_trained_by_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    learn = my_learner()
    other = learn.copy()
    studio = ss.open_studio(learn, port=0)
    try:
        page = Page(studio.url)
        run = page.rest()["run"]
        assert (run["kind"], run["recipe"]["lr"], run["folder"]) == ("linear", 0.3, None)
        for _ in range(3):
            page.do("batch")
        page.do("back", to=2)
        page.do("batch")
        events = other.stream()
        losses = [float(next(events).loss) for _ in range(3)]
        assert np.array_equal(array(page.state["curve"]["values"]), np.array(losses, dtype=np.float32))
        assert not (tmp_path / "runs").exists()
        assert studio._repr_html_().startswith("<a href=")
    finally:
        studio.close()
    assert learn.state.batch == 3


def test_corrections_of_a_learner_are_given_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    studio = ss.open_studio(my_learner(), port=0)
    try:
        page = Page(studio.url)
        assert page.rest()["run"]["learner"]
        change = {"changes": [{"id": "train/7", "now": "Dress"}, {"id": "train/11", "now": ""}]}
        reply = page.send("POST", "/do/relabel", json.dumps(change).encode())
        assert reply.json["count"] == 2
        assert page.send("POST", "/do/undo").json["undone"] == ["train/7", "train/11"]
        page.send("POST", "/do/relabel", json.dumps(change).encode())
        assert "in your notebook" in page.refused("train-again")["message"]
        fixed = tmp_path / "corrections.csv"
        fixed.write_bytes(page.send("GET", "/corrections.csv").content)
        page.do("open", source="pullover-dress")  # another run, of whose pictures nothing was corrected
        assert page.get("/suspects?page=0").get("rows", []) == []
        assert page.state["edits"]["count"] == 0
    finally:
        studio.close()
    counts = ss.load("pullover-dress", fix=fixed).corrected
    assert counts is not None
    assert {(one.id, one.now) for one in counts.changes} == {("train/7", "Dress"), ("train/11", "")}
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow  # a browser
def test_on_the_page_a_learner_is_repaired_by_a_file_for_the_notebook(
    there: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    studio = ss.open_studio(my_learner(), port=0)
    try:
        page = Page(studio.url)
        page.rest()
        there.get(studio.url)
        until(there, "return document.querySelectorAll('.batch .pic').length > 0")
        assert there.execute_script("return document.querySelector('.stories').hidden")
        view(there, "repair", "You decide.")
        first = page.get("/suspects?page=0")["items"][0]
        press(there, str(["Pullover", "Dress"].index(first["likely"]) + 1))
        says(there, 'splits = ss.load("pullover-dress", fix="corrections.csv")')
        assert violations(there) == []
        click(there, "Save as a file")
        end = time.monotonic() + 20
        while not (fixed := tmp_path / "corrections.csv").is_file():
            assert time.monotonic() < end
            time.sleep(0.1)
        view(there, "take", "This learner is yours already")
        assert complaints(there) == []
    finally:
        studio.close()
    counts = ss.load("pullover-dress", fix=fixed).corrected
    assert counts is not None
    assert [(one.id, one.now) for one in counts.changes] == [(first["id"], first["likely"])]


def test_a_learner_without_pictures_is_refused() -> None:
    learn = ss.Learner(ss.DataLoaders([], None), nn.Linear(2, 1), sigmoid_l1_loss)
    with pytest.raises(ss.SevenstepsError, match="made from pictures"):
        ss.open_studio(learn)


def test_in_a_frame_the_token_travels_in_a_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    studio = ss.open_studio(port=0, origin="http://localhost:8888")
    try:
        page, frame = Page(studio.url), studio.door.frame_url
        path = frame.partition(str(page.port))[2]
        assert f'src="{frame}"' in studio._repr_html_()
        token = path.split("/")[2]
        for name in ("", "app.js", "page.css"):
            reply = page.send("GET", f"{path}{name}", X_Sevensteps_Token=None)
            assert reply.status == 200
            policy = reply.headers["content-security-policy"]
            assert policy.endswith("frame-ancestors http://127.0.0.1:8888 http://localhost:8888")
            assert "x-frame-options" not in reply.headers
        # The address alone opens nothing but the page's own files, and not even these with another token.
        assert page.send("GET", f"{path}state", X_Sevensteps_Token=None).status == 403
        assert page.send("POST", f"{path}do/step", X_Sevensteps_Token=None).status == 403
        assert page.send("GET", f"{path}state", X_Sevensteps_Token=token).json["studio"]["framed"]
        assert page.send("GET", f"/frame/{'x' * 43}/", X_Sevensteps_Token=None).status == 403
        assert page.send("GET", "/state", X_Sevensteps_Token=token).status == 403
        assert "frame-ancestors 'none'" in page.send("GET", "/").headers["content-security-policy"]
    finally:
        studio.close()


@pytest.mark.parametrize("origin", ["", "localhost:8888", "javascript:alert(1)", "http://", "http://a; script-src *"])
def test_what_is_not_the_address_of_a_notebook_is_refused(origin: str) -> None:
    with pytest.raises(ss.SevenstepsError, match="address of a notebook"):
        ss.open_studio(origin=origin)


NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "a",
            "metadata": {},
            "outputs": [],
            "source": "import sevensteps as ss\nstudio = ss.open_studio('pullover-dress', port=0)\nstudio",
        }
    ],
    "metadata": {"kernelspec": {"display_name": "Here", "language": "python", "name": "here"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@contextlib.contextmanager
def jupyter_lab(folder: Path) -> Any:
    """Start a JupyterLab of its own in a folder, whose kernel is this Python, and give its address."""
    program = os.environ.get("JUPYTER_LAB") or shutil.which("jupyter-lab")
    if not program:
        pytest.skip("JupyterLab is not here: pip install jupyterlab")
    kernel = folder / "share/jupyter/kernels/here"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Here", "language": "python"}))
    (folder / "a.ipynb").write_text(json.dumps(NOTEBOOK))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_DATA_DIR": "share/jupyter"}
    process = subprocess.Popen(
        [
            program,
            "--no-browser",
            "--allow-root",
            f"--port={port}",
            "--ip=127.0.0.1",
            "--IdentityProvider.token=secret",
        ],
        cwd=folder,
        env={**os.environ, **{name: str(folder / place) for name, place in places.items()}},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        # By another name than the frame has: so the two are pages of different sites, to which no cookie is sent.
        yield f"http://localhost:{port}/lab/tree/a.ipynb?token=secret"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.slow
def test_in_a_real_jupyterlab_the_frame_shows_the_page_and_trains(tmp_path: Path) -> None:
    with (
        jupyter_lab(tmp_path) as address,
        browser(tmp_path / "profile", sees_this_machine=True, more=CAMERA) as driver,
    ):
        port = int(address.split(":")[2].split("/")[0])
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < end, "JupyterLab has not started"
            time.sleep(0.5)
        driver.get(address)
        wait_for(driver, ".jp-Notebook")
        wait_for(driver, ".jp-CodeCell")
        run_cell(driver)
        driver.switch_to.frame(wait_for(driver, "iframe[title=Studio]", 90))
        wait_for(driver, "#train, .view, main", 60)
        end = time.monotonic() + 60
        while "Pullover" not in driver.find_element("css selector", "body").text:
            assert time.monotonic() < end, driver.find_element("css selector", "body").text
            time.sleep(0.5)
        assert driver.execute_script("return [location.hostname, document.cookie]") == ["127.0.0.1", ""]
        until(driver, "return document.querySelectorAll('.batch .pic').length > 0")  # the training, at once
        driver.execute_script("document.querySelector('[data-do=batch]').click()")
        until(driver, "return document.querySelector('.readout').textContent.endsWith('batch 1')")
        view(driver, "start", "Use the camera")
        click(driver, "Use the camera")
        until(
            driver,
            "const field = document.querySelector('#cameraclass'); if (field) field.value = 'hand'; return field",
        )
        click(driver, "Take a picture")
        says(driver, "1 picture")
        view(driver, "take", "The same run as a command")
        driver.find_element("css selector", "main .head .plain").click()
        says(driver, "Copied")


def run_cell(driver: Any) -> None:
    """Run the first cell by its keys, once the notebook has restored itself."""
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver import ActionChains, Keys

    end = time.monotonic() + 90
    while True:
        with contextlib.suppress(WebDriverException):
            driver.find_element("css selector", ".jp-CodeCell .jp-InputArea-editor").click()
            ActionChains(driver).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
        time.sleep(3)
        prompts = driver.execute_script(
            "return [...document.querySelectorAll('.jp-InputPrompt')].map(prompt => prompt.textContent)"
        )
        if any(prompt.strip() in ("[*]:", "[1]:") for prompt in prompts):
            return
        assert time.monotonic() < end, prompts


def wait_for(driver: Any, selector: str, seconds: float = 60) -> Any:
    """Wait for an element, and return it."""
    end = time.monotonic() + seconds
    while not (found := driver.find_elements("css selector", selector)):
        assert time.monotonic() < end, f"no {selector}"
        time.sleep(0.5)
    return found[0]
