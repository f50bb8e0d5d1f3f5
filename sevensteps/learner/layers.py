"""The layers of a model in words."""

from __future__ import annotations

from torch import nn


def layers_in_words(model: nn.Module) -> list[str]:
    """Return a line for each layer, with the number of its parameters, under a heading.

    Args:
        model: Any model.
    """
    lines = [f"{'layer':<34}{'parameters':>12}"]
    for name, module in model.named_modules():
        if not any(True for _ in module.children()):
            count = sum(parameter.numel() for parameter in module.parameters())
            lines.append(f"{(name + ' ' if name else '') + str(module):<34.80}{count:>12,}")
    return lines
