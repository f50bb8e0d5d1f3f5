"""Opening a run: its pictures, what it was made with and whether that is here, and its learner where it was saved."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import abstention, checkpoint, runs
from .data.images import Splits
from .errors import DataError, RunError
from .recipe import Recipe, how_read
from .records import Note

if TYPE_CHECKING:
    from .learner import Learner
    from .training import Observe


def prepared(recipe: Recipe, seconds: dict[str, float], observe: Observe) -> tuple[Splits, Recipe]:
    """The pictures, with some held out, and the recipe with every open choice made for them.

    Raises:
        DataError, RecipeError: pictures or settings that cannot be used.
    """
    began = time.perf_counter()
    splits = recipe.held_out(open_source(recipe, observe))
    data = time.perf_counter()
    recipe = recipe.settled(splits)  # before training is imported, so that what does not fit is answered at once
    from . import training  # noqa: F401

    seconds |= {"data": data - began, "import": time.perf_counter() - data}
    return splits, recipe


def open_source(recipe: Recipe, observe: Observe) -> Splits:
    """The pictures that a recipe names.

    Raises:
        DataError: no such source, or pictures that cannot be used.
    """
    from .data.sources import SOURCES, load

    if recipe.source not in SOURCES and Path(recipe.source).is_absolute() and not Path(recipe.source).exists():
        raise DataError(
            f"The pictures of recipe {recipe.name!r} are not at {recipe.source} any more.",
            hint="Bring them back there, or train on them where they are now: sevensteps train PATH --recipe RUN",
        )
    splits = load(
        recipe.source,
        recipe.classes or None,
        say=lambda line: observe(Note(line)),
        **vars(how_read(vars(recipe))),
    )
    for name, images in (("test", splits.test), ("valid", splits.valid)):
        if images is not None and not len(images):
            raise DataError(
                f"{recipe.source}: the {name} split has no pictures.",
                hint="Remove its files, and training pictures are held out in their place.",
            )
    if splits.test is None and recipe.validate_on == "test":
        raise DataError(f"{recipe.source} has no test pictures to validate on.", hint="Set validate_on = valid.")
    if splits.test is None:
        train, test = splits.train.split(0.2, recipe.seed)
        if not len(test):
            raise DataError(
                f"{recipe.source} has no test pictures, and too few to hold any out: one of each class.",
                hint="Add pictures: four of each class or more.",
            )
        splits = dataclasses.replace(splits, train=train, test=test)
    return splits


def recorded(splits: Splits, recipe: Recipe) -> dict[str, Any]:
    """What a run was made with: compared and reported on repeating it, and never a setting."""
    import platform

    import numpy as np
    import torch

    from . import __version__

    return {
        "sevensteps": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": recipe.threads,
        "data": _fingerprints(splits),
        **({"bad_files": len(splits.bad_files)} if splits.bad_files else {}),
    }


def same_pictures(recorded: Mapping[str, Any], splits: Splits) -> bool:
    """Whether these are the pictures that a run was made with, as far as it recorded them."""
    now = _fingerprints(splits)
    return bool(recorded.get("data", now) == now)


def refuse_other_pictures(folder: Path, recipe: Recipe, recorded: Mapping[str, Any], splits: Splits) -> None:
    """Raise if a run's pictures are not those that it was trained on.

    Raises:
        RunError: saying so.
    """
    if not same_pictures(recorded, splits):
        raise RunError(
            f"The pictures of {recipe.source} are others than those that {folder} was trained on.",
            hint=f"Bring those back, or train anew on these: sevensteps train --recipe {folder / checkpoint.RECIPE}",
        )


def differences_between(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What a run was made with and is another here, of what may change its numbers; in words."""
    named = {"sevensteps", "torch", "numpy", "machine", "cpu_capability", "threads"}
    found = [
        f"{name} was {before[name]} and is {now[name]}"
        for name in sorted(named & before.keys())
        if before[name] != now[name]
    ]
    return found + ["the pictures are others"] * (before.get("data", now["data"]) != now["data"])


def take_up(learn: Learner, found: checkpoint.Checkpoint, folder: Path) -> None:
    """Put a learner where the checkpoint was saved.

    Raises:
        TrainingError: the checkpoint is of another model or optimizer than the recipe's.
    """
    import torch

    state = learn.state
    state.restore({name: torch.from_numpy(array) for name, array in found.arrays.items()}, found.facts)
    state.history, state.seconds = runs.with_timings(folder, state.history)
    learn.temperature = float(found.about.get("temperature") or 1.0)
    _, learn.abstention = abstention.in_file(found.arrays, found.about, folder / checkpoint.CHECKPOINT)


def _fingerprints(splits: Splits) -> dict[str, str]:
    """What tells one set of pictures from another, by split."""
    return {"train": splits.train.fingerprint, **({"test": splits.test.fingerprint} if splits.test else {})}
