"""The nodes of an ONNX graph while it is written, and the file that they become: the same bytes everywhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...base.version import __version__

if TYPE_CHECKING:
    import onnx


OPSET = 17  # of March 2022: every runtime in use reads it


IR_VERSION = 8  # which belongs to it


PIXELS = "pixels"  # the name of the input


LOGITS, PROBABILITIES, DISTANCE = "logits", "probabilities", "distance"  # of the outputs of a whole model


KEY = "sevensteps"  # of the metadata that we read again


@dataclass
class Nodes:
    """What has been written of a graph."""

    arrays: Mapping[str, np.ndarray]  # the tensors of the model
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)  # those that the nodes use, by name
    numbers: Iterator[int] = field(default_factory=itertools.count)
    floats: dict[str, str] = field(default_factory=dict)  # what `as_float` has added, by the name of the bytes

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node, and return the name of its output.

        Args:
            kind: The operator.
            inputs: The names of its inputs.
            output: The name of its output; unless given, one that is new.
            attributes: The settings of the operator.
        """
        from onnx import helper

        number = next(self.numbers)
        output = output or f"{kind.lower()}_{number}"
        self.nodes.append(helper.make_node(kind, [*inputs], [output], name=f"node_{number}", **attributes))
        return output

    def as_float(self, x: str) -> str:
        """Add the conversion of bytes to float32, once for all that take it, and return its name.

        Args:
            x: The name of the bytes; numbers that are float32 already may take their place.
        """
        from onnx import TensorProto

        if x not in self.floats:
            self.floats[x] = self.add("Cast", x, to=TensorProto.FLOAT)
        return self.floats[x]

    def renamed(self, x: str, output: str) -> str:
        """Give what the last node returns the name of an output of the graph, and return it.

        Args:
            x: The name until now; if another node returns it, or none, a node is added.
            output: The new name.
        """
        if not self.nodes or list(self.nodes[-1].output) != [x]:
            return self.add("Identity", x, output=output)
        self.nodes[-1].output[0] = output
        return output

    def halves(self, x: str) -> tuple[str, str]:
        """Split the rows of a tensor into the first and the second half, and return their names.

        Args:
            x: The name of the tensor.
        """
        from onnx import helper

        number = next(self.numbers)
        outputs = f"first_{number}", f"second_{number}"
        self.nodes.append(helper.make_node("Split", [x], outputs, name=f"node_{number}", axis=0))
        return outputs

    def either(
        self,
        condition: str,
        then: Callable[[Nodes], str],
        otherwise: Callable[[Nodes], str],
        kind: int,
        shape: list[Any],
    ) -> str:
        """Add two ways to compute a tensor, of which one is taken, and return its name.

        Args:
            condition: The name of a truth value.
            then: Adds the way that is taken if it is true, and returns the name of its output.
            otherwise: Adds the other way.
            kind: The type of the tensor.
            shape: Its shape.
        """
        from onnx import helper

        ways = {}
        for name, write in {"then_branch": then, "else_branch": otherwise}.items():
            within = replace(self, nodes=[])
            output = helper.make_tensor_value_info(write(within), kind, shape)
            ways[name] = helper.make_graph(within.nodes, name, [], [output])
        return self.add("If", condition, **ways)

    def constant(self, name: str, value: np.ndarray) -> str:
        """Keep an array that nodes use, and return its name."""
        self.constants[name] = value
        return name

    def tensor(self, name: str) -> str:
        """Keep a tensor of the model, and return its name."""
        return self.constant(name, self.arrays[name])


def as_model(
    nodes: Nodes,
    shape: tuple[int | str, ...],
    outputs: Sequence[tuple[str, int, list[Any]]],
    facts: Mapping[str, str],
) -> onnx.ModelProto:
    """Return the ONNX model of nodes that take uint8 pixels of any number of pictures.

    Args:
        nodes: The nodes.
        shape: Channels, height and width of a picture; a name instead of a number for a side of any length.
        outputs: Name, type and shape of each output.
        facts: Metadata, by name.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    model = helper.make_model(
        helper.make_graph(
            nodes.nodes,
            "sevensteps",
            [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["n", *shape])],
            [helper.make_tensor_value_info(*output) for output in outputs],
            [numpy_helper.from_array(value, name) for name, value in nodes.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sevensteps",
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(facts))
    checker.check_model(model)
    return model
