"""Write a model's file as ONNX, with pictures and answers beside it; nothing is written unless both give the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...base import files
from ...errors import ModelError
from .. import file as model_file
from ..abstention import in_file
from ..agreement import COUNT, Agreement, Answers, answers_of, compare, golden_of_other_sizes, golden_pictures
from ..facts import Facts
from ..predict import load_model
from ..writable import UNWRITABLE
from .model import Source, onnx_model
from .run import INSTALL, OnnxModel, read_onnx, with_sha256

GOLDEN = ".golden.safetensors"  # the end of the name of the pictures and answers
MOST_APART_IN_SINGLE = 2e-6  # of a distance, as a share of it: a fifth of what may be, so that all pictures are near
GOLDEN_KIND = "golden"  # what that file says that it is


def export_onnx(file: Path, out: Path, more: Mapping[str, Any], *, any_size: bool = False) -> Agreement:
    """Write a model's file as ONNX, and beside it made-up pictures with the model's answers to them.

    Args:
        file: A `model.safetensors`.
        out: The file to write.
        more: What else the metadata says of the model: the recipe, and fingerprints of the pictures.
        any_size: Whether the file takes pictures of any size, and resizes them itself.

    Returns:
        How far the answers of both files to the pictures are apart.

    Raises:
        ModelError: As `onnx_files`.
        FileError: A file cannot be written.
    """
    contents, agreement = onnx_files(file, out, more, any_size=any_size)
    files.write_together(contents)
    return agreement


def onnx_files(
    file: Path, out: Path, more: Mapping[str, Any], *, any_size: bool = False
) -> tuple[dict[Path, bytes], Agreement]:
    """Return the files that `export_onnx` writes, in the order in which to write them, and how well they agree.

    Args:
        file: A `model.safetensors`.
        out: As for `export_onnx`; so are `more` and `any_size`.
        more: See above.
        any_size: See above.

    Raises:
        ModelError: The model cannot be written as ONNX (its kind is `UNWRITABLE`), onnx or onnxruntime is missing, or
            the answers differ.
    """
    arrays, about = model_file.read(file)
    facts = Facts.from_json(about, file)
    facts.pictures(file)
    arrays, abstention = in_file(arrays, about, file)
    source = Source(
        facts=facts,
        arrays=arrays,
        abstention=abstention,
        sha256=hashlib.sha256(files.content(file, model_file.LARGEST)).hexdigest(),
        more=more,
        backbone=_backbone(facts, file),
        any_size=any_size,
    )
    pixels = golden_pictures(source.input_shape)
    others = golden_of_other_sizes(source.input_shape) if any_size else {}
    wanted = answers_of(load_model(file), [*pixels, *others.values()])
    # Each way is tried only if the numbers of the model are such that the faster one before changes its answers.
    for folded, single in ((True, True), (True, False), (False, False)):
        try:
            model = onnx_model(replace(source, folded=folded, single=single), str(file))
        except ImportError as error:
            raise ModelError("To write an ONNX file, onnx must be installed.", hint=INSTALL) from error
        content = with_sha256(model.SerializeToString(deterministic=True))
        written = OnnxModel(content, out)
        agreement = compare(wanted, written.answers([*pixels, *others.values()]), written.refused)
        if agreement.passed and (agreement.distance <= MOST_APART_IN_SINGLE or not single):
            break
    if not agreement.passed:
        raise ModelError(
            f"{file} and its ONNX file give different answers to {agreement.in_words}. Nothing was written.",
            hint="Report this as a bug of export. The model itself is not damaged.",
        )
    golden = {"pixels": pixels, "probabilities": wanted.probabilities, **others}
    golden |= {} if wanted.distances is None else {"distances": wanted.distances}
    sha256 = hashlib.sha256(content).hexdigest()
    about = {"kind": GOLDEN_KIND, "onnx_sha256": sha256}
    return {golden_of(out): model_file.to_bytes(golden, about), out: content}, agreement


def golden_of(path: Path) -> Path:
    """Return the path of the pictures and answers beside an ONNX file."""
    return path.with_name(path.stem + GOLDEN)


def is_export(path: Path) -> bool:
    """Return whether a file is an ONNX file as `export` wrote it.

    Args:
        path: The file.
    """
    try:
        read_onnx(path)
    except ModelError:
        return False
    return True


def is_golden(path: Path) -> bool:
    """Return whether a file holds the pictures and answers of an ONNX file, as `export` wrote them.

    Args:
        path: The file.
    """
    try:
        return model_file.read(path)[1].get("kind") == GOLDEN_KIND
    except ModelError:
        return False


def verify_onnx(path: Path) -> Agreement:
    """Answer the pictures beside an ONNX file again, and compare.

    Args:
        path: The ONNX file.

    Raises:
        ModelError: A file is missing or damaged, the two do not belong together, or onnxruntime is missing.
    """
    content = read_onnx(path)
    golden = golden_of(path)
    if not golden.exists():
        raise ModelError(
            f"{golden}, which has the pictures and answers to compare, is missing.",
            hint="Copy it from where the ONNX file came from, or export again.",
        )
    arrays, about = model_file.read(golden)
    if about.get("onnx_sha256") != hashlib.sha256(content).hexdigest():
        raise ModelError(f"{golden} does not belong to {path}.", hint="Copy both files of one export.")
    model = OnnxModel(content, path)
    others = golden_of_other_sizes(model.shape) if model.any_size else {}
    names = {"pixels", "probabilities", *others, *([] if model.limits is None else ["distances"])}
    count = len(arrays["pixels"]) if set(arrays) == names and arrays["pixels"].ndim else 0
    shapes = {name: picture.shape for name, picture in others.items()} | {
        "pixels": (count, *model.shape),
        "probabilities": (count + len(others), len(model.classes)),
        "distances": (count + len(others),),
    }
    if (
        count < COUNT
        or any(arrays[name].shape != shapes[name] for name in names)
        or any(arrays[name].dtype != np.uint8 for name in ("pixels", *others))
    ):
        raise ModelError(
            f"The pictures or the answers in {golden} do not fit the model.", hint="Export the model again."
        )
    wanted = Answers(arrays["probabilities"], arrays.get("distances"))
    return compare(wanted, model.answers([*arrays["pixels"], *(arrays[name] for name in others)]), model.refused)


def _backbone(facts: Facts, file: Path) -> Any:
    """Return the pretrained network of a model of features; None for other models.

    Raises:
        ModelError: It is one of timm, or not installed.
    """
    if facts.features is None:
        return None
    from ..backbone.names import is_of_timm
    from ..backbone.networks import load_network

    name = facts.features["name"]
    if is_of_timm(name):
        raise ModelError(
            f"{file} learned from features of {name}, and networks of timm cannot be written as ONNX.",
            hint="Train with --features efficientnet-lite0.",
            kind=UNWRITABLE,
        )
    return load_network(name, facts.features["sha256"])
