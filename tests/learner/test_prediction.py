"""`learn.predict` and `get_preds`: doubts, pictures of every kind, several at once, and inputs without labels."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small import images, learner, loaders, unchecked
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.errors import DataError, ModelError, UsageError
from sevensteps.learner.learner import Learner
from sevensteps.learner.load import load_learner
from sevensteps.recipes.recipe import Recipe
from sevensteps.runs.validation import learn_from_validation

WHITE = np.full((28, 28), 255, dtype=np.uint8)


def test_predict_says_when_not_to_trust_it(splits: Splits, tmp_path: Path) -> None:
    recipe = Recipe.load("linear").replace(epochs=2)
    learn = recipe.learner(splits.hold_out(0.1))
    learn.fit(2, show=False)
    assert learn.predict(WHITE).reason is None  # nothing was fitted that could tell
    learn_from_validation(learn, splits.hold_out(0.1), recipe)
    for model in (learn, load_learner(learn.export(tmp_path / "model.safetensors"))):
        said = model.predict(WHITE)
        name, label, shares = said
        assert said.reason == "none of these"
        assert repr(said).endswith(") none of these")
        assert (name, label) == (model.classes[label], int(shares.argmax()))  # type: ignore[index]
        reasons = [each.reason for each in model.predict([*splits.train.pixels[:300, 0]])]
        assert reasons == [model.answer(picture).reason for picture in splits.train.pixels[:300, 0]]
        assert {None, "not sure"} <= set(reasons)
        sure = model.predict(splits.train.pixels[reasons.index(None)])
        assert repr(sure) == repr(tuple(sure))


def test_a_prediction_is_a_tuple_that_can_be_copied(splits: Splits) -> None:
    said = learner().predict(images(1).pixels[0])
    assert isinstance(said, tuple)
    said.reason = "not sure"
    for copied in (copy.copy(said), copy.deepcopy(said)):
        assert copied[:2] == said[:2]
        assert copied.reason == "not sure"


def test_predict_takes_pictures_of_every_kind(tmp_path: Path) -> None:
    splits = Splits(images(40, (3, 8, 8)))
    learn = learner("cnn", DataLoaders.from_images(splits, 16))
    pixels = splits.train.pixels[0]
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    image.save(tmp_path / "a.png")
    file = io.BytesIO()
    image.save(file, "PNG")
    expected = learn.predict(pixels)[2]
    last = pixels.transpose(1, 2, 0)
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), file, file.getvalue(), image, last]
    kinds += [np.float32(last) / 255, torch.from_numpy(np.float32(last) / 255)]
    for kind in kinds:
        assert torch.equal(learn.predict(kind)[2], expected)
        assert learn.answer(kind).probabilities == learn.answer(pixels).probabilities
    several = learn.predict(kinds)
    assert len(several) == len(kinds)
    assert all(torch.equal(each[2], expected) for each in several)
    assert learn.predict([]) == []
    larger = Image.fromarray(last).resize((30, 20))
    assert torch.equal(learn.predict(np.asarray(larger))[2], learn.predict(larger)[2])
    with unchecked(), pytest.raises(DataError, match="needs"):
        learn.predict(np.zeros((9, 9, 3), dtype=np.float32))


def test_inputs_without_labels_give_probabilities() -> None:
    learn = Learner(loaders(flat=True), nn.Linear(64, 1))
    x = torch.cat([x for x, _ in learn.dls.valid])  # type: ignore[union-attr]
    expected, targets = learn.get_preds()
    assert targets is not None
    for loader in (x.split(16), [x], DataLoader(x, 2), DataLoader(TensorDataset(x), 7), [(x,)]):
        shares, none = learn.get_preds(dl=loader)
        assert none is None
        torch.testing.assert_close(shares, expected)
        assert learn.get_logits(dl=loader)[1] is None


def test_labels_are_for_all_batches_or_for_none() -> None:
    learn = Learner(loaders(flat=True), nn.Linear(64, 1))
    x = torch.rand(4, 64)
    with pytest.raises(DataError, match="Only some batches have labels"):
        learn.get_preds(dl=[x, (x, torch.zeros(4))])
    with pytest.raises(DataError, match="must be a pair"):
        learn.validate(dl=[x[:2]])  # two rows are no inputs and labels
    with pytest.raises(DataError, match="must be a pair"):
        Learner(DataLoaders([x[:2]]), nn.Linear(64, 1)).fit(1, show=False)


@pytest.mark.parametrize("name", ["m.tflite", "m.pt", "M.PTH", "m.pkl", "m.h5", "m.gguf", "m.v2", "m.json"])
def test_export_refuses_the_suffix_of_any_other_format(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="suffix of another format") as caught:
        learner().export(tmp_path / name)
    assert caught.value.hint.endswith('.safetensors")')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m.safetensors", "m.SAFETENSORS", "m"])
def test_export_takes_our_suffix_and_none(name: str, tmp_path: Path) -> None:
    path = learner().export(tmp_path / name)
    assert path == tmp_path / name
    load_learner(path)


def test_a_learner_is_not_saved_under_the_suffix_of_another_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pth is the suffix of another format") as caught:
        learner().save(tmp_path / "m.pth")
    assert f'learn.save("{tmp_path / "m.safetensors"}")' == caught.value.hint
    assert learner().save(tmp_path / "m.v2") == tmp_path / "m.v2.safetensors"
    learner().load(tmp_path / "m.v2")
    (tmp_path / "m.v2.safetensors").rename(tmp_path / "m.pth.safetensors")  # as a version before has saved it
    learner().load(tmp_path / "m.pth")


def test_a_file_of_pytorch_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"PK\x03\x04" + bytes(100))  # as torch.save begins
    for load in (load_learner, learner().load):
        with pytest.raises(ValueError, match=r"m\.pt is not a") as caught:
            load(tmp_path / "m.pt")
        assert "weights_only=True" in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_input_that_is_not_finite_gets_no_class(value: float) -> None:
    x = torch.rand(20, 3)
    learn = Learner(DataLoaders([(x, torch.arange(20) % 2)]), nn.Linear(3, 2))
    with pytest.raises(DataError, match="holds NaN or infinity"):
        learn.predict(torch.tensor([0.1, value, 0.2]))


def test_a_model_whose_scores_are_not_finite_gives_no_class() -> None:
    learn = learner("linear", loaders(40))
    with torch.no_grad():
        next(learn.model.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="scores are not finite"):
        learn.predict(images(1).pixels[0])
