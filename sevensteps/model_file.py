"""A model's file: safetensors, with all that is needed to use it under one metadata key, in canonical JSON.

Reading needs NumPy and no torch, and what is read is checked before it is used: no more than the file's size is
allocated, and only names, shapes and numbers come out.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import files
from .errors import ModelError

KEY = "sevensteps"
FORMAT = 1
LARGEST_HEADER = 100_000_000  # bytes, as many as safetensors itself reads


def to_bytes(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    """The file's bytes: the same for the same arrays and facts.

    Raises:
        ModelError: a fact that JSON cannot hold, such as a number that is not finite.
    """
    from safetensors.numpy import save

    try:
        # There and back, so that keys are words, in the order in which a reader will have them.
        facts = json.loads(json.dumps({"format": FORMAT, **about}, allow_nan=False))
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"There is something to save that JSON cannot hold: {error}",
            hint="If training ran into numbers that are not finite, train again with a lower learning rate.",
        ) from error
    # Not ascontiguousarray, which would turn a single number into an array of one.
    plain = {name: np.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    facts["sha256"] = _digest(plain, facts)
    return save(dict(sorted(plain.items())), metadata={KEY: _canonical(facts)})


def write(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Replace the file at `path`, atomically.

    Raises:
        FileError: it cannot be written.
    """
    files.write(path, to_bytes(arrays, about))


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the facts of a model's file.

    Raises:
        ModelError: missing, damaged, not of this project, of a newer version, or with numbers that are not finite.
    """
    damaged = "Copy the file again, or train the model again."
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no model at {path}.", hint="Name a run's folder or its model.safetensors."
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).", hint="Check its permissions.") from error
    if len(content) < 8 or not 2 <= (size := struct.unpack("<Q", content[:8])[0]) <= min(
        LARGEST_HEADER, len(content) - 8
    ):
        raise ModelError(f"{path} is not a safetensors file, or is cut short.", hint=damaged)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__", {})
        arrays = load(content)
        about = json.loads(metadata[KEY])
        digest = about.pop("sha256", None)
    except KeyError as error:
        raise ModelError(f"{path} was not written by sevensteps.", hint="Name a run's model.safetensors.") from error
    except (SafetensorError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: {error}", hint=damaged) from error
    if not isinstance(about, dict) or not isinstance(about.get("format"), int):
        raise ModelError(f"{path} is damaged: its facts are not a table.", hint=damaged)
    if about["format"] > FORMAT:
        raise ModelError(
            f"{path} was written by a newer version (format {about['format']}, and {FORMAT} is known).",
            hint="Update sevensteps.",
        )
    if digest != _digest(arrays, about):
        raise ModelError(f"{path} is damaged: its checksum is another.", hint=damaged)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelError(f"{path}: tensor {name!r} holds numbers that are not finite.", hint=damaged)
    return arrays, about


def _canonical(facts: Mapping[str, Any]) -> str:
    """The one way to write these facts."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))


def _digest(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> str:
    """SHA-256 over the facts, then each tensor's name, type, shape and bytes in the order of their names."""
    digest = hashlib.sha256(_canonical(facts).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
