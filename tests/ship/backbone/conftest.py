"""A photograph of the size that the backbone takes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A photograph, uint8 (3, 224, 224)."""
    china = Image.fromarray(load_sample_images().images[0]).resize((224, 224))
    return np.ascontiguousarray(np.asarray(china).transpose(2, 0, 1))
