"""A target in words: the name of its class, or of the classes that it has a share in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def label_of(target: np.ndarray | np.generic | float | int, classes: Sequence[str]) -> str:
    """The class's name; `60 % Coat, 40 % Bag` for shares, as mixup makes them; a number where no class is meant.

    >>> label_of(1, ["Pullover", "Dress"]), label_of(0.25, ["Pullover", "Dress"]), label_of(1.5, ())
    ('Dress', '75 % Pullover, 25 % Dress', '1.5')
    """
    numbers = np.asarray(target, dtype=float).flatten()
    label: float = numbers[0].item()
    if len(numbers) == 1:
        if len(classes) != 2 or not 0 < label < 1:
            return classes[int(label)] if label == int(label) and 0 <= label < len(classes) else f"{label:g}"
        numbers = np.array([1 - label, label])
    names: Sequence[str] = classes if len(classes) == len(numbers) else [str(at) for at in range(len(numbers))]
    parts: list[int] = [at for at in np.argsort(-numbers, kind="stable").tolist() if numbers[at] > 0]
    if len(parts) == 1:
        return names[parts[0]]
    return ", ".join(f"{100 * numbers[at]:.0f} % {names[at]}" for at in parts)
