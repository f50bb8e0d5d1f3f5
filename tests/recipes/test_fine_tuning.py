"""Fine-tuning: the model starts from the fitted probe, and its learning rate falls with depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from photos import photos_in
from torch import nn

import sevensteps as ss
from sevensteps.data.batches import Batches
from sevensteps.data.files.how import How
from sevensteps.data.images import Splits
from sevensteps.errors import DataError, RecipeError
from sevensteps.learner import features as learner_features
from sevensteps.learner.features import with_features
from sevensteps.recipes.choose import by_features
from sevensteps.recipes.recipe import Recipe
from sevensteps.ship.abstention import Abstention
from sevensteps.ship.predict import load_model
from sevensteps.trust.abstain import fit_abstention

NAME = "efficientnet-lite0"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos_in(tmp_path_factory.mktemp("tuned") / "photos", 6)


@pytest.fixture(scope="module")
def cut(photos: Path) -> Splits:
    """Photographs as they are before the last stage."""
    return with_features(ss.load(str(photos)), str(photos), How(), NAME, unfreeze=1)


def recipe(**settings: object) -> Recipe:
    return by_features(NAME, 18, unfreeze=1).with_given({"hold_out": 0.0, "threads": 1, "epochs": 2, **settings})


@pytest.mark.parametrize("normalize", [False, True])
def test_it_starts_from_the_linear_model_that_is_trained_without_it(photos: Path, cut: Splits, normalize: bool) -> None:
    featured = with_features(ss.load(str(photos)), str(photos), How(), NAME)
    settings = {"hold_out": 0.0, "threads": 1, "normalize": normalize}
    probe = by_features(NAME, 18).with_given(settings).learner(featured)
    for _ in probe.stream():
        pass
    wanted, _ = probe.get_logits(dl=Batches(featured.train, 64))
    tuned = recipe(normalize=normalize).learner(cut)
    assert tuned.inputs.shape == (320, 7, 7)
    logits, _ = tuned.get_logits(dl=Batches(cut.train, 64))
    assert float((logits - wanted).abs().max()) < 0.05 * float(wanted.std())  # the 8 bits at the cut


def test_the_epochs_are_not_chosen_among_besides() -> None:
    with pytest.raises(RecipeError, match="unfreeze compares"):
        recipe(keep="best")


def test_rates_fall_with_depth_and_every_stage_learns(cut: Splits) -> None:
    learn = recipe(batch_size=8).learner(cut)
    before = {name: value.clone() for name, value in learn.model.state_dict().items()}
    rates = [group["lr"] for group in learn.opt.param_groups]
    assert rates == [pytest.approx(learn.lr / 2), learn.lr]
    assert not [layer for layer in learn.model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for _ in learn.stream():
        pass
    changed = {name.split(".")[0] for name, value in learn.model.state_dict().items() if not value.equal(before[name])}
    assert changed == {"1", "5"}, "the scale of the 8 bits stays"
    assert [bool(torch.isfinite(value).all()) for value in learn.model.state_dict().values()] == [True] * len(before)


def test_what_does_not_go_together_is_said(photos: Path, cut: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"features is none"):
        Recipe(unfreeze=1)
    with pytest.raises(RecipeError, match=r"not with relu"):
        recipe(model="relu")
    with pytest.raises(RecipeError, match=r"unfreeze is 4, but must be 0 to 3"):
        recipe(unfreeze=4)
    with pytest.raises(RecipeError, match=r"the first layers of the network have seen"):
        recipe().learner(ss.load(str(photos)))
    monkeypatch.setattr(learner_features, "MOST_BYTES", 17 * 320 * 49)
    with pytest.raises(DataError, match=r"What 18 pictures are before the last 1 stage"):
        with_features(ss.load(str(photos)), str(photos), How(), NAME, unfreeze=1)


def test_what_a_picture_is_at_a_cut_is_never_its_features(photos: Path, cut: Splits) -> None:
    """Rows of one cut, of another and of the whole network stand in the same cache."""
    again = with_features(ss.load(str(photos)), str(photos), How(), NAME, unfreeze=1)
    other = with_features(ss.load(str(photos)), str(photos), How(), NAME, unfreeze=2)
    whole = with_features(ss.load(str(photos)), str(photos), How(), NAME)
    assert (again.train.inputs == cut.train.inputs).all()
    assert [splits.train.input_shape for splits in (other, whole)] == [(192, 7, 7), (1280, 1, 1)]
    assert other.train.features is not None
    assert other.train.features.whole is not None
    assert (other.train.features.whole.rows == whole.train.inputs[:, :, 0, 0]).all()
    assert np.unique(other.train.inputs).size > 100


def test_distance_is_measured_on_the_features_of_the_whole_network(cut: Splits, photos: Path, tmp_path: Path) -> None:
    images = cut.train
    abstention = fit_abstention(images, images, np.full(len(images), 0.9), 0.9)
    assert abstention is not None
    featured = with_features(ss.load(str(photos)), str(photos), How(), NAME).train
    frozen = fit_abstention(featured, featured, np.full(len(images), 0.9), 0.9)
    assert frozen is not None
    wanted, distances = frozen.distances(featured.inputs), abstention.distances(images.inputs)
    np.testing.assert_allclose(distances, wanted, rtol=0.05)  # the 8 bits at the cut
    learn = recipe().learner(cut)
    learn.abstention = abstention
    learn.export(tmp_path / "model.safetensors")
    model = load_model(tmp_path / "model.safetensors")
    assert model.abstention is not None
    np.testing.assert_array_equal(model.abstention.distances(images.inputs), distances)


def test_a_file_that_measures_before_the_last_stage_still_opens(cut: Splits, tmp_path: Path) -> None:
    means = cut.train.inputs.mean((0, 2, 3), keepdims=False, dtype=np.float64)[None].astype(np.float32) / 255
    learn = recipe().learner(cut)
    learn.abstention = Abstention(0.9, 0.0, 5.0, means, np.zeros((1, 0, 320), np.float32), np.ones(1, np.float32))
    learn.export(tmp_path / "model.safetensors")
    read = load_model(tmp_path / "model.safetensors").abstention
    assert read is not None
    assert read.finish is None
    wanted = ((cut.train.inputs.mean((2, 3)) / 255 - means) ** 2).mean(1)
    np.testing.assert_allclose(read.distances(cut.train.inputs), wanted, rtol=1e-4)
