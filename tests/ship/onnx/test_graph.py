"""A list of layers as an ONNX graph: what PyTorch computes, in two runtimes, the same bytes each time."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from sevensteps.errors import ModelError
from sevensteps.ship import architecture
from sevensteps.ship.onnx.graph import graph
from sevensteps.steps.predict import Normalize, Residual, RootOfShare


def small() -> nn.Sequential:
    """A network with every layer that can be written, and margins that differ on all four sides."""
    torch.manual_seed(0)
    return nn.Sequential(
        Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]),
        nn.ZeroPad2d((0, 1, 2, 3)),
        nn.Conv2d(3, 8, (3, 2), stride=(2, 1), padding=(1, 0)),
        nn.ReLU6(),
        Residual(
            nn.Conv2d(8, 16, 1, bias=False),
            nn.ReLU6(),
            nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16),
            nn.Conv2d(16, 8, 1),
        ),
        nn.Sequential(nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), RootOfShare()),
    ).eval()


def test_two_runtimes_compute_what_pytorch_computes() -> None:
    model = small()
    description = architecture.describe(model)
    assert description is not None
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    made = graph(description, arrays, (3, 11, 9), "scores", {"license": "ours"})
    content = made.SerializeToString()
    assert content == graph(description, arrays, (3, 11, 9), "scores", {"license": "ours"}).SerializeToString()
    assert [(prop.key, prop.value) for prop in made.metadata_props] == [("license", "ours")]
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for count in (1, 5):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 3, 11, 9), dtype=np.uint8)
        with torch.no_grad():
            wanted = model(torch.from_numpy(pixels).float() / 255).numpy()
        (scores,) = session.run(["scores"], {"pixels": pixels})
        np.testing.assert_allclose(scores, wanted, atol=1e-6)
        (scores,) = ReferenceEvaluator(made).run(None, {"pixels": pixels})
        np.testing.assert_allclose(scores, wanted, atol=1e-6)


@pytest.mark.parametrize("layer", [nn.Flatten(2), nn.AdaptiveAvgPool2d(2), nn.Conv2d(3, 3, 3, padding="same")])
def test_what_cannot_be_written_is_named(layer: nn.Module) -> None:
    description = architecture.describe(nn.Sequential(layer))
    assert description is not None
    arrays = {name: tensor.numpy() for name, tensor in layer.state_dict(prefix="0.").items()}
    with pytest.raises(ModelError, match=type(layer).__name__):
        graph(description, arrays, (3, 8, 8), "scores", {})
