"""Put the program together that answers as a model does."""

from __future__ import annotations

from typing import Any

from ...base.version import __version__
from ...data.fit import way_of
from ..abstention import Abstention
from ..facts import Facts
from . import blocks
from .layers import by_numpy, by_torch, has_names


def program(
    facts: Facts,
    layers: list[dict[str, Any]] | None,
    abstention: Abstention | None,
    is_sequence: bool,
    weights: str,
    sha256: str,
) -> str:
    """Return the program of a model.

    Args:
        facts: What the model's file says.
        layers: What NumPy can compute, as `predict.numpy_layers` returns it; None if PyTorch is needed.
        abstention: When the model does not answer.
        is_sequence: Whether the names of the tensors begin with the place of their layer.
        weights: The name of the file with the tensors, beside the program.
        sha256: Of that file.

    Raises:
        ModelError: A layer cannot be written.
    """
    assert facts.classes is not None
    assert facts.shape is not None
    is_numpy = layers is not None and facts.loss != "mse_loss"
    needs = "NumPy" if is_numpy else "PyTorch"
    limits = None
    if abstention is not None:
        limits = {"confidence": abstention.confidence, "distance": abstention.distance}
    named = "from collections import OrderedDict\n" if not is_numpy and has_names(facts.model) else ""
    imports = "import numpy as np\n" if is_numpy else f"import torch\nfrom torch import nn\n\n{blocks.KINDS}"
    head = f'''"""An image classifier, written by sevensteps {__version__}.

    python THIS_FILE.py picture.png

`predict` takes a picture, `answers` takes pixels. The program needs {needs}, and Pillow to read picture files. It reads
its weights from the file that FILE names, in the same folder.
"""

import hashlib
import json
import sys
{named}from pathlib import Path

{imports}
FILE = {weights!r}
SHA256 = {sha256!r}  # of that file
CLASSES = {list(facts.classes)!r}
SHAPE = {tuple(facts.shape)!r}  # channels, height and width of the pictures that the model takes
TEMPERATURE = {facts.temperature!r}  # divides the scores, so that probabilities are calibrated
# A lower probability means "not sure", a larger distance means "none of these". None: the model always answers.
LIMITS = {limits!r}


'''
    read = blocks.READ.replace("READ_NUMBERS", blocks.READ_BY_NUMPY if is_numpy else blocks.READ_BY_TORCH)
    pixels = blocks.PIXELS.replace("AS_BYTES", blocks.BYTES_BY_NUMPY if is_numpy else blocks.BYTES_BY_TORCH)
    if is_numpy:
        assert layers is not None
        shares, distances, network = (
            blocks.SHARES_BY_NUMPY,
            blocks.DISTANCES_BY_NUMPY,
            by_numpy(layers, is_sequence or len(layers) > 1),
        )
    else:
        shares = blocks.SHARES_BY_MSE if facts.loss == "mse_loss" else blocks.SHARES_BY_TORCH
        shares = shares.replace("INPUT", "(pixels.float() / 255).flatten(1)" if facts.flat else "pixels.float() / 255")
        distances, network = blocks.DISTANCES_BY_TORCH, by_torch(facts.model)
    parts = [
        read,
        network,
        shares,
        *([distances] if limits else []),
        blocks.FITTED[way_of(facts.fit or "squash")],
        pixels,
        blocks.ANSWERS,
    ]
    return head + "\n\n".join(part.strip("\n") + "\n" for part in parts)
