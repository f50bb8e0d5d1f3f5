"""`ss.train` and its like from Python: what a run does, tells its observer, writes, and gives back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import images
from typed import three_classes, write_idx

import sevensteps as ss
from sevensteps.data.images import Splits
from sevensteps.errors import DataError, RecipeError, RunError, TrainingError, UsageError
from sevensteps.jobs.xray import xray as look
from sevensteps.records.events import Baselines, Batch, Epoch, Finding, Judged, Opening, Ready
from sevensteps.runs.saved import Saved


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_classes(tmp_path_factory.mktemp("sources") / "three")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parameters(learn: ss.Learner) -> torch.Tensor:
    """All parameters in a row."""
    return torch.cat([parameter.detach().flatten() for parameter in learn.model.parameters()])


def test_the_first_job_gives_its_result_and_writes_nothing() -> None:
    run = ss.train("pullover-dress", recipe="linear", seed=0)
    assert run.test is not None
    assert run.test.accuracy > 0.96
    assert (run.test.n, run.test.split) == (2000, "test")
    assert run.valid is not None
    assert (run.valid.n, run.valid.split) == (1200, "valid")
    assert run.folder is None
    assert run.epochs == run.kept_epoch == 8
    assert run.test.interval.low > run.baselines["pixel similarity"].interval.high
    assert run.learn.predict(np.zeros((28, 28), dtype=np.uint8))[0] in ("Pullover", "Dress")
    assert list(Path().iterdir()) == []


def test_the_score_is_that_of_the_learner_on_untouched_pictures(splits: Splits) -> None:
    run = ss.train("pullover-dress", recipe="linear", epochs=2)
    assert splits.test is not None
    assert run.test is not None
    x, y = splits.test.tensors
    with torch.no_grad():
        answers = (run.learn.model(x.float() / 255).flatten() > 0).long()
    assert run.test.correct == int((answers == y).sum())
    assert run.valid is not None
    assert run.learn.validate()[1] == pytest.approx(run.valid.accuracy)


def test_settings_by_name_take_the_place_of_the_recipes(three: Path) -> None:
    run = ss.train(three, recipe="relu", epochs=1, width=5, seed=3, classes=("2", "0"))
    assert (run.recipe.name, run.recipe.width, run.recipe.seed, run.epochs) == ("relu", 5, 3, 1)
    assert run.learn.classes == ("2", "0")
    assert run.learn.model[-1].in_features == 5
    same = ss.train(recipe=run.recipe)
    assert torch.equal(parameters(run.learn), parameters(same.learn))


def test_a_setting_that_is_not_there_is_refused(three: Path) -> None:
    with pytest.raises(RecipeError, match="'epocs'"):
        ss.train(three, epocs=3)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"source": Splits(images(10))}, "Recipe.load"),
        ({"recipe": {"epochs": 3}}, "ss.train(epochs=3"),
        ({"recipe": 3}, "by name"),
    ],
)
@pytest.mark.usefixtures("without_shape_checks")
def test_pictures_or_recipes_of_another_kind_are_refused_with_what_to_write(given: Any, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        ss.train(**given)
    assert hint in caught.value.hint


def test_an_observer_hears_everything_in_order(three: Path) -> None:
    heard: list[Any] = []
    run = ss.train(three, epochs=2, batch_size=100, observe=heard.append)
    kinds = [type(event) for event in heard if not isinstance(event, Finding)]
    assert kinds == [Opening, Baselines, Ready, *([Batch] * 3 + [Epoch]) * 2, Judged]
    opening, baselines, ready = heard[:3]
    assert opening.counts["test"] == {"0": 20, "1": 20, "2": 20}
    assert baselines.scores == run.baselines
    assert (ready.epochs, ready.batches_per_epoch) == (2, 3)
    assert [step.number for step in ready.xray.steps] == [1, 2, 3, 4, 5, 6, 7]
    assert float(heard[3].loss) == ready.xray[3].values["loss"], "the batch shown first is not the one trained first"


def test_a_finding_is_heard_when_it_appears() -> None:
    heard: list[Any] = []
    ss.train("pullover-dress", recipe="walkthrough-by-hand", epochs=2, observe=heard.append)
    assert [type(event) for event in heard[-3:]] == [Epoch, Finding, Judged]


def test_one_epoch_at_chance_is_said_at_its_end_since_there_is_no_second() -> None:
    stuck = ss.train("pullover-dress", recipe="walkthrough-by-hand", seed=0, epochs=1)
    assert [(finding.code, finding.epoch) for finding in stuck.findings] == [("saturated", 1)]
    assert ss.train("pullover-dress", recipe="linear", epochs=1).findings == ()


def test_what_an_observer_raises_ends_the_run(three: Path) -> None:
    def leave(event: object) -> None:
        if isinstance(event, Epoch):
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        ss.train(three, observe=leave)


def test_the_best_epoch_is_kept_and_judged(three: Path) -> None:
    steady = {"schedule": "constant", "lr": 0.3}
    run = ss.train(three, epochs=60, stop_patience=3, out="kept", **steady)
    losses = [epoch.valid_loss for epoch in Saved.open(Path("kept")).history]
    assert run.kept_epoch == 1 + int(np.argmin(losses))
    assert run.epochs == run.kept_epoch + 3 == len(losses) < 60
    as_far = ss.train(three, epochs=run.kept_epoch, **steady)
    assert torch.equal(parameters(run.learn), parameters(as_far.learn))
    assert (run.test, run.valid) == (as_far.test, as_far.valid)
    assert torch.equal(parameters(ss.load_learner("kept/model.safetensors")), parameters(run.learn))


def test_the_last_epoch_is_kept_where_nothing_else_is_asked(three: Path) -> None:
    run = ss.train(three, epochs=4, lr=0.5)
    assert run.kept_epoch == run.epochs == 4
    best = ss.train(three, epochs=4, lr=0.5, keep="best")
    losses = [epoch.valid_loss for epoch in best.learn.state.history]
    assert best.kept_epoch == 1 + int(np.argmin(losses))


def test_what_is_saved_is_what_was_given_back(three: Path) -> None:
    run = ss.train(three, epochs=2, out="run")
    saved = Saved.open(Path("run"))
    assert saved.recipe == run.recipe
    assert saved.recipe.device != "auto"
    assert saved.recipe.loss == "cross_entropy"
    assert list(saved.history) == run.learn.state.history
    assert run.test is not None
    assert saved.judgement["test"] == run.test.as_json()
    judgement = dict(saved.judgement)
    assert judgement.pop("files").keys() == {"model.safetensors", "predictions.jsonl"}
    del judgement["sha256"]
    assert judgement == json.loads(json.dumps(run.judgement()))
    rows = [json.loads(line) for line in Path("run/predictions.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows[:60]] == [f"test/{row}" for row in range(60)]
    assert len(rows) == 60 + 30
    right = [saved.recipe.classes[int(np.argmax(row["probabilities"]))] == row["label"] for row in rows[:60]]
    assert sum(right) == run.test.correct


@pytest.mark.parametrize(("model", "done"), [("linear", "formula"), ("relu", "autograd")])
def test_how_step_4_was_done_is_written_down_and_stays_when_the_run_goes_on(three: Path, model: str, done: str) -> None:
    def leave(event: object) -> None:
        if isinstance(event, Epoch):
            raise LookupError

    settings = {"model": model, "epochs": 2, "batch_size": 50, "checkpoint_every": "1 batch"}
    with pytest.raises(LookupError):
        ss.train(three, out="run", observe=leave, **settings)
    assert Saved.open(Path("run")).recipe.gradient == done
    resumed = ss.resume("run")
    assert (resumed.gradient, resumed.recipe.gradient, Saved.open(Path("run")).recipe.gradient) == (done, done, done)
    assert f"by {done}" in str(resumed.learn.xray())
    assert resumed.epochs == 2


def test_a_runs_recipe_works_in_any_folder_until_the_pictures_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_classes(tmp_path / "data")
    run = ss.train("data", epochs=1, out="run", observe=(heard := []).append)
    assert heard[0].source == "data", "what is shown is short"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = ss.train(recipe="../run")
    assert torch.equal(parameters(again.learn), parameters(run.learn))
    assert look(Path("../run"))
    assert ss.resume("../run").test == run.test
    (tmp_path / "data").rename(tmp_path / "moved")
    for job in (lambda: ss.train(recipe="../run"), lambda: look(Path("../run")), lambda: ss.resume("../run")):
        with pytest.raises(DataError, match=f"recipe 'linear' are no longer at {tmp_path / 'data'}") as caught:
            job()
        assert "sevensteps train PATH --recipe " in caught.value.hint
    assert torch.equal(parameters(ss.train("../moved", recipe="../run").learn), parameters(run.learn))


def test_what_the_run_was_made_with_is_recorded(three: Path) -> None:
    import tomllib

    ss.train(three, epochs=1, out="run")
    recorded = tomllib.loads(Path("run/recipe.toml").read_text())["recorded"]
    assert recorded["torch"] == torch.__version__
    assert recorded["sevensteps"] == ss.__version__
    assert recorded["threads"] == 1
    assert recorded["data"]["test"] == ss.load(three).test.fingerprint


def test_a_source_without_test_pictures_gets_some_of_each_class(tmp_path: Path) -> None:
    write_idx(tmp_path / "mine", "train", [0] * 50 + [1] * 100)
    run = ss.train(tmp_path / "mine", epochs=1, folds=1)
    assert run.test is not None
    assert run.test.n == 30
    assert run.valid is not None
    assert run.valid.n == 12
    rows = set(run.learn.dls.train.images.ids) | set(run.learn.dls.valid.images.ids)
    assert len(rows) == 120, "a test picture was trained on"


def test_validating_on_the_test_pictures_needs_some_and_is_marked(three: Path, tmp_path: Path) -> None:
    assert ss.train(three, epochs=1, validate_on="test").judgement()["validated_on_test"] is True
    write_idx(tmp_path / "mine", "train", [0, 1] * 20)
    with pytest.raises(DataError, match="no test pictures"):
        ss.train(tmp_path / "mine", validate_on="test")


def test_threads_and_random_state_are_as_before(three: Path) -> None:
    torch.manual_seed(7)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    used = set()
    ss.train(
        three,
        model="cnn",
        width=2,
        epochs=1,
        threads=threads + 1,
        augment="flip+shift",
        observe=lambda event: used.add(torch.get_num_threads()),
    )
    assert (used, torch.get_num_threads()) == ({threads + 1}, threads)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_diverging_run_raises_and_keeps_its_recipe(three: Path) -> None:
    with pytest.raises(TrainingError, match="The loss became"):
        ss.train(three, loss="mse_loss", lr=1e6, out="run")
    assert not Path("run/model.safetensors").exists()
    assert Saved.open(Path("run")).recipe.lr == 1e6


def test_nothing_is_written_where_something_is_in_the_way(three: Path) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        ss.train(three, epochs=1, out="mine")
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]
    assert ss.train(three, epochs=1, out="mine", force=True).folder == Path("mine")


def test_a_run_goes_to_the_next_free_folder_when_asked_to_save(three: Path) -> None:
    assert [str(ss.train(three, epochs=1, save=True).folder) for _ in range(2)] == [
        "runs/three-linear-1",
        "runs/three-linear-2",
    ]


def test_a_finished_learner_trains_on(three: Path) -> None:
    run = ss.train(three, epochs=2)
    run.learn.fit(1, lr=0.01, show=False)
    assert run.learn.state.epoch == 3


def test_xray_shows_the_parameters_of_the_run(three: Path) -> None:
    run = ss.train(three, epochs=2, out="run")
    seen = look(Path("run")).xray
    for name, tensor in run.learn.model.named_parameters():
        assert torch.equal(torch.from_numpy(seen[1].values["parameters"][name]), tensor)
    start = look(Path("run"), start=True).xray
    fresh = run.recipe.learner(ss.load(three))
    for name, tensor in fresh.model.named_parameters():
        assert torch.equal(torch.from_numpy(start[1].values["parameters"][name]), tensor)
    assert start[3].values["loss"] == fresh.xray()[3].values["loss"]
