"""Features of pictures, computed by onnxruntime on the graph of a backbone."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from ...data.fit import Fit
from ...data.on_white import pixels_on_white
from ...data.value_range import Range
from ...errors import ModelError, UsageError
from ..onnx.graph import graph
from ..onnx.nodes import PIXELS
from .cut import Cut, cut_at
from .names import INSTALL_TIMM, is_of_timm
from .networks import load_network
from .timm_network import timm_features
from .weights import INSTALL, Backbone

OUTPUT = "features"


# Features are kept in 8 bits, as pixels are: what works on pixels works on them, and the last digits of another
# processor's arithmetic hardly ever show. docs/decisions/0035-features-of-a-frozen-network.md has the figures.
LARGEST = 8.0  # the value that 255 stands for; larger ones are clipped


Extract = Callable[[UInt8[np.ndarray, "channels height width"]], UInt8[np.ndarray, " features"]]


def need_runtime(backbone: Backbone) -> None:
    """Raise if features cannot be computed here; nothing is imported.

    Args:
        backbone: The pretrained network.

    Raises:
        ModelError: onnx or onnxruntime is not installed, or timm for a network of timm.
    """
    of_timm = is_of_timm(backbone.name)
    for package in ("timm",) if of_timm else ("onnxruntime", "onnx"):
        if importlib.util.find_spec(package) is None:
            hint = INSTALL_TIMM if of_timm else INSTALL
            raise ModelError(f"To use {backbone.name}, {package} must be installed.", hint=hint)


def extractor(backbone: Backbone, cut: Cut | None = None) -> Extract:
    """Return the function from the pixels of one picture to its features, or to what the layers before a cut return.

    The function may be called in several threads at once; each call computes one picture on one core, so that nothing
    depends on how many pictures or threads there are.

    Args:
        backbone: The pretrained network.
        cut: Where to end; None for the features at the network's end.

    Raises:
        ModelError: onnx or onnxruntime is not installed, or timm for a network of timm.
    """
    if is_of_timm(backbone.name):
        features_of = timm_features(backbone)
        return lambda pixels: _in_eight_bits(features_of(pixels), LARGEST)
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"To use {backbone.name}, onnxruntime must be installed.", hint=INSTALL) from error
    try:
        description, arrays = cut.before(backbone) if cut else (backbone.description, backbone.arrays)
        model = graph(description, arrays, backbone.shape, OUTPUT, {"license": backbone.license})
    except ImportError as error:
        raise ModelError(f"To use {backbone.name}, onnx must be installed.", hint=INSTALL) from error
    run = _runs(onnxruntime, model)

    largest = 1.0 if cut else LARGEST
    return lambda pixels: _in_eight_bits(run(pixels), largest)


@functools.lru_cache(maxsize=4)
def finisher(name: str, layers: int) -> Callable[[UInt8[np.ndarray, "n channels height width"]], np.ndarray]:
    """Return the function from what the layers before a cut return to the features of the whole network.

    The frozen network computes them: the last stages as published, not as a model has trained them.

    Args:
        name: The network.
        layers: How many of its layers come before the cut.

    Returns:
        A function from `(n, channels, height, width)` uint8 to features `(n, features, 1, 1)` uint8. It raises a
        ModelError if the network, onnx or onnxruntime is not installed.
    """

    @functools.cache
    def run() -> Callable[[np.ndarray], np.ndarray]:
        import onnxruntime

        backbone, cut = load_network(name), cut_at(layers)
        need_runtime(backbone)
        rest, arrays = cut.after(backbone)
        description = {"layer": "Sequential", "layers": rest}
        return _runs(onnxruntime, graph(description, arrays, cut.shape, OUTPUT, {"license": backbone.license}))

    def finish(values: np.ndarray) -> np.ndarray:
        rows = [_in_eight_bits(run()(value), LARGEST) for value in values]  # one by one, so that neighbors do not count
        return np.stack(rows).reshape(len(values), -1, 1, 1)

    return finish


def _runs(onnxruntime: Any, model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from one picture to the output of an ONNX model, on one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(pixels: np.ndarray) -> np.ndarray:
        (features,) = session.run([OUTPUT], {PIXELS: pixels[None]})
        row: np.ndarray = features[0]
        return row

    return run


def _in_eight_bits(features: Float32[np.ndarray, "*shape"], largest: float) -> UInt8[np.ndarray, "*shape"]:
    """Return features as whole numbers from 0 to 255, which stand for 0 to `largest`."""
    row: np.ndarray = (features * (255 / largest)).round().clip(0, 255).astype(np.uint8)
    return row


def reader(
    name: str,
    sha256: str,
    fit: Fit,
    range: Range | None = None,
    where: str | Path = "The model",
    layers: int | None = None,
    shape: tuple[int, int, int] | None = None,
) -> Callable[[Any], np.ndarray]:
    """Return the function from any kind of picture to what a model of features takes.

    Args:
        name: The network that the model was trained on.
        sha256: Of that network.
        fit: How pictures are fitted to the shape that the network takes.
        range: The values of black and white in pictures of more than 8 bits.
        where: The file of the model, for errors.
        layers: How many of the network's layers are computed, for a model that has its last stages; None for all.
        shape: What the model takes, which is compared with what the network gives; None where it is not known.

    Returns:
        A function from anything that `data.decode.as_pixels` takes to features (features, 1, 1) uint8, or to what the
        layers return, (channels, height, width) uint8.

    Raises:
        ModelError: There is no such network, it is not installed, it is not the one that the model was trained on, it
            is not cut there, or it gives something else than the model takes.
    """
    try:
        backbone = load_network(name, sha256 if is_of_timm(name) else None)
    except ModelError as error:
        raise ModelError(f"{where} learned from features of {name:.80}. {error.message}", hint=error.hint) from error
    except UsageError as error:  # the name stands in a file: nobody typed it
        raise ModelError(f"{where}: its features cannot be those of {name!r:.80}.", hint=error.hint) from error
    if backbone.sha256 != sha256:
        raise ModelError(
            f"{where} learned from features of another {name}: its SHA-256 begins with {sha256[:12]}, that of this "
            f"version with {backbone.sha256[:12]}.",
            hint="Train again, or use the version of sevensteps that trained the model.",
        )
    cut = None if layers is None else cut_at(layers, str(where))
    given = cut.shape if cut else (backbone.features, 1, 1)
    if shape not in (None, given):
        after = f" after {layers} layers" if cut else ""
        raise ModelError(
            f"{where} takes features of shape {shape}, but {name}{after} gives {given}.",
            hint="The file is damaged, or was put together from two.",
        )
    extract = extractor(backbone, cut)
    resized = backbone.shape, fit, range, backbone.interpolation
    return lambda picture: extract(pixels_on_white(picture, *resized)).reshape(given)
