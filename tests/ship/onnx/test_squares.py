"""The distance as a sum of squares: single precision gives what the model computes in double precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import sevensteps as ss
from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.learner.learner import Learner
from sevensteps.ship import file as model_file
from sevensteps.ship.onnx.export import export_onnx, verify_onnx
from sevensteps.ship.onnx.run import OnnxModel, read_onnx
from sevensteps.steps.predict import MODELS
from sevensteps.trust.abstain import fit_abstention


@pytest.fixture(scope="module")
def test_pictures() -> Images:
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    return splits.test


@pytest.fixture(scope="module")
def learn() -> Learner:
    images = ss.load("pullover-dress").train
    train, valid = images.take(np.arange(3000)), images.take(np.arange(3000, 4000))
    learn = Learner(DataLoaders.from_images(Splits(train, valid=valid), 500), MODELS["linear"]((1, 28, 28), 2))
    learn.fit(1, show=False)
    learn.abstention = fit_abstention(train, valid, np.linspace(0.4, 1, len(valid)), 0.9)
    return learn


def has_doubles(file: Path) -> bool:
    model = onnx.load(file)
    return any(each.data_type == onnx.TensorProto.DOUBLE for each in model.graph.initializer)


def test_two_classes_need_no_double_precision(learn: Learner, test_pictures: Images, tmp_path: Path) -> None:
    export_onnx(learn.export(tmp_path / "m.safetensors"), out := tmp_path / "m.onnx", {})
    assert not has_doubles(out)
    assert verify_onnx(out).passed
    pixels = test_pictures.pixels
    assert learn.abstention is not None
    wanted = learn.abstention.distances(pixels)
    tract = pytest.importorskip("tract", reason="the runtime tract is not installed")
    runnable = tract.onnx().load(str(out)).into_model().into_runnable()
    reference = ReferenceEvaluator(str(out))
    ours = OnnxModel(read_onnx(out), out)
    by_runtime = {
        "onnxruntime": (ours.answers(pixels).distances, wanted),
        "tract": (np.concatenate([runnable.run([each[None]])[2].to_numpy() for each in pixels[:200]]), wanted[:200]),
        "reference": (reference.run(["distance"], {"pixels": pixels[:200]})[0], wanted[:200]),
    }
    for name, (given, right) in by_runtime.items():
        assert given is not None
        assert np.abs(given / right - 1).max() <= 2e-6, name
    np.testing.assert_array_equal(ours.refused(ours.answers(pixels)), ~_answered(learn, pixels, ours))


def _answered(learn: Learner, pixels: np.ndarray, ours: OnnxModel) -> np.ndarray:
    """Whether the model's own distances let each picture pass, with the confidence that the file gives."""
    assert learn.abstention is not None
    confidences = ours.answers(pixels).probabilities.max(1).astype(np.float64)
    answered: np.ndarray = learn.abstention.answered(confidences, learn.abstention.distances(pixels))
    return answered


def test_a_distance_that_is_not_a_sum_of_squares_stays_in_double_precision(learn: Learner, tmp_path: Path) -> None:
    arrays, about = model_file.read(learn.export(tmp_path / "m.safetensors"))
    arrays["abstain.directions"] = arrays["abstain.directions"] * np.float32(1.01)
    del about["format"]
    model_file.write(tmp_path / "m.safetensors", arrays, about)
    assert export_onnx(tmp_path / "m.safetensors", tmp_path / "m.onnx", {}).passed
    assert has_doubles(tmp_path / "m.onnx")


def test_many_classes_stay_in_double_precision(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = Images(random.integers(0, 256, (90, 1, 8, 8), dtype=np.uint8), np.arange(90) % 3, ("a", "b", "c"))
    learn = Learner(DataLoaders.from_images(Splits(images, valid=images), 30), MODELS["linear"]((1, 8, 8), 3))
    learn.abstention = fit_abstention(images, images, np.linspace(0.4, 1, 90), 0.9)
    export_onnx(learn.export(tmp_path / "m.safetensors"), tmp_path / "m.onnx", {})
    assert has_doubles(tmp_path / "m.onnx")
