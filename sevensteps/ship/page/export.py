"""Write a model as one web page: weights, classes, limits and JavaScript, with made-up pictures to check itself."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base import files
from ...base.version import __version__
from ...errors import ModelError
from ...show.report.html import filled, plain, source_of, tag
from .. import file as model_file
from ..abstention import Abstention, in_file
from ..backbone.names import is_of_timm
from ..facts import Facts
from ..seal import Seal
from ..writable import kinds_in, refuse_unwritable
from .golden import LARGEST, backbone_of, golden

if TYPE_CHECKING:
    from ..backbone.weights import Backbone

SCRIPTS = ("png.js", "picture.js", "fit.js", "network.js", "answer.js", "app.js")


# What network.js computes, besides what it does itself with a list of layers.
LAYERS = (
    *("Normalize", "Conv2d", "Linear", "BatchNorm1d", "BatchNorm2d", "Dropout", "Flatten", "MaxPool2d", "AvgPool2d"),
    *("AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "MaxAndMeanPool", "ZeroPad2d", "ReLU", "ReLU6", "GELU", "SiLU", "Tanh"),
    *("Sigmoid", "LeakyReLU", "Softmax", "LogSoftmax", "RootOfShare", "WithMirror", "MeanWithMirror", "Again"),
    *("Sequential", "Residual"),
)


SEAL = Seal(b"<!-- `export` replaces this page only if it was not changed. SHA-256 of everything above: ", b" -->\n")
LONGEST_TITLE = 48  # letters; a title that names all classes is no longer


def export_page(file: Path, out: Path) -> None:
    """Write a model's file as a web page.

    Args:
        file: A `model.safetensors`.
        out: The page to write.

    Raises:
        ModelError: The model cannot be written as a page.
        FileError: The page cannot be written.
    """
    arrays, about = model_file.read(file)
    facts = Facts.from_json(about, file)
    classes, shape = facts.pictures(file)
    refuse_unwritable(facts, arrays, file, "a page", hint="Train a built-in model, such as cnn.")
    _refuse_what_a_page_cannot_compute(facts, file)
    arrays, abstention = in_file(arrays, about, file)
    backbone = backbone_of(facts)
    tensors = {f"model.{name}": array for name, array in arrays.items() if array.dtype.kind == "f"}
    if abstention is not None:
        tensors |= abstention.arrays()
    if backbone is not None:
        tensors |= {f"backbone.{name}": array for name, array in backbone.arrays.items()}
    places, at = {}, 0
    for name, array in tensors.items():
        places[name] = [at, array.size]
        at += array.size
    model = {
        "classes": list(classes),
        "shown": [plain(name) for name in classes],
        "shape": list(shape),
        "input": list(backbone.shape if backbone else shape),
        "fit": facts.fit or "squash",
        "interpolation": backbone.interpolation if backbone else "bilinear",
        "onWhite": backbone is not None,
        "range": facts.range.as_json() if facts.range else None,
        "flat": facts.flat,
        "loss": facts.loss,
        "temperature": facts.temperature,
        "limits": None if abstention is None else abstention.facts(),
        "layers": facts.model,
        "backbone": None if backbone is None else {"layers": backbone.description, "largest": LARGEST},
        "tensors": places,
        "golden": golden(file, shape, backbone),
    }
    numbers = b"".join(array.astype("<f4").tobytes() for array in tensors.values())
    sha256 = hashlib.sha256(files.content(file, model_file.LARGEST)).hexdigest()
    said = _about(facts, abstention, backbone, sha256)
    files.write(out, SEAL.added(_page(list(classes), model, numbers, said).encode()))


def is_export(path: Path) -> bool:
    """Return whether a file is a page as `export` wrote it.

    Args:
        path: The file.
    """
    try:
        return SEAL.is_intact(files.content(path, model_file.LARGEST))
    except OSError:
        return False


def model_sha256(content: bytes) -> str:
    """Return the first digits of the SHA-256 of the model's file that a page was made from; "" for another file.

    Args:
        content: The page.
    """
    found = re.search(rb"<dt>Model</dt><dd>SHA-256 ([0-9a-f]{16})\xe2\x80\xa6, sevensteps ", content)
    return found[1].decode() if found else ""


def _page(classes: list[str], model: Mapping[str, Any], numbers: bytes, said: Mapping[str, str]) -> str:
    """Return the page."""
    style, script = _content("page.css"), "".join(f"{each}\n" for each in ['"use strict";', *map(_content, SCRIPTS)])
    policy = (
        f"default-src 'none'; script-src {source_of(script)}; style-src {source_of(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(_title(classes)),
        "lead": html.escape("Give this page a picture. It says what the picture shows, or that it does not know."),
        "about": "".join(tag("div", tag("dt", name), tag("dd", text)) for name, text in said.items()),
        "style": style,
        "script": script,
        # So that no name ends the element that holds it.
        "model": json.dumps(model, ensure_ascii=False).replace("<", "\\u003c"),
        "numbers": base64.b64encode(numbers).decode(),
    }
    return filled(_content("page.html"), parts)


def _content(name: str) -> str:
    """Return a part of the page that lies beside this file."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _title(classes: list[str]) -> str:
    """Return the question that the page answers."""
    names = [plain(name) for name in classes]
    title = f"{', '.join(names[:-1])} or {names[-1]}?"
    return title if len(title) <= LONGEST_TITLE else f"Which of {len(classes)} classes?"


def _about(facts: Facts, abstention: Abstention | None, backbone: Backbone | None, sha256: str) -> dict[str, str]:
    """Return what the page says of the model, by the names of the rows."""
    assert facts.classes is not None
    assert facts.shape is not None
    channels, height, width = backbone.shape if backbone else facts.shape
    limits = "always answers"
    if abstention is not None:
        limits = f"answers about {abstention.coverage:.0%} of pictures like those that it learned from"
        never = abstention.never_says
        limits += f"; never says “{never[0]}”" if len(never) == 1 else ""
    return {
        "Classes": ", ".join(facts.classes),
        "Pictures": f"{width} × {height} pixels, {'gray' if channels == 1 else 'in color'}; other sizes are fitted",
        "Answers": limits,
        **({"Network": f"{backbone.name}, {backbone.license}"} if backbone else {}),
        "Model": f"SHA-256 {sha256[:16]}…, sevensteps {__version__}",
    }


def _refuse_what_a_page_cannot_compute(facts: Facts, where: Path) -> None:
    """Raise for a network or a layer that the page's JavaScript lacks.

    Raises:
        ModelError: Says what of the model.
    """
    if facts.features is not None and (is_of_timm(facts.features["name"]) or "layers" in facts.features):
        what = "networks of timm" if is_of_timm(facts.features["name"]) else "networks whose last stages were trained"
        raise ModelError(
            f"{where} learned from features of {facts.features['name']}, and {what} cannot be written as a page.",
            hint="sevensteps export RUN --to onnx",
        )
    unknown = next((name for name in kinds_in(facts.model) if name not in LAYERS), None)
    if unknown is not None:
        raise ModelError(
            f"{where}: a layer {unknown!r:.80} cannot be written as a page.", hint="Train a built-in model."
        )
