"""`train --unfreeze`: compared with the probe on validation pictures, and the better one is kept and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from photos import photos_in
from typed import Done, here, refused, sevensteps

import sevensteps as ss
from sevensteps.records.events import Batch
from sevensteps.ship import file as model_file

NAME = "efficientnet-lite0"


def nobody(event: object) -> None:
    """Observe nothing."""


class EnoughError(Exception):
    """Ends a run as a crash would."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("tuned")
    photos_in(base / "photos", 10)
    return base


@pytest.fixture(scope="module")
def first(folder: Path) -> Done:
    return sevensteps(
        *["train", "photos", "--unfreeze", "1", "--epochs", "3", "--folds", "1", "--out", "run"], cwd=folder
    )


def judgement_of(run: Path) -> dict[str, Any]:
    judgement: dict[str, Any] = json.loads((run / "judgement.json").read_text("utf-8"))
    return judgement


@pytest.mark.slow
def test_the_better_one_on_validation_is_kept_and_said(first: Done, folder: Path) -> None:
    assert first.code == 0, first.err
    said = " ".join((first.out + first.err).split())
    assert f"weights: the last stage of {NAME}, and a linear model fitted before" in said
    assert "15,680 values of the frozen stages, then trained layers" in said
    about = judgement_of(folder / "run")["fine_tuning"]
    probe, tuned = about["comparison"]["correct_a"], about["comparison"]["correct_b"]
    losses = about["losses"]
    is_tuned = tuned > probe or (tuned == probe and losses["fine-tuned"] < losses["probe"])
    assert about["kept"] == ("fine-tuned" if is_tuned else "probe")
    assert (about["comparison"]["a"], about["comparison"]["b"]) == ("probe", "fine-tuned")
    line = f"the {'fine-tuned model' if is_tuned else 'linear model'} is kept: "
    assert line in said
    assert line in (folder / "run/recipe.toml").read_text("utf-8")


@pytest.mark.slow
def test_the_file_has_the_last_stage_and_says_where_the_network_is_cut(first: Done, folder: Path) -> None:
    file = folder / "run/model.safetensors"
    arrays, about = model_file.read(file)
    assert about["features"] == {"name": NAME, "sha256": about["features"]["sha256"], "layers": 9}
    assert arrays["1.0.0.weight"].shape == (1280, 320, 1, 1)
    assert arrays["abstain.means"].shape == (3, 1280)  # the distance is measured on the features of the whole network
    assert file.stat().st_size < 3 << 20  # the network has 13 MB
    done = sevensteps("predict", "run", "photos/china/00.png", "photos/hopper/03.png", "--json", cwd=folder)
    answers = json.loads(done.out)["results"]
    assert [answer["class"] for answer in answers] == ["china", "hopper"]
    learner = ss.load_learner(folder / "run")
    for answer in answers:
        _, _, shares = learner.predict(folder / answer["file"])
        named = dict(zip(learner.classes, shares.tolist(), strict=True))
        assert named == pytest.approx(answer["probabilities"], abs=1e-5)


@pytest.mark.slow
def test_a_probe_that_is_better_is_what_the_file_holds(folder: Path) -> None:
    """A rate that is far too high ruins the network; the probe is kept, judged, and repeated."""
    settings: dict[str, Any] = {"features": NAME, "folds": 1, "hold_out": 0.3, "coverage": 1.0, "observe": nobody}
    far: dict[str, Any] = {"unfreeze": 1, "lr": 0.5, "schedule": "constant", "epochs": 1}
    bad = ss.train(folder / "photos", out=folder / "bad", **far, **settings)
    assert bad.fine_tuning is not None
    assert bad.fine_tuning.kept == "probe"
    assert bad.kept_epoch == 0
    assert judgement_of(folder / "bad")["fine_tuning"]["kept"] == "probe"
    plain = ss.train(folder / "photos", **settings)
    assert bad.valid == plain.valid
    ss.judge(folder / "bad")
    assert judgement_of(folder / "bad")["fine_tuning"] == bad.fine_tuning.as_json()
    _, about = model_file.read(folder / "bad/checkpoint.safetensors")
    assert about["state"]["best_epoch"] == 0
    page = ss.report(folder / "bad").path.read_text("utf-8")
    assert "The parameters that training started from were kept." in page
    longer = ss.resume(folder / "bad", epochs=1, observe=nobody)
    assert longer.epochs == 2


@pytest.mark.slow
def test_an_interrupted_run_goes_on_bit_for_bit(folder: Path) -> None:
    seen: list[Batch] = []

    def observe(event: Any) -> None:
        if isinstance(event, Batch):
            seen.append(event)
            if len(seen) > 1:
                raise EnoughError

    settings: dict[str, Any] = {"unfreeze": 1, "epochs": 2, "folds": 1, "coverage": 1.0, "checkpoint_every": "1 batch"}
    ss.train(folder / "photos", out=folder / "whole", observe=nobody, **settings)
    with pytest.raises(EnoughError):
        ss.train(folder / "photos", out=folder / "cut", observe=observe, **settings)
    ss.resume(folder / "cut", observe=nobody)
    for name in ("model.safetensors", "history.jsonl", "judgement.json", "predictions.jsonl", "recipe.toml"):
        assert (folder / "cut" / name).read_bytes() == (folder / "whole" / name).read_bytes(), name


@pytest.mark.slow
def test_every_verb_works_on_such_a_run(first: Done, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for typed in (
        "judge run",
        "doctor run",
        "verify run --rerun",
        "xray run",
        "report run",
        "resume run --epochs 1",
        "train photos --recipe run --out again",
        "compare run again",
        "runs .",
        "train photos --recipe run --out folds --folds 3",
    ):
        done = here(*typed.split(), cwd=folder, capsys=capsys)
        assert done.code == 0, (typed, done)


def test_settings_that_cannot_be_are_refused_with_what_to_type(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ("train", "photos", "--unfreeze")
    refused(here(*typed, "1", "--recipe", "linear", cwd=folder, capsys=capsys), 2, "features is none", "--features")
    refused(here(*typed, "9", cwd=folder, capsys=capsys), 2, "unfreeze is 9")
    refused(here(*typed, "1", "--model", "cnn", cwd=folder, capsys=capsys), 2, "not with cnn", "--model linear")


@pytest.mark.slow
def test_a_cut_where_no_stage_begins_is_refused(first: Done, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays, about = model_file.read(folder / "run/model.safetensors")
    about["features"]["layers"] = 4
    model_file.write(folder / "other.safetensors", arrays, about)
    done = here("predict", "other.safetensors", "photos/china/00.png", cwd=folder, capsys=capsys)
    refused(done, 1, "after 4 layers", "Train again")
