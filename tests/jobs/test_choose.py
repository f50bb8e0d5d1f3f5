"""An automatic choice is measured: no rate that the doctor condemns, and nothing that loses to logistic regression."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import here

from sevensteps.data.images import Images, Splits
from sevensteps.jobs.choose import BASELINE, TOO_HIGH, measured
from sevensteps.recipes.choose import choose
from sevensteps.recipes.recipe import Recipe
from sevensteps.records.events import Note
from sevensteps.trust.baselines import baseline_answers
from sevensteps.trust.doctor.doctor import Doctor


def stripes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise, in which one half of each picture is a little brighter: a sum of pixels tells the two classes apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = random.integers(0, 200, (count, 1, 12, 12))
    pixels[labels == 0, :, :6] += 30
    pixels[labels == 1, :, 6:] += 30
    return pixels.clip(0, 255).astype(np.uint8), labels


@pytest.fixture
def splits() -> Splits:
    train, valid = (Images(*stripes(count, seed), ("up", "down")) for count, seed in ((120, 0), (60, 1)))
    return Splits(train, valid=valid)


def findings_of(recipe: Recipe, splits: Splits) -> set[str]:
    learn = recipe.learner(splits)
    doctor = Doctor(learn)
    return {finding.code for event in learn.stream() for finding in doctor.observe(event)}


def test_a_rate_that_the_doctor_condemns_is_lowered(splits: Splits) -> None:
    high = Recipe.load("relu").replace(lr=30.0, epochs=6, batch_size=16, folds=1)
    assert findings_of(high, splits) & TOO_HIGH
    found, _ = measured(high, [], splits, lambda event: None)
    assert found.lr < 30
    assert not findings_of(found, splits) & TOO_HIGH
    assert found.replace(lr=30.0) == high


def test_a_choice_that_loses_to_logistic_regression_makes_room_for_a_better_one(splits: Splits) -> None:
    notes: list[str] = []

    def observe(event: object) -> None:
        notes.extend([event.line] if isinstance(event, Note) else [])

    lazy = Recipe.load("cnn").replace(epochs=1, width=1, batch_size=64, lr=1e-6, folds=1)
    linear = Recipe.load("linear").replace(batch_size=16, folds=1)
    assert measured(lazy, [linear], splits, observe)[0] == linear
    assert "Training linear" in notes[-1]
    assert BASELINE in notes[-1]
    assert measured(linear, [lazy], splits, observe)[0] == linear
    assert measured(lazy, [lazy.replace(seed=1)], splits, observe)[0].model == "cnn", "no worse one is taken"
    assert splits.valid is not None
    usual = baseline_answers(splits.train, splits.valid, (BASELINE,))[BASELINE]
    assert (usual == splits.valid.labels).mean() > 0.8
    whole = Splits(splits.train)
    assert measured(lazy, [linear], whole, observe) == (lazy, ""), "without validation pictures nothing is measured"


def test_what_is_given_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, (pixels, label) in enumerate(zip(*stripes(40), strict=True)):
        (tmp_path / "d" / "ab"[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0]).save(tmp_path / "d" / "ab"[label] / f"{place}.png")
    monkeypatch.chdir(tmp_path)
    chosen = choose("d", {})
    tried = chosen.to_try({"source": "d", "seed": 3, "size": 12})
    assert tried is not None
    assert {(recipe.model, recipe.source, recipe.seed, recipe.size) for recipe in tried} == {("linear", "d", 3, 12)}
    for given in ({"lr": 0.1}, {"epochs": 3}, {"model": "relu"}, {"augment": "flip"}, {"balance": "loss"}):
        assert chosen.to_try(given) is None
    assert choose("d", {}, "linear").to_try({}) is None
    assert choose(None, {}).to_try({}) is None


def test_the_command_trains_what_was_better_and_writes_down_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, (pixels, label) in enumerate(zip(*stripes(120), strict=True)):
        if label == 0 or place < 18:  # nine of one class: too few for cnn
            (tmp_path / "d" / "ab"[label]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[0]).save(tmp_path / "d" / "ab"[label] / f"{place}.png")
    done = here("train", "d", "--folds", "1", "--json", "--out", "run", cwd=tmp_path, capsys=capsys)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    recipe = (tmp_path / "run/recipe.toml").read_text("utf-8")
    assert "validation pictures, right: linear" in recipe
    assert not {finding["code"] for finding in found["findings"]} & TOO_HIGH
    again = here("train", "--recipe", "run", "--out", "again", cwd=tmp_path, capsys=capsys)
    assert again.code == 0
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "run/model.safetensors").read_bytes()
