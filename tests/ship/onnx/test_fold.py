"""Layers folded into their neighbors: fewer nodes, the same answers, and nothing folded where these would change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from sevensteps.data.batches import DataLoaders
from sevensteps.data.images import Images, Splits
from sevensteps.learner.learner import Learner
from sevensteps.ship import architecture
from sevensteps.ship.onnx.export import export_onnx
from sevensteps.ship.onnx.fold import fold
from sevensteps.ship.onnx.layers import write_layers
from sevensteps.ship.onnx.nodes import PIXELS, Nodes, as_model
from sevensteps.steps.predict import MODELS, Normalize, mirrored

COLOR = (3, 12, 10)
NORMAL = Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])


def norm(channels: int, least: float) -> nn.BatchNorm2d:
    """A normalization that has seen pictures, with factors from `least` on."""
    layer = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for number, tensor in enumerate((layer.weight, layer.bias, layer.running_mean, layer.running_var)):
            assert tensor is not None
            tensor.copy_(torch.linspace(least if number == 0 else 0.1 + number / 8, 1.5, channels))
    return layer


MODEL: dict[str, tuple[Callable[[], nn.Module], set[str]]] = {
    "linear": (lambda: MODELS["linear"](COLOR, 2, NORMAL), set()),
    "mirrored cnn": (lambda: mirrored(MODELS["cnn"](COLOR, 3, NORMAL, 4)), set()),
    "no margins": (lambda: nn.Sequential(NORMAL, nn.Conv2d(3, 4, 3, bias=False), nn.Flatten()), {"Sub"}),
    "bias and margins": (lambda: nn.Sequential(NORMAL, nn.Conv2d(3, 4, 3, padding=1), norm(4, 0.2)), set()),
    "across a maximum": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), norm(4, 0.2), nn.ReLU()),
        set(),
    ),
    "twice normalized": (lambda: nn.Sequential(NORMAL, Normalize([0.1], [3.0]), nn.Conv2d(3, 4, 3)), {"Sub"}),
}


@pytest.mark.parametrize("name", MODEL)
def test_a_folded_model_computes_the_same_with_fewer_nodes(name: str) -> None:
    make, gone = MODEL[name]
    torch.manual_seed(0)
    model = make().eval()
    description = architecture.describe(model)
    assert description is not None
    arrays = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    folded = fold(description, arrays, COLOR)
    assert folded is not None
    pixels = np.random.default_rng(0).integers(0, 256, (5, *COLOR), dtype=np.uint8)
    with torch.no_grad():
        wanted = model(torch.from_numpy(pixels).float() / 255).numpy()
    nodes = Nodes(folded[1])
    nodes.renamed(write_layers(nodes, folded[0], nodes.as_float(PIXELS)), "scores")
    sides = [None] * (wanted.ndim - 1)
    made = as_model(nodes, COLOR, [("scores", onnx.TensorProto.FLOAT, ["n", *sides])], {})
    (scores,) = ReferenceEvaluator(made).run(None, {"pixels": pixels})  # type: ignore[misc]
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert not {"BatchNormalization", "Div", *gone} & {node.op_type for node in nodes.nodes}


def test_a_maximum_of_what_is_turned_around_is_not_folded() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), norm(4, -0.5), nn.ReLU()).eval()
    description = architecture.describe(model)
    assert description is not None
    folded = fold(description, {key: tensor.numpy() for key, tensor in model.state_dict().items()}, COLOR)
    assert folded is not None
    assert [layer["layer"] for layer in folded[0]["layers"]] == ["Conv2d", "MaxPool2d", "BatchNorm2d", "ReLU"]


@pytest.mark.parametrize(
    "model",
    [
        lambda: nn.Sequential(nn.Tanh(), nn.Conv2d(3, 4, 3)),
        lambda: nn.Sequential(nn.Conv2d(3, 3, 3, groups=3)),
        lambda: nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)),
        lambda: nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3))),
    ],
)
def test_what_is_not_a_plain_sequence_stays(model: Callable[[], nn.Module]) -> None:
    made = model()
    description = architecture.describe(made)
    assert description is not None
    assert fold(description, {key: tensor.numpy() for key, tensor in made.state_dict().items()}, COLOR) is None


def test_a_model_is_written_as_it_is_where_folding_changes_its_answers(tmp_path: Path) -> None:
    # So far from 0 that subtracting rounds the pixels to steps of 0.002, which folded weights do in another way.
    linear = nn.Linear(360, 3, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(3, 360))
    model = nn.Sequential(Normalize([3e4], [0.7]), nn.Flatten(), linear)
    images = Images(np.zeros((6, *COLOR), np.uint8), np.arange(6) % 3, ("a", "b", "c"))
    learn = Learner(DataLoaders.from_images(Splits(images), 6), model, None)
    assert export_onnx(learn.export(tmp_path / "m.safetensors"), tmp_path / "m.onnx", {}).passed
    kinds = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert kinds[:4] == ["Cast", "Div", "Sub", "Div"]
