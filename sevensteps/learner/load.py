"""Load a saved model as a learner."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..base.fastai import instead_of
from ..data.batches import DataLoaders
from ..errors import ModelError
from ..ship import abstention, architecture
from ..ship import file as model_file
from ..steps.loss import LOSSES
from .objective import default_loss
from .saving import _check_about, _NoPictures

if TYPE_CHECKING:
    from .learner import Learner


@instead_of(cpu="It is loaded onto the CPU.", pickle_module="Nothing is pickled.", fname="Call it path.")
def load_learner(
    path: str | Path, model: nn.Module | None = None, loss_func: Any = None, *, dls: DataLoaders | None = None
) -> Learner:
    """The learner that `export` saved, ready to predict; with `dls`, to train on.

    A model of layers that are not in `architecture.LAYERS` comes as an instance in `model`, and a loss that is not
    ours in `loss_func`: a file never names code.

    Raises:
        ModelError: no such file, a damaged one, or one that needs `model` or `loss_func`.
    """
    from .learner import Learner

    path = Path(path) / "model.safetensors" if Path(path).is_dir() else Path(path)
    arrays, about = model_file.read(path)
    if "state" in about:
        raise ModelError(
            f"{path} was written by save, with optimizer and position.",
            hint="Use learn.load(path) on a learner like it.",
        )
    _check_about(about, path)
    arrays, abstains = abstention.in_file(arrays, about, path)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if about.get("activation") and loss_func is None:
        raise ModelError(
            f"{path} was trained with an activation that is not ours, and the file cannot hold it.",
            hint="Pass the loss: ss.load_learner(path, loss_func=...), with the activation in loss_func.activation.",
        )
    if model is not None:
        if not isinstance(model, nn.Module):
            raise ModelError(f"The model is {model!r}, and must be an nn.Module.", hint="Pass an instance.")
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            raise ModelError(
                f"{path} does not fit the model given: {error}", hint="Give the same architecture."
            ) from error
    elif about.get("model") is None:
        raise ModelError(
            f"{path} holds the weights of {about.get('class', 'a model')}, which is not made of listed layers.",
            hint="Pass an instance: ss.load_learner(path, model=...).",
        )
    else:
        model = architecture.build(about["model"], tensors)
    classes = tuple(about["classes"]) if about.get("classes") else None
    if loss_func is None:
        loss_func = LOSSES.get(about.get("loss") or "") or default_loss(model, classes)
        if smoothing := about.get("label_smoothing"):
            loss_func = functools.partial(loss_func, label_smoothing=smoothing)
        if weights := about.get("class_weights"):
            loss_func = functools.partial(loss_func, weight=torch.tensor(weights))
    pictures = _NoPictures(classes, about.get("shape"), about.get("flat"), about.get("fit"))
    learn = Learner(dls or DataLoaders(pictures), model, loss_func)
    learn.temperature, learn.abstention = float(about.get("temperature") or 1.0), abstains
    return learn
