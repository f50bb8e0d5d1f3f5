"""Recipes: one TOML file holds every setting, says what is wrong with it, and makes the learner it describes."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import typing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import images

from sevensteps.data.augment_names import NAMES, PRESETS
from sevensteps.data.files.how import AS_USUAL, FILE_SETTINGS, How
from sevensteps.data.images import Images, Splits, mean_and_std
from sevensteps.errors import DataError, RecipeError
from sevensteps.recipes.recipe import Recipe
from sevensteps.recipes.recipe_file import shipped_recipes
from sevensteps.recipes.settings import setting_types

TWO = Splits(images(80), images(20, seed=1), source="two")
THREE = Splits(images(90, classes=3), images(30, classes=3, seed=1), source="three")


def settings_of(key: str) -> st.SearchStrategy[Any]:
    """Values that a setting may have."""
    kind, rules = setting_types()[key], Recipe.__dataclass_fields__[key].metadata
    if typing.get_origin(kind) is Literal:
        return st.sampled_from(typing.get_args(kind))
    if key == "model":
        return st.sampled_from(["linear", "relu", "cnn", "vgg", "nets:small", "my.nets:Parts.small"])
    if key == "features":
        return st.sampled_from(["none", "efficientnet-lite0", "timm:resnet18", "timm:vit.a1@in a folder/x.safetensors"])
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(rules["least"], rules["most"])
    if kind is float:
        return st.floats(rules["least"], rules["most"], allow_nan=False)
    if key == "checkpoint_every":
        every = st.builds("{} {}".format, st.integers(1, 10**9 - 1), st.sampled_from(["epochs", "batches", "second"]))
        return st.just("auto") | every
    if key == "augment":
        return st.just("none") | st.sets(st.sampled_from(["auto", *PRESETS, *NAMES]), min_size=1).map("+".join)
    if key == "range":
        ends = st.lists(st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6), min_size=2, max_size=2, unique=True)
        return st.just(()) | ends.map(sorted).map(tuple)
    if key == "lr_changes":
        changes = st.dictionaries(st.integers(1, 10**12 - 1), st.floats(0, 1e6), max_size=4)
        return changes.map(lambda rates: ", ".join(f"{batch}:{rates[batch]!r}" for batch in sorted(rates)))
    words = st.text(st.characters(exclude_categories=["Cs"]))
    return words if kind is str else st.lists(words).map(tuple)


@given(st.fixed_dictionaries({name: settings_of(name) for name in setting_types()}))
def test_every_recipe_comes_back_from_its_file(settings: dict[str, Any]) -> None:
    settings["nesterov"] = settings["nesterov"] and settings["momentum"] > 0
    settings["width"] *= settings["model"] in ("relu", "cnn", "vgg")
    settings["init_std"] = settings["init_std"] if settings["init"] == "normal" else 1.0
    settings["schedule_epochs"] *= settings["schedule"] != "constant"
    if settings["features"] != "none":
        settings |= {"model": "linear", "augment": "none", "test_time_flip": False, "width": 0}
    settings["unfreeze"] *= settings["features"] == "efficientnet-lite0" and settings["keep"] != "best"
    settings["test"] = settings["test"] or settings["validate_on"] == "test"
    settings["folds"] *= settings["validate_on"] != "test"
    settings["hold_out"] *= settings["validate_on"] != "test"
    recipe = Recipe(**settings)
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    assert Recipe.from_toml(recipe.to_toml({"torch": "2.13", "data": {"train": "abc"}})) == recipe


@pytest.mark.parametrize("name", shipped_recipes())
def test_each_recipe_that_ships_is_called_by_its_name_and_says_what_it_is_for(name: str) -> None:
    recipe = Recipe.load(name)
    assert recipe.name == name
    assert shipped_recipes()[name].startswith("# ")


@pytest.mark.parametrize("name", shipped_recipes())
def test_each_recipe_that_ships_makes_a_learner(name: str) -> None:
    recipe = Recipe.load(name).replace(batch_size=16, threads=1)
    learn = recipe.learner(THREE if recipe.loss == "cross_entropy" else TWO)
    events = learn.stream()
    losses = [float(next(events).loss) for _ in range(2)]
    learn.close()
    assert all(map(math.isfinite, losses))


def test_a_file_without_a_name_is_called_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("epochs = 3")
    recipe = Recipe.load(tmp_path / "mine.toml")
    assert (recipe.name, recipe.epochs) == ("mine", 3)


def test_a_runs_folder_stands_for_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(Recipe(name="mine", epochs=4).to_toml({"torch": "2"}))
    assert Recipe.load(tmp_path) == Recipe(name="mine", epochs=4)


def wrong_values(key: str) -> list[Any]:
    """Values that a setting may not have: wrong types, out of range, not among the choices."""
    kind, rules = setting_types()[key], Recipe.__dataclass_fields__[key].metadata
    if typing.get_origin(kind) is Literal:
        return ["lineer", 3, None, ["linear"]]
    if key == "checkpoint_every":
        return ["", "5", "0 epochs", "1.5 seconds", "-1 batches", "5 minutes", "auto 5", 5, None]
    if key == "augment":
        return ["", "flipp", "flip+none", "flip,shift", "flip+", 3, None]
    if kind is str:
        return [3, None, ["a"]]
    if kind is bool:
        return [1, "yes", None]
    if kind not in (int, float):
        return ["Dress", ["Dress", 3], 3, None]
    above = rules["most"] + 1 if kind is int else math.nextafter(rules["most"], math.inf)
    beyond = [rules["least"] - 1, above, 10**41, -(10**41)]
    return ["3", True, None, [1], math.nan, math.inf, *beyond, 1.5 if kind is int else 1e300]


@pytest.mark.parametrize("key", setting_types())
@pytest.mark.usefixtures("without_shape_checks")
def test_a_wrong_value_is_refused_by_the_settings_name(key: str) -> None:
    for value in wrong_values(key):
        with pytest.raises(RecipeError) as caught:
            Recipe(**{key: tuple(value) if isinstance(value, list) else value})
        assert caught.value.message.startswith(f"{key} is ")
        assert caught.value.hint


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(RecipeError, match="unknown key 'epocs'") as caught:
        Recipe.from_toml("epocs = 3", "mine.toml")
    assert caught.value.message.startswith("mine.toml")
    assert caught.value.hint == "Did you mean 'epochs'? A newer version of sevensteps may have written it."
    with pytest.raises(RecipeError, match="no setting 'momentom'"):
        Recipe().replace(momentom=0.9)


@pytest.mark.parametrize(
    ("settings", "splits", "words"),
    [
        ({"loss": "cross_entropy"}, TWO, "one score"),
        ({"loss": "sigmoid_l1_loss"}, THREE, "there are 3"),
        ({"loss": "binary_cross_entropy_with_logits"}, THREE, "there are 3"),
        ({"label_smoothing": 0.1}, TWO, "label_smoothing"),
        ({"augment": "flip+mixup", "loss": "mse_loss"}, THREE, "mixup also mixes labels, but mse_loss"),
        ({"augment": "mixup", "balance": "loss"}, THREE, "mixup also mixes labels, but balance = loss"),
        ({"augment": "mixup", "loss": "sigmoid_l1_loss"}, TWO, "mixup also mixes labels, but sigmoid_l1_loss"),
        ({"label_smoothing": 0.1, "loss": "mse_loss"}, THREE, "label_smoothing"),
        ({"hold_out": 0.0, "stop_patience": 2}, TWO, "stop_patience needs validation"),
        ({"hold_out": 0.0, "stop_accuracy": 0.9}, TWO, "stop_accuracy needs validation"),
        ({"hold_out": 0.0, "keep": "best"}, TWO, "keep = best needs validation"),
        ({"schedule_restarts": "2"}, TWO, "schedule_restarts belongs to a schedule"),
        ({"schedule_restarts": "7,2", "schedule": "cosine"}, TWO, "must be rising numbers"),
        ({"schedule_restarts": "two", "schedule": "cosine"}, TWO, "must be rising numbers"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], splits: Splits, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        Recipe(**settings).settled(splits)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 5}, "width applies to relu, cnn and vgg, not to linear"),
        ({"init_std": 0.5}, "init_std applies to init = normal, not to default"),
        ({"init_std": 0.5, "init": "kaiming", "model": "relu"}, "not to kaiming"),
        ({"schedule_epochs": 5}, "schedule_epochs applies to schedules"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        Recipe(**settings)
    assert caught.value.hint
    assert Recipe(model="cnn", width=5, init="normal", init_std=0.5, schedule="cosine", schedule_epochs=5)


def test_what_is_left_open_is_settled_by_the_pictures() -> None:
    two, three = Recipe().settled(TWO), Recipe(model="cnn").settled(THREE)
    assert (two.loss, three.loss) == ("binary_cross_entropy_with_logits", "cross_entropy")
    assert (two.classes, three.classes) == (TWO.classes, THREE.classes)
    assert (two.threads, two.keep) == (1, "last")
    assert three.threads >= 1
    assert two.device in ("cpu", "cuda", "mps")
    assert (two.width, Recipe(model="relu").settled(TWO).width, three.width) == (0, 30, 16)
    assert Recipe(model="relu", width=7).settled(TWO).width == 7
    assert Recipe(stop_patience=2).settled(TWO).keep == "best"
    assert Recipe(stop_patience=2, keep="last").settled(TWO).keep == "last"
    for settled in (two, three):
        assert settled.settled(THREE if settled is three else TWO) == settled


def test_a_sources_path_is_settled_to_be_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "fashion-mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Recipe(source="mine").settled(TWO).source == str(tmp_path / "mine")
    assert Recipe(source=str(tmp_path / "mine")).settled(TWO).source == str(tmp_path / "mine")
    for name in ("pullover-dress", "fashion-mnist", "two"):  # a source's name, and what is neither
        assert Recipe(source=name).settled(TWO).source == name


def test_pictures_are_held_out_only_where_there_are_none() -> None:
    held = Recipe(hold_out=0.25).held_out(TWO)
    assert held.valid is not None
    assert (len(held.train), len(held.valid)) == (60, 20)
    assert held.valid.counts == {"class 0": 10, "class 1": 10}
    assert Recipe(hold_out=0.5).held_out(held) is held
    assert Recipe(hold_out=0.0).held_out(TWO) is TWO
    assert Recipe(validate_on="test").held_out(TWO) is TWO


def test_too_few_pictures_to_hold_any_out_are_refused() -> None:
    with pytest.raises(DataError, match="too few pictures"):
        Recipe().held_out(Splits(images(2)))


def test_fit_without_arguments_trains_as_the_recipe_says() -> None:
    recipe = Recipe(epochs=3, lr=0.05, momentum=0.9, schedule="one_cycle", batch_size=16, seed=4)
    learn = recipe.learner(TWO)
    learn.fit(show=False)
    assert len(learn.recorder.values) == 3
    assert learn.stopped_because == "3 epochs were asked for and done"
    assert max(learn.recorder.lrs) == pytest.approx(0.05, rel=0.02)
    assert learn.recorder.lrs[0] == pytest.approx(0.05 / 25)
    again = recipe.learner(TWO)
    again.fit(show=False)
    assert again.recorder.losses == learn.recorder.losses


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        ({"optimizer": "SGD", "momentum": 0.5, "weight_decay": 0.1}, "SGD", {"momentum": 0.5, "weight_decay": 0.1}),
        ({"optimizer": "AdamW", "momentum": 0.8, "lr": 0.01}, "AdamW", {"betas": (0.8, 0.999), "weight_decay": 0.0}),
        ({"optimizer": "AdamW", "momentum": 0.0}, "AdamW", {"betas": (0.0, 0.999)}),
        ({"optimizer": "RMSprop", "momentum": 0.5}, "RMSprop", {"momentum": 0.5}),
        ({"optimizer": "Adagrad", "weight_decay": 0.1}, "Adagrad", {"weight_decay": 0.1}),
        ({"optimizer": "NAdam", "momentum": 0.7}, "NAdam", {"betas": (0.7, 0.999)}),
    ],
)
def test_the_optimizer_gets_the_recipes_settings(settings: dict[str, Any], kind: str, expected: dict[str, Any]) -> None:
    learn = Recipe(**settings).learner(TWO)
    assert type(learn.opt).__name__ == kind
    assert expected.items() <= learn.opt.param_groups[0].items()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "Adamw"}, "'Adamw'"),
        ({"optimizer": "Adagrad", "momentum": 0.9}, "Adagrad has no momentum"),
        ({"optimizer": "AdamW", "momentum": 0.9, "nesterov": True}, "AdamW has no nesterov"),
    ],
)
def test_an_optimizer_without_the_setting_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Recipe(**settings).optimizer_function()


def test_the_seed_decides_start_and_what_is_held_out() -> None:
    def start_and_order(seed: int) -> tuple[torch.Tensor, list[str]]:
        learn = Recipe(seed=seed, model="relu").learner(TWO)
        return torch.cat([p.flatten() for p in learn.model.parameters()]), learn.dls.valid.images.ids

    (one, held), (same, held_same), (other, held_other) = start_and_order(0), start_and_order(0), start_and_order(1)
    assert torch.equal(one, same)
    assert held == held_same
    assert not torch.equal(one, other)
    assert held != held_other


def test_the_walk_throughs_start_has_its_spread(splits: Splits) -> None:
    parameters = Recipe.load("walkthrough-by-hand").learner(splits).model.parameters()
    assert float(torch.cat([p.detach().flatten() for p in parameters]).std()) == pytest.approx(1, abs=0.1)


def test_mean_and_spread_are_those_of_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 3, 5, 4), dtype=np.uint8)
    pixels[:, 1] //= 3
    pixels[:, 2] = 7
    means, stds = mean_and_std(Images(pixels, np.arange(1500) % 2, ("a", "b")))
    exact = pixels.astype(np.float64) / 255
    np.testing.assert_allclose(means, exact.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(stds[:2], exact.std((0, 2, 3))[:2], rtol=1e-12)
    assert stds[2] == 1.0  # without any contrast there is nothing to divide by


def test_each_setting_says_what_it_does() -> None:
    for known in dataclasses.fields(Recipe):
        assert known.metadata["help"].endswith("."), known.name
    assert set(tomllib.loads(Recipe().to_toml())) == set(setting_types())


def test_every_way_of_reading_picture_files_is_a_setting_with_the_same_default() -> None:
    assert [known.name for known in dataclasses.fields(How)] == list(FILE_SETTINGS)
    assert {key: getattr(Recipe, key) for key in FILE_SETTINGS} == vars(AS_USUAL)


@pytest.mark.parametrize("classes", [["1", "0"], ("1", "0")])
def test_classes_are_any_sequence_of_words(classes: Any) -> None:
    assert Recipe().replace(classes=classes).classes == ("1", "0")
