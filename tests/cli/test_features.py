"""Photographs by command: features of a pretrained network are compared with pixels, and used where they help."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from photos import photos_in
from PIL import Image
from typed import Done, here, refused, sevensteps

import sevensteps as ss
from sevensteps.errors import DataError, ModelError
from sevensteps.ship import file as model_file

NAME = "efficientnet-lite0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, and a run that was trained on them."""
    base = tmp_path_factory.mktemp("photos")
    photos_in(base / "photos")
    return base


@pytest.fixture(scope="module")
def first(folder: Path) -> Done:
    return sevensteps("train", "photos", "--out", "run", "--folds", "1", cwd=folder)


def test_photographs_are_learned_from_features_and_every_step_stays_visible(first: Done, folder: Path) -> None:
    assert first.code == 0, first.err
    steps = [line for line in first.out.splitlines() if line[:1].isdigit() and line[1:2] == " "]
    assert [line.split()[1] for line in steps] == [
        "initialize",
        "predict",
        "loss",
        "gradient",
        "step",
        "repeat",
        "stop",
    ]
    assert "3,840 random weights, one per feature and class" in steps[0]
    assert "color pictures, features of the original files: china, flower or hopper" in " ".join(first.out.split())
    assert "1,280 features of a frozen network" in steps[1]
    epochs = [line for line in first.out.splitlines() if line[:5].strip().isdecimal() and line[:1] == " "]
    assert len(first.out.splitlines()) - len(epochs) - 1 <= 20, first.out
    recipe = (folder / "run/recipe.toml").read_text("utf-8")
    assert f'features = "{NAME}"' in recipe
    said = " ".join(first.err.split())
    assert re.search(
        r"quick comparison by cross-validation: features of efficientnet-lite0, [\d.]+ % \([\d.]+ to [\d.]+\) right "
        r"\(95 % interval\); pixels: [\d.]+ % \([\d.]+ to [\d.]+\)",
        said,
    )
    assert "Quick comparison by cross-validation: features of efficientnet-lite0" in recipe


def test_the_file_names_the_network_and_predicts_without_it_inside(first: Done, folder: Path) -> None:
    file = folder / "run/model.safetensors"
    assert file.stat().st_size < 1 << 20  # the network has 13 MB
    _, about = model_file.read(file)
    assert about["features"]["name"] == NAME
    done = sevensteps("predict", "run", "photos/china/00.png", "photos/hopper/03.png", "--json", cwd=folder)
    answers = json.loads(done.out)["results"]
    assert [answer["class"] for answer in answers] == ["china", "hopper"]
    learner = ss.load_learner(folder / "run")
    for answer in answers:
        name, _, shares = learner.predict(folder / answer["file"])
        assert name == answer["class"]
        assert dict(zip(learner.classes, shares.tolist(), strict=True)) == pytest.approx(
            answer["probabilities"], abs=1e-5
        )


def test_pixels_in_memory_get_the_answer_that_a_picture_of_them_gets(first: Done, folder: Path) -> None:
    pictures = ss.load(folder / "photos").train
    (x, _), pixels = pictures[0], pictures.pixels[0]
    wanted = ss.predict(folder / "run", Image.fromarray(pixels.transpose(1, 2, 0)))[0].probabilities
    learner = ss.load_learner(folder / "run")
    for given in (pictures[0], x, x.permute(1, 2, 0), x.numpy(), pixels, pixels.transpose(1, 2, 0)):
        (answer,) = ss.predict(folder / "run", [given])
        assert answer.probabilities == wanted
        _, _, shares = learner.predict(given)
        assert dict(zip(learner.classes, shares.tolist(), strict=True)) == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(DataError, match=r"shape \(5, 5\).\nGive its file"):
        learner.predict(x[0, :5, :5])
    with pytest.raises(DataError, match=r"outside \[0, 1\]"):
        learner.predict(x * 255)


@pytest.mark.slow
def test_every_verb_works_on_such_a_run(first: Done, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for typed in (
        "judge run",
        "doctor run",
        "verify run --rerun",
        "xray run",
        "xray run --picture 2",
        "report run",
        "resume run --epochs 2",
        "train photos --recipe run --out again",
        "compare run again",
        "runs .",
    ):
        done = here(*typed.split(), cwd=folder, capsys=capsys)
        assert done.code == 0, (typed, done)
    assert model_file.read(folder / "run/model.safetensors")[0].keys() == (
        model_file.read(folder / "again/model.safetensors")[0].keys()
    )


@pytest.mark.slow
def test_pixels_are_used_where_features_are_not_asked_for_or_cannot_be(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ("train", "photos", "--epochs", "1", "--folds", "1")
    assert here(*typed, "--recipe", "linear", "--out", "pixels", cwd=folder, capsys=capsys).code == 0
    assert 'features = "none"' in (folder / "pixels/recipe.toml").read_text("utf-8")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = here(*typed, "--out", "without", cwd=folder, capsys=capsys)
    assert done.code == 0
    assert "pip install 'sevensteps[photos]'" in " ".join((done.out + done.err).split())
    assert 'features = "none"' in (folder / "without/recipe.toml").read_text("utf-8")
    (folder / "gray").mkdir()
    for name, value in (("dark", 40), ("light", 200)):
        (folder / "gray" / name).mkdir()
        for number in range(8):
            noise = np.random.default_rng(number).integers(0, 40, (28, 28)) + value
            Image.fromarray(noise.astype(np.uint8)).save(folder / f"gray/{name}/{number}.png")
    done = here("train", "gray", "--epochs", "1", "--out", "small", cwd=folder, capsys=capsys)
    assert "sevensteps[photos]" not in done.out + done.err


@pytest.mark.slow
def test_a_store_says_that_it_has_no_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos_in(tmp_path / "photos", 6)
    done = here("prepare", "photos", cwd=tmp_path, capsys=capsys)
    assert "A store has no features" in done.err
    done = here("train", "photos.store", "--epochs", "1", "--out", "run", cwd=tmp_path, capsys=capsys)
    assert done.code == 0
    assert "a store has no features of photos: train on the folder" in done.err
    done = here("train", "photos.store", "--recipe", "linear", "--out", "other", cwd=tmp_path, capsys=capsys)
    assert "features" not in done.err


def test_a_broken_runtime_leaves_pixels_unless_features_were_typed(tmp_path: Path) -> None:
    photos_in(tmp_path / "photos", 4)
    (tmp_path / "broken/onnxruntime").mkdir(parents=True)
    (tmp_path / "broken/onnxruntime/__init__.py").write_text("raise ImportError('libonnxruntime.so is missing')\n")
    paths = os.pathsep.join(filter(None, (str(tmp_path / "broken"), os.environ.get("PYTHONPATH", ""))))
    for typed in (("data", "photos"), ("train", "photos", "--epochs", "1", "--out", "run")):
        done = sevensteps(*typed, cwd=tmp_path, PYTHONPATH=paths)
        assert done.code == 0, done
        assert "onnxruntime cannot be imported, so " in " ".join(done.err.split())
    assert 'features = "none"' in (tmp_path / "run/recipe.toml").read_text("utf-8")
    done = sevensteps("train", "photos", "--features", NAME, cwd=tmp_path, PYTHONPATH=paths)
    refused(done, 1, "onnxruntime", "sevensteps[photos]")


@pytest.mark.slow
def test_a_class_that_is_only_where_a_bar_stands_is_learned_from_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bar on the left or the right of gray noise, 40 of each: pooling forgets where something stands."""
    for label, name in enumerate(("left", "right")):
        (tmp_path / "bars" / name).mkdir(parents=True)
        for number in range(40):
            random = np.random.default_rng([label, number])
            picture = random.integers(90, 160, (96, 96, 3)).astype(np.uint8)
            at = int(random.integers(8, 36)) + 44 * label
            picture[:, at : at + 8] = (250, 60, 60)
            Image.fromarray(picture).save(tmp_path / f"bars/{name}/{number}.png")
    typed = ("train", "bars", "--epochs", "2", "--numbers")
    done = here(*typed, "--out", "run", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    assert "quick comparison by cross-validation: pixels, " in " ".join(done.err.split())
    assert 'features = "none"' in (tmp_path / "run/recipe.toml").read_text("utf-8")


def test_planted_wrong_labels_are_the_most_suspicious(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two of 45 pictures lie in the folder of another class; a quick model of pixels is not enough to find both."""
    photos_in(tmp_path / "photos", 15)
    (tmp_path / "photos/china/04.png").rename(tmp_path / "photos/flower/from_china.png")
    (tmp_path / "photos/flower/07.png").rename(tmp_path / "photos/hopper/from_flower.png")
    done = here("data", "photos", "--json", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    suspects = [suspect["picture"] for suspect in json.loads(done.out)["suspects"]]
    assert {"flower/from_china.png", "hopper/from_flower.png"} <= set(suspects[:5])


def test_what_does_not_go_together_is_refused_before_anything_is_computed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ("train", "photos", "--features", NAME)
    refused(here(*typed, "--model", "cnn", cwd=folder, capsys=capsys), 2, "cnn learns from pixels", "--model linear")
    refused(here(*typed, "--augment", "flip", cwd=folder, capsys=capsys), 2, "augment varies pixels", "--augment none")
    done = here("train", "photos", "--features", "resnet", cwd=folder, capsys=capsys)
    refused(done, 2, "efficientnet-lite0", "timm:NAME")


@pytest.mark.parametrize(
    ("facts", "shape", "words"),
    [
        ({"layers": 8}, None, ("takes features of shape (1280, 1, 1)", f"{NAME} after 8 layers gives (")),
        ({"layers": 9}, None, (f"{NAME} after 9 layers gives (",)),
        ({"layers": 3}, None, ("cut after 3 layers, where no stage begins",)),
        ({}, [640, 2, 1], ("(640, 2, 1)", f"{NAME} gives (1280, 1, 1)")),
        ({"name": "efficientnet-lite1"}, None, ("its features cannot be those of 'efficientnet-lite1'", f"'{NAME}'?")),
        ({"name": "timm:resnet18@secret.safetensors"}, None, ("its features cannot be",)),
        ({"name": "timm:resnet18", "layers": 8}, None, ("its features cannot be",)),
        ({"name": "../secret"}, None, ("its features cannot be",)),
    ],
)
def test_a_file_that_names_another_network_is_refused(
    first: Done,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    facts: dict[str, object],
    shape: list[int] | None,
    words: tuple[str, ...],
) -> None:
    arrays, about = model_file.read(folder / "run/model.safetensors")
    about["features"] |= facts
    about["shape"] = shape or about["shape"]
    model_file.write(folder / "tampered.safetensors", arrays, about)
    done = here("predict", "tampered.safetensors", "photos/china/00.png", cwd=folder, capsys=capsys)
    refused(done, 1, "tampered.safetensors", *words)
    with pytest.raises(ModelError):
        ss.load_learner(folder / "tampered.safetensors").predict(folder / "photos/china/00.png")


def test_an_array_of_another_shape_is_told_the_shape_that_is_needed(first: Done, folder: Path) -> None:
    picture = np.zeros((100, 100), dtype=np.uint8)
    (answer,) = ss.predict(folder / "run", picture)
    assert answer.error == "The picture is an array of uint8 (100, 100), but uint8 (height, width, 3) is needed."
    assert ss.predict(folder / "run", np.zeros((80, 100, 3), dtype=np.uint8))[0].error is None


def test_a_model_is_refused_without_its_network(
    first: Done, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, about = model_file.read(folder / "run/model.safetensors")
    about["features"]["sha256"] = "1" * 64
    model_file.write(folder / "other.safetensors", arrays, about)
    picture = "photos/china/00.png"
    done = here("predict", "other.safetensors", picture, cwd=folder, capsys=capsys)
    refused(done, 1, f"features of another {NAME}", "Train again")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refused(here("predict", "run", picture, cwd=folder, capsys=capsys), 1, "onnxruntime", "sevensteps[photos]")


@pytest.mark.slow
def test_a_network_from_scratch_is_compared_if_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("train", "photos", "--compare-scratch", "--epochs", "2", "--out", "all", cwd=folder, capsys=capsys)
    assert done.code == 0, done.err
    assert "training a network from scratch 5 times" in " ".join(done.err.split())
    assert re.search(r"a network from scratch: [\d.]+ % \([\d.]+ to [\d.]+\)", " ".join(done.err.split()))


@pytest.mark.parametrize("more", ["", "photos --recipe linear", "photos --model cnn", "photos --features none"])
def test_a_network_from_scratch_is_not_compared_where_nothing_is_chosen(
    folder: Path, capsys: pytest.CaptureFixture[str], more: str
) -> None:
    done = here("train", *more.split(), "--compare-scratch", "--out", "none", cwd=folder, capsys=capsys)
    assert done.code == 2, done
    assert "--compare-scratch" in done.err
    assert not (folder / "none").exists()
