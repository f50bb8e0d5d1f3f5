"""Class names travel with weights: a label is a place in a list of names, so another list would mean other classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small import images, learner
from torch.utils.data import DataLoader, random_split

import sevensteps as ss
from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.errors import SevenstepsError
from sevensteps.learner.learner import Learner
from sevensteps.learner.load import load_learner
from sevensteps.trust.predictions import predict_split

NAMES = ("class 0", "class 1")
PICTURES = Splits(images(80), valid=images(40, seed=1))


def named(*classes: str) -> DataLoaders:
    """Loaders of the same pictures, with their classes in this order."""
    return DataLoaders.from_images(PICTURES.choose(classes), 16)


@pytest.fixture
def trained() -> Learner:
    learn = learner("linear", named(*NAMES))
    learn.fit(2, show=False)
    return learn


def set_loaders(learn: Learner, path: Path, dls: DataLoaders) -> None:
    learn.dls = dls


def set_training_loader(learn: Learner, path: Path, dls: DataLoaders) -> None:
    learn.dls.train = dls.train
    next(learn.stream())


def set_validation_loader(learn: Learner, path: Path, dls: DataLoaders) -> None:
    learn.dls.valid = dls.valid
    learn.validate()


MEETINGS: dict[str, Callable[[Learner, Path, DataLoaders], Any]] = {
    "learn.load": lambda learn, path, dls: learner("linear", dls).load(learn.save(path)),
    "load_learner": lambda learn, path, dls: load_learner(learn.export(path), dls=dls),
    "a loaded model": lambda learn, path, dls: load_learner(learn.export(path)).get_preds(dl=dls.valid),
    "learn.dls": set_loaders,
    "learn.dls.train": set_training_loader,
    "learn.dls.valid": set_validation_loader,
    "validate": lambda learn, path, dls: learn.validate(dl=dls.valid),
    "get_preds": lambda learn, path, dls: learn.get_preds(dl=dls.valid),
    "PyTorch's loader": lambda learn, path, dls: learn.get_logits(dl=DataLoader(dls.valid.images, 8)),  # type: ignore[union-attr]
    "a part of a dataset": lambda learn, path, dls: learn.validate(
        dl=DataLoader(random_split(dls.valid.images, [10, 30])[0], 5)  # type: ignore[union-attr]
    ),
    "a table of predictions": lambda learn, path, dls: predict_split(learn, dls.valid.images, "valid"),  # type: ignore[union-attr]
    "two loaders": lambda learn, path, dls: DataLoaders(learn.dls.train, dls.valid),
}


@pytest.mark.parametrize("meeting", MEETINGS)
def test_weights_and_pictures_with_classes_in_another_order_are_refused(
    trained: Learner, tmp_path: Path, meeting: str
) -> None:
    with pytest.raises(SevenstepsError, match="in another order") as caught:
        MEETINGS[meeting](trained, tmp_path / "saved.safetensors", named(*reversed(NAMES)))
    assert "class 1, class 0" in caught.value.message
    assert "classes=" in caught.value.hint


@pytest.mark.parametrize("meeting", MEETINGS)
def test_the_same_classes_in_the_same_order_are_taken(trained: Learner, tmp_path: Path, meeting: str) -> None:
    MEETINGS[meeting](trained, tmp_path / "saved.safetensors", named(*NAMES))


def test_other_classes_need_a_learner_of_their_own(trained: Learner, tmp_path: Path) -> None:
    others = DataLoaders.from_images(Splits(images(20, classes=3).choose(("class 2", "class 0"))))
    with pytest.raises(SevenstepsError, match=r"\(class 2, class 0\) other than the model's") as caught:
        learner("linear", others).load(trained.save(tmp_path / "saved"))
    assert "Learner(dls, learn.model)" in caught.value.hint
    Learner(others, trained.model).fit(1, show=False)


def test_names_are_learned_from_a_file_where_the_loader_has_none(trained: Learner, tmp_path: Path) -> None:
    unnamed = DataLoaders(list(named(*NAMES).train))
    learn = Learner(unnamed, learner("linear").model, trained.loss_func).load(trained.save(tmp_path / "saved"))
    learn.dls = named(*NAMES)
    with pytest.raises(SevenstepsError, match="in another order"):
        learn.dls = named(*reversed(NAMES))


def test_a_file_without_names_still_loads(trained: Learner, tmp_path: Path) -> None:
    unnamed = DataLoaders(list(named(*NAMES).train))
    path = Learner(unnamed, trained.model, trained.loss_func).save(tmp_path / "saved")
    learner("linear", named(*reversed(NAMES))).load(path)


def test_a_pytorch_loader_over_images_knows_their_classes() -> None:
    learn = Learner(DataLoaders(DataLoader(PICTURES.train, 16)), learner("linear").model)
    assert learn.classes == ss.Splits(PICTURES.train).classes
