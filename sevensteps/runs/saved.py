"""Open a saved run: the one place that goes from a folder to its recipe, pictures, predictions and learner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.own_code import refuse_idle
from ..base.words import with_names
from ..errors import DataError, RunError, SevenstepsError, TrainingError
from ..recipes.recipe import Recipe
from ..recipes.recipe_file import read_recipe, recorded_in
from ..records.events import Epoch, Finding, Observe, with_run_named
from ..ship import abstention
from . import checkpoint as checkpoints
from .checkpoint import CHECKPOINT, JUDGEMENT, MODEL, PREDICTIONS, RECIPE, TABLES, Checkpoint, table_in
from .folder import CORRECTIONS, ROOT, AnyRun, check_run, entries, find_run, is_run
from .kept_files import is_corrections_file, mapping, read_history, read_judgement, read_tables, with_timings
from .pictures import as_it_is, prepared
from .recorded import other_pictures, refuse_other_pictures

if TYPE_CHECKING:
    from ..data.images import Splits
    from ..learner.learner import Learner
    from ..trust.predictions import Predictions


@dataclass(frozen=True, eq=False)
class Saved:
    """A saved run: its folder, its checkpoint, and everything that is read or rebuilt from them.

    Everything but the checkpoint is read when it is asked for.
    """

    folder: Path
    found: Checkpoint | None  # None: nothing has been saved yet
    problems: Sequence[str] = ()  # what was wrong with its checkpoints, in words

    @classmethod
    def open(cls, run: AnyRun) -> Saved:
        """Open a run.

        Args:
            run: Its folder, its name under `runs/`, or a record of it.

        Returns:
            The run, with its newest checkpoint that is not damaged.

        Raises:
            RunError: There is no such run, or all its checkpoints are damaged.
        """
        folder = find_run(run)
        check_run(folder)
        return cls(folder, *checkpoints.load(folder))

    def need_checkpoint(self, alternative: str = "") -> Checkpoint:
        """Return the checkpoint, or raise an error if nothing was saved yet.

        Args:
            alternative: What else the user can do then; it ends the hint.

        Returns:
            The checkpoint.

        Raises:
            RunError: Nothing was saved yet.
        """
        if self.found is not None:
            return self.found
        if failure := self.failure:
            raise RunError(
                f"Training in {self.folder} failed before anything was saved: {failure['stopped_because']}.",
                hint=f"sevensteps doctor {self.folder} says what was wrong and what to type.",
            )
        hint = ", ".join(filter(None, [f"sevensteps resume {self.folder}", alternative]))
        raise RunError(f"Nothing was saved in {self.folder} yet.", hint=hint)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint; a `RunError` where nothing was saved yet."""
        return self.need_checkpoint()

    @cached_property
    def recipe_text(self) -> str:
        """The text of the recipe: the checkpoint's where there is one, else the file's."""
        return self.found.recipe if self.found else read_recipe(self.folder / RECIPE)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, with every choice made; a `RecipeError` where it is damaged."""
        recipe = Recipe.from_toml(self.recipe_text, str(self.folder / RECIPE))
        refuse_idle(recipe.model)
        return recipe

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """Versions, fingerprints and the like at the time of training: the recipe's `[recorded]` table."""
        return recorded_in(self.recipe_text, str(self.folder / RECIPE))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the model's outputs."""
        return tuple(self.checkpoint.about.get("classes") or self.recipe.classes)

    @property
    def temperature(self) -> float:
        """What the logits are divided by; 1 where it was not fitted."""
        return float(self.checkpoint.about.get("temperature") or 1.0)

    @property
    def history(self) -> Sequence[Epoch]:
        """The epochs done; a `RunError` where there is only a damaged history.jsonl."""
        return self.found.epochs if self.found else read_history(self.folder)

    @property
    def findings(self) -> list[Finding]:
        """The doctor's findings in the checkpoint; a `RunError` where they are damaged."""
        try:
            return list(map(Finding.from_json, self.found.findings if self.found else ()))
        except ValueError as error:
            raise RunError(f"{CHECKPOINT} is damaged: {error}.", hint="Train the run again.") from error

    @property
    def judgement(self) -> dict[str, Any]:
        """What judgement.json says, whichever model it is of; a `RunError` where it is damaged."""
        return read_judgement(self.folder)

    @property
    def failure(self) -> Mapping[str, Any]:
        """Why training failed, as it was written then: the reason and the findings. Empty if it did not fail."""
        with contextlib.suppress(RunError):
            judgement = self.judgement
            if judgement.get("stopped_because") and "files" not in judgement:  # which name the model that was judged
                return judgement
        return {}

    @property
    def is_done(self) -> bool:
        """Whether training came to its end."""
        return bool(self.found.stopped) if self.found else bool(self.judgement)

    @property
    def stopped_because(self) -> str | None:
        """Why training ended, in words; None where it did not come to its end."""
        judgement = self.judgement
        reason = str(judgement.get("stopped_because") or "")
        # A judgement may be of before more epochs were asked for: the checkpoint knows whether training is at its end.
        return (reason or None) if self.is_done or _is_interrupted(judgement) else None

    def own_judgement(self) -> tuple[dict[str, Any], str]:
        """Return the judgement of this very model.

        Returns:
            The judgement and an empty text; or an empty judgement and why there is none.
        """
        if not (self.folder / JUDGEMENT).is_file():
            return {}, "the run has not been judged."
        if not any((self.folder / name).is_file() for name in TABLES):
            with contextlib.suppress(RunError):
                return {}, f"there is no {table_in(self.judgement) or PREDICTIONS}."
        if not checkpoints.is_judged(self.folder, self.checkpoint):
            return {}, "the judgment is damaged, or belongs to another model."
        return self.judgement, ""

    def tables(self) -> tuple[dict[str, Predictions], str]:
        """Return the predictions of this very model.

        Returns:
            A table for each split, and an empty text; or no table, and what is damaged.

        Raises:
            RunError: Nothing was saved yet.
        """
        _, problem = self.own_judgement()
        if not problem:
            return read_tables(self.folder, self.checkpoint.about.get("classes") or ()), ""
        is_new = not any((self.folder / name).exists() for name in (JUDGEMENT, *TABLES))
        return {}, "" if is_new or not self.checkpoint.stopped else f"{self.folder}: {problem}"

    @property
    def corrections(self) -> str:
        """The corrections file of its pictures: the run's copy, else the original if unchanged; "" for none.

        A `RunError` where both are gone or have changed.
        """
        if not self.recipe.fix:
            return ""
        for path in (self.folder / CORRECTIONS, Path(self.recipe.fix)):
            if is_corrections_file(path, self.recorded):
                return str(path)
        raise RunError(
            f"The corrections of {self.folder} are lost: {CORRECTIONS} in it and {self.recipe.fix} are "
            "missing or have changed.",
            hint=f"Restore one of them, or train again: sevensteps train --recipe {self.folder / RECIPE} --fix FILE",
        )

    def source(self, observe: Observe) -> Splits:
        """Return the run's pictures as their source has them.

        Args:
            observe: Receives what there is to say while they are read.

        Returns:
            The splits, before anything is held out.

        Raises:
            DataError: The pictures cannot be found or used.
            RunError: The corrections are lost.
        """
        with self._naming_itself():
            return as_it_is(self.recipe, observe, self.corrections)

    def pictures(
        self,
        observe: Observe,
        recipe: Recipe | None = None,
        *,
        source: Splits | None = None,
        seconds: dict[str, float] | None = None,
        may_differ: bool = False,
    ) -> tuple[Splits, Recipe]:
        """Return the pictures that the run was trained on, and the recipe settled for them.

        Args:
            observe: Receives what there is to say while they are read.
            recipe: A recipe in place of the run's, such as one with more epochs.
            source: The run's pictures where they were opened already.
            seconds: Receives the time that reading and importing take.
            may_differ: Whether pictures that have changed since are given all the same.

        Returns:
            The splits with validation and test pictures held out, and the recipe.

        Raises:
            DataError: The pictures cannot be found or used.
            RunError: They have changed since the run was trained, or the corrections are lost.
        """
        recipe = recipe or self.recipe
        fix = "" if source is not None else self.corrections
        with self._naming_itself():
            try:
                splits, settled = prepared(recipe, {} if seconds is None else seconds, observe, fix, source)
            except DataError as error:
                if error.kind == "class" and recipe.classes == self.recipe.classes:  # which there were then
                    raise other_pictures(self.folder, recipe) from error
                raise
        if not may_differ:
            refuse_other_pictures(self.folder, recipe, self.recorded, splits)
        return splits, settled

    @contextlib.contextmanager
    def _naming_itself(self) -> Iterator[None]:
        """Put the run's folder into the hint of an error that leaves the context."""
        try:
            yield
        except SevenstepsError as error:
            error.hint = with_names(error.hint, {"run": self.folder})
            raise

    @contextlib.contextmanager
    def learner(self, splits: Splits, recipe: Recipe, *, at_start: bool = False) -> Iterator[Learner]:
        """Give the run's learner at the place where it was saved; inside, compute with the recipe's threads.

        Args:
            splits: The run's pictures.
            recipe: Its settled recipe.
            at_start: Whether the learner stands at the run's beginning instead.

        Raises:
            ModelError: The run was trained with other code than the one that was given for this call.
            TrainingError: The checkpoint is of another model or optimizer than the recipe's.
        """
        from ..steps.own_model import refuse_other_code

        with recipe.computing():
            learn = recipe.learner(splits)
            if self.found is not None:
                refuse_other_code(learn.model, self.found.about.get("model"), str(self.folder))
            if not at_start:
                self.restore(learn)
            yield learn

    def restore(self, learn: Learner) -> None:
        """Put a learner where the run was saved; where nothing was saved it stays at the start.

        Args:
            learn: A learner made by the run's recipe.

        Raises:
            TrainingError: The checkpoint is of another model or optimizer than the learner's, or of other classes.
        """
        import torch

        from ..data.loaders import refuse_other_classes

        found = self.found
        if found is None:
            return
        what = f"The pictures of {self.folder} have classes"
        refuse_other_classes(found.about.get("classes"), learn.classes, what, TrainingError)
        state = learn.state
        state.restore({name: torch.from_numpy(array) for name, array in found.arrays.items()}, found.facts)
        state.history, state.seconds = with_timings(self.folder, state.history)
        learn.temperature = self.temperature
        _, learn.abstention = abstention.in_file(found.arrays, found.about, self.folder / CHECKPOINT)

    def check_recipe_file(self) -> None:
        """Raise an error if recipe.toml is damaged, also where the checkpoint has the recipe.

        Raises:
            RecipeError: It is damaged.
        """
        if (self.folder / RECIPE).is_file():
            Recipe.load(self.folder / RECIPE)

    def as_json(self) -> dict[str, Any]:
        """Return the row of `sevensteps runs --json`.

        Raises:
            RunError, RecipeError: A file of the run is damaged.
        """
        judgement = self.judgement
        findings = with_run_named(judgement.get("findings"), str(self.folder), self.recipe.source)
        return {
            "run": str(self.folder),
            "recipe": self.recipe.name,
            "source": self.recipe.source,
            "epochs": len(self.history),
            **judgement,
            **({"findings": findings} if "findings" in judgement else {}),
        }


def _is_interrupted(judgement: Mapping[str, Any]) -> bool:
    """Return whether a judgement is of a run that was interrupted."""
    if "stopped_code" in judgement:
        return bool(judgement["stopped_code"] == "interrupted")
    files = mapping(judgement.get("files"))  # before there were codes: nothing was predicted then
    return MODEL in files and table_in(judgement) is None


def check_model(folder: Path) -> None:
    """Raise an error if a run's folder has no model file, and say how to get it back.

    Args:
        folder: A run's folder; any other non-run folder that is empty passes.

    Raises:
        RunError: It has none, or nothing was saved in it yet.
    """
    if (folder / MODEL).exists() or not (is_run(folder) or entries(folder)):
        return
    Saved.open(folder).need_checkpoint()
    raise RunError(
        f"{folder} has no {MODEL}.", hint=f"sevensteps resume {folder} creates it again from the checkpoint."
    )


def list_runs(root: Path = ROOT) -> list[Saved | RunError]:
    """Return every run in a folder, sorted by name.

    Args:
        root: The folder that holds the runs' folders.

    Returns:
        The runs; an error in the place of one that cannot be read.

    Raises:
        RunError: There is no such folder.
    """
    if not root.is_dir():
        raise RunError(f"There is no folder of runs {root}.", hint="sevensteps train creates the first run.")
    runs: list[Saved | RunError] = []
    for folder in entries(root):
        try:
            if folder.is_dir() and is_run(folder):
                run = Saved.open(folder)
                run.check_recipe_file()
                run.as_json()  # which reads everything that a list of runs shows
                runs.append(run)
        except SevenstepsError as error:
            runs.append(error.as_kind(RunError, f"{folder}: {error.message}"))
    return runs
