"""Training and evaluation mode for step 6: which layers train while a model is trained.

All do, except those that the user has put at rest: a layer in evaluation mode whose parameters are all frozen, such as
the batch norm of a pretrained model, keeps its running mean; dropout that is in evaluation mode alone stays off.
"""

from __future__ import annotations

from torch import nn


class Modes:
    """Puts a model into training mode for an epoch and into evaluation mode after a fit; remembers what is at rest."""

    def __init__(self) -> None:
        self._resting: set[str] = set()  # names of the layers that stayed in evaluation mode
        self._put_by_us: set[str] = set()  # frozen layers that trained, and are in evaluation mode only after a fit

    def train(self, model: nn.Module) -> None:
        """Put every layer into training mode, except those at rest.

        Args:
            model: The model, or a copy of it.
        """
        resting = self._at_rest(model)
        model.train()
        for name, layer in model.named_modules():
            if name in resting:
                layer.training = False
        self._resting, self._put_by_us = resting, set()

    def rest(self, model: nn.Module) -> None:
        """Put every layer into evaluation mode.

        Args:
            model: The model.
        """
        layers = dict(model.named_modules())
        if any(layer.training for layer in layers.values()):
            self._put_by_us = {name for name, layer in layers.items() if layer.training and _is_frozen(layer)}
        model.eval()

    def _at_rest(self, model: nn.Module) -> set[str]:
        """Return the names of the layers that stay in evaluation mode."""
        resting: set[str] = set()
        for name, layer in model.named_modules():
            if layer.training:
                continue
            if next(layer.parameters(), None) is not None:
                rests = _is_frozen(layer) and name not in self._put_by_us
            else:
                rests = bool(name) and (name.rpartition(".")[0] in resting or name in self._resting or model.training)
            if rests:
                resting.add(name)
        return resting


def _is_frozen(layer: nn.Module) -> bool:
    """Return whether the layer has parameters, and all of them are frozen."""
    parameters = list(layer.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
