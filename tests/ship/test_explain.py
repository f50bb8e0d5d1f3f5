"""Why this answer: contributions that add up, against autograd and plain loops, and that are of what was learned."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.collections import QuadMesh
from PIL import Image
from scipy.stats import spearmanr
from torch import nn
from typed import refused, sevensteps, three_classes

import sevensteps as ss
from sevensteps.data.images import Splits
from sevensteps.errors import ModelError, ShapeError, UsageError
from sevensteps.ship.explain import load_explainer
from sevensteps.show import figures
from sevensteps.steps.initialize import initialize


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of each model, of two classes and of three."""
    folder = tmp_path_factory.mktemp("explain")
    source = three_classes(folder / "three")
    for model in ("linear", "relu", "cnn"):
        for count, classes in ((2, ("0", "2")), (3, ())):
            ss.train(source, model=model, classes=classes, lr=0.05, epochs=3, out=folder / f"{model}-{count}")
    return folder


def pictures(count: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 12, 12), dtype=np.uint8)


def scores(run: Path, pixels: np.ndarray) -> np.ndarray:
    """The raw scores of the run's learner, in double precision."""
    learn = ss.load_learner(run)
    with torch.no_grad():
        found: np.ndarray = learn.model.double().eval()(torch.from_numpy(pixels).double() / 255).numpy()
    return found


def score_of(row: np.ndarray, label: int) -> float:
    return float(row[label]) if len(row) > 1 else float(row[0]) * (1 if label else -1)


@pytest.mark.parametrize("count", [2, 3])
def test_of_a_linear_model_pixels_and_start_are_the_score_exactly(runs: Path, count: int) -> None:
    run = runs / f"linear-{count}"
    explainer = load_explainer(run)
    black = scores(run, np.zeros((1, 1, 12, 12), np.uint8))[0]
    for picture, row in zip(pictures(), scores(run, pictures()), strict=True):
        for label, name in enumerate(explainer.classes):
            why = explainer.explain(picture, name)
            assert (why.name, why.method) == (name, "exact")
            assert why.score == pytest.approx(score_of(row, label), rel=1e-5)
            assert why.start == pytest.approx(score_of(black, label), rel=1e-5)
            assert why.start + why.contributions.sum() == pytest.approx(score_of(row, label), rel=1e-5)


def test_each_contribution_is_what_blacking_the_pixel_takes_away(runs: Path) -> None:
    run = runs / "linear-3"
    explainer, picture = load_explainer(run), pictures(1)[0]
    why = explainer.explain(picture, explainer.classes[1])
    without = np.repeat(picture[None], 144, 0)
    without.reshape(144, 144)[np.arange(144), np.arange(144)] = 0
    taken = scores(run, picture[None])[0, 1] - scores(run, without)[:, 1]
    np.testing.assert_allclose(why.contributions.ravel(), taken, atol=1e-6)
    assert (why.contributions[picture == 0] == 0).all()


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("model", ["relu", "cnn"])
def test_integrated_gradients_are_complete(runs: Path, model: str, count: int) -> None:
    run = runs / f"{model}-{count}"
    explainer = load_explainer(run)
    for picture, row in zip(pictures(), scores(run, pictures()), strict=True):
        for label, name in enumerate(explainer.classes):
            why = explainer.explain(picture, name)
            assert why.method == "integrated gradients"
            assert why.score == pytest.approx(score_of(row, label), rel=1e-3, abs=1e-4)
            assert abs(why.missing) <= 0.01 * abs(why.score - why.start) + 1e-3


@pytest.mark.parametrize("model", ["linear", "relu"])
def test_slopes_by_numpy_are_those_of_autograd(runs: Path, model: str) -> None:
    explainer = load_explainer(runs / f"{model}-3")
    x = torch.from_numpy(pictures() / 255).requires_grad_()
    expected = ss.load_learner(runs / f"{model}-3").model.double()(x)
    (slopes,) = torch.autograd.grad(expected[:, 2].sum(), x)
    found, by_numpy = explainer.slopes(pictures() / 255, 2)
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-9)
    np.testing.assert_allclose(by_numpy, slopes.numpy(), atol=1e-9)


def test_several_linear_layers_are_one(tmp_path: Path, splits: Splits) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 5), nn.Linear(5, 2, bias=False))
    learn = ss.Learner(ss.DataLoaders.from_images(splits.hold_out(), 1000), initialize(model, seed=3))
    explainer = load_explainer(learn.export(tmp_path / "model.safetensors"))
    assert splits.test is not None
    why = explainer.explain(splits.test.pixels[0], "Pullover")
    assert why.method == "exact"
    assert why.missing == pytest.approx(0, abs=1e-9)


def test_an_unused_pixel_adds_nothing_and_equal_ones_add_the_same(tmp_path: Path, splits: Splits) -> None:
    """Two of the axioms: sensitivity and symmetry, on a network that is not linear."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 6), nn.ReLU(), nn.Linear(6, 1))
    initialize(model, seed=1)
    with torch.no_grad():
        model[1].weight[:, 300] = 0
        model[1].weight[:, 401] = model[1].weight[:, 400]
    learn = ss.Learner(ss.DataLoaders.from_images(splits.hold_out(), 1000), model)
    picture = np.random.default_rng(0).integers(1, 256, (1, 28, 28), dtype=np.uint8)
    picture.reshape(-1)[401] = picture.reshape(-1)[400]
    found = load_explainer(learn.export(tmp_path / "m.safetensors")).explain(picture, "Dress").contributions.ravel()
    assert found[300] == 0
    assert found[400] == pytest.approx(found[401])
    assert found[400] != 0


@pytest.mark.parametrize("recipe", ["linear", "relu"])
def test_random_weights_are_explained_by_something_else(tmp_path: Path, splits: Splits, recipe: str) -> None:
    """The sanity check of Adebayo et al., "Sanity checks for saliency maps" (2018): a map that stayed the same when
    what was learned is lost would show the picture and nothing of the model."""
    learn = ss.train("pullover-dress", recipe=recipe, epochs=5).learn
    trained = load_explainer(learn.export(tmp_path / "trained.safetensors"))
    initialize(learn.model, seed=7)
    random = load_explainer(learn.export(tmp_path / "random.safetensors"))
    assert splits.test is not None
    alike, across = [], []
    for picture in splits.test.pixels[:20]:
        seen = picture.ravel() > 0
        maps = [e.explain(picture, "Dress").contributions.ravel()[seen] for e in (trained, random)]
        across.append(abs(spearmanr(*maps).statistic))
        nearly = np.clip(picture.astype(int) + 1, 0, 255).astype(np.uint8)
        again = trained.explain(nearly, "Dress").contributions.ravel()[seen]
        alike.append(spearmanr(maps[0], again).statistic)
    assert np.mean(across) < 0.2
    assert np.mean(alike) > 0.95, "the same model and nearly the same picture are explained alike"


@pytest.mark.usefixtures("without_shape_checks")
def test_what_cannot_be_explained_is_refused(runs: Path) -> None:
    explainer = load_explainer(runs / "linear-3")
    for picture in (np.zeros((1, 12, 11), np.uint8), np.zeros((1, 12, 12)), np.zeros((12, 12), np.uint8)):
        with pytest.raises(UsageError, match="needs uint8"):
            explainer.explain(picture, "1")
    with pytest.raises(UsageError, match="not know the class '7'"):
        explainer.explain(pictures(1)[0], "7")


def test_scores_that_are_no_numbers_are_said(runs: Path) -> None:
    explainer = load_explainer(runs / "linear-3")
    infinite = np.full((2, 3), math.inf)
    broken = dataclasses.replace(explainer, slopes=lambda x, column: (infinite, np.zeros(x.shape)))
    with pytest.raises(ModelError, match="not finite"):
        broken.explain(pictures(1)[0], "1")


# The figure


def drawn(**changes: Any) -> Any:
    arguments = {"pixels": pictures(1)[0], "contributions": np.random.default_rng(0).normal(0, 1, (1, 12, 12))}
    words = {"answer": "Dress? (62.0%, not sure)", "name": "Dress", "start": 0.5, "score": 3.0, "method": "exact"}
    return figures.explanation(**{**arguments, **words, **changes})


def test_the_figure_shows_the_picture_and_contributions_on_a_scale_around_zero() -> None:
    contributions = np.random.default_rng(0).normal(0, 1, (1, 12, 12))
    figure = drawn(contributions=contributions)
    left, right, bar = figure.axes
    np.testing.assert_allclose(left.images[0].get_array(), pictures(1)[0, 0] / 255)
    np.testing.assert_allclose(right.images[0].get_array(), contributions[0])
    low, high = right.images[0].get_clim()
    assert -low == high == np.abs(contributions).max()
    assert figure.get_suptitle() == "Dress? (62.0%, not sure)"
    assert "Dress" in right.get_title()
    assert "for it" in bar.get_ylabel()
    assert any(isinstance(part, QuadMesh) for part in bar.get_children())
    assert figure.get_supxlabel().startswith("score 3.00 = 0.50 for a black picture")


def test_color_pictures_show_the_sum_over_their_channels() -> None:
    color = np.random.default_rng(0).integers(0, 256, (3, 6, 6), dtype=np.uint8)
    contributions = np.random.default_rng(1).normal(0, 1, (3, 6, 6))
    left, right, _ = drawn(pixels=color, contributions=contributions).axes
    assert left.images[0].get_array().shape == (6, 6, 3)
    np.testing.assert_allclose(right.images[0].get_array(), contributions.sum(0))


@pytest.mark.usefixtures("without_shape_checks")
def test_the_figure_refuses_what_does_not_fit_and_draws_nothing_at_all() -> None:
    with pytest.raises(ShapeError):
        drawn(contributions=np.zeros((1, 12, 11)))
    drawn(contributions=np.zeros((1, 12, 12)))


@pytest.mark.slow
def test_the_command_saves_it_for_each_file_and_gives_its_name(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name, picture in zip(("a.png", "more/a.png", "b.jpg"), pictures(3), strict=True):
        Image.fromarray(picture[0]).save(tmp_path / name)
    (tmp_path / "words.png").write_text("words")
    files = ["a.png", "more/a.png", "words.png", "b.jpg"]
    done = sevensteps("predict", str(runs / "linear-3"), *files, "--explain", "why", "--json", cwd=tmp_path)
    assert done.code == 1, "one of them is no picture"
    results = json.loads(done.out)["results"]
    wanted = ["why/a.why.png", "why/a-2.why.png", None, "why/b.why.png"]
    assert [Path(r["explanation"]).as_posix() if "explanation" in r else None for r in results] == wanted
    for name in filter(None, wanted):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 300
    said = sevensteps("predict", str(runs / "cnn-2"), "a.png", "--explain", "here", cwd=tmp_path)
    assert said.code == 0
    assert "why: here" in said.out
    assert (tmp_path / "here/a.why.png").is_file()
    refused(
        sevensteps("predict", str(runs / "linear-3"), "a.png", "--explain", "a.png", cwd=tmp_path),
        2,
        "a.png",
        "--explain why",
    )
