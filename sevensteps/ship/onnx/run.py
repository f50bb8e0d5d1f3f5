"""Read an ONNX file that `export` wrote, and run it: from pixels to answers, with onnxruntime and without PyTorch.

The file ends with the SHA-256 of everything before it, as one more entry of its metadata. It is compared before any
other byte is looked at, so that a runtime never sees a damaged file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from ...base import files
from ...errors import ModelError
from ..abstention import NO_LIMIT, Limits
from ..agreement import Answers
from ..facts import EXPORT_AGAIN, Facts
from .nodes import DISTANCE, KEY, LOGITS, PIXELS, PROBABILITIES

INSTALL = "pip install 'sevensteps[onnx]'"


LARGEST = 1 << 30  # bytes of a file


# An entry of a model's metadata in protobuf's encoding: field 14, with a key of 6 and a value of 64 characters.
_BEFORE_SHA256 = b"\x72\x4a\x0a\x06sha256\x12\x40"


def with_sha256(content: bytes) -> bytes:
    """Return a serialized model with the SHA-256 of its bytes as the last entry of its metadata.

    Args:
        content: The model.
    """
    return content + _BEFORE_SHA256 + hashlib.sha256(content).hexdigest().encode()


def read_onnx(path: Path) -> bytes:
    """Return the bytes of a file that `export` wrote, after comparing their SHA-256.

    Args:
        path: The file.

    Raises:
        ModelError: There is no such file, it was not written by `export`, or it is damaged.
    """
    try:
        content = files.content(path, LARGEST)
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no file {path}.", hint="Check the path. To write an ONNX file, export a run."
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}).", hint="Check the path.") from error
    end = len(_BEFORE_SHA256) + 64
    if content[-end:-64] != _BEFORE_SHA256:
        raise ModelError(
            f"{path} was not written by sevensteps export, or is incomplete.",
            hint="Copy it again, or export the model again.",
        )
    if hashlib.sha256(content[:-end]).hexdigest().encode() != content[-64:]:
        raise ModelError(f"{path} is damaged: its checksum does not match.", hint=EXPORT_AGAIN)
    return content


def model_sha256(content: bytes) -> str:
    """Return the SHA-256 of the model's file that an ONNX file was written from; "" if it does not say.

    It is found without onnxruntime, which may be missing. No class name can imitate it, since JSON escapes quotes.

    Args:
        content: As `read_onnx` returns it.
    """
    found = re.search(rb'"model_sha256": "([0-9a-f]{64})"', content)
    return found[1].decode() if found else ""


@dataclass(frozen=True, eq=False)
class OnnxLimits(Limits):
    """The limits of an ONNX file, whose graph computes the distance."""

    measure: Callable[[UInt8[np.ndarray, "n channels height width"]], Answers]

    def distances(
        self, pixels: UInt8[np.ndarray, "n channels height width"], *, each_alone: bool = False
    ) -> Float64[np.ndarray, " n"]:
        """See `Limits`."""
        answers = self.measure(pixels)
        assert answers.distances is not None
        distances: np.ndarray = answers.distances.astype(np.float64)
        return distances


class OnnxModel:
    """An ONNX file in a runtime, on one core; each picture is computed by itself, so that neighbors do not count.

    Args:
        content: The bytes of the file.
        where: The file, for errors.

    Raises:
        ModelError: onnxruntime is missing, or the file is not one that `export` wrote.
    """

    def __init__(self, content: bytes, where: str | Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError("To run an ONNX file, onnxruntime must be installed.", hint=INSTALL) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # nothing: an error is raised, and need not be printed, too
        self._where = where
        try:
            # Without the fallback, which prints before it fails again.
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            about = _about(self._session.get_modelmeta().custom_metadata_map, where)
        except ModelError:
            raise
        except Exception as error:  # the runtime has many kinds, and a file may hold anything
            raise self._not_run(error) from error
        self.about = about
        self.facts = Facts.from_json(about, where)
        self.classes, self.shape = Facts(classes=self.facts.classes, shape=self.facts.shape).pictures(where)
        self.any_size = about.get("any_size") is True
        self.limits = _limits(about.get("abstention"), where, self.answers)
        self._last: tuple[Any, Answers] | None = None
        self._refuse_another_graph()
        self._outputs = [PROBABILITIES, *([DISTANCE] if self.limits is not None else [])]

    def refused(self, answers: Answers) -> Bool[np.ndarray, " n"]:
        """Return whether each picture gets no answer, for being unlike all classes or for too little confidence.

        Args:
            answers: What the model says of the pictures.
        """
        refused: np.ndarray = np.zeros(len(answers.probabilities), dtype=bool)
        if self.limits is not None and answers.distances is not None:
            # As float64, since a limit is compared with a float32 as the float32 that is nearest to it.
            confidences, distances = (
                numbers.astype(np.float64) for numbers in (answers.probabilities.max(1), answers.distances)
            )
            refused = ~self.limits.answered(confidences, distances)
        return refused

    def answers(
        self, pixels: UInt8[np.ndarray, "n channels height width"] | Sequence[UInt8[np.ndarray, "channels _ _"]]
    ) -> Answers:
        """Return the answers to some pictures.

        Args:
            pixels: The pictures, in the shape that the model takes; of other heights and widths if the file takes
                pictures of any size. Those of the last call are not computed again.
        """
        if self._last is None or self._last[0] is not pixels:
            try:
                rows = [self._session.run(self._outputs, {PIXELS: picture[None]}) for picture in pixels]
                answers = Answers(*(np.concatenate(of_output) for of_output in zip(*rows, strict=True)))
            except Exception as error:  # see above
                raise self._not_run(error) from error
            self._refuse_no_answers(answers, len(pixels))
            self._last = pixels, answers
        return self._last[1]

    def _not_run(self, error: Exception) -> ModelError:
        """Return the error for what a runtime refuses."""
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return ModelError(f"{self._where} cannot be run as ONNX: {reason:.200}", hint=EXPORT_AGAIN)

    def _refuse_another_graph(self) -> None:
        """Raise if the graph has other inputs or outputs than `export` writes.

        Raises:
            ModelError: Naming what differs.
        """
        wanted = {LOGITS: None, PROBABILITIES: [len(self.classes)]} | ({DISTANCE: []} if self.limits else {})
        shape = [self.shape[0], "height", "width"] if self.any_size else [*self.shape]
        outputs = {output.name: output for output in self._session.get_outputs()}
        inputs = self._session.get_inputs()
        is_ours = (
            [(each.name, each.type, each.shape[1:]) for each in inputs] == [(PIXELS, "tensor(uint8)", shape)]
            and outputs.keys() == wanted.keys()
            and all(outputs[name].type == "tensor(float)" for name in wanted)
            and all(outputs[name].shape[1:] == row for name, row in wanted.items() if row is not None)
            and not any(isinstance(each.shape[0], int) for each in (*inputs, *outputs.values()) if each.shape)
        )
        if not is_ours:
            raise ModelError(
                f"{self._where} has other inputs or outputs than sevensteps export writes.", hint=EXPORT_AGAIN
            )

    def _refuse_no_answers(self, answers: Answers, count: int) -> None:
        """Raise if numbers cannot be probabilities and distances; those that are not finite are refused one by one.

        Raises:
            ModelError: They cannot.
        """
        shares, distances = answers.probabilities, answers.distances
        is_right = shares.dtype == np.float32 and shares.shape == (count, len(self.classes))
        if is_right:
            finite = shares[np.isfinite(shares).all(1)]
            is_right = bool((finite >= 0).all() and (np.abs(finite.sum(1) - 1) < 1e-3).all())
        if distances is not None:
            is_right = is_right and distances.shape == (count,) and bool((distances >= 0).all())  # False for NaN
        if not is_right:
            raise ModelError(f"The answers of {self._where} are not probabilities and distances.", hint=EXPORT_AGAIN)


def _about(metadata: Mapping[str, str], where: str | Path) -> dict[str, Any]:
    """Return what the metadata says of the model.

    Raises:
        ModelError: It is not what `export` writes.
    """
    try:
        about = json.loads(metadata[KEY])
    except (KeyError, ValueError, RecursionError) as error:
        raise ModelError(f"The metadata of {where} is missing or damaged.", hint=EXPORT_AGAIN) from error
    if not isinstance(about, dict):
        raise ModelError(f"The metadata of {where} is missing or damaged.", hint=EXPORT_AGAIN)
    return about


def _limits(given: Any, where: str | Path, measure: Callable[[np.ndarray], Answers]) -> OnnxLimits | None:
    """Return the limits that a file names; None for a model that always answers.

    Raises:
        ModelError: They are not numbers from 0.
    """
    if given is None:
        return None
    names = ("coverage", "confidence", "distance")
    values: list[Any] = [given.get(name) for name in names] if isinstance(given, dict) else []
    if not values or not all(type(value) in (int, float) and 0 <= value <= NO_LIMIT for value in values):
        raise ModelError(f"{where}: its limits cannot be {given!r:.80}.", hint=EXPORT_AGAIN)
    coverage, confidence, distance = map(float, values)
    return OnnxLimits(coverage, confidence, distance, measure)
