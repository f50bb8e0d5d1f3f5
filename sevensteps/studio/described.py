"""The sections that describe pictures, run, place and verdict, as plain data for the page."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.balance import imbalance_of
from ..data.images import Splits
from ..data.sources.fashion_facts import CLASSES
from ..errors import SevenstepsError
from ..recipes.check import choices_of
from ..recipes.recipe import Recipe
from ..recipes.recipe_file import shipped_recipes
from ..recipes.settings import setting_types
from ..records.audit import AuditResult
from ..records.events import with_run_named
from ..runs import folder as folders
from ..runs.kept_files import read_judgement
from ..runs.run import Run, Work
from ..show import sentences
from ..trust.audit.audit import at_hand
from .seen import is_plain

MOST_RUNS = 60  # that are listed, the newest first
_SAY = {
    "plain": "one weight for each pixel, trained by plain gradient descent: every number can be followed",
    "linear": "one weight for each pixel, with cross-entropy and momentum",
    "relu": "a hidden layer",
    "cnn": "filters that slide over the picture",
    "fashion-10": "a larger network, for ten kinds of clothes",
    "fashion-94": "the best network here, for ten kinds of clothes",
    "walkthrough-by-hand": "random weights of standard deviation 1 and a rate of 1: some seeds never learn",
    "walkthrough-learner": "one weight for each pixel, and a rate of 1",
}


def data_section(splits: Splits, recipe: Recipe, notes: Sequence[str], *, is_own: bool) -> dict[str, Any]:
    """Describe the pictures of a run.

    Args:
        splits: The pictures, as the run holds them out.
        recipe: The settled recipe.
        notes: What was said while they were read that nobody must miss.
        is_own: Whether they were given on the page.
    """
    found: AuditResult | None = at_hand(splits)
    imbalance = imbalance_of(splits.train.counts)
    label_of: dict[str, str] = {}
    if found is not None:
        wanted = {name for group in (*found.duplicates, *found.leaks) for name in group}
        for images in splits.present().values() if wanted else ():
            named = zip(images.ids, images.labels.tolist(), strict=True)
            label_of |= {name: images.classes[label] for name, label in named if name in wanted}
    copies = [] if found is None else [*found.leaks, *found.duplicates]
    return {
        "source": recipe.source,
        "name": Path(recipe.source).name,
        "classes": list(splits.classes),
        "counts": {name: images.counts for name, images in splits.present().items()},
        "shape": list(splits.train.shape),
        "folds": recipe.folds,
        "bad": [{"id": name, "reason": reason} for name, reason in splits.bad_files[:200]],
        "bad_count": len(splits.bad_files),
        "copies": [{"ids": list(ids), "classes": [label_of.get(name, "") for name in ids]} for ids in copies[:200]],
        "copies_count": len(copies),
        "near": 0 if found is None else len(found.near_duplicates) + len(found.near_leaks),
        "imbalance": None if imbalance is None else sentences.imbalance_in_words(imbalance),
        "notes": list(notes),
        "own": is_own,
    }


def run_section(work: Work, chosen: Recipe, base: str, parent: str, story: str, *, is_saved: bool) -> dict[str, Any]:
    """Describe a run.

    Args:
        work: The run.
        chosen: Its recipe before it was settled, with corrections that stay.
        base: The recipe that ships which it is closest to.
        parent: The run that it came from.
        story: The story that began it.
        is_saved: Whether it gets a folder; a learner of the user's own does not.
    """
    recipe, learn = work.recipe, work.learn
    kind = "backbone" if recipe.features != "none" else "linear" if recipe.model == "linear" else "network"
    return {
        "name": work.folder.name if work.folder else recipe.name,
        "folder": str(work.folder) if work.folder else None,
        "learner": not is_saved,
        "source": recipe.source,
        "parent": parent or None,
        "story": story or None,
        "kind": kind,
        "classes": list(work.splits.classes),
        "parameters": learn.parameter_count,
        "recipe": {
            "name": recipe.name,
            "model": recipe.model,
            "loss": recipe.loss,
            "optimizer": recipe.optimizer,
            "plain_sgd": is_plain(work),
            "lr": recipe.lr,
            "schedule": recipe.schedule,
            "batch_size": recipe.batch_size,
            "epochs": recipe.epochs,
            "seed": recipe.seed,
            "augment": recipe.augment,
            "features": recipe.features,
            "init": recipe.init,
        },
        "command": as_command(chosen, base) if is_saved else "",
        "python": as_python(chosen, base) if is_saved else "studio = ss.open_studio(learn)",
    }


def differences(chosen: Recipe, base: str) -> dict[str, Any]:
    """Return the settings of a recipe that differ from those of one that ships.

    Args:
        chosen: The recipe.
        base: The name of the other.
    """
    shipped = vars(Recipe.load(base))
    return {
        field.name: getattr(chosen, field.name)
        for field in dataclasses.fields(chosen)
        if field.name not in ("name", "source") and getattr(chosen, field.name) != shipped[field.name]
    }


def as_command(chosen: Recipe, base: str) -> str:
    """Return the command that trains the same run.

    Args:
        chosen: The recipe.
        base: The recipe that ships which it is closest to.
    """
    words = ["sevensteps", "train", chosen.source, "--recipe", base]
    for name, value in differences(chosen, base).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            words += [f"--{flag}", *map(str, value)]
        else:
            words += [f"--{flag}", str(value)]
    return shlex.join([*words, *(["--yes"] if chosen.fix else [])])


def as_python(chosen: Recipe, base: str) -> str:
    """Return the call that trains the same run.

    Args:
        chosen: The recipe.
        base: The recipe that ships which it is closest to.
    """
    given = {**differences(chosen, base), **({"yes": True} if chosen.fix else {})}
    settings = "".join(f", {name}={value!r}" for name, value in given.items())
    return f"import sevensteps as ss\n\nrun = ss.train({chosen.source!r}, {base!r}, save=True{settings})"


def epochs_section(work: Work) -> list[dict[str, Any]]:
    """Describe the epochs of a run.

    Args:
        work: The run.
    """
    per_epoch = work.learn.batches_per_epoch or 0
    return [
        {
            "number": epoch.number,
            "train_loss": epoch.train_loss,
            "valid_loss": epoch.valid_loss,
            "metrics": dict(epoch.metrics),
            "lr": epoch.lr,
            "batch": epoch.number * per_epoch,
        }
        for epoch in work.learn.state.history
    ]


def doctor_section(work: Work) -> list[dict[str, Any]]:
    """Return what the doctor says, with this run's name in the commands.

    Args:
        work: The run.
    """
    findings = [finding.as_json() for finding in work.doctor.findings]
    named: list[dict[str, Any]] = with_run_named(findings, str(work.folder or "RUN"), work.recipe.source)
    return named


def verdict_section(run: Run | None, status: str) -> dict[str, Any] | None:
    """Describe how a run did.

    Args:
        run: The judged run; None for one that was not judged.
        status: "fresh", "stale" or "judging".
    """
    if run is None or run.score is None:
        return {"status": status} if status == "judging" else None
    score = run.score
    return {
        "status": status,
        "accuracy": score.accuracy,
        "low": score.interval.low,
        "high": score.interval.high,
        "n": score.n,
        "split": score.split,
        "sentence": sentences.in_plain_words(score),
    }


def runs_section() -> list[dict[str, Any]]:
    """List the newest runs under runs/, from their small files alone."""
    found: list[tuple[float, Path]] = []
    for path in folders.entries(folders.ROOT):
        with contextlib.suppress(OSError):  # one that is being deleted
            if path.is_dir() and folders.is_run(path):
                found.append((-path.stat().st_mtime, path))
    rows = []
    for _, path in sorted(found)[:MOST_RUNS]:
        with contextlib.suppress(SevenstepsError, OSError):
            rows.append(_listed(path))
    return rows


def _listed(folder: Path) -> dict[str, Any]:
    """Return a run as a list shows it."""
    from ..recipes.recipe_file import read_recipe, recorded_in

    text = read_recipe(folder / "recipe.toml")
    recipe, recorded = Recipe.from_toml(text, str(folder)), recorded_in(text, str(folder))
    judgement: Any = {}
    with contextlib.suppress(SevenstepsError):
        judgement = read_judgement(folder)
    score = judgement.get("test") or judgement.get("cross_validation") or judgement.get("valid") or {}
    return {
        "name": folder.name,
        "recipe": recipe.name,
        "accuracy": score.get("accuracy"),
        "epochs": judgement.get("epochs", 0),
        "parent": recorded.get("parent"),
        "source": recipe.source,
    }


def studio_section(
    version: str, stories: Sequence[dict[str, str]], limits: dict[str, int], framed: bool
) -> dict[str, Any]:
    """Describe the Studio itself: what can be opened and begun.

    Args:
        version: Of the package.
        stories: The stories.
        limits: Of pictures that are given on the page.
        framed: Whether a notebook shows the page.
    """
    say = "14,000 pictures of clothes, 28 × 28 pixels, in two classes. They come with sevensteps."
    say_ten = "10,000 pictures of clothes, 28 × 28 pixels, in ten classes. They come with sevensteps."
    kinds = setting_types()
    names = [*_SAY, *(name for name in shipped_recipes() if name not in _SAY)]
    return {
        "version": version,
        "folder": str(Path.cwd()),
        "offers": [
            {"source": "pullover-dress", "name": "Pullover or dress?", "classes": ["Pullover", "Dress"], "say": say},
            {"source": "fashion-mini", "name": "Ten kinds of clothes", "classes": list(CLASSES), "say": say_ten},
        ],
        "recipes": [{"name": name, "say": _SAY.get(name, "")} for name in names],
        "losses": [name for name in choices_of(kinds["loss"]) if name != "auto"],
        "models": list(choices_of(kinds["model"])),
        "starts": list(choices_of(kinds["init"])),
        "stories": list(stories),
        "limits": limits,
        "framed": framed,
    }
