"""A model's file: safetensors, with everything needed to use the model under one metadata key, in canonical JSON.

Reading needs NumPy but not PyTorch, and returns only names, shapes and numbers, whoever wrote the file. There is one
way to write a header, and a header is compared with it before memory of the size it promises is allocated: no byte can
be changed, moved or added without an error.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..base import files
from ..errors import ModelError, UnreadableError

KEY = "sevensteps"


FORMAT = 1


LARGEST_HEADER = 1 << 20  # bytes; a header is parsed as a whole, so whatever grows with a run must be a tensor


LARGEST = 16 << 30  # bytes of a file


LARGEST_SIZE = 1 << 40  # of a shape, zeros aside: NumPy refuses some larger ones even if they are empty


DEEPEST = 64  # lists and tables within each other, in the facts


MAY_BE_INFINITE = "history."  # tensors with this prefix record a run, whose loss may have been infinite


INFINITE = "infinite"  # the fact that names constants with infinite numbers, such as the mask of an attention


# The types that NumPy and PyTorch share, without complex numbers, by their names in safetensors. A file holds tensors
# in the opposite order.
DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "I16": np.dtype(np.int16),
    "U16": np.dtype(np.uint16),
    "F16": np.dtype(np.float16),
    "I32": np.dtype(np.int32),
    "U32": np.dtype(np.uint32),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I64": np.dtype(np.int64),
    "U64": np.dtype(np.uint64),
}


_NAMES = {dtype: name for name, dtype in DTYPES.items()}


_RANKS = {name: rank for rank, name in enumerate(DTYPES)}


_DAMAGED = "Copy the file again, or train the model again."


def to_bytes(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file: the same for the same arrays and facts.

    Args:
        arrays: The tensors by name.
        about: The facts.

    Raises:
        ModelError: JSON cannot hold a fact, such as a number that is not finite; facts and names are too long for a
            header; or an array has a type that a file cannot hold.
    """
    from safetensors.numpy import save

    try:
        # To JSON and back, so that keys are strings, in the order in which a reader gets them.
        facts = json.loads(json.dumps({"format": FORMAT, **about}, allow_nan=False))
        _check_facts(facts)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(
            f"JSON cannot hold a fact that is to be saved: {error}",
            hint="If training ran into numbers that are not finite, train again with a lower learning rate.",
        ) from error
    # Not ascontiguousarray, which would turn a single number into an array of one.
    plain = {name: np.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype not in _NAMES:
            raise ModelError(
                f"{name} holds numbers of type {array.dtype}, which a model's file cannot hold.",
                hint="Convert it, to float32 for instance.",
            )
    facts["sha256"] = digest(plain.items(), facts)
    text = _canonical(facts)
    header = _header({name: (_NAMES[array.dtype], array.shape) for name, array in plain.items()}, text)
    if len(header) > LARGEST_HEADER:
        raise ModelError(
            f"Names and facts take {len(header):,} bytes, but a file has room for {LARGEST_HEADER:,}.",
            hint="Give the model fewer layers, or the classes shorter names.",
        )
    content = save(dict(sorted(plain.items())), metadata={KEY: text})
    # If safetensors wrote headers differently, `read` would refuse the file; so nothing is written.
    if content[8 : 8 + len(header)] != header:
        raise ModelError(
            "This version of safetensors writes headers in a different way.", hint="Install another version."
        )
    return content


def write(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Write a model's file, atomically.

    Args:
        path: The file, which is replaced.
        arrays: The tensors by name.
        about: The facts.

    Raises:
        ModelError: As `to_bytes`.
        FileError: It cannot be written.
    """
    files.write(path, to_bytes(arrays, about))


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and the facts of a model's file.

    Args:
        path: The file.

    Raises:
        ModelError: The file is missing, not a regular file, damaged, not written by sevensteps, written by a newer
            version, or holds numbers that are not finite (which only tensors named `history.…`, and constants that the
            facts name, may).
    """
    try:
        with files.regular(path, LARGEST) as (file, size):
            return _read(file, size, path)
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no model at {path}.", hint="Name a run's folder or its model.safetensors."
        ) from error
    except OSError as error:
        odd = error.errno in (
            errno.EISDIR,
            errno.EINVAL,
            errno.EFBIG,
            errno.ELOOP,
            errno.ENOTDIR,
        )  # not our file
        raise (ModelError if odd else UnreadableError)(
            f"{path} cannot be read ({error.strerror or error}).", hint="Check the path and its permissions."
        ) from error


def from_bytes(content: bytes, where: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and the facts from the bytes of a file.

    Args:
        content: The bytes.
        where: The file, for errors.

    Raises:
        ModelError: As `read`.
    """
    return _read(io.BytesIO(content), len(content), where)


def _read(file: io.BufferedIOBase, size: int, where: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and the facts from an open file with `size` bytes."""
    shapes, about = _read_header(file, size, where)
    wanted = about.pop("sha256", None)
    arrays: dict[str, np.ndarray] = {}
    try:
        for name, (dtype, shape) in shapes.items():
            arrays[name] = np.empty(shape, DTYPES[dtype])  # of its own, so that it is aligned and can be written to
            if file.readinto(_bytes_of(arrays[name])) != arrays[name].nbytes:
                raise ModelError(f"{where} became shorter while it was read.", hint=_DAMAGED)
    except (MemoryError, ValueError) as error:
        hint = "Use a machine with more of it."
        raise UnreadableError(f"{where} does not fit into memory: {error}", hint=hint) from error
    if wanted != digest(arrays.items(), about):
        raise ModelError(f"{where} is damaged: its checksum does not match.", hint=_DAMAGED)
    if about["format"] > FORMAT:  # after the checksum: a flipped bit might look like a newer version
        raise UnreadableError(
            f"{where} was written by a newer version (format {about['format']}; this version reads {FORMAT}).",
            hint="Update sevensteps.",
        )
    infinite = about.get(INFINITE) or []
    if not isinstance(infinite, list):
        raise ModelError(f"{where} is damaged: its facts are not valid.", hint=_DAMAGED)
    for name, array in arrays.items():
        if array.dtype.kind != "f" or name.startswith(MAY_BE_INFINITE):
            continue
        if np.isnan(array).any() if name in infinite else not np.isfinite(array).all():
            raise ModelError(f"{where}: tensor {name!r:.80} holds numbers that are not finite.", hint=_DAMAGED)
    return arrays, about


# What `export` writes besides models that can be loaded, and what to do with it.
_OTHER_FORMATS = {
    ".onnx": ("an ONNX file, which holds no model to train or to look into", "sevensteps predict {} FILES"),
    ".html": ("a page, which answers in a browser", "Open it in a browser"),
    ".py": ("a program, which answers when it is run", "python {} picture.png"),
}


def _read_header(
    file: io.BufferedIOBase, size: int, where: str | Path
) -> tuple[dict[str, tuple[str, tuple[int, ...]]], dict[str, Any]]:
    """Return type and shape of each tensor in the order of the file, and the facts."""
    head = file.read(8)
    if len(head) < 8 or not 2 <= (length := struct.unpack("<Q", head)[0]) <= size - 8:
        if head[:2] == b"PK" or head[:1] == b"\x80":  # a zip, as torch.save writes it, or a pickle
            raise ModelError(
                f"{where} is not a safetensors file: it looks like one of PyTorch or pickle, which can run code.",
                hint="Name a model.safetensors. Weights of PyTorch: torch.load(path, weights_only=True).",
            )
        if (suffix := Path(where).suffix.lower()) in _OTHER_FORMATS:
            what, instead = _OTHER_FORMATS[suffix]
            raise ModelError(f"{where} is {what}.", hint=f"{instead.format(where)}, or name the model.safetensors.")
        raise ModelError(f"{where} is not a safetensors file, or is cut short.", hint=_DAMAGED)
    if length > LARGEST_HEADER:
        raise ModelError(
            f"{where} has a header of {length:,} bytes; at most {LARGEST_HEADER:,} are read.", hint=_DAMAGED
        )
    text = file.read(length)
    try:
        entries = json.loads(text.decode())
        metadata = entries.pop("__metadata__", {})
        if KEY not in metadata:
            raise ModelError(f"{where} was not written by sevensteps.", hint="Name a run's model.safetensors.")
        about = json.loads(metadata[KEY])
        if not isinstance(about, dict) or type(about.get("format")) is not int or about["format"] < 1:
            raise ModelError(f"{where} is damaged: its facts are not valid.", hint=_DAMAGED)
        _check_facts(about)
        shapes = {name: _type_and_shape(entry) for name, entry in entries.items()}
        same = _header(shapes, _canonical(about)) == text
    except ModelError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ModelError(f"{where} is damaged: {error!s:.200}.", hint=_DAMAGED) from error
    if not same:  # such as an added or repeated key, another order, a gap between two tensors, a space
        raise ModelError(f"{where} is damaged: its header is not as sevensteps writes it.", hint=_DAMAGED)
    if 8 + length + sum(_size(*entry) for entry in shapes.values()) != size:
        raise ModelError(f"{where} is damaged: it is longer or shorter than its header says.", hint=_DAMAGED)
    return shapes, about


def _type_and_shape(entry: Any) -> tuple[str, tuple[int, ...]]:
    """Return type and shape of a tensor's entry; its offsets are checked with the whole header."""
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype not in DTYPES:
        raise ValueError(f"numbers of type {dtype!r:.20}")
    if not isinstance(shape, list) or len(shape) > 16 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"a shape {shape!r:.80}")
    if math.prod(n or 1 for n in shape) > LARGEST_SIZE:
        raise ValueError(f"a shape {shape!r:.80}")
    return dtype, tuple(shape)


def _header(shapes: Mapping[str, tuple[str, tuple[int, ...]]], facts: str) -> bytes:
    """Return the header as safetensors writes it: tensors by type, the widest first, then by name; padded with spaces.

    A test compares it byte for byte with safetensors' own serializer, which would copy the tensors.
    """
    entries: dict[str, Any] = {"__metadata__": {KEY: facts}}
    start = 0
    for name, (dtype, shape) in sorted(shapes.items(), key=lambda item: (-_RANKS[item[1][0]], item[0])):
        stop = start + _size(dtype, shape)
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": (start, stop)}
        start = stop
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _size(dtype: str, shape: tuple[int, ...]) -> int:
    """Return the size of a tensor in bytes."""
    return math.prod(shape) * DTYPES[dtype].itemsize


def _check_facts(facts: Any) -> None:
    """Check that facts can be written as text and read without exhausting the stack.

    JSON can hold halves of characters, which neither files nor terminals can, and whole numbers larger than any float.

    Raises:
        ValueError: The facts are not valid.
    """
    _check_values(facts, DEEPEST)
    json.dumps(facts, ensure_ascii=False).encode()


def _check_values(value: Any, left: int) -> None:
    """Check nesting and the size of whole numbers.

    Raises:
        ValueError: Something is nested deeper than `left` levels, or a whole number is longer than 64 bits.
    """
    if not left:
        raise ValueError("lists and tables are nested too deep")
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            _check_values(part, left - 1)
    elif type(value) is int and value.bit_length() > 64:
        raise ValueError("a whole number is longer than 64 bits")


def _canonical(facts: Mapping[str, Any]) -> str:
    """Return the facts as text, in the only valid way to write them."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _bytes_of(array: np.ndarray) -> memoryview:
    """Return an array's memory as bytes."""
    return array.reshape(-1).view(np.uint8).data


def digest(arrays: Iterable[tuple[str, np.ndarray]], facts: Mapping[str, Any]) -> str:
    """Return SHA-256 of the facts, then of each tensor's name, type, shape and bytes in the order of their names."""
    sha256 = hashlib.sha256(_canonical(facts).encode())
    for name, array in sorted(arrays, key=lambda item: item[0]):
        sha256.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        sha256.update(_bytes_of(array))
    return sha256.hexdigest()
