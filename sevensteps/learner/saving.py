"""What goes into files: the state of training for `save` and `load`, and the facts of a model for `export`."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..errors import ModelError, UsageError
from ..ship import architecture
from ..ship import file as model_file
from ..ship.abstention import Abstention
from ..ship.facts import Facts
from ..ship.formats import FORMATS, Order, format_of
from ..steps.loss import settings_of
from ..steps.saved_module import exactly_in_json, plain_name, without_compiler
from ..steps.state import State
from .inputs import Inputs
from .objective import Objective

SUFFIX = ".safetensors"


# A file with such a name promises a format that is not written here.
OTHER_FORMATS = {".bin", ".ckpt", ".h5", ".joblib", ".keras", ".onnx", ".pickle", ".pkl", ".pt", ".pth", ".tflite"}


def save(path: Path, state: State, classes: Sequence[str] | None, plan: Mapping[str, Any]) -> Path:
    """Write weights, optimizer, history and position; `.safetensors` is added to the name if it is missing.

    Args:
        path: Where to write.
        state: Of the learner.
        classes: The names that the model's outputs stand for, where they are known.
        plan: What the file says of how training goes on.

    Returns:
        The path of the file.

    Raises:
        UsageError: The path has the suffix of another format.
        FileError: The file cannot be written.
        ModelError: The state holds numbers that are not finite, or something that a file cannot hold.
    """
    if path.suffix.lower() in OTHER_FORMATS:
        raise UsageError(
            f"save() writes a safetensors file, and {path.suffix} is the suffix of another format.",
            hint=f'learn.save("{_like_ours(path)}")',
        )
    path = _named(path)
    constants = constants_of(state.model)
    arrays = finite_arrays(state.tensors(), {f"{of}.{name}" for of in ("model", "best") for name in constants})
    about = {"state": state.facts(), "classes": list(classes) if classes else None, "plan": dict(plan)}
    model_file.write(path, arrays, {**about, **infinite_in(arrays)})
    return path


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], tuple[str, ...] | None]:
    """Read what `save` wrote.

    Args:
        path: Of the file; `.safetensors` is added to the name if it is missing.

    Returns:
        The tensors, the facts, and the class names; None for a file without any.

    Raises:
        ModelError: The file is missing, damaged, or of another kind.
    """
    if path.suffix.lower() in OTHER_FORMATS and path.is_file() and not _named(path).exists():
        raise ModelError(
            f"{path} is not a file that save() wrote: these end in {SUFFIX}.",
            hint=f'Weights of PyTorch: learn.model.load_state_dict(torch.load("{path}", weights_only=True))',
        )
    path = _named(path)
    arrays, about = model_file.read(path)
    if "state" not in about:
        raise ModelError(f"{path} holds an exported model and no optimizer.", hint="Use ss.load_learner(path).")
    return arrays, about, Facts.from_json({"classes": about.get("classes")}, path).classes


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
    named = {plain_name(key): value for key, value in model.state_dict().items()}
    return Facts(
        model=architecture.describe(model),
        kind=type(without_compiler(model)).__name__,
        classes=inputs.classes,
        shape=inputs.shape,
        fit=inputs.fit,
        range=inputs.range,
        features=inputs.features,
        flat=inputs.flat,
        loss=name,
        label_smoothing=settings.get("label_smoothing"),
        class_weights=tuple(settings["weight"].tolist()) if "weight" in settings else None,
        activation_is_own=objective.activation_is_own,
        temperature=temperature,
        abstention=abstention.facts() if abstention else None,
        bfloat16=tuple(sorted(name for name, value in named.items() if _is_bfloat16(value))),
        extra=exactly_in_json({name: value for name, value in named.items() if not isinstance(value, Tensor)}),
    )


def export(path: Path, arrays: Mapping[str, np.ndarray], facts: Facts) -> Path:
    """Write a model alone, in the format that the suffix names.

    Args:
        path: As the user gave it; a name without a suffix is kept, for a safetensors file.
        arrays: The tensors of the model and of its abstention.
        facts: What the file says beside them.

    Returns:
        The path of the file.

    Raises:
        UsageError: The path has the suffix of another format.
        FileError: The file cannot be written.
        ModelError: The model cannot be written in this format, or its answers would differ.
    """
    about = {**facts.as_json(), **infinite_in(arrays)}
    if (format := format_of(path)) is not None:
        with tempfile.TemporaryDirectory() as folder:
            model_file.write(file := Path(folder) / f"model{SUFFIX}", arrays, about)
            format.write(Order(file, path, {}))
        return path
    if path.suffix.lower() not in ("", SUFFIX):
        suffixes = ", ".join([SUFFIX, *(each.suffix for each in FORMATS.values())])
        raise UsageError(
            f"export() writes files that end in {suffixes}, and {path.suffix} is the suffix of another format.",
            hint=f'learn.export("{_like_ours(path)}")',
        )
    model_file.write(path, arrays, about)
    return path


def arrays_of(model: nn.Module) -> dict[str, np.ndarray]:
    """Return the tensors of a model for a file, under their names without torch.compile's.

    Args:
        model: The model.

    Raises:
        ModelError: There are numbers that are not finite, or of a type that a file cannot hold.
    """
    tensors = {plain_name(name): value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    return finite_arrays(tensors, constants_of(model))


def constants_of(model: nn.Module) -> set[str]:
    """Return the names of the tensors that training does not change: an infinite number there says nothing of training.

    These are frozen parameters and buffers, such as the mask of an attention, but not the running figures of a
    normalization.

    Args:
        model: The model.
    """
    running = {
        f"{name}.{buffer}".removeprefix(".")
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, _NormBase)
        for buffer, _ in module.named_buffers(recurse=False)
    }
    frozen = (name for name, value in model.named_parameters(remove_duplicate=False) if not value.requires_grad)
    buffers = (name for name, _ in model.named_buffers(remove_duplicate=False))
    return {plain_name(name) for name in {*frozen, *buffers} - running}


def finite_arrays(tensors: Mapping[str, Tensor], constants: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Return tensors as arrays for a file, which is read back only if every number is finite.

    NumPy lacks bfloat16: such tensors become float32, which holds the same numbers.

    Args:
        tensors: By name; a name that begins with "history." may hold infinite numbers.
        constants: Names of tensors that may hold infinite numbers, too.

    Raises:
        ModelError: Naming the first tensor with a number that is not finite, or of a type that a file cannot hold.
    """
    arrays = {}
    for name, tensor in tensors.items():
        if _is_expanded(tensor):
            raise ModelError(
                f"{name} has one number in several places, so no other numbers can be loaded into it.",
                hint="Copy it when you make it: tensor.expand(5).clone().",
            )
        try:
            is_finite = bool(torch.isfinite(tensor).all())
            plain = tensor.detach().cpu()
            arrays[name] = (plain.float() if plain.dtype is torch.bfloat16 else plain).numpy()
        except (TypeError, ValueError, RuntimeError) as error:  # such as a quantized or sparse tensor, or a lazy one
            raise ModelError(
                f"{name} is of a type that a file cannot hold ({tensor.dtype}): {error!s:.150}",
                hint="Convert it, to float32 for instance; a lazy layer needs a batch first.",
            ) from error
        # A run's history may hold a figure that is infinite; `file.read` makes the same exceptions.
        if is_finite or name.startswith(model_file.MAY_BE_INFINITE):
            continue
        if name not in constants:
            raise ModelError(f"{name} holds numbers that are not finite.", hint="Train with a lower learning rate.")
        if bool(torch.isnan(tensor).any()):
            raise ModelError(
                f"{name} holds NaN, which a file cannot hold.",
                hint="If it is a constant, leave it out of the file: register_buffer(..., persistent=False).",
            )
    return arrays


def _is_expanded(tensor: Tensor) -> bool:
    """Return whether a dense tensor has one number of its memory in several places."""
    if nn.parameter.is_lazy(tensor) or tensor.layout is not torch.strided:
        return False
    return any(step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True))


def infinite_in(arrays: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """Return the fact that lets a reader accept tensors with infinite numbers; none where there are none.

    Args:
        arrays: As `finite_arrays` gave them.
    """
    kept = {name: array for name, array in arrays.items() if not name.startswith(model_file.MAY_BE_INFINITE)}
    names = [name for name, array in kept.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    return {model_file.INFINITE: sorted(names)} if names else {}


def _is_bfloat16(value: Any) -> bool:
    """Return whether this is a tensor of a type that a file holds as float32."""
    return isinstance(value, Tensor) and value.dtype is torch.bfloat16


def _like_ours(path: Path) -> Path:
    """Return the path with our suffix in the place of another format's; behind "model.v2" it is added."""
    return path.with_suffix(SUFFIX) if path.suffix.lower() in OTHER_FORMATS else path.with_name(path.name + SUFFIX)


def _named(path: Path) -> Path:
    """Add the suffix where it is missing."""
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
