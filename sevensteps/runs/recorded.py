"""What was observed when a run was trained, and how that differs from this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.own_code import fingerprint_of, function_named, is_own
from ..data.folds import whole
from ..data.images import Splits
from ..errors import RunError
from ..recipes.recipe import Recipe
from ..records.events import Note
from ..records.scores import OUT_OF_FOLD
from . import checkpoint

if TYPE_CHECKING:
    from ..records.events import Observe


def _say_differences(before: Mapping[str, Any], now: Mapping[str, Any], exact: bool, observe: Observe) -> None:
    """Say in one line that the same numbers cannot be promised.

    Raises:
        RunError: They cannot, and `exact` asks for them.
    """
    if differences := differences_between(before, now):
        line = f"The numbers may differ from those of the original run: {'; '.join(differences)}."
        if exact:
            raise RunError(line, hint="Leave out --exact to continue anyway.")
        observe(Note(line))


def recorded(splits: Splits, recipe: Recipe, why: str = "") -> dict[str, Any]:
    """Return what is observed here: versions, processor, fingerprints. It is never a setting.

    Args:
        splits: The pictures.
        recipe: The settled recipe.
        why: Why the recipe was chosen.

    Returns:
        The `[recorded]` table of a recipe.
    """
    import platform

    import numpy as np
    import torch

    from ..base.version import __version__
    from ..steps.precision import unit_of

    return {
        "sevensteps": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": 1 if recipe.shards else recipe.threads,
        "precision": recipe.precision,
        **({"bf16": unit_of(torch.device(recipe.device))} if recipe.precision == "bf16" else {}),
        **({"chosen": why} if why else {}),
        **({"model_code": fingerprint_of(function_named(recipe.model))} if is_own(recipe.model) else {}),
        "data": {
            **_fingerprints(splits),
            **({OUT_OF_FOLD: whole(splits).fingerprint} if recipe.folds > 1 else {}),
        },
        **({"range": splits.train.range.as_json()} if splits.train.range else {}),
        **({"bad_files": len(splits.bad_files)} if splits.bad_files else {}),
        **({"left_out": [f"{name}: {reason}" for name, reason in splits.bad_files]} if splits.bad_files else {}),
        **({"corrections": {**splits.corrected.as_json(), **_of_test(splits, recipe)}} if splits.corrected else {}),
    }


def edited_of(recorded: Mapping[str, Any]) -> int:
    """Return how many of the pictures that a run was judged on were corrected.

    Args:
        recorded: The run's `[recorded]` table; of a run from before this was recorded, the number is 0.
    """
    count = recorded.get("corrections", {}).get("of_test", 0)
    return count if isinstance(count, int) else 0


def tested_on(splits: Splits, recipe: Recipe) -> set[str]:
    """Return the ids of the pictures that a run's result is measured on.

    Args:
        splits: The run's pictures.
        recipe: Its settled recipe.
    """
    tested = whole(splits) if recipe.folds > 1 else splits.test or splits.valid
    return set(tested.ids) if tested is not None else set()


def _of_test(splits: Splits, recipe: Recipe) -> dict[str, int]:
    """Return how many of the pictures that the result is measured on were corrected; nothing if none were.

    Of pictures that were left out, those of a source's own test split count: of others nobody knows the split.
    """
    assert splits.corrected is not None
    names, changes = tested_on(splits, recipe), splits.corrected.changes
    count = sum(one.id in names or (not one.now and one.split == "test") for one in changes)
    return {"of_test": count} if count else {}


def same_pictures(recorded: Mapping[str, Any], splits: Splits) -> bool:
    """Return whether these are the pictures that a run was trained on, as far as it recorded them.

    Args:
        recorded: The run's `[recorded]` table.
        splits: The pictures that are here.

    Returns:
        True if their fingerprints are equal.
    """
    now = _fingerprints(splits)
    before = {name: value for name, value in recorded.get("data", now).items() if name != OUT_OF_FOLD}
    return bool(before == now)


def refuse_other_pictures(folder: Path, recipe: Recipe, recorded: Mapping[str, Any], splits: Splits) -> None:
    """Raise an error if a run's pictures are not those that it was trained on.

    Args:
        folder: The run's folder.
        recipe: Its recipe.
        recorded: Its `[recorded]` table.
        splits: The pictures that are here.

    Raises:
        RunError: They have changed.
    """
    if not same_pictures(recorded, splits):
        raise other_pictures(folder, recipe)


def other_pictures(folder: Path, recipe: Recipe) -> RunError:
    """Return the error for a run whose pictures are not those that it was trained on.

    Args:
        folder: The run's folder.
        recipe: Its recipe.
    """
    return RunError(
        f"The pictures of {recipe.source} have changed since {folder} was trained on them.",
        hint="Restore the original pictures, or train again on these: sevensteps train --recipe "
        f"{folder / checkpoint.RECIPE}",
    )


def differences_between(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return, in words, what differs between two records and may change a run's numbers.

    Args:
        before: The `[recorded]` table of the run.
        now: What is observed here.

    Returns:
        A clause for each difference.
    """
    named = {"sevensteps", "torch", "numpy", "machine", "cpu_capability", "threads", "precision", "bf16"}
    found = [
        f"{name} was {before[name]} and is {now[name]}"
        for name in sorted(named & before.keys())
        if before[name] != now.get(name)
    ]
    if before.get("model_code") and before["model_code"] != now.get("model_code"):
        found.append("the file with the code of the model has changed")
    return found + ["the pictures have changed"] * (before.get("data", now["data"]) != now["data"])


def _fingerprints(splits: Splits) -> dict[str, str]:
    """Return the fingerprint of the pictures of each split."""
    return {"train": splits.train.fingerprint, **({"test": splits.test.fingerprint} if splits.test else {})}
