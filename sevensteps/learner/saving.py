"""What goes into files: the state of training for `save` and `load`, and the facts of a model for `export`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..data.loaders import refuse_other_classes
from ..errors import ModelError, TrainingError, UsageError
from ..ship import architecture
from ..ship import file as model_file
from ..ship.abstention import Abstention
from ..ship.facts import Facts
from ..steps.loss import settings_of
from ..steps.state import State
from .inputs import Inputs
from .objective import Objective

SUFFIX = ".safetensors"


# A file with such a name promises a format that is not written here.
OTHER_FORMATS = {".bin", ".ckpt", ".h5", ".joblib", ".keras", ".onnx", ".pickle", ".pkl", ".pt", ".pth", ".tflite"}


def save(path: Path, state: State, classes: Sequence[str] | None) -> Path:
    """Write weights, optimizer, history and position; `.safetensors` is added to the name if it is missing.

    Args:
        path: Where to write.
        state: Of the learner.
        classes: The names that the model's outputs stand for, where they are known.

    Returns:
        The path of the file.

    Raises:
        FileError: The file cannot be written.
        ModelError: The state holds numbers that are not finite.
    """
    path = _named(path)
    model_file.write(
        path, finite_arrays(state.tensors()), {"state": state.facts(), "classes": classes and list(classes)}
    )
    return path


def load(path: Path, state: State, classes: Sequence[str] | None) -> tuple[str, ...] | None:
    """Restore what `save` wrote into the state of a learner with the same model and optimizer.

    Args:
        path: Of the file; `.safetensors` is added to the name if it is missing.
        state: Of the learner.
        classes: The names that the learner's labels stand for, where they are known.

    Returns:
        The class names in the file; None for a file without any.

    Raises:
        ModelError: The file is missing, damaged, or of another kind.
        TrainingError: The file belongs to another model or optimizer, or has other classes.
    """
    path = _named(path)
    arrays, about = model_file.read(path)
    if "state" not in about:
        raise ModelError(f"{path} holds an exported model and no optimizer.", hint="Use ss.load_learner(path).")
    names = Facts.from_json({"classes": about.get("classes")}, path).classes
    refuse_other_classes(names, classes, "This learner's loaders have classes", TrainingError)
    state.restore({name: torch.from_numpy(array) for name, array in arrays.items()}, about["state"])
    return names


def facts_of(
    model: nn.Module, objective: Objective, inputs: Inputs, temperature: float, abstention: Abstention | None
) -> Facts:
    """Return what an exported file says beside the tensors.

    Args:
        model: From inputs to raw scores.
        objective: The loss, and what makes probabilities of its scores.
        inputs: What the model takes.
        temperature: What scores are divided by.
        abstention: When the model gives no answer.
    """
    name, settings = settings_of(objective.loss_func) or (None, {})
    return Facts(
        model=architecture.describe(model),
        kind=type(model).__name__,
        classes=inputs.classes,
        shape=inputs.shape,
        fit=inputs.fit,
        flat=inputs.flat,
        loss=name,
        label_smoothing=settings.get("label_smoothing"),
        class_weights=tuple(settings["weight"].tolist()) if "weight" in settings else None,
        activation_is_own=objective.activation_is_own,
        temperature=temperature,
        abstention=abstention.facts() if abstention else None,
    )


def checked_suffix(path: Path) -> Path:
    """Return the path of a model's file.

    Args:
        path: As the user gave it.

    Raises:
        UsageError: The path has the suffix of a format that is not written here.
    """
    if path.suffix.lower() in OTHER_FORMATS:
        raise UsageError(
            f"export() writes a safetensors file, and {path.suffix} is the suffix of another format.",
            hint=f'learn.export("{path.with_suffix(SUFFIX)}")',
        )
    return path


def finite_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return tensors as arrays for a file, which is read back only if every number is finite.

    Args:
        tensors: By name; a name that begins with "history." may hold infinite numbers.

    Raises:
        ModelError: Naming the first tensor with a number that is not finite.
    """
    for name, tensor in tensors.items():
        # A run's history may hold a figure that is infinite; `file.read` makes the same exception.
        if not name.startswith(model_file.MAY_BE_INFINITE) and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{name} holds numbers that are not finite.", hint="Train with a lower learning rate.")
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _named(path: Path) -> Path:
    """Add the suffix where it is missing."""
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
