"""Load a saved model: as a predictor, or with loaders as a learner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import nn

from ..base.fastai import INSTEAD, instead_of
from ..base.own_code import OwnCode, given
from ..data.batches import DataLoaders
from ..data.loaders import refuse_other_classes
from ..errors import ModelError
from ..ship import abstention
from ..ship import file as model_file
from ..ship.facts import Facts
from ..ship.torch_model import loss_of, module_of, refuse_own_activation
from ..steps.saved_module import named_as
from .inputs import Inputs
from .learner import Learner
from .objective import Objective, default_loss
from .predictor import Predictor


@overload
def load_learner(
    path: str | Path, model: nn.Module | OwnCode = None, loss_func: Any = None, *, dls: None = None
) -> Predictor: ...
@overload
def load_learner(
    path: str | Path, model: nn.Module | OwnCode = None, loss_func: Any = None, *, dls: DataLoaders
) -> Learner: ...
@instead_of(**INSTEAD["load_learner"])
def load_learner(
    path: str | Path, model: nn.Module | OwnCode = None, loss_func: Any = None, *, dls: DataLoaders | None = None
) -> Predictor | Learner:
    """Load the model that `export` saved, ready to predict; with `dls`, ready to train.

    Args:
        path: A model.safetensors, or the folder of a run.
        model: An instance to load the weights into, for a model of layers that are not in `architecture.LAYERS`: a
            file never runs code. For a run of `train(model=...)`, the same function or name, `package.module:function`.
        loss_func: The loss, where it is not one of ours.
        dls: Loaders to train with.

    Returns:
        A `Predictor`, or a `Learner` where `dls` is given.

    Raises:
        ModelError: The file is missing or damaged, needs `model` or `loss_func`, or has other classes than `dls`.
        UsageError: `model` is a name that cannot be imported.
    """
    path = Path(path) / "model.safetensors" if Path(path).is_dir() else Path(path)
    arrays, about = model_file.read(path)
    return _loaded(arrays, about, path, model, loss_func, dls)


def predictor_from(content: bytes, where: str) -> Predictor:
    """Load a model from the bytes of the file that `export` would save.

    Args:
        content: The bytes.
        where: What errors call them.

    Returns:
        The model, ready to predict.

    Raises:
        ModelError: They are damaged, or the model needs code of its author's.
    """
    loaded = _loaded(*model_file.from_bytes(content, where), Path(where), None, None, None)
    assert not isinstance(loaded, Learner)
    return loaded


def _loaded(
    arrays: Mapping[str, np.ndarray],
    about: Mapping[str, Any],
    path: Path,
    model: nn.Module | OwnCode,
    loss_func: Any,
    dls: DataLoaders | None,
) -> Predictor | Learner:
    """Return what `load_learner` does, from the content of the file."""
    if "state" in about:
        raise ModelError(
            f"{path} was written by save, with optimizer and position.",
            hint="Use learn.load(path) on a learner like it.",
        )
    facts = Facts.from_json(about, path)
    arrays, abstains = abstention.in_file(arrays, about, path)
    if loss_func is None:
        refuse_own_activation(facts, path)
    if model is None or (facts.needs_code and not isinstance(model, nn.Module)):
        with given(model):
            model = module_of(arrays, facts, path)
        for name, tensor in model.state_dict(keep_vars=True).items():
            if name in facts.bfloat16:
                tensor.data = tensor.data.bfloat16()
    elif not isinstance(model, nn.Module):
        raise ModelError(f"The model is {model!r}, but must be an nn.Module.", hint="Pass an instance.")
    else:
        try:
            saved = {name: torch.from_numpy(array) for name, array in arrays.items()}
            model.load_state_dict(named_as(model.state_dict(), {**saved, **facts.extra}))
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{path} does not fit the model given: {error}", hint="Give the same architecture."
            ) from error
    if loss_func is None:
        loss_func = loss_of(facts, path) or default_loss(model, facts.classes)
    if dls is not None:
        refuse_other_classes(facts.classes, dls.classes, "The loaders have classes", ModelError)
        learn = Learner(dls, model, loss_func)
        learn.trained_classes = learn.trained_classes or facts.classes
        learn.temperature, learn.abstention = facts.temperature, abstains
        return learn
    inputs = Inputs(facts.classes, facts.shape, facts.fit, facts.range, facts.features, facts.flat)
    objective = Objective(loss_func, classes=facts.classes, model=model)
    return Predictor(model, objective, inputs, temperature=facts.temperature, abstention=abstains)
