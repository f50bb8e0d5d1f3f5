"""Build the PyTorch module of a model file, with the activation that turns its scores into probabilities."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import ModelError
from ..steps.loss import LOSSES
from ..steps.own_model import has_own_code
from ..steps.predict import probabilities
from . import architecture
from .facts import EXPORT_AGAIN, Facts
from .work import check_work


@dataclass(frozen=True, eq=False)
class TorchModel:
    """A module in evaluation mode, with the activation that turns its scores into probabilities."""

    module: nn.Module
    flat: bool  # whether it takes pictures as rows of pixels
    activation: Callable[[Tensor], Tensor] | None
    temperature: float

    def scores(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n scores"]:
        """Return the raw scores of pictures.

        Args:
            x: Pixels in [0, 1].
        """
        scores: Tensor = self.module(x.flatten(1) if self.flat else x)
        return scores

    def probabilities(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n classes"]:
        """Return the probabilities of pictures, without recording gradients.

        Args:
            x: Pixels in [0, 1].
        """
        with torch.no_grad():
            return probabilities(self.scores(x), self.activation, self.temperature)


def load_torch_model(arrays: Mapping[str, np.ndarray], facts: Facts, where: Path) -> TorchModel:
    """Build the model of a file that anyone may have written, for pictures of the shape in its facts.

    Args:
        arrays: The tensors of the file, without those of its abstention.
        facts: The checked facts of the file.
        where: The file, for errors.

    Raises:
        ModelError: The file needs code of its author's, its parts do not fit each other, or one picture would take too
            long or too much memory.
    """
    refuse_own_activation(facts, where)
    module = module_of(arrays, facts, where).eval()  # as it answers: batch norm refuses one row in training
    _, shape = facts.pictures(where)
    try:
        if not has_own_code(module):  # which may compute with tensors that the check cannot follow
            check_work(module, (math.prod(shape),) if facts.flat else shape)
    except ModelError as error:
        raise ModelError(f"{where}: {error.message}", hint=error.hint) from error
    activation = getattr(loss_of(facts, where), "activation", None)
    return TorchModel(module, facts.flat, activation, facts.temperature)


def refuse_own_activation(facts: Facts, where: Path) -> None:
    """Raise for a model whose activation a file cannot hold.

    Args:
        facts: The checked facts of the file.
        where: The file, for errors.

    Raises:
        ModelError: Says how to pass the activation.
    """
    if facts.activation_is_own:
        raise ModelError(
            f"{where} was trained with an activation of your own, which a file cannot hold.",
            hint="Pass the loss: ss.load_learner(path, loss_func=...), with the activation in loss_func.activation.",
        )


def module_of(arrays: Mapping[str, np.ndarray], facts: Facts, where: Path) -> nn.Module:
    """Build the module that a file describes, with its parameters and buffers.

    Args:
        arrays: The tensors of the file, without those of its abstention.
        facts: The checked facts of the file.
        where: The file, for errors.

    Raises:
        ModelError: The file does not describe its layers, a layer is unknown, or the tensors do not fit.
    """
    if facts.model is None:
        raise ModelError(
            f"{where} holds the weights of {facts.kind or 'a model'}, whose layers are not in our list.",
            hint="Pass an instance: ss.load_learner(path, model=...).",
        )
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return architecture.build(facts.model, tensors, str(where))


def loss_of(facts: Facts, where: Path) -> Any:
    """Return the loss that a file names, with its label smoothing and class weights; None if it is not one of ours.

    Args:
        facts: The checked facts of the file.
        where: The file, for errors.

    Raises:
        ModelError: The file has class weights for a loss that is not ours.
    """
    loss_func: Any = LOSSES.get(facts.loss or "")
    if loss_func is None and facts.class_weights is not None:
        raise ModelError(f"{where}: its class_weights cannot be of the loss {facts.loss!r:.80}.", hint=EXPORT_AGAIN)
    if facts.label_smoothing:
        loss_func = functools.partial(loss_func, label_smoothing=facts.label_smoothing)
    if facts.class_weights:
        loss_func = functools.partial(loss_func, weight=torch.tensor(facts.class_weights))
    return loss_func
