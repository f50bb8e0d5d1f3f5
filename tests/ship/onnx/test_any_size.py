"""An ONNX file that resizes pictures itself: to the very pixels of Pillow, whatever their size and proportions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from PIL import Image

from sevensteps.data.fit import FITS, Fit, fitted
from sevensteps.ship.onnx.nodes import Nodes, as_model
from sevensteps.ship.onnx.resize import resized

SHAPES = (1, 7, 5), (3, 12, 17)


def resizing(shape: tuple[int, int, int], fit: Fit) -> onnx.ModelProto:
    """Return a model that resizes and does nothing else."""
    nodes = Nodes({})
    nodes.add("Identity", resized(nodes, "pixels", shape, fit), output="fitting")
    outputs = [("fitting", onnx.TensorProto.UINT8, ["n", *shape])]
    return as_model(nodes, (shape[0], "height", "width"), outputs, {})


MODELS = {(shape, fit): resizing(shape, fit) for shape in SHAPES for fit in FITS[:3]}
SESSIONS = {
    key: onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for key, model in MODELS.items()
}


def noise(shape: tuple[int, int, int], seed: int, is_black_and_white: bool = False) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return (pixels > 127).astype(np.uint8) * 255 if is_black_and_white else pixels


def by_pillow(pixels: np.ndarray, shape: tuple[int, int, int], fit: Fit) -> np.ndarray:
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return np.asarray(fitted(image, shape[2], shape[1], fit)).reshape(*shape[1:], shape[0]).transpose(2, 0, 1)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(MODELS)),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(0, 1 << 32),
    st.booleans(),
)
def test_every_pixel_is_that_of_pillow(
    key: tuple[tuple[int, int, int], Fit], height: int, width: int, seed: int, is_black_and_white: bool
) -> None:
    shape, fit = key
    pixels = noise((shape[0], height, width), seed, is_black_and_white)
    (given,) = SESSIONS[key].run(None, {"pixels": pixels[None]})
    np.testing.assert_array_equal(given[0], by_pillow(pixels, shape, fit))


# Where one side grows and the other shrinks, and around the height from which Pillow begins with the height.
@pytest.mark.parametrize("size", [(90, 3), (3, 90), (18, 17), (24, 20), (19, 20), (18, 20), (400, 31), (31, 400)])
@pytest.mark.parametrize("fit", FITS[:3])
def test_odd_proportions_in_three_runtimes(size: tuple[int, int], fit: Fit, tmp_path: Path) -> None:
    shape = SHAPES[1]
    pixels = noise((3, *size), 0)
    wanted = by_pillow(pixels, shape, fit)
    (given,) = SESSIONS[shape, fit].run(None, {"pixels": np.stack([pixels, 255 - pixels])})
    np.testing.assert_array_equal(given[0], wanted)
    np.testing.assert_array_equal(given[1], by_pillow(255 - pixels, shape, fit))
    (given,) = ReferenceEvaluator(MODELS[shape, fit]).run(None, {"pixels": pixels[None]})  # type: ignore[misc]
    np.testing.assert_array_equal(given[0], wanted)
    tract = pytest.importorskip("tract", reason="the runtime tract is not installed")
    onnx.save(MODELS[shape, fit], tmp_path / "m.onnx")
    model = tract.onnx().load(str(tmp_path / "m.onnx"))
    model.set_input_fact(0, f"1,3,{size[0]},{size[1]},u8")  # tract wants to know the size
    (given,) = model.into_model().into_runnable().run([pixels[None]])
    np.testing.assert_array_equal(given.to_numpy()[0], wanted)


def test_large_photographs() -> None:
    shape = (3, 224, 224)
    for fit in FITS[:3]:
        session = onnxruntime.InferenceSession(resizing(shape, fit).SerializeToString())
        for size in ((611, 947), (1300, 400)):
            pixels = noise((3, *size), 1)
            (given,) = session.run(None, {"pixels": pixels[None]})
            np.testing.assert_array_equal(given[0], by_pillow(pixels, shape, fit))
