"""A cut backbone: its first part gives in 8 bits what its layers give, and the second part goes on from there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sevensteps.errors import ModelError
from sevensteps.ship import architecture
from sevensteps.ship.backbone.cut import MOST, cut_at, layers_before
from sevensteps.ship.backbone.extract import LARGEST, extractor
from sevensteps.ship.backbone.weights import load_backbone


@pytest.mark.parametrize("unfreeze", range(1, MOST + 1))
def test_both_parts_together_are_the_whole_network(unfreeze: int, photo: np.ndarray) -> None:
    backbone, cut = load_backbone(), cut_at(layers_before(unfreeze))
    layers, arrays = cut.after(backbone)
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    last = architecture.build({"layer": "Sequential", "layers": layers}, tensors).eval()
    of_all = {name: torch.from_numpy(array.copy()) for name, array in backbone.arrays.items()}
    network = architecture.build(backbone.description, of_all).eval()
    pictures = np.stack([photo, photo[:, ::-1], 255 - photo])
    rows = np.stack([*map(extractor(backbone, cut), pictures)])
    assert rows.dtype == np.uint8
    with torch.no_grad():
        x = torch.from_numpy(pictures).float() / 255
        wanted = network[: cut.layers](x)
        assert tuple(wanted.shape[1:]) == cut.shape
        kept = last[0](torch.from_numpy(rows).reshape(-1, *cut.shape).float() / 255)
        step = torch.from_numpy(cut.std).flatten() / 255
        errors = (kept - wanted).abs()
        clipped = errors > 0.51 * step[:, None, None]
        assert float(clipped.float().mean()) < 0.02  # the values beyond four standard deviations
        whole, again = network(x).numpy(), last(torch.from_numpy(rows).reshape(-1, *cut.shape).float() / 255).numpy()
    assert np.sqrt(np.square(whole - again).mean()) < 0.02 * LARGEST
    assert [np.corrcoef(one, other)[0, 1] > 0.99 for one, other in zip(whole, again, strict=True)] == [True] * 3


def test_each_channel_uses_its_8_bits(photo: np.ndarray) -> None:
    """The mean and deviation follow from the batch normalizations, and fit a real photograph."""
    for unfreeze in range(1, MOST + 1):
        cut = cut_at(layers_before(unfreeze))
        values = extractor(load_backbone(), cut)(photo).reshape(cut.shape[0], -1) / 255
        assert abs(values.mean() - 0.5) < 0.05  # the middle of eight deviations
        assert 0.08 < values.std() < 0.2  # an eighth


def test_a_place_where_no_stage_begins_is_refused() -> None:
    for layers in (0, 2, layers_before(0), 99):
        with pytest.raises(ModelError, match="where no stage begins"):
            cut_at(layers)
