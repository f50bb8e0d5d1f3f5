"""Features: what the layers say, the same for a picture whatever is computed beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from sevensteps.ship import architecture
from sevensteps.ship.backbone.extract import LARGEST, extractor
from sevensteps.ship.backbone.weights import load_backbone


def test_features_are_those_of_the_layers_in_pytorch(photo: np.ndarray) -> None:
    backbone = load_backbone()
    extract = extractor(backbone)
    tensors = {name: torch.from_numpy(array) for name, array in backbone.arrays.items()}
    module = architecture.build(backbone.description, tensors).eval()
    pictures = [photo, photo[:, ::-1].copy(), 255 - photo, np.zeros_like(photo), np.full_like(photo, 255)]
    with torch.no_grad():
        wanted = module(torch.from_numpy(np.stack(pictures)).float() / 255).numpy()
    features = np.stack([*map(extract, pictures)])
    assert features.dtype == np.uint8
    assert features.shape == (5, 1280)
    np.testing.assert_allclose(features * (LARGEST / 255), np.minimum(wanted, LARGEST), atol=0.5001 * LARGEST / 255)
    assert np.abs(features[0].astype(int) - features[2]).max() > 25  # a negative looks different


def test_threads_at_once_give_the_same_bits(photo: np.ndarray) -> None:
    extract = extractor(load_backbone())
    pictures = [np.roll(photo, shift, axis=2) for shift in range(12)]
    alone = np.stack([*map(extract, pictures)])
    with ThreadPoolExecutor(4) as pool:
        assert (np.stack([*pool.map(extract, pictures)]) == alone).all()
