"""Write a model as a short program with its numbers beside it; nothing is written unless it gives the same answers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...base import files
from ...errors import ModelError, UsageError
from .. import file as model_file
from ..abstention import in_file
from ..agreement import Agreement, Answers, answers_of, compare, golden_of_other_sizes, golden_pictures, image_of
from ..facts import Facts
from ..predict import load_model, numpy_layers
from ..seal import Seal
from ..writable import refuse_unwritable
from .text import program

WEIGHTS = ".weights.safetensors"  # the end of the name of the numbers
SEAL = Seal(b"\n\n# `export` replaces this file only if it was not changed. SHA-256 of all lines above: ", b"\n")
# `python json.py` finds this file before the module that Pillow imports. These are PyTorch's and NumPy's, too.
TAKEN = {
    *sys.stdlib_module_names,
    *("numpy", "PIL", "torch", "torchgen", "functorch", "filelock", "fsspec", "jinja2", "markupsafe", "mpmath"),
    *("networkx", "packaging", "setuptools", "sympy", "typing_extensions"),
}
LARGEST = 1 << 20  # bytes of a program


# Runs the program on pictures, where this package is not found: -I ignores PYTHONPATH and the folder.
_CHECK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import program
print(json.dumps([program.predict(path) for path in sys.argv[2:]]))
"""


def export_python(file: Path, out: Path) -> Agreement:
    """Write a model's file as a program, and beside it the numbers that the program reads.

    Args:
        file: A `model.safetensors`.
        out: The program to write.

    Returns:
        How far the answers of both to made-up pictures are apart.

    Raises:
        UsageError: The program would have the name of a module that it imports.
        ModelError: The model cannot be written as a program, or the answers differ.
        FileError: A file cannot be written.
    """
    if out.stem in TAKEN:
        raise UsageError(
            f"A program named {out.name} would be imported instead of the module {out.stem}.",
            hint=f"Choose another name: --out {out.with_name(f'{out.stem}_model.py')}",
        )
    arrays, about = model_file.read(file)
    facts = Facts.from_json(about, file)
    _, shape = facts.pictures(file)
    if facts.features is not None:
        raise ModelError(
            f"{file} learned from features, which are rounded to bytes: PyTorch would round some of them differently.",
            hint="Export it as ONNX: the pretrained network is inside, and the answers are the same.",
        )
    refuse_unwritable(facts, arrays, file, "plain Python")
    arrays, abstention = in_file(arrays, about, file)
    model = load_model(file)  # which checks all that the program is made from
    weights = files.content(file, model_file.LARGEST)
    text = program(
        facts,
        numpy_layers(facts.model, shape, facts.flat),
        abstention,
        "0.weight" in arrays,
        weights_of(out).name,
        hashlib.sha256(weights).hexdigest(),
    )
    written = SEAL.added(text.encode())
    pictures = [*golden_pictures(shape), *golden_of_other_sizes(shape).values()]
    wanted, given, reasons = (
        answers_of(model, pictures),
        *_answers_of(written, weights_of(out).name, weights, pictures),
    )
    agreement = compare(wanted, given, lambda answers: np.zeros(len(answers.probabilities), dtype=bool))
    if abstention is not None and wanted.distances is not None:
        confidences = wanted.probabilities.astype(np.float64).max(1)
        differ = zip(abstention.reasons(confidences, wanted.distances), reasons, strict=True)
        agreement = dataclasses.replace(agreement, refusals=sum(ours != theirs for ours, theirs in differ))
    if not agreement.passed:
        raise ModelError(
            f"{file} and its program give different answers to {agreement.in_words}. Nothing was written.",
            hint="Report this as a bug of export. The model itself is not damaged.",
        )
    files.write_together({weights_of(out): weights, out: written})
    return agreement


def is_export(path: Path) -> bool:
    """Return whether a file is a program as `export` wrote it.

    Args:
        path: The file.
    """
    return SEAL.is_intact(_content(path))


def is_weights(path: Path, out: Path, model: Path) -> bool:
    """Return whether a file has the weights of the program beside it, or those of the model that is written now.

    Args:
        path: The file.
        out: The program.
        model: The model's file.
    """
    content, program = _content(path, model_file.LARGEST), _content(out)
    known = [hashlib.sha256(_content(model, model_file.LARGEST)).hexdigest()]
    known += [model_sha256(program)] if SEAL.is_intact(program) else []
    return hashlib.sha256(content).hexdigest() in known


def model_sha256(content: bytes) -> str:
    """Return the SHA-256 of the model's file that a program was written from; "" if it is not such a program.

    Args:
        content: The program.
    """
    found = re.search(rb"\nSHA256 = '([0-9a-f]{64})'  # of that file\n", content)
    return found[1].decode() if found else ""


def _content(path: Path, largest: int = LARGEST) -> bytes:
    """Return the bytes of a file; none of one that cannot be read."""
    try:
        return files.content(path, largest)
    except OSError:
        return b""


def weights_of(path: Path) -> Path:
    """Return the path of the numbers beside a program."""
    return path.with_name(path.stem + WEIGHTS)


def _answers_of(
    written: bytes, name: str, weights: bytes, pictures: Sequence[np.ndarray]
) -> tuple[Answers, list[str | None]]:
    """Return the answers of a program to pictures, and its reasons to doubt them, from a process of its own.

    Raises:
        ModelError: The program fails.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files.write(folder / "program.py", written)
        files.write(folder / name, weights)
        paths = [folder / f"{number}.png" for number in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            with files.replacing(path, lasting=False) as open_file:
                image_of(picture).save(open_file, "PNG")
        command = [sys.executable, "-I", "-c", _CHECK, str(folder), *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"The program failed in its check: {reason:.300}", hint="Report this as a bug of export.")
    rows = json.loads(done.stdout)
    distances = None if rows[0]["distance"] is None else np.array([row["distance"] for row in rows])
    shares = np.array([list(row["probabilities"].values()) for row in rows])
    return Answers(shares, distances), [row["reason"] for row in rows]
