"""Fine-tuning: a model of the last stages of a pretrained network and a linear layer, which starts from a probe.

The probe is the linear model on the features of the whole network. The first learning steps would otherwise push random
errors of an untrained linear layer back into the network (Kumar et al., "Fine-tuning can distort pretrained features",
2022, sections 3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..ship import architecture
from ..ship.backbone.cut import cut_at
from ..ship.backbone.extract import LARGEST
from ..ship.backbone.weights import load_backbone
from ..steps.predict import Normalize

if TYPE_CHECKING:
    from ..data.features import Features


FALL = 0.5  # of the learning rate from each stage to the one before it


def fine_tuned(features: Features, probe: nn.Module) -> nn.Module:
    """Return a model that takes what the layers before the cut return, and gives the scores of a probe.

    Args:
        features: Of the training pictures, computed up to a cut.
        probe: A linear model on the features of the whole network, which may normalize them first.
    """
    assert features.layers is not None
    backbone = load_backbone(features.name)
    layers, arrays = cut_at(features.layers).after(backbone)
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    (head,) = (layer for layer in probe.modules() if isinstance(layer, nn.Linear))
    scales = [layer for layer in probe.modules() if isinstance(layer, Normalize)]
    weight, bias = head.weight.detach().double().cpu(), head.bias.detach().double().cpu()
    for scale in scales:  # w (x - mean) / std + b = (w / std) x + (b - w mean / std)
        weight = weight / scale.std.flatten().double()
        bias = bias - weight @ scale.mean.flatten().double()
    place = len(layers)
    tensors |= {f"{place}.weight": (weight / LARGEST).float(), f"{place}.bias": bias.float()}
    linear = {"layer": "Linear", "in_features": head.in_features, "out_features": head.out_features, "bias": True}
    return architecture.build({"layer": "Sequential", "layers": [*layers, linear]}, tensors)


def by_depth(opt_func: Callable[..., torch.optim.Optimizer], model: nn.Module) -> Callable[..., torch.optim.Optimizer]:
    """Return the function that makes an optimizer whose learning rate falls from each stage to the one before it.

    (Howard and Ruder, "Universal language model fine-tuning", 2018, section 3.2.)

    Args:
        opt_func: Makes the optimizer of parameters or of groups of them.
        model: A sequence of stages.
    """
    counts = [count for stage in model.children() if (count := len(list(stage.parameters())))]

    def optimizer(parameters: Sequence[Any], lr: float) -> torch.optim.Optimizer:
        if len(parameters) != sum(counts):  # somebody has frozen some
            return opt_func(parameters, lr=lr)
        groups, start = [], 0
        for place, count in enumerate(counts, 1):
            rate = lr * FALL ** (len(counts) - place)
            groups.append({"params": parameters[start : start + count], "lr": rate})
            start += count
        return opt_func(groups, lr=lr)

    return optimizer
