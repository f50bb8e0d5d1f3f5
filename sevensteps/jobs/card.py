"""`export --to card`: a folder for a model hub, with the model and a page that says what the run knows about it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base import files
from ..errors import ModelError, UsageError
from ..recipes.recipe import Recipe
from ..recipes.without_folders import without_folders
from ..runs.checkpoint import MODEL
from ..runs.recorded import edited_of
from ..runs.saved import Saved
from ..ship import file as model_file
from ..ship.abstention import NO_LIMIT
from ..ship.writable import UNWRITABLE
from ..show.sentences import edited_in_words

CARD = "card"  # the format, and its folder; the others are files
README, ONNX = "README.md", "model.onnx"


def write_card(saved: Saved, out: Path, more: Mapping[str, Any]) -> tuple[list[str], str]:
    """Write a model, and as ONNX where it can be, with a README.md in the format of the Hugging Face hub.

    It holds no picture and no path of this machine.

    Args:
        saved: The run.
        out: The folder, which must be new or empty.
        more: What an ONNX file says of the training.

    Returns:
        The names of the files; and why there is no ONNX file, "" if there is one.

    Raises:
        UsageError: There is something in the folder.
        ModelError: The model is damaged, or its ONNX file gives other answers.
        FileError: A file cannot be written.
    """
    with files.said_in_words(out):
        # What a write that was cut short has left is not in the way.
        if out.exists() and not (out.is_dir() and all(files.is_ours(path.name) for path in out.iterdir())):
            raise UsageError(f"{out} is not an empty folder; nothing was changed.", hint=f"Name another: --out {out}-2")
    source = saved.folder / MODEL
    _, about = model_file.read(source)
    with files.said_in_words(out):
        content = files.content(source, model_file.LARGEST)
    onnx, note = _onnx(source, out / ONNX, more)
    contents: dict[Path, bytes | str] = {out / MODEL: content, **onnx, out / README: _card(saved, about, note)}
    if out.is_dir():
        files.remove_parts(out)
    files.write_together(contents)
    return [README, MODEL, *reversed([path.name for path in onnx])], note


def _onnx(source: Path, out: Path, more: Mapping[str, Any]) -> tuple[dict[Path, bytes], str]:
    """Return the ONNX file and its pictures; none, and the reason, if it cannot be written here.

    Raises:
        ModelError: The model is damaged, or the ONNX file gives other answers.
    """
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        return {}, f"No ONNX file: to write one, install {' and '.join(missing)}."
    from ..ship.onnx.export import onnx_files

    try:
        return {**onnx_files(source, out, more)[0]}, ""
    except ModelError as error:
        if error.kind != UNWRITABLE:
            raise
        return {}, "No ONNX file: this model cannot be written as one."


def _card(saved: Saved, about: Mapping[str, Any], note: str) -> str:
    """Return the text of the README.md."""
    recipe = saved.recipe.replace(**without_folders(vars(saved.recipe)))
    judgement, _ = saved.own_judgement()
    scores = {name: judgement[name] for name in ("test", "cross_validation", "valid") if judgement.get(name)}
    sections = {
        "What it does": "It tells these classes apart: " + ", ".join(map(_plain, saved.classes)) + ".",
        "Results": _results(scores, judgement, edited_of(saved.recorded)),
        "When it does not answer": _limits(about.get("abstain"), judgement.get("coverage")),
        "How to use it": _usage(note),
        "Training": _training(saved, recipe),
        "Limits": "The results hold for pictures like those of the test. They may differ for pictures from "
        "another camera, place or time: test the model on yours first.",
        "License": "The author of this model has not named a license yet: name one here and at the top of this file.",
    }
    body = "\n".join(f"## {title}\n\n{text}\n" for title, text in sections.items())
    title = f"{_plain(recipe.source)}, {_plain(recipe.name)}"
    return f"---\n{_metadata(title, recipe, scores)}---\n\n# {title}\n\n{body}"


def _metadata(title: str, recipe: Recipe, scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the YAML of the card; values are JSON, which is YAML, too."""
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": recipe.source, "type": recipe.source},
        "metrics": [
            {"type": "accuracy", "name": f"{split} accuracy", "value": score["accuracy"]}
            for split, score in scores.items()
        ],
    }
    values: dict[str, Any] = {
        "license": "unknown",
        "library_name": "sevensteps",
        "pipeline_tag": "image-classification",
        "tags": ["sevensteps", "image-classification"],
        **({"model-index": [{"name": title, "results": [result]}]} if scores else {}),
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())


def _results(scores: Mapping[str, Mapping[str, Any]], judgement: Mapping[str, Any], edited: int) -> str:
    """Return the scores as a table, the calibration, and how many of the tested pictures were corrected."""
    if not scores:
        return "This model has not been judged."
    lines = ["| pictures | accuracy | 95 % interval | number |", "|---|---|---|---|"]
    lines += [
        f"| {name.replace('_', '-')} | {score['accuracy']:.2%} | {score['low']:.2%} to {score['high']:.2%} | "
        f"{score['n']:,} |"
        for name, score in scores.items()
    ]
    lines += [
        f"| baseline: {name} | {score['accuracy']:.2%} | {score['low']:.2%} to {score['high']:.2%} | {score['n']:,} |"
        for name, score in (judgement.get("baselines") or {}).items()
    ]
    if calibration := judgement.get("calibration"):
        error, low, high = (calibration[key] for key in ("error", "low", "high"))
        lines += ["", f"Calibration error of its probabilities: {error:.2%} (95 % interval {low:.2%} to {high:.2%})."]
    if edited:
        lines += ["", edited_in_words(edited)]
    return "\n".join(lines)


def _limits(limits: Any, coverage: Any) -> str:
    """Return the limits beyond which the model gives no answer, and how often it answers."""
    if not limits:
        return "It always answers."
    confidence, distance = limits["confidence"], limits["distance"]
    lines = [
        f'- "not sure": the highest probability is under {confidence:.4g}.'
        if confidence > 0
        else '- This model never says "not sure".',
        f'- "none of these": the distance from the pictures of training is over {distance:.4g}.'
        if distance < NO_LIMIT
        else '- This model never says "none of these".',
    ]
    if coverage:
        right = (coverage.get("of_answered") or {}).get("accuracy")
        of_these = f" Of these answers, {right:.2%} are right." if right is not None else ""
        lines += [
            "",
            f"It answers {coverage['coverage']:.2%} of the {coverage['n']:,} pictures that it was tested on.{of_these}",
        ]
    return "\n".join(lines)


def _usage(note: str) -> str:
    """Return the commands that classify a picture."""
    text = "```\nsevensteps predict model.safetensors picture.png\n```\n\n"
    if note:
        text += note
    else:
        text += (
            "Without PyTorch: `sevensteps predict model.onnx picture.png`, or any program that reads ONNX, such as "
            "onnxruntime. The input is uint8 pixels, `(pictures, channels, height, width)`; everything else is inside. "
            "`sevensteps verify model.onnx` checks that it answers here as it did where it was written."
        )
    return text


def _training(saved: Saved, recipe: Recipe) -> str:
    """Return the recipe, and the fingerprints of the pictures."""
    data = saved.recorded.get("data", {})
    prints = "\n".join(f"- {_plain(str(split))}: `{_plain(str(digest))}`" for split, digest in data.items())
    return f"SHA-256 of the pictures with their labels:\n\n{prints}\n\nThe recipe:\n\n```toml\n{recipe.to_toml()}```"


def _plain(text: str) -> str:
    """Return a name in one line, which Markdown takes as it is."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in " ".join(text.split()))
