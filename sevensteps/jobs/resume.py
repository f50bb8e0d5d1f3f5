"""`resume`: continue a run from its last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..base import files
from ..base.device import computing_with
from ..base.interrupts import _interrupts_name
from ..errors import RecipeError
from ..recipes.recipe import Recipe
from ..recipes.settings import read_recipe, recorded_in
from ..records.events import Note
from ..runs import checkpoint
from ..runs import folder as folders
from ..runs.pictures import prepared
from ..runs.recorded import _say_differences, recorded, refuse_other_pictures
from ..runs.saved import corrections_of, find, findings_of, has_corrections, refuse_if_no_run, take_up, with_timings

if TYPE_CHECKING:
    from ..records.events import Observe
    from ..runs.run import Run


def resume(
    run: str | Path,
    *,
    epochs: int | None = None,
    exact: bool = False,
    plots: bool = False,
    observe: Observe = lambda event: None,
) -> Run:
    """Go on with a run from its last save, to the same end as if nothing had happened; `epochs` more, if given.

    What is in its folder beside the checkpoint is made again from it. More epochs go on exactly under a constant
    learning rate; under a schedule that ends they go on at its last rate.

    Raises:
        RunError: no such run, one that another process trains, one whose pictures are others now, or none of whose
            checkpoints is whole; with `exact`, one that was made with something else than is here.
        DataError, RecipeError, FileError, TrainingError: as `train`.
    """
    folder = find(Path(run))
    refuse_if_no_run(folder)
    with files.locked(folder), _interrupts_name(folder):
        files.remove_parts(folder)
        found, problems = checkpoint.load(folder)
        for problem in problems:
            observe(Note(f"! {problem}"))
        if problems:
            checkpoint.promote(folder)
        elif aside := checkpoint.put_damaged_aside(folder):
            observe(Note(f"! {aside}"))
        text = found.recipe if found else read_recipe(folder / checkpoint.RECIPE)
        recipe, before = Recipe.from_toml(text, str(folder / checkpoint.RECIPE)), recorded_in(text)
        if found:
            for name in checkpoint.rebuild(folder, found):
                gone = name in checkpoint.JUDGED
                if gone and not found.stopped:
                    continue  # it said how far an interrupted run was
                how = "was of another model, or damaged: it is gone" if gone else "was made again from the checkpoint"
                observe(Note(f"{folder / name} {how}."))
        else:
            observe(Note(f"Nothing was saved in {folder} yet: training begins at the start."))
        if epochs is not None:
            recipe = _extended(folder, recipe, found, epochs, observe)
        seconds: dict[str, float] = {}
        splits, recipe = prepared(recipe, seconds, observe, corrections_of(folder, recipe, before))
        from ..runs.judged import count_look
        from ..runs.run import Work
        from ..runs.training import save, snapshot, to_the_end
        from ..trust.doctor.doctor import Doctor

        with computing_with(recipe.threads):
            now = recorded(splits, recipe, before.get("chosen", ""))
            refuse_other_pictures(folder, recipe, before, splits)
            if not has_corrections(folder / folders.CORRECTIONS, before):
                folders.save_corrections(folder, splits.corrected)
            _say_differences(before, now, exact, observe)
            learn = recipe.learner(splits)
            recipe = recipe.replace(gradient=learn.gradient)
            doctor = Doctor(learn)
            if found:
                take_up(learn, found, folder)
                doctor.findings = findings_of(found)
            work = Work(folder, recipe, now, splits, learn, seconds, doctor, plots)
            if epochs is not None:
                learn.state.stopped = None
                learn.temperature, learn.abstention = 1.0, None  # until the longer run is at its end
                save(work)  # the longer recipe is what a later resume goes on with
                for name in checkpoint.JUDGED:  # what is of a run that is not at its end any more
                    files.remove(folder / name)
                checkpoint.rebuild(folder, snapshot(work))
            return count_look([to_the_end(work, observe)], now["data"].get("test", ""), observe)[0]


def _extended(
    folder: Path, recipe: Recipe, found: checkpoint.Checkpoint | None, epochs: int, observe: Observe
) -> Recipe:
    """The recipe of the same run with so many epochs more: trained from its start, it gives the same parameters.

    Raises:
        RecipeError: no number of epochs.
    """
    from ..steps.stop import Progress

    if epochs < 1:
        raise RecipeError(f"epochs is {epochs}, and must be 1 or more.", hint="sevensteps resume RUN --epochs 5")
    stopped = found.stopped if found else None
    history, seconds = with_timings(folder, found.epochs if found else [])
    more = recipe.replace(epochs=(len(history) if stopped else recipe.epochs) + epochs)
    if recipe.schedule != "constant":
        more = more.replace(schedule_epochs=recipe.schedule_epochs or recipe.epochs)
        ends = "has come to its end:" if len(history) >= more.schedule_epochs else "comes to its end before:"
        if more.epochs > more.schedule_epochs:
            observe(Note(f"The {recipe.schedule} schedule {ends} training goes on at its last rate."))
    now = Progress(len(history), int(found.facts["batch"]) if found else 0, seconds, history, lambda: None)
    if reason := more.stop_rule().reason(now):
        rules = [rule for rule in ("stop_patience", "stop_accuracy", "stop_seconds") if getattr(recipe, rule)]
        observe(Note(f"It would stop at once, because {reason}; {', '.join(rules)} no longer applies."))
        more = more.replace(**dict.fromkeys(rules, 0))
    return more
