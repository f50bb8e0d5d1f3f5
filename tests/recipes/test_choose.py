"""What is chosen for pictures of which no recipe was named: by count, size and classes, said and written down."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from folders import digits_in, png, put
from PIL import Image
from typed import here

from sevensteps.data.files.how import How
from sevensteps.data.sources.facts import Facts, facts_of
from sevensteps.jobs.train import train
from sevensteps.recipes.choose import choose, suited
from sevensteps.recipes.recipe import Recipe
from sevensteps.records.events import Note


def facts(count: int, side: int = 28, *, channels: int = 1, fewest: int = 0, classes: int = 2) -> Facts:
    names = tuple(f"kind {number}" for number in range(classes))
    return Facts(count, fewest or count // classes, names, (channels, side, side))


@pytest.mark.parametrize(
    ("count", "batch_size", "epochs"),
    [(40, 16, 80), (299, 16, 80), (300, 32, 40), (2_499, 32, 40), (2_500, 64, 20), (12_499, 64, 20), (12_500, 64, 10)],
)
def test_few_pictures_are_seen_more_often_in_smaller_batches(count: int, batch_size: int, epochs: int) -> None:
    chosen = suited(facts(count))
    recipe = chosen.with_given({})
    assert (recipe.model, recipe.batch_size, recipe.epochs, recipe.width) == ("cnn", batch_size, epochs, 16)
    assert "for these pictures, the choice is cnn with width = 16" in chosen.why
    assert f"batch_size = {batch_size}, epochs = {epochs}" in chosen.why


@pytest.mark.parametrize(
    ("given", "model", "why"),
    [
        (facts(40, fewest=9), "linear", "a class has fewer than 10, but cnn needs 10 pictures of each class"),
        (facts(40, fewest=10), "cnn", "and mirrored copies"),
        (facts(400, 7), "linear", "they are 7 pixels high"),
        (facts(400, 8), "cnn", ""),
    ],
)
def test_a_model_is_chosen_by_size_and_count(given: Facts, model: str, why: str) -> None:
    chosen = suited(given)
    assert chosen.with_given({}).model == model
    assert why in chosen.why


def test_the_rate_of_linear_falls_with_the_inputs_and_that_of_28x28_stays() -> None:
    usual = Recipe.load("linear").lr
    for side, channels, lr in (
        (7, 1, usual),
        (7, 3, usual),
        (28, 1, usual),
        (28, 3, usual / 3),
        (64, 3, usual * 784 / 12_288),
    ):
        recipe = suited(facts(10, side, channels=channels, fewest=2)).with_given({})
        assert recipe.model == "linear"
        assert recipe.lr == pytest.approx(lr, rel=0.05)
    assert suited(facts(10, 28, fewest=2)).with_given({}).lr == usual


def test_what_is_given_wins(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}/{number}.png" for name in "ab" for number in range(12)), content=png((16, 16)))
    recipe = choose(tmp_path, {}).with_given({"epochs": 3, "width": 5, "seed": 9})
    assert (recipe.model, recipe.epochs, recipe.width, recipe.batch_size, recipe.seed) == ("cnn", 3, 5, 16, 9)
    assert choose(tmp_path, {"size": 7}).recipe == "linear"
    assert choose(tmp_path, {"classes": ("a", "b")}).recipe == "cnn"


@pytest.mark.parametrize(
    ("sizes", "size", "side"),
    [
        ([(16, 16)], 0, 16),
        ([(6, 6), (9, 9)], 0, 64),
        ([(300, 6)], 0, 64),
        ([(40, 7)], 0, 7),
        ([(300, 300)], 7, 7),
        ([(6, 6)], 16, 16),
    ],
)
def test_the_size_is_the_one_that_the_pictures_are_going_to_have(
    tmp_path: Path, sizes: list[tuple[int, int]], size: int, side: int
) -> None:
    for number in range(12):
        put(tmp_path, f"a/{number}.png", f"b/{number}.png", content=png(sizes[number % len(sizes)]))
    chosen = choose(tmp_path, {"size": size})
    assert chosen.recipe == ("cnn" if side >= 8 else "linear")
    if side < 8:
        assert f"they are {side} pixels high" in chosen.why


def test_other_sources_keep_the_recipe_that_they_had(tmp_path: Path) -> None:
    for source in (None, "", "pullover-dress", "fashion-mnist"):
        assert choose(source, {}).with_given({}) == Recipe.load("linear")
        assert not choose(source, {}).why
        assert choose(source, {}, "linear").with_given({}) == Recipe.load("linear")
    (tmp_path / "train-images-idx3-ubyte").touch()
    assert choose(tmp_path, {}).with_given({}) == Recipe.load("linear")


@pytest.mark.parametrize("kind", ["npz", "npy", "flat"])
def test_arrays_are_chosen_for_without_reading_a_pixel(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 12, 12, 3), dtype=np.uint8)
    labels = np.arange(90) % 3
    if kind == "npz":
        np.savez(tmp_path / "set.npz", x_train=pixels, y_train=labels, x_test=pixels[:9], y_test=labels[:9])  # noqa: TID251 - numbers
        source = tmp_path / "set.npz"
    elif kind == "npy":
        np.save(tmp_path / "images.npy", pixels.transpose(0, 3, 1, 2))  # noqa: TID251 - numbers
        np.save(tmp_path / "labels.npy", labels)  # noqa: TID251 - numbers
        source = tmp_path
    else:
        np.savez(tmp_path / "set.npz", images=pixels[..., 0].reshape(90, 144), labels=labels)  # noqa: TID251 - numbers
        source = tmp_path / "set.npz"
    chosen = choose(source, {})
    assert (chosen.recipe, chosen.settings["batch_size"]) == ("cnn", 16)
    counts = [getattr(facts_of(source, classes, How()), "count", 0) for classes in ((), ("0", "2"))]
    assert counts == [90, 60]
    linear = choose(source, {}, "linear")
    assert not linear.settings  # 12 x 12 x 3 are fewer inputs than 784


def test_linear_by_name_has_a_lower_rate_on_large_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(24):
        put(tmp_path, f"{'ab'[number % 2]}/{number}.png")
        pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{'ab'[number % 2]}/{number}.png")
    usual = Recipe.load("linear")
    lowered = choose(tmp_path, {}, "linear").with_given({})
    assert lowered.lr == pytest.approx(usual.lr * 784 / 4_800, rel=0.05)
    assert lowered.replace(lr=usual.lr) == usual
    assert choose(tmp_path, {"lr": 0.05}, "linear").with_given({"lr": 0.05}) == usual
    assert choose(tmp_path, {}, "cnn").with_given({}) == Recipe.load("cnn")
    said: list[object] = []
    run = train(tmp_path, "linear", epochs=1, observe=said.append)
    assert run.recipe.lr == lowered.lr
    assert any(isinstance(note, Note) and "inputs need a lower rate" in note.line for note in said)
    assert train(tmp_path, "linear", epochs=1, lr=0.05).recipe.lr == 0.05


@pytest.mark.slow
def test_what_was_chosen_and_why_stands_in_the_run_and_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits_in(tmp_path / "digits")
    done = here(
        "train",
        "digits",
        "--classes",
        "0",
        "1",
        "--epochs",
        "2",
        "--numbers",
        "--out",
        "run",
        cwd=tmp_path,
        capsys=capsys,
    )
    assert done.code == 0, done.err
    line = "No --recipe given: for these pictures, the choice is cnn with width = 16, batch_size = 32, epochs = 40"
    assert done.err.count("No --recipe given") == 1
    assert line in done.err
    written = tomllib.loads((tmp_path / "run/recipe.toml").read_text("utf-8"))
    assert (written["name"], written["batch_size"], written["epochs"], written["width"]) == ("cnn", 32, 2, 16)
    assert written["recorded"]["chosen"].startswith(line)
    before = (tmp_path / "run/recipe.toml").read_bytes()
    assert here("resume", "run", cwd=tmp_path, capsys=capsys).code == 0
    assert (tmp_path / "run/recipe.toml").read_bytes() == before
    done = here(
        "train",
        "digits",
        "--classes",
        "0",
        "1",
        "--epochs",
        "1",
        "--numbers",
        "--seeds",
        "2",
        cwd=tmp_path,
        capsys=capsys,
    )
    assert (done.code, done.err.count("No --recipe given")) == (0, 1), done.err


@pytest.mark.parametrize("recipe", [None, "cnn", "fashion-10"])
def test_a_network_of_ones_own_is_divided_only_on_request(recipe: str | None) -> None:
    own = {"model": "nets.small:build", "width": 0}
    assert choose("pullover-dress", own, recipe).with_given(own).shards == 0
    assert choose("pullover-dress", {**own, "shards": 4}, recipe).with_given({**own, "shards": 4}).shards == 4
    assert choose("pullover-dress", {}, recipe or "cnn").with_given({}).shards == 2
