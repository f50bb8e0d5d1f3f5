"""What a notebook's last line or a prompt shows of results: words, never the insides of a record."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageShow
from small import loaders
from torch import nn
from typed import three_classes

import sevensteps as ss
from sevensteps.errors import UsageError
from sevensteps.records.events import Finding
from sevensteps.records.steps import StepView, XRay
from sevensteps.show.drawing import new_axes
from sevensteps.show.show_image import show_image


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ss.Run:
    folder = three_classes(tmp_path_factory.mktemp("looks") / "three")
    return ss.train(folder, recipe="linear", epochs=1)


def test_a_summary_shows_itself_as_it_prints(run: ss.Run) -> None:
    learn = ss.Learner(loaders(), nn.Linear(4, 1))
    for text in (learn.summary(), run.learn.summary(), run.recipe.to_toml(), ss.Recipe().to_toml()):
        assert isinstance(text, str)
        assert repr(text) == str(text) == f"{text}"
        assert "\\n" not in repr(text)
        assert "\n" in text


def test_a_score_is_a_count_with_its_interval(run: ss.Run) -> None:
    score = run.test
    assert score is not None
    words = (
        f"{score.correct} of 60 test pictures right: {score.accuracy:.2%} (95 % interval {score.interval.low:.2%} to"
    )
    assert str(score).startswith(words)
    assert repr({"test": score}) == f"{{'test': {score}}}"
    assert repr(ss.Interval(0.25, 0.5)) == "0.25 to 0.5"
    assert "(95 % interval" in repr(run.against)
    assert f"of 60 test pictures answered; of these, {run.coverage and run.coverage.score}" in repr(run.coverage)
    shown = f"{run!r}{run.baselines!r}{run.valid!r}{run.against!r}{run.coverage!r}"
    assert not re.search(r"\w+\(\w+=", shown)


def test_a_finding_is_two_sentences() -> None:
    finding = Finding(
        code="stuck", epoch=2, message="It only guesses.", fix="Try --lr 0.1.", evidence={"gradients": [0.1] * 40}
    )
    assert repr((finding,)) == "(since epoch 2: It only guesses. Try --lr 0.1.,)"


def test_an_xray_is_a_table_in_a_notebook() -> None:
    seen = XRay((StepView(1, "initialize", "10 parameters (<weight>)", {}), StepView(2, "predict", "scores", {})))
    assert seen._repr_html_().count("<tr>") == 2
    assert "<td>10 parameters (&lt;weight&gt;)</td>" in seen._repr_html_()


def test_a_figure_shows_itself_from_a_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figure, _ = new_axes()
    figure.show()
    assert "figure.savefig" in capsys.readouterr().out
    figure.show(warn=False)
    assert capsys.readouterr().out == ""
    seen: list[Image.Image] = []
    monkeypatch.setenv("MPLBACKEND", "")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(ImageShow, "show", lambda picture, title: seen.append(picture) or True)
    figure.show()
    assert seen[0].size == (640, 420)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shape", [(5, 4), (1, 5, 4), (3, 5, 4), (5, 4, 3), (5, 4, 1)])
def test_a_picture_is_shown_in_every_usual_shape(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).random(shape)
    for picture in (pixels, torch.from_numpy(pixels)):
        axes = show_image(picture, title="3")
        assert axes.images[0].get_array().shape[:2] == (5, 4)
        assert axes.get_title() == "3"
        assert show_image(picture, ax=axes, cmap="Greys") is axes
        close_all()
    assert show_image(Image.new("L", (4, 5))).images[0].get_array().shape == (5, 4)
    close_all()


def close_all() -> None:
    """Close what show_image has opened on pyplot."""
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.mark.parametrize("what", [np.zeros(784), np.zeros((2, 3, 5, 4)), "a.png", None])
def test_what_is_not_one_picture_is_refused(what: object) -> None:
    with pytest.raises(UsageError, match="show_image") as refusal:
        show_image(what)
    assert "view(28, 28)" in refusal.value.hint


def test_resume_shows_the_table_that_train_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    ss.train(three_classes(tmp_path / "three"), recipe="linear", epochs=1, out=tmp_path / "run")
    capsys.readouterr()
    ss.resume(tmp_path / "run", epochs=2)
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == "epoch"
    assert "3" in rows
    ss.resume(tmp_path / "run", epochs=1, observe=lambda event: None)
    assert capsys.readouterr().out == ""
