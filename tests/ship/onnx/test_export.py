"""A model as an ONNX file: the answers of the model, in three runtimes; a damaged file is refused before it is run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from PIL import Image
from torch import nn

import sevensteps as ss
from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.errors import ModelError, SevenstepsError
from sevensteps.learner.learner import Learner
from sevensteps.ship import file as model_file
from sevensteps.ship.agreement import MOST_APART, golden_pictures
from sevensteps.ship.onnx.export import export_onnx, golden_of, verify_onnx
from sevensteps.ship.onnx.predict import load_onnx
from sevensteps.ship.onnx.run import OnnxModel, read_onnx, with_sha256
from sevensteps.ship.predict import load_model
from sevensteps.steps.predict import MODELS, MaxAndMeanPool, Normalize, mirrored
from sevensteps.trust.abstain import fit_abstention

SHAPE = (1, 20, 18)  # not a multiple of 16, so that the distance averages uneven squares


def pictures(shape: tuple[int, int, int], classes: int, count: int = 60) -> Images:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    return Images(pixels, np.arange(count) % classes, tuple(f"class {number}" for number in range(classes)))


def written(model: nn.Module, folder: Path, classes: int = 3, loss: Any = None, shape: Any = SHAPE) -> Path:
    """Export a model, trained for a batch so that nothing is as it was initialized, with limits of both kinds."""
    images = pictures(shape, classes)
    learn = Learner(DataLoaders.from_images(Splits(images, valid=images), 30), model, loss)
    learn.fit(1, lr=0.01, show=False)
    learn.temperature = 1.7
    learn.abstention = fit_abstention(images, images, np.linspace(0.4, 1, len(images)), 0.8)
    return learn.export(folder / "model.safetensors")


def every_layer() -> nn.Module:
    torch.manual_seed(0)
    shared = nn.Linear(12, 12)
    return nn.Sequential(
        Normalize([0.4], [0.2]),
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.MaxPool2d(2),
        nn.SiLU(),
        nn.AvgPool2d(3, 2, 1),
        nn.Sequential(nn.GELU(), nn.Conv2d(6, 6, 1), nn.Tanh()),
        MaxAndMeanPool(),
        nn.Dropout(0.3),
        shared,
        nn.LeakyReLU(0.2),
        nn.BatchNorm1d(12),
        shared,
        nn.Sigmoid(),
        nn.Linear(12, 3),
    )


MODEL: dict[str, tuple[Callable[[], nn.Module], int, Any]] = {
    "linear": (lambda: MODELS["linear"](SHAPE, 2), 2, None),
    "by L1": (lambda: MODELS["linear"](SHAPE, 2, Normalize([0.3], [0.4])), 2, ss.sigmoid_l1_loss),
    "by MSE": (lambda: MODELS["relu"](SHAPE, 2, None, 5), 2, ss.mse_loss),
    "three by MSE": (lambda: MODELS["linear"](SHAPE, 3), 3, ss.mse_loss),
    "relu": (lambda: MODELS["relu"](SHAPE, 3, None, 5), 3, None),
    "cnn": (lambda: MODELS["cnn"](SHAPE, 3, None, 4), 3, None),
    "vgg": (lambda: MODELS["vgg"](SHAPE, 3, None, 4), 3, None),
    "mirrored": (lambda: mirrored(MODELS["cnn"](SHAPE, 3, Normalize([0.3], [0.4]), 4)), 3, None),
    "two columns": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(360, 2)), 2, ss.cross_entropy),
    "every layer": (every_layer, 3, None),
}


@pytest.mark.parametrize("name", MODEL)
def test_three_runtimes_answer_as_the_model(name: str, tmp_path: Path) -> None:
    make, classes, loss = MODEL[name]
    file = written(make(), tmp_path, classes, loss)
    out = tmp_path / "model.onnx"
    assert export_onnx(file, out, {}).passed
    assert verify_onnx(out).passed
    pixels = pictures(SHAPE, classes).pixels[:20]
    model = load_model(file)
    assert model.abstention is not None
    wanted = np.concatenate([model.probabilities(picture[None]) for picture in pixels])
    distances = model.abstention.distances(pixels)
    given = OnnxModel(read_onnx(out), out).answers(pixels)
    np.testing.assert_allclose(given.probabilities, wanted, atol=MOST_APART)
    np.testing.assert_allclose(given.distances, distances, rtol=MOST_APART)
    evaluator = ReferenceEvaluator(onnx.load(out))
    _, shares, far = evaluator.run(None, {"pixels": pixels})  # type: ignore[misc]
    np.testing.assert_allclose(shares, wanted, atol=MOST_APART)
    np.testing.assert_allclose(far, distances, rtol=MOST_APART)
    tract = pytest.importorskip("tract", reason="the runtime tract is not installed")
    runnable = tract.onnx().load(str(out)).into_model().into_runnable()
    _, shares, far = (output.to_numpy() for output in runnable.run([pixels]))
    np.testing.assert_allclose(shares, wanted, atol=MOST_APART)
    np.testing.assert_allclose(far, distances, rtol=MOST_APART)


def test_onnxruntime_has_nothing_to_say_of_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("linear", "by MSE", "three by MSE", "mirrored"):
        make, classes, loss = MODEL[name]
        export_onnx(written(make(), tmp_path, classes, loss), tmp_path / "m.onnx", {}, any_size="MSE" in name)
        onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    assert capfd.readouterr() == ("", "")


def test_the_same_model_gives_the_same_bytes_without_its_pictures(tmp_path: Path) -> None:
    file = written(MODELS["cnn"](SHAPE, 3, None, 4), tmp_path)
    for name in ("a.onnx", "b.onnx"):
        export_onnx(file, tmp_path / name, {"recipe": "lr = 0.1"})
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    about = {prop.key: prop.value for prop in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert json.loads(about["classes"]) == ["class 0", "class 1", "class 2"]
    said = json.loads(about["sevensteps"])
    assert said["recipe"] == "lr = 0.1"
    assert set(said["abstention"]) == {"coverage", "confidence", "distance", "never_says"}
    assert not np.isin(golden_pictures(SHAPE).reshape(64, -1)[:, 0], pictures(SHAPE, 3).pixels[:, 0, 0, 0]).all()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(360, 3).double()), "float32"),
        (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 3)), "AdaptiveAvgPool2d"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is(model: Any, words: str, tmp_path: Path) -> None:
    images = pictures(SHAPE, 3)
    learn = Learner(DataLoaders.from_images(Splits(images), 30), model(), None)
    file = learn.export(tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=words):
        export_onnx(file, tmp_path / "model.onnx", {})
    assert not (tmp_path / "model.onnx").exists()


def test_damage_is_found_before_a_runtime_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(MODELS["linear"](SHAPE, 2), tmp_path, 2)
    out = tmp_path / "model.onnx"
    export_onnx(file, out, {})
    content = out.read_bytes()
    random = np.random.default_rng(0)
    monkeypatch.setattr(OnnxModel, "__init__", lambda *given: pytest.fail("a runtime was started"))
    for place in random.integers(0, len(content), 200).tolist():
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(8))
        out.write_bytes(changed)
        with pytest.raises(ModelError):
            verify_onnx(out)
    for end in (0, 10, len(content) - 1):
        out.write_bytes(content[:end])
        with pytest.raises(ModelError):
            verify_onnx(out)


def test_golden_pictures_belong_to_one_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        export_onnx(
            written(MODELS["linear"](SHAPE, 2), tmp_path / name, 2), tmp_path / name / "model.onnx", {"n": name}
        )
    golden_of(tmp_path / "a/model.onnx").write_bytes(golden_of(tmp_path / "b/model.onnx").read_bytes())
    with pytest.raises(ModelError, match="does not belong"):
        verify_onnx(tmp_path / "a/model.onnx")
    golden_of(tmp_path / "a/model.onnx").unlink()
    with pytest.raises(SevenstepsError):
        verify_onnx(tmp_path / "a/model.onnx")


def test_a_learner_exports_in_the_format_of_the_suffix(tmp_path: Path) -> None:
    images = pictures(SHAPE, 3)
    learn = Learner(DataLoaders.from_images(Splits(images), 30), MODELS["cnn"](SHAPE, 3, None, 4), None)
    assert learn.export(tmp_path / "m.onnx") == tmp_path / "m.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.golden.safetensors", "m.onnx"]
    answers = OnnxModel(read_onnx(tmp_path / "m.onnx"), "").answers(images.pixels[:9])
    for picture, row in zip(images.pixels[:9], answers.probabilities, strict=True):
        assert np.abs(learn.predict(picture)[2].numpy() - row).max() <= MOST_APART
    assert answers.distances is None
    with pytest.raises(ModelError, match="is an ONNX file"):
        ss.load_learner(tmp_path / "m.onnx")


@pytest.mark.parametrize("shape", [SHAPE, (3, 12, 12)])
def test_a_file_for_any_size_answers_as_the_model_does_for_the_resized_picture(
    shape: tuple[int, int, int], tmp_path: Path
) -> None:
    file = written(MODELS["cnn"](shape, 3, None, 4), tmp_path, shape=shape)
    out = tmp_path / "any.onnx"
    agreement = export_onnx(file, out, {}, any_size=True)
    assert agreement.count > 64
    assert verify_onnx(out).passed
    model, given = load_model(file), OnnxModel(read_onnx(out), out)
    others = [pictures((shape[0], height, width), 3, 3).pixels[0] for height, width in ((5, 60), (60, 5), (33, 34))]
    for pixels in (pictures(shape, 3).pixels[0], *others):
        wanted = model.answer(Image.fromarray(pixels[0] if shape[0] == 1 else pixels.transpose(1, 2, 0)))
        answers = given.answers(pixels[None])
        assert wanted.probabilities is not None
        np.testing.assert_allclose(answers.probabilities[0], list(wanted.probabilities.values()), atol=MOST_APART)
        np.testing.assert_allclose(answers.distances, wanted.distance, rtol=MOST_APART)
    by_file = load_onnx(out).answer(Image.fromarray(others[0][0]))
    assert by_file.probabilities == pytest.approx(model.answer(Image.fromarray(others[0][0])).probabilities, abs=1e-5)
    arrays, about = model_file.read(golden_of(out))
    arrays["pixels of 1x1"] = arrays["pixels of 1x1"] * 0 + 255
    model_file.write(golden_of(out), arrays, about)
    assert not verify_onnx(out).passed


def changed(out: Path, folder: Path, change: Callable[[onnx.ModelProto], None]) -> bytes:
    """Return an ONNX file with something changed, and with the checksum that fits."""
    model = onnx.load(out)
    del model.metadata_props[-1]
    change(model)
    return with_sha256(model.SerializeToString())


def _other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "x"
    for node in model.graph.node:
        node.input[:] = ["x" if name == "pixels" else name for name in node.input]


def _larger(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 40


def _no_probabilities(model: onnx.ModelProto) -> None:
    del model.graph.output[1]


def _twice(model: onnx.ModelProto) -> None:
    (last,) = (node for node in model.graph.node if node.output[0] == "probabilities")
    last.output[0] = "half"
    model.graph.node.append(onnx.helper.make_node("Add", ["half", "half"], ["probabilities"]))


def _three_classes(model: onnx.ModelProto) -> None:
    (about,) = (prop for prop in model.metadata_props if prop.key == "sevensteps")
    about.value = json.dumps({**json.loads(about.value), "classes": ["a", "b", "c"]})


def _not_text(model: onnx.ModelProto) -> None:
    model.metadata_props[0].key = "XXXX"


@pytest.mark.parametrize("change", [_other_input, _larger, _no_probabilities, _twice, _three_classes])
def test_a_file_that_somebody_else_has_sealed_is_refused(
    change: Callable[[onnx.ModelProto], None], tmp_path: Path
) -> None:
    out = tmp_path / "model.onnx"
    export_onnx(written(MODELS["linear"](SHAPE, 2), tmp_path, 2), out, {})
    content = changed(out, tmp_path, change)
    with pytest.raises(ModelError, match=r"other inputs or outputs|not probabilities|cannot be run"):
        OnnxModel(content, out).answers(golden_pictures(SHAPE, 4))


def test_metadata_that_is_not_text_is_refused_without_a_word_of_the_runtime(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.onnx"
    export_onnx(written(MODELS["linear"](SHAPE, 2), tmp_path, 2), out, {})
    content = changed(out, tmp_path, _not_text).replace(b"XXXX", b"\xff\xfe\xff\xfe")
    sealed = with_sha256(content[:-76])
    with pytest.raises(ModelError, match="cannot be run as ONNX"):
        OnnxModel(sealed, out)
    assert capfd.readouterr().out == ""
