"""The Studio's buttons give exactly the numbers that the library gives."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from in_studio import Page, array

import sevensteps as ss
from sevensteps.base.own_code import given, name_of
from sevensteps.learner.learner import Learner
from sevensteps.records.events import Batch
from sevensteps.studio.session import next_frame
from sevensteps.studio.start import beside
from sevensteps.studio.trainer import Trainer


def of_library(page: Page) -> Learner:
    """Return a learner of the same recipe, at its start."""
    recipe = page.state["run"]["recipe"]
    settings = {name: recipe[name] for name in ("lr", "batch_size", "epochs", "seed")}
    splits = ss.load("pullover-dress")
    made = ss.Recipe.load(recipe["name"]).replace(**settings)
    return made.learner(made.held_out(splits))


def losses_of(learn: Learner, count: int) -> list[float]:
    """Return the losses of the next batches."""
    events = (event for event in learn.stream() if isinstance(event, Batch))
    losses = [float(next(events).loss) for _ in range(count)]
    learn.close()
    return losses


def curve(page: Page) -> list[float]:
    """Return the losses that the page shows."""
    return array(page.state["curve"]["values"]).tolist()


def weights(page: Page) -> np.ndarray:
    """Return the weights that the page shows."""
    return array(page.state["live"]["weights"]).ravel()


def of_model(learn: Learner) -> np.ndarray:
    """Return the weights of a linear model."""
    return next(p for p in learn.model.parameters() if p.ndim == 2).detach().numpy().ravel()


def test_step_walks_the_stations_and_trains_at_the_fifth(page: Page) -> None:
    learn = of_library(page)
    assert page.place["station"] == 1
    seen = page.get("/xray")
    assert np.array_equal(array(seen["x"]), learn.xray()[2].values["x"].numpy())
    for station in (2, 3, 4, 5):
        page.do("step")
        assert (page.place["station"], page.place["batch"]) == (station, 0)
    assert not page.get("/xray")["done"]
    page.do("step")
    [loss] = losses_of(learn, 1)
    assert (page.place["station"], page.place["batch"]) == (6, 1)
    assert curve(page) == [pytest.approx(loss, abs=0)] == [np.float32(seen["loss"])]
    after = page.get("/xray")
    assert after["done"]
    assert np.array_equal(array(after["weights"]["after"]).ravel(), of_model(learn))
    assert np.array_equal(weights(page), of_model(learn))
    page.do("step")
    page.do("step")
    assert (page.place["station"], page.get("/xray")["batch"]) == (2, 1)


@pytest.mark.parametrize(
    "recipe", ["plain", pytest.param("cnn", marks=pytest.mark.slow)]
)  # cnn: augmentation, batch norm, AdamW, a schedule
def test_batch_back_and_rewind_are_exact(page: Page, recipe: str) -> None:
    page.do("start", recipe=recipe, batch_size=1024, epochs=2)
    learn = of_library(page)
    count = 13  # more than an epoch of 11 batches, so that its end is crossed
    expected = np.array(losses_of(learn, count), dtype=np.float32)
    page.do("speed", value=0)

    def to_the_last() -> None:
        page.do("epoch")
        page.rest()
        page.do("batch")
        page.do("batch")

    to_the_last()
    assert np.array_equal(curve(page), expected)
    before = page.state
    page.do("back", to=9)
    assert page.place["batch"] == 9
    assert page.state["epochs"] == []
    assert np.array_equal(curve(page), expected[:9])
    to_the_last()
    again = page.state
    assert np.array_equal(curve(page), expected)
    assert (again["epochs"], again["live"]) == (before["epochs"], before["live"])
    assert again["place"] == {**before["place"], "asked": again["place"]["asked"]}
    page.do("rewind")
    assert (page.place["batch"], page.place["station"], curve(page)) == (0, 1, [])
    page.do("batch")
    assert curve(page) == [expected[0]]


def test_a_look_back_within_a_batch_trains_nothing(page: Page) -> None:
    page.do("batch")
    for _ in range(3):
        page.do("step")
    assert page.place["station"] == 4
    page.do("back")
    assert (page.place["station"], page.place["batch"]) == (2, 1)
    page.do("back")
    assert (page.place["station"], page.place["batch"]) == (1, 0)


def test_batches_whose_moment_was_forgotten_are_computed_again(page: Page) -> None:
    page.do("speed", value=0)
    page.do("epoch")
    state = page.rest()
    losses = curve(page)
    assert len(losses) == 338
    for to in (200, 57):
        page.do("back", to=to)
        assert curve(page) == losses[:to]
    page.do("epoch")
    again = page.rest()
    assert curve(page) == losses
    assert again["epochs"] == state["epochs"]


def test_a_run_ends_judged_in_a_folder_that_the_verbs_know(page: Page) -> None:
    page.do("speed", value=0)
    page.do("start", batch_size=512, epochs=2)
    page.do("run")
    state = page.rest()
    assert (state["place"]["phase"], state["place"]["stopped"]["code"]) == ("done", "epochs")
    run = ss.train("pullover-dress", "plain", batch_size=512, epochs=2, observe=lambda event: None)
    assert run.test is not None
    assert state["verdict"]["accuracy"] == run.test.accuracy
    folder = state["run"]["folder"]
    assert ss.judge(folder).score == run.test
    assert ss.verify(folder).passed
    # Its numbers are those of `train`, to the last bit.
    own = dict(ss.load_learner(Path(folder) / "model.safetensors").model.named_parameters())
    assert all(torch.equal(own[name], value) for name, value in run.learn.model.named_parameters())


def test_a_changed_rate_applies_to_the_next_batch_and_is_marked(page: Page) -> None:
    learn = of_library(page)
    losses = losses_of(learn, 3)
    for _ in range(3):
        page.do("batch")
    page.do("lr", lr=0.05)
    learn.set(lr=0.05)
    losses += losses_of(learn, 3)
    for _ in range(3):
        page.do("batch")
    assert page.state["marks"] == [{"batch": 3, "lr": 0.05}]
    assert np.array_equal(curve(page), np.array(losses, dtype=np.float32))
    page.do("back", to=5)
    page.do("batch")
    assert np.array_equal(curve(page), np.array(losses, dtype=np.float32))
    page.do("back", to=2)
    assert page.state["marks"] == []
    assert page.place["lr"] == 0.2


def test_a_changed_rate_is_replayed_by_the_recipe(page: Page) -> None:
    page.do("start", batch_size=512, epochs=2)
    for lr in (0.05, 0.7):
        page.do("batch")
        page.do("batch")
        page.do("lr", lr=lr)
    page.do("back", to=3)
    page.do("speed", value=0)
    page.do("run")
    state = page.rest()
    assert state["run"]["command"] == (
        "sevensteps train pullover-dress --recipe plain --batch-size 512 --lr-changes 2:0.05 --epochs 2"
    )
    run = ss.train("pullover-dress", "plain", batch_size=512, epochs=2, lr_changes="2:0.05", observe=lambda event: None)
    own = dict(ss.load_learner(Path(state["run"]["folder"]) / "model.safetensors").model.named_parameters())
    assert all(torch.equal(own[name], value) for name, value in run.learn.model.named_parameters())
    assert run.learn.state.changes == [{"at_batch": 2, "lr": 0.05}]


def test_the_chain_of_a_trained_picture_is_that_of_before(page: Page) -> None:
    before = page.get("/chain?number=3")
    page.do("back", to=0)
    page.do("batch")
    assert page.get("/chain?number=3") == before


def test_going_back_at_full_speed_leaves_no_loss_of_what_came_after(page: Page) -> None:
    page.do("speed", value=0)
    page.do("run")
    time.sleep(0.3)
    page.do("back", to=5)
    assert (page.place["batch"], len(curve(page))) == (5, 5)


def test_an_optimizer_that_is_not_plain_is_named_and_its_step_is_its_own(page: Page) -> None:
    assert page.get("/xray")["optimizer"] == {"name": "SGD", "plain": True, "momentum": 0.0}
    page.do("start", recipe="linear", batch_size=1024)
    learn = of_library(page)
    page.do("batch")
    losses_of(learn, 2)
    page.do("batch")  # the second step has the first one's momentum in it
    seen = page.get("/xray")
    assert seen["optimizer"] == {"name": "SGD", "plain": False, "momentum": 0.9}
    assert np.array_equal(array(seen["weights"]["after"]).ravel(), of_model(learn))
    page.do("start", recipe="cnn")
    assert page.get("/xray")["optimizer"] == {"name": "AdamW", "plain": False, "momentum": 0.0}


def with_dropout(shape: tuple[int, int, int], outputs: int) -> torch.nn.Module:
    """Return a model of the user's own, with a random layer."""
    nn = torch.nn
    layers = nn.Flatten(), nn.Linear(math.prod(shape), 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, outputs)
    return nn.Sequential(*layers)


def test_dropout_is_exact_by_steps_batches_epochs_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = ss.Recipe.load("linear").replace(source="pullover-dress", model=name_of(with_dropout), batch_size=1024)

    def first(trainer: Trainer) -> None:
        with given(with_dropout):
            trainer.begin(recipe.replace(epochs=2))

    with given(with_dropout):
        splits = ss.load("pullover-dress")
        learn = recipe.replace(epochs=2).learner(recipe.held_out(splits))
    expected = np.array(losses_of(learn, 13), dtype=np.float32)
    studio = beside(port=0, first=first)
    try:
        page = Page(studio.url)
        page.rest()
        for _ in range(5):
            page.do("step")
        assert curve(page) == [expected[0]] == [np.float32(page.get("/xray")["loss"])]
        page.do("batch")
        page.do("speed", value=0)
        page.do("epoch")
        page.rest()
        page.do("batch")
        page.do("batch")
        assert np.array_equal(curve(page), expected)
        page.do("back", to=4)
        page.do("batch")
        assert np.array_equal(curve(page), expected[:5])
        page.do("rewind")
        page.do("batch")
        assert curve(page) == [expected[0]]
    finally:
        studio.close()


def test_a_run_that_is_opened_shows_the_losses_that_are_saved(page: Page) -> None:
    page.do("start", batch_size=1024, epochs=2)
    expected = np.array(losses_of(of_library(page), 14), dtype=np.float32)
    page.do("speed", value=0)
    page.do("epoch")
    page.rest()
    page.do("batch")
    page.do("batch")
    name, before = page.state["run"]["name"], page.state["epochs"]
    page.do("open", source="pullover-dress")
    assert curve(page) == []
    page.do("open", run=name)
    state = page.state
    assert (state["curve"]["means"], state["place"]["loss"], state["epochs"]) == (13, None, before)
    shown = curve(page)
    assert shown[:11] == [pytest.approx(before[0]["train_loss"])] * 11
    assert shown[11:] == [pytest.approx(expected[11:13].mean(), rel=1e-6)] * 2
    page.do("batch")
    assert (page.state["curve"]["means"], curve(page)[13:]) == (13, [expected[13]])
    page.do("back", to=12)
    assert (page.state["curve"]["means"], curve(page)) == (0, expected[:12].tolist())


def test_batches_of_20_ms_are_30_frames_a_second() -> None:
    due, frames = 0.0, 0
    for number in range(1, 501):
        if number * 0.02 >= due:
            due, frames = next_frame(due, number * 0.02), frames + 1
    assert 298 <= frames <= 302


def test_what_makes_no_sense_is_refused_and_changes_nothing(page: Page) -> None:
    page.do("batch")
    before = page.state
    for verb, values in (
        ("back", {"to": 7}),
        ("back", {"to": "x"}),
        ("lr", {"lr": -1}),
        ("lr", {}),
        ("speed", {"value": 5, "unit": "epochs"}),
        ("start", {"recipe": "../../etc"}),
        ("start", {"epochs": 0}),
        ("start", {"lr": "fast"}),
        ("open", {"source": "/etc"}),
        ("open", {"run": "../.."}),
        ("fly", {}),
    ):
        error = page.refused(verb, **values)
        assert error["message"]
    assert page.state == before


def test_a_run_at_full_speed_rests_at_a_batch_that_is_seen_and_done(page: Page) -> None:
    page.do("start", batch_size=512, epochs=2)
    page.do("speed", value=0)
    page.do("epoch")
    page.rest()
    seen = page.get("/xray")
    assert (page.place["station"], page.place["batch"]) == (7, 22)
    assert (seen["batch"], seen["done"], seen["repeat"]["batch"]) == (21, True, 22)
    assert seen["loss"] == pytest.approx(curve(page)[-1], rel=1e-6)
    assert seen["stop"]["rules"][0] == {"text": "2 epochs are done", "value": "22 of 44 batches", "met": False}
    page.do("run")
    page.do("pause")
    page.rest()
    assert page.get("/xray")["batch"] == page.place["batch"] - 1
    page.do("run")
    page.rest()
    assert (page.get("/xray")["batch"], page.get("/xray")["done"], page.place["batch"]) == (43, True, 44)
    assert page.get("/xray")["stop"]["rules"][0]["met"]


def test_of_two_rates_for_one_batch_the_last_is_marked(page: Page) -> None:
    page.do("batch")
    for lr in (0.5, 1, 5):
        page.do("lr", lr=lr)
    assert page.state["marks"] == [{"batch": 1, "lr": 5}]
    scale = page.get("/xray")["scale"]
    page.do("batch")
    assert page.get("/xray")["scale"] > scale
    page.do("rewind")
    assert page.get("/xray")["scale"] < scale * 2
