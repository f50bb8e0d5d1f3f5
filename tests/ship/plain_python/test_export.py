"""A model as a short program: the answers of the model from NumPy or PyTorch alone, and of nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import noise, png_of
from PIL import Image
from torch import nn

import sevensteps as ss
from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.errors import ModelError
from sevensteps.learner.learner import Learner
from sevensteps.ship.plain_python.export import export_python, weights_of
from sevensteps.ship.predict import load_model
from sevensteps.steps.predict import MODELS, MaxAndMeanPool, Normalize, Residual, mirrored
from sevensteps.trust.abstain import fit_abstention

GRAY, COLOR = (1, 20, 18), (3, 12, 10)  # the first is averaged over uneven squares


def saved(model: nn.Module, folder: Path, shape: tuple[int, int, int], loss: Any = None, fit: Any = None) -> Path:
    """Save a model, trained for a batch, with limits of both kinds."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (60, *shape), dtype=np.uint8)
    classes = ("b'ad\"", "ünï\n", "third")[: 2 if loss == "binary" else 3]
    images = Images(pixels, np.arange(60) % len(classes), classes, fit=fit or "squash")
    learn = Learner(
        DataLoaders.from_images(Splits(images, valid=images), 30), model, None if loss == "binary" else loss
    )
    learn.fit(1, lr=0.01, show=False)
    if loss is not ss.mse_loss:
        learn.temperature = 1.7
    learn.abstention = fit_abstention(images, images, np.linspace(0.4, 1, len(images)), 0.8)
    return learn.export(folder / "model.safetensors")


def named() -> nn.Module:
    """A network whose layers have names, with a margin, a sum and both kinds of pooling."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("norm", Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]))
    model.add_module("body", nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(3, 6, (3, 2), stride=(2, 1))))
    model.add_module("sum", Residual(nn.Conv2d(6, 6, 3, padding=1, groups=2), nn.BatchNorm2d(6), nn.GELU()))
    model.add_module("pool", MaxAndMeanPool())
    model.add_module("drop", nn.Dropout(0.3))
    model.add_module("head", nn.Linear(12, 3))
    return model


MODEL: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int], Any, Any]] = {
    "linear": (lambda: MODELS["linear"](GRAY, 2), GRAY, "binary", "letterbox"),
    "hidden layer": (lambda: MODELS["relu"](COLOR, 3, Normalize([0.3] * 3, [0.4] * 3), 5), COLOR, None, "crop"),
}
SLOW: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int], Any, Any]] = {
    "mirrored cnn": (lambda: mirrored(MODELS["cnn"](GRAY, 3, Normalize([0.3], [0.4]), 4)), GRAY, None, "crop-fast"),
    "with names": (named, COLOR, None, "letterbox"),
    "two by MSE": (lambda: MODELS["linear"](GRAY, 3), GRAY, ss.mse_loss, None),
}


@pytest.mark.parametrize("name", [*MODEL, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_the_program_answers_as_the_model_without_this_package(name: str, tmp_path: Path) -> None:
    make, shape, loss, fit = {**MODEL, **SLOW}[name]
    file, out = saved(make(), tmp_path, shape, loss, fit), tmp_path / "away/my model.py"
    agreement = export_python(file, out)
    assert agreement.passed
    assert agreement.count > 64
    assert sorted(path.name for path in out.parent.iterdir()) == ["my model.py", "my model.weights.safetensors"]
    assert ss.load_learner(weights_of(out)).classes == load_model(file).classes
    random = np.random.default_rng(1)
    paths = []
    for number, size in enumerate([(18, 20), (50, 9), (9, 50), (3, 3)]):
        paths.append(tmp_path / f"{number}.png")
        color = (*size[::-1], 3)[: 2 if shape[0] == 1 else 3]
        Image.fromarray(random.integers(0, 256, color, dtype=np.uint8)).save(paths[-1])
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-I", str(out), *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    for line, answer in zip(done.stdout.split("\n"), load_model(file).predict(paths), strict=False):
        assert answer.probabilities is not None
        doubt = f", {answer.reason}" if answer.reason else ""
        assert f"({answer.probabilities[answer.best]:.1%}{doubt})" in done.stdout, line
    assert "sevensteps" not in done.stderr
    assert (" torch\n" in done.stderr) == (name not in ("linear", "hidden layer"))


def test_a_file_that_cannot_be_read_is_one_line_and_the_others_are_classified(tmp_path: Path) -> None:
    out = tmp_path / "m.py"
    export_python(saved(MODELS["linear"](GRAY, 2), tmp_path, GRAY, "binary"), out)
    good, broken, absent = (tmp_path / name for name in ("good.png", "broken.png", "absent.png"))
    deep, clear, ink, color = (tmp_path / name for name in ("deep.png", "clear.png", "ink.jpg", "color.png"))
    Image.effect_noise((18, 20), 90).save(good)
    broken.write_bytes(good.read_bytes()[:60])
    Image.fromarray(np.zeros((20, 18), np.uint16)).save(deep)
    Image.new("RGBA", (18, 20)).save(clear)
    Image.new("CMYK", (18, 20)).save(ink)
    color.write_bytes(png_of(noise(3, 16), bitdepth=16))
    bad = {broken: "", absent: "No such file", deep: "more than 8 bits", clear: "transparent", ink: "is in CMYK"}
    bad |= {color: "more than 8 bits"}
    command = [sys.executable, "-I", str(out), *map(str, bad), str(good)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{good}: ")
    lines = done.stderr.splitlines()
    assert len(lines) == len(bad)
    for line, (path, words) in zip(lines, bad.items(), strict=True):
        assert str(path) in line
        assert words in line
    assert "transparent" not in lines[2]  # a picture of 16 bits
    assert subprocess.run([*command[:3], str(good)], capture_output=True, check=False).returncode == 0


def test_numbers_of_another_model_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "m.py"
    export_python(saved(MODELS["linear"](GRAY, 2), tmp_path, GRAY, "binary"), out)
    content = bytearray(weights_of(out).read_bytes())
    content[-1] ^= 1
    weights_of(out).write_bytes(content)
    done = subprocess.run([sys.executable, "-I", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is damaged, or belongs to another model" in done.stderr


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(360, 3).double()), "float32"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(360, 3), *[nn.Linear(3, 3)] * 2), "occurs twice"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is(model: Any, words: str, tmp_path: Path) -> None:
    images = Images(np.zeros((6, *GRAY), np.uint8), np.arange(6) % 3, ("a", "b", "c"))
    learn = Learner(DataLoaders.from_images(Splits(images), 6), model(), None)
    with pytest.raises(ModelError, match=words):
        learn.export(tmp_path / "m.py")
    assert not list(tmp_path.iterdir())
