"""ONNX files in OpenVINO: the same answers if it computes in single precision, which it does not do unless told to.

It has no double precision: the distance has fewer digits, and resizing may miss Pillow's pixels by a level.

It is 170 MB and depends on a package for telemetry, so it is in none of our extras. To run these tests:

    pip install openvino
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.learner.learner import Learner
from sevensteps.ship.agreement import MOST_APART, image_of
from sevensteps.ship.onnx.export import export_onnx
from sevensteps.ship.onnx.run import OnnxModel, read_onnx
from sevensteps.ship.predict import load_model
from sevensteps.steps.predict import MODELS, Normalize, mirrored
from sevensteps.trust.abstain import fit_abstention

openvino: Any = pytest.importorskip("openvino", reason="the runtime OpenVINO is not installed")
SHAPE = (1, 20, 18)


def saved(model: nn.Module, folder: Path, classes: int) -> Path:
    """Save a model, trained for a batch, with limits of both kinds."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, *SHAPE), dtype=np.uint8)
    images = Images(pixels, np.arange(60) % classes, ("a", "b", "c")[:classes])
    learn = Learner(DataLoaders.from_images(Splits(images, valid=images), 30), model, None)
    learn.fit(1, lr=0.01, show=False)
    learn.abstention = fit_abstention(images, images, np.linspace(0.4, 1, len(images)), 0.8)
    return learn.export(folder / "model.safetensors")


def by_openvino(file: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of a file."""
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {output.any_name: value for output, value in compiled({"pixels": pixels}).items()}


@pytest.mark.parametrize("name", ["linear", "relu", "cnn"])
def test_it_answers_as_the_model(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    classes = 2 if name == "linear" else 3
    model = MODELS[name](SHAPE, classes, Normalize([0.3], [0.4]))
    file, out = saved(mirrored(model) if name == "cnn" else model, tmp_path, classes), tmp_path / "m.onnx"
    export_onnx(file, out, {})
    pixels = np.random.default_rng(1).integers(0, 256, (9, *SHAPE), dtype=np.uint8)
    given, wanted = by_openvino(out, pixels), OnnxModel(read_onnx(out), out).answers(pixels)
    np.testing.assert_allclose(given["probabilities"], wanted.probabilities, atol=MOST_APART)
    np.testing.assert_allclose(given["distance"], wanted.distances, rtol=1e-4)


@pytest.mark.parametrize("size", [(20, 18), (41, 18), (60, 7), (7, 60), (64, 48)])
def test_it_resizes_nearly_as_pillow_does(size: tuple[int, int], tmp_path: Path) -> None:
    file, out = saved(MODELS["linear"](SHAPE, 2), tmp_path, 2), tmp_path / "m.onnx"
    export_onnx(file, out, {}, any_size=True)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 1, *size), dtype=np.uint8)
    wanted = load_model(file).answer(image_of(pixels[0]))
    assert wanted.probabilities is not None
    given = by_openvino(out, pixels)
    np.testing.assert_allclose(given["probabilities"][0], list(wanted.probabilities.values()), atol=1e-3)
    np.testing.assert_allclose(given["distance"], wanted.distance, rtol=1e-2)
