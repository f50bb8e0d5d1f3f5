"""`data --show-augmented` shows the very pictures that training sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from small import learner
from typed import here, refused

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Splits
from sevensteps.jobs.preview import seen_in_training
from sevensteps.learner.learner import Learner
from sevensteps.records.events import Batch

ROWS, EPOCHS = [0, 3, 70, 199], 3


def new(splits: Splits, augment: str) -> Learner:
    some = Splits(splits.train.take(np.arange(200)))
    return learner("relu", DataLoaders.from_images(some, 64, augment=augment), gradient="autograd")


def given_to_the_model(learn: Learner) -> list[torch.Tensor]:
    """The pictures of each of the first epochs, as the model is given them in training."""
    epochs: list[list[torch.Tensor]] = [[] for _ in range(EPOCHS)]
    given: list[torch.Tensor] = []
    learn.model.register_forward_pre_hook(
        lambda model, x: given.append(x[0].detach().clone()) if model.training else None
    )
    events = learn.stream()
    for epoch in epochs:
        for event in events:
            if not isinstance(event, Batch):
                break
        epoch.extend(given)
        given.clear()
    learn.close()
    return [torch.cat(epoch).flatten(1) for epoch in epochs]


@pytest.mark.parametrize("augment", ["flip+rotate+cutout", "shift+mixup"])
def test_what_is_shown_is_what_the_model_is_given(splits: Splits, augment: str) -> None:
    shown, targets = seen_in_training(new(splits, augment), ROWS, EPOCHS)
    assert shown.shape == (len(ROWS), EPOCHS, 1, 28, 28)
    for epoch, given in enumerate(given_to_the_model(new(splits, augment))):
        for row in range(len(ROWS)):
            picture = torch.from_numpy(shown[row, epoch]).flatten()
            assert (given == picture).all(1).sum() == 1, (row, epoch)
    labels = splits.train.labels[ROWS]
    for label, of_epochs in zip(labels.tolist(), targets, strict=True):
        # The larger part of what mixup gives is the picture's own.
        assert [round(float(target)) for target in of_epochs] == [label] * EPOCHS


def test_pictures_that_nothing_varies_are_shown_as_they_are(splits: Splits) -> None:
    shown, _ = seen_in_training(new(splits, "none"), ROWS, EPOCHS)
    for row, of_epochs in zip(ROWS, shown, strict=True):
        assert np.array_equal(of_epochs, np.repeat(splits.train.pixels[row][None] / np.float32(255), EPOCHS, 0))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve of scikit-learn's digits of each class, in a folder of class folders."""
    folder, found = tmp_path_factory.mktemp("digits"), load_digits()
    for digit in range(10):
        (folder / "digits" / str(digit)).mkdir(parents=True)
        for row in np.flatnonzero(found.target == digit)[:12]:
            Image.fromarray((found.images[row] * 15).astype(np.uint8)).save(folder / f"digits/{digit}/{row}.png")
    return folder


@pytest.mark.slow
def test_the_command_saves_a_figure_of_training_pictures(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in digits.rglob("*.png")}
    done = here("data", "digits", "--show-augmented", "auto.png", cwd=digits, capsys=capsys)
    assert done.code == 0, done.err
    assert done.out == (
        "auto.png: 6 pictures as they are, and as the first 7 epochs of training see them: rotate+scale\n"
    )
    assert "augment = auto: rotate+scale; not mirrored, because the classes are characters or numbers" in done.err
    typed = ("data", "digits", "--show-augmented", "asked.png", "--augment", "flip", "--json")
    found: dict[str, Any] = json.loads(here(*typed, cwd=digits, capsys=capsys).out)
    assert (found["file"], found["augment"], found["epochs"]) == ("asked.png", "flip", 7)
    assert [Path(name).parent.name for name in found["pictures"]] == ["0", "1", "2", "3", "4", "5"]
    assert all((digits / "digits" / name).is_file() for name in found["pictures"])
    for name in ("auto.png", "asked.png"):
        with Image.open(digits / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 20
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((digits / "digits").rglob("*"))) == len(before) + 10


def test_what_cannot_be_shown_is_answered(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        ("--augment flip", "Add --show-augmented FILE.png"),
        ("--show-augmented a.jpg", "Use a.png"),
        ("--show-augmented digits/0/a.png", "is inside the folder of pictures"),
        ("--show-augmented b.png --augment flipp", "Did you mean 'flip'?"),
        ("--show-augmented b.png --fresh", "Leave it out."),
    ):
        refused(here("data", "digits", *arguments.split(), cwd=digits, capsys=capsys), 2, words)
    assert not (digits / "b.png").exists()
