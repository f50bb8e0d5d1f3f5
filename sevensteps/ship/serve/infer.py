"""The Open Inference Protocol, version 2: the tensors of a request and of its answer.

As https://github.com/kserve/open-inference-protocol describes it, with the extension for binary tensors that NVIDIA's
client uses by default. The input `pixels` is that of the ONNX file; the output `answer` is the class, or "not sure" or
"none of these".
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ..answer import Answer
from ..predict import Model
from .limits import MOST_JSON, Limits
from .refused import malformed, too_large, unreadable

VERSION = "1"  # of the model


EXTENSIONS = ("binary_tensor_data",)


LENGTH = "inference-header-content-length"  # of the JSON in a body that goes on with binary tensors


MOST_DIGITS = 18  # of that number


INPUT = "pixels"


@dataclass(frozen=True, eq=False)
class Asked:
    """A request for inference."""

    pictures: Sequence[UInt8[np.ndarray, "channels height width"]]
    id: str | None
    outputs: Mapping[str, bool]  # by name, and whether in binary


def about(model: Model, name: str) -> dict[str, Any]:
    """Return the metadata of the model.

    Args:
        model: The model.
        name: Its name.
    """
    outputs = [("probabilities", "FP64", [-1, len(model.classes)]), ("answer", "BYTES", [-1])]
    outputs += [] if model.abstention is None else [("distance", "FP64", [-1])]
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "sevensteps",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, *_input_shape(model)]}],
        "outputs": [{"name": name, "datatype": kind, "shape": shape} for name, kind, shape in outputs],
    }


def _input_shape(model: Model) -> tuple[int, int, int]:
    """Return channels, height and width of a picture; a run of features takes any size."""
    return model.shape if model.shape[0] in (1, 3) else (3, -1, -1)


def asked(model: Model, length: str | None, body: bytes, limits: Limits) -> Asked:
    """Return what a request asks for.

    Args:
        model: The model.
        length: The header that says where binary tensors begin.
        body: The body.
        limits: How many pictures and pixels it may have.

    Raises:
        RequestError: It is not in the form of the protocol, or too large.
    """
    # Python refuses to read a number of thousands of digits.
    is_number = length is None or (length.isascii() and length.isdecimal() and len(length) <= MOST_DIGITS)
    if length is not None and not (is_number and int(length) <= len(body)):
        raise malformed(f"The header {LENGTH} must be a number, at most the number of bytes in the body.")
    end = len(body) if length is None else int(length)
    if end > MOST_JSON:
        raise too_large(f"The JSON has more than {MOST_JSON:,} bytes.", "Send tensors in binary.")
    try:
        request = json.loads(body[:end])
    except (ValueError, RecursionError) as error:
        raise malformed("The body is not JSON.", "Send the JSON of the Open Inference Protocol.") from error
    match request:
        case {"inputs": [{"name": str(name), "shape": list(shape), "datatype": str(kind), **tensor}], **more}:
            pass
        case _:
            raise malformed(f"The request must have one input, {INPUT!r}, with name, shape, datatype and data.")
    if name != INPUT or kind != "UINT8":
        raise malformed(f"The input must be {INPUT!r} of type UINT8.")
    if not all(type(size) is int and 0 < size < 1 << 31 for size in shape) or len(shape) != 4:
        raise malformed("The shape of the input must be four sizes: pictures, channels, height, width.")
    if any(wanted not in (-1, size) for size, wanted in zip(shape[1:], _input_shape(model), strict=True)):
        raise malformed(f"Each picture must have the shape {list(_input_shape(model))}.")
    if shape[0] > limits.pictures or math.prod(shape) > 3 * limits.pixels:
        raise too_large(
            f"A request may have at most {limits.pictures:,} pictures, and {limits.pixels:,} pixels in all.",
            "Send several requests.",
        )
    pixels = _pixels(tensor, shape, body[end:])
    name_of_request, parameters = more.get("id"), more.get("parameters")
    if name_of_request is not None and not isinstance(name_of_request, str):
        raise malformed("The id must be a string.")
    in_binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    pictures = pixels if model.shape[0] in (1, 3) else pixels.transpose(0, 2, 3, 1)
    return Asked(list(pictures), name_of_request, _outputs(model, more.get("outputs"), in_binary))


def _pixels(tensor: Mapping[Any, Any], shape: Sequence[int], binary: bytes) -> UInt8[np.ndarray, "n c h w"]:
    """Return the pixels of the input.

    Raises:
        RequestError: They are not bytes, or not as many as the shape says.
    """
    count, parameters = math.prod(shape), tensor.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        if parameters["binary_data_size"] != count or len(binary) != count:
            raise malformed(f"The input must have {count:,} bytes, as its shape says.")
        return np.frombuffer(binary, np.uint8).reshape(shape)
    # NumPy would make an array of the widest of the values: one long text among them takes gigabytes.
    values = _flat(tensor.get("data"))
    try:
        if len(values) != count or not all(type(value) is int for value in values):
            raise ValueError
        return np.frombuffer(bytes(values), np.uint8).reshape(shape)
    except (ValueError, OverflowError) as error:  # of `bytes`: not from 0 to 255
        raise malformed(f"The data of the input must be {count:,} whole numbers from 0 to 255.") from error


def _flat(values: Any) -> list[Any]:
    """Return the values in lists of lists.

    Raises:
        RequestError: They are not in a list, or in lists of different lengths.
    """
    lengths = set[Any]()
    while isinstance(values, list) and values and isinstance(values[0], list):
        lengths = {len(each) if isinstance(each, list) else None for each in values}
        if len(lengths) > 1:
            break
        values = list(itertools.chain.from_iterable(values))
    if not isinstance(values, list) or len(lengths) > 1:
        raise malformed("The data of the input must be a list, or lists of one length.")
    return values


def _outputs(model: Model, given: Any, in_binary: bool) -> dict[str, bool]:
    """Return the outputs that a request names, all of them unless it names any, and whether each is sent in binary.

    Raises:
        RequestError: There is no such output.
    """
    known = [output["name"] for output in about(model, "")["outputs"]]
    if given is None or given == []:
        return dict.fromkeys(known, in_binary)
    if not isinstance(given, list) or not all(isinstance(output, dict) for output in given):
        raise malformed("The outputs must be a list of objects.")
    wanted = dict[str, bool]()
    for output in given:
        name, parameters = output.get("name"), output.get("parameters")
        if name not in known:
            raise malformed(f"Each output must be one of these: {', '.join(known)}.")
        chosen = parameters.get("binary_data", in_binary) if isinstance(parameters, dict) else in_binary
        wanted[name] = chosen is True
    return wanted


def answered(model: Model, name: str, request: Asked, answers: Sequence[Answer]) -> tuple[bytes, dict[str, str]]:
    """Return the body of an answer, and the headers that it needs.

    Args:
        model: The model.
        name: Its name.
        request: What was asked.
        answers: The answers to the pictures.

    Raises:
        RequestError: A picture has no answer.
    """
    for answer in answers:
        if answer.probabilities is None:
            raise unreadable(answer.error or "", answer.hint)
    tensors = {each: _tensor(each, model, answers) for each in request.outputs}
    outputs, binary = [], []
    for each, (kind, values) in tensors.items():
        output: dict[str, Any] = {"name": each, "datatype": kind, "shape": list(values.shape)}
        if request.outputs[each]:
            binary.append(_in_binary(values))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            output["data"] = values.reshape(-1).tolist()
        outputs.append(output)
    said: dict[str, Any] = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    said |= {} if request.id is None else {"id": request.id}
    head = json.dumps(said).encode()
    if not binary:
        return head, {"content-type": "application/json"}
    return b"".join([head, *binary]), {"content-type": "application/octet-stream", LENGTH: str(len(head))}


def _tensor(name: str, model: Model, answers: Sequence[Answer]) -> tuple[str, np.ndarray]:
    """Return the type and the values of an output."""
    if name == "probabilities":
        rows = [[answer.probabilities[each] for each in model.classes] for answer in answers if answer.probabilities]
        return "FP64", np.array(rows, np.float64)
    if name == "distance":
        return "FP64", np.array([answer.distance for answer in answers], np.float64)
    return "BYTES", np.array([answer.reason or answer.best for answer in answers], object)


def _in_binary(values: np.ndarray) -> bytes:
    """Return the values of a tensor in binary; before each text stands its length."""
    if values.dtype != object:
        return values.tobytes()
    texts = [text.encode() for text in values.tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
