"""ONNX files for `fuzz`: changed bytes, and changed graphs and metadata with a checksum that is right."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import numpy_helper

from sevensteps.ship.onnx.export import export_onnx
from sevensteps.ship.onnx.nodes import KEY
from sevensteps.ship.onnx.predict import load_onnx
from sevensteps.ship.onnx.run import with_sha256

from . import fuzz

SEAL = 76  # bytes at the end: the checksum
KINDS = (
    "Add",
    "MatMul",
    "Softmax",
    "Identity",
    "Cast",
    "Reshape",
    "Conv",
    "Transpose",
    "Expand",
    "Tile",
    "NoSuchThing",
)
SIZES = (0, 1, -1, 2, 3, 7, 28, 784, 1 << 16, 1 << 31, (1 << 40) + 1, -(1 << 63), (1 << 63) - 1)


def onnx_target(folder: Path) -> fuzz.Target:
    """Return the target: reading a file and classifying a picture with it, without PyTorch, as `predict` does.

    Args:
        folder: The files of `fuzz.make_originals`.
    """
    originals = []
    for path in sorted(folder.glob("*/model.safetensors")):
        for any_size in (False, True):
            export_onnx(path, out := folder / "original.onnx", {"recipe": "lr = 1"}, any_size=any_size)
            originals.append(out.read_bytes())
    models = [onnx.load_from_string(content[:-SEAL]) for content in originals]
    picture = np.random.default_rng(0).integers(0, 256, (1, 8, 8), dtype=np.uint8)

    def make(random: Random) -> bytes:
        share, place = random.random(), random.randrange(len(originals))
        if share < 0.3:
            return fuzz.mutated(random, originals[place], originals)
        if share < 0.5:
            return with_sha256(fuzz.mutated(random, originals[place][:-SEAL], originals))
        model = onnx.ModelProto()
        model.CopyFrom(models[place])
        for _ in range(random.choice((1, 1, 2, 3))):
            change(random, model)
        return with_sha256(model.SerializeToString(deterministic=True))

    def read(path: Path) -> None:
        for answer in load_onnx(path).predict([picture]):
            answer.as_json()

    return fuzz.Target("onnx", make, fuzz.written(folder / "case.onnx", read))


def change(random: Random, model: onnx.ModelProto) -> None:
    """Change a node, a tensor, an input or output, or the metadata of a model.

    Args:
        random: Chooses what.
        model: The model.
    """
    graph = model.graph
    node, tensor = random.choice(graph.node), random.choice(graph.initializer)
    names = [name for each in graph.node for name in (*each.input, *each.output)]
    match random.randrange(10):
        case 0:
            node.op_type = random.choice((*KINDS, random.choice(graph.node).op_type))
        case 1 if node.input:
            node.input[random.randrange(len(node.input))] = random.choice((*names, "", "x"))
        case 2 if node.attribute:
            attribute = random.choice(node.attribute)
            attribute.i = random.choice(SIZES)
            attribute.ints[:] = [random.choice(SIZES) for _ in range(random.choice((1, 2, 4)))]
        case 3 | 4 as kind:
            with contextlib.suppress(ValueError), np.errstate(all="ignore"):  # its sizes were changed before
                array = numpy_helper.to_array(tensor)
                if kind == 3:
                    sizes = random.choice(((-1,), (1, *array.shape), array.shape[::-1]))
                    array = array.reshape(sizes).astype(random.choice((array.dtype, "f4", "f8", "i8", "u1")))
                else:
                    numbers = random.choice((0.0, 1.0, -1.0, 1e30, np.nan, np.inf))
                    array = np.full(array.shape, numbers).astype(array.dtype)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        case 5 if tensor.dims:
            tensor.dims[random.randrange(len(tensor.dims))] = random.choice(SIZES)
        case 6:
            value = random.choice((*graph.input, *graph.output))
            place = random.choice(value.type.tensor_type.shape.dim)
            place.dim_value = random.choice(SIZES)
        case 7:
            del graph.node[random.randrange(len(graph.node))]
        case _:
            (about,) = (entry for entry in model.metadata_props if entry.key == KEY)
            restructured = fuzz.restructured(random, json.loads(about.value))
            about.value = json.dumps(restructured)
