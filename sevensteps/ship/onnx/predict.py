"""An ONNX file as a model that classifies pictures of any kind, as `ship.predict` does; PyTorch is not needed."""

from __future__ import annotations

import functools
from pathlib import Path

from ...data.on_white import pixels_on_white
from ..predict import Model
from .run import OnnxModel, read_onnx


def load_onnx(path: Path) -> Model:
    """Load an ONNX file that `export` wrote.

    Args:
        path: The file.

    Raises:
        ModelError: The file is missing, damaged or another one, or onnxruntime is not installed.
    """
    model = OnnxModel(read_onnx(path), path)
    fit, range = model.facts.fit or "squash", model.facts.range
    read = None
    if model.facts.features is not None:  # its network is inside, and was trained on pictures on white
        read = functools.partial(pixels_on_white, shape=model.shape, fit=fit, range=range)
    return Model(
        model.classes, model.shape, lambda pixels: model.answers(pixels).probabilities, model.limits, fit, range, read
    )
