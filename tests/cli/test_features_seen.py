"""A run on features says what it works on: features, and never pixels; and draws no picture of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from photos import photos_in
from PIL import Image
from typed import Done, here

import sevensteps as ss
from sevensteps.show.pixels import data_uri

NAME = "efficientnet-lite0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, and a run that was trained on their features."""
    base = tmp_path_factory.mktemp("seen")
    photos_in(base / "photos", 10)  # other test pictures than elsewhere, since looks at them are counted
    return base


@pytest.fixture(scope="module")
def run(folder: Path) -> ss.Run:
    return ss.train(folder / "photos", features=NAME, epochs=5, folds=1, out=folder / "run")


def words(done: Done) -> str:
    assert done.code == 0, done
    return " ".join((done.out + done.err).split())


def test_the_steps_say_where_the_frozen_part_ends(
    run: ss.Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = words(here("xray", "run", cwd=folder, capsys=capsys))
    assert f"x1280 features by {NAME} (frozen) -> " in steps
    assert "x3 scores (learned)" in steps
    assert "pixel" not in steps
    told = json.loads(here("xray", "run", "--picture", "2", "--json", cwd=folder, capsys=capsys).out)["picture"]
    assert told["of_features"] is True
    chain = here("xray", "run", "--picture", "2", cwd=folder, capsys=capsys)
    assert "pixel" not in chain.out
    assert "1,280 features from a frozen network" in chain.out
    added = np.array(told["contributions"])[int(np.argmax(told["scores"]))].ravel()
    strongest = int(np.abs(added).argmax())
    assert f"the strongest: feature {strongest + 1} {added[strongest]:+.3g}" in chain.out


def test_a_run_says_what_it_learned_from(run: ss.Run) -> None:
    assert "on features of efficientnet-lite0: " in repr(run)


def test_the_report_shows_steps_of_features(run: ss.Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert here("report", "run", cwd=folder, capsys=capsys).code == 0
    page = (folder / "run/report.html").read_text("utf-8")
    for heading in ("<h4>Features</h4>", "<h4>Back to the features</h4>"):
        assert heading in page
    for wrong in ("<h4>Pixels", "Each pixel", "if a pixel"):
        assert wrong not in page
    assert "a pretrained backbone, trained on many other pictures" not in page
    assert "The model learned from features of efficientnet-lite0, a pretrained network." in page


def test_a_notebook_draws_the_pictures_behind_the_features(run: ss.Run) -> None:
    shown = run.learn.show_results(max_n=2).axes[0].images[0].get_array()
    batch = run.learn.dls.show_batch(max_n=2).axes[0].images[0].get_array()
    assert shown is not None
    assert batch is not None
    valid = run.learn.dls.valid.images
    np.testing.assert_allclose(shown, valid.pixels[0].transpose(1, 2, 0) / 255, atol=1e-6)
    assert batch.shape == (64, 64, 3)


@pytest.mark.slow
def test_plots_leave_out_the_weights_and_say_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ("train", "photos", "--features", NAME, "--epochs", "3", "--folds", "1", "--plots")
    for recipe in ("linear", "relu"):
        done = here(*typed, "--recipe", recipe, "--out", recipe, cwd=folder, capsys=capsys)
        assert "weights.png is not drawn" in words(done)
        drawn = {path.name for path in (folder / recipe).rglob("*.png")}
        assert {"curves.png", "results.png", "mistakes.png", "confusion.png"} <= drawn
        assert "weights.png" not in drawn


def test_few_pictures_are_not_advised_the_backbone_that_they_have(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ("train", "photos", "--features", NAME, "--epochs", "3", "--folds", "1", "--numbers", "--out", "few")
    assert "a pretrained backbone" not in words(here(*typed, cwd=folder, capsys=capsys))
    few = json.loads((folder / "few/judgement.json").read_text("utf-8"))["few_pictures"]
    assert few["pretrained"] is True
    assert "backbone" not in few["advice"]


@pytest.mark.slow
def test_several_seeds_learn_from_features_as_one_does(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here(
        "train", "photos", "--seeds", "2", "--folds", "1", "--epochs", "3", "--out", "seeds", cwd=folder, capsys=capsys
    )
    assert done.code == 0, done.err
    for seed in (0, 1):
        assert f'features = "{NAME}"' in (folder / f"seeds/seed-{seed}/recipe.toml").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "settings"),
    [("--recipe", "run"), ("photos", "--balance loss"), ("photos", "--folds 3")],
)
def test_the_commands_to_type_next_can_be_typed(
    run: ss.Run, folder: Path, source: str, settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = () if source == "--recipe" else ("--features", NAME, "--epochs", "2")
    typed = ("train", source, *settings.split(), *given, "--out", "next", "--force")
    done = here(*typed, cwd=folder, capsys=capsys)
    assert done.code == 0, done
    last = done.out.splitlines()[-1]
    assert " data " in last
    assert done.out.count(last) == 1
    checked = here(
        *last.replace("python -m sevensteps", "").removeprefix("sevensteps").split(), cwd=folder, capsys=capsys
    )
    assert checked.code == 0, (last, checked)


@pytest.mark.slow
def test_a_larger_model_of_features_is_advised_and_none_of_pixels(
    run: ss.Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here("report", "run", cwd=folder, capsys=capsys).code == 0
    page = (folder / "run/report.html").read_text("utf-8")
    assert "--recipe relu" not in page
    assert "--unfreeze 1 --out runs/larger" in page


def test_a_baseline_of_pixels_is_not_called_the_same_kind_of_model(
    run: ss.Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = words(here("judge", "run", cwd=folder, capsys=capsys))
    assert "baseline logistic regression on the pixels: " in told
    assert "the same kind of model" not in told


@pytest.mark.parametrize(
    ("flag", "said"), [("--augment flip", "--augment needs"), ("--no-normalize", "--normalize needs")]
)
def test_a_setting_of_pixels_says_that_features_are_not_used(
    folder: Path, flag: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ("train", "photos", *flag.split(), "--epochs", "1", "--folds", "1", "--out", "varied", "--force")
    told = words(here(*typed, cwd=folder, capsys=capsys))
    assert f"{said} pixels, so features of a pretrained network are not used" in told
    assert "not used" not in words(here(*typed, "--model", "linear", cwd=folder, capsys=capsys))


def test_stages_to_train_need_features(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("train", "photos", "--features", "none", "--unfreeze", "1", cwd=folder, capsys=capsys)
    assert done.code == 2
    assert f"Set --features {NAME}, or --unfreeze 0." in " ".join(done.err.split())


def test_a_list_of_runs_names_features_and_what_was_typed_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, flags in (("plain", ()), ("typed", ("--lr", "0.2", "--clip", "1"))):
        typed = ("train", str(folder / "photos"), "--features", NAME, "--epochs", "1", "--folds", "1", *flags)
        assert here(*typed, "--out", name, cwd=tmp_path, capsys=capsys).code == 0
    title, plain, changed = here("runs", ".", cwd=tmp_path, capsys=capsys).out.splitlines()
    assert plain.startswith("plain  linear on features  ")
    column = title.index("changed")
    assert plain[column : title.index("epochs")].strip() == ""
    assert changed[column : title.index("epochs")].strip() == "lr 0.2, clip 1"


def test_the_report_shows_photographs_on_white_as_their_files_have_them(tmp_path: Path) -> None:
    photos_in(tmp_path / "photos", 4)
    drawn = np.zeros((32, 64, 4), np.uint8)
    drawn[8:24, 10:50, 3] = 255  # black on transparent, which is nearly invisible on black
    for name in ("a", "b"):
        drawn[8:24, 10:50, 0] = 12 * (name == "b")
        Image.fromarray(drawn).save(tmp_path / f"photos/china/copy-{name}.png")
    run = ss.train(tmp_path / "photos", features=NAME, epochs=1, folds=1, out=tmp_path / "run")
    page = ss.report(run).path.read_text("utf-8")
    wanted = np.full((64, 64, 3), 255, np.uint8)
    wanted[24:40, 10:50] = 0
    assert data_uri(wanted) in page
