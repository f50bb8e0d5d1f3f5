"""`resume`: continue a run from its last checkpoint."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from ..base import files
from ..base.interrupts import leaving
from ..base.own_code import OwnCode, given
from ..errors import RecipeError
from ..integrations.track import tracked
from ..recipes.recipe_file import keys_of
from ..records.events import Note
from ..runs import checkpoint
from ..runs import folder as folders
from ..runs.folder import AnyRun
from ..runs.kept_files import is_corrections_file, with_timings
from ..runs.recorded import _say_differences, recorded
from ..runs.saved import Saved
from ..show.epochs import live_table
from .processes import follow_if_launched, number_of_processes, refuse_more_than_parts, together

if TYPE_CHECKING:
    from ..recipes.recipe import Recipe
    from ..records.events import Observe
    from ..runs.run import Run


def resume(
    run: AnyRun,
    *,
    epochs: int | None = None,
    exact: bool = False,
    plots: bool = False,
    model: OwnCode = None,
    processes: int | None = None,
    observe: Observe | None = None,
) -> Run:
    """Resume a run from its last save, to the same end as if it had never stopped.

    The other files in its folder are made again from the checkpoint. More epochs continue exactly under a constant
    learning rate. A schedule that has ended starts again: a new cycle from the weights as they are.

    Args:
        run: A run's folder, its name under `runs/`, or the run that `train` returned.
        epochs: This many more epochs than it was to have.
        exact: Whether to refuse if the same numbers cannot be promised here.
        plots: Whether to draw figures into the run's folder.
        model: The network of your own that the run was trained with: a function, or its name,
            `package.module:function`.
        processes: As for `train`; the number need not be that of before.
        observe: Receives every event; without it, a terminal or notebook shows the table of epochs.

    Returns:
        The run as it ended.

    Raises:
        RunError: There is no such run, another process trains it, its pictures have changed, or all its
            checkpoints are damaged; with `exact`, the same numbers cannot be promised.
        DataError, RecipeError, FileError, TrainingError: As `train`.
        ModelError: The run was trained with a network of your own, and `model` is not given or does not fit.
    """
    if observe is None:
        with live_table() as show:
            how: dict[str, Any] = {"epochs": epochs, "exact": exact, "plots": plots, "model": model}
            return resume(run, **how, processes=processes, observe=show)
    follow_if_launched(model)
    folder = folders.find_run(run)
    folders.check_run(folder)
    with together(processes, model), given(model), files.locked(folder), leaving(folder):
        files.remove_parts(folder)
        saved = Saved.open(folder)
        _repair(saved, observe)
        recipe = saved.recipe if epochs is None else _extended(saved, epochs, observe)
        seconds: dict[str, float] = {}
        splits, recipe = saved.pictures(observe, recipe, seconds=seconds)
        refuse_more_than_parts(recipe, str(folder))
        from ..runs.judged import count_look
        from ..runs.run import Work
        from ..runs.training import save, snapshot, to_the_end
        from ..trust.doctor.doctor import Doctor

        now = recorded(splits, recipe, saved.recorded.get("chosen", ""))
        if not is_corrections_file(folder / folders.CORRECTIONS, saved.recorded):
            folders.save_corrections(folder, splits.corrected)
        _say_differences(saved.recorded, now, exact, observe)
        if (count := number_of_processes()) > 1:
            folders.save_recipe(folder, recipe, now, count)
        with saved.learner(splits, recipe, at_start=True) as learn:
            doctor = Doctor(learn, saved.findings)  # which looks at the parameters as they started
            saved.restore(learn)
            work = Work(
                folder=folder,
                recipe=recipe,
                recorded=now,
                splits=splits,
                learn=learn,
                seconds=seconds,
                doctor=doctor,
                plots=plots,
            )
            if epochs is not None:
                learn.state.stopped = None
                learn.temperature, learn.abstention = 1.0, None  # until the longer run is at its end
                save(work)  # the longer recipe is what a later resume goes on with
                for name in checkpoint.JUDGED:  # what is of a run that is not at its end any more
                    files.remove(folder / name)
                checkpoint.rebuild(folder, snapshot(work))
            with tracked(recipe.track, folder, observe, resumed=True) as observe_all:
                return count_look([to_the_end(work, observe_all)], now["data"].get("test", ""), observe)[0]


def _repair(saved: Saved, observe: Observe) -> None:
    """Put damaged checkpoints aside and make the run's other files again from the one that is whole."""
    folder = saved.folder
    for problem in saved.problems:
        observe(Note(f"! {problem}"))
    if saved.problems:
        checkpoint.promote(folder)
    elif aside := checkpoint.put_damaged_aside(folder):
        observe(Note(f"! {aside}"))
    if saved.found is None:
        observe(Note(f"Nothing was saved in {folder} yet: training begins at the start."))
        return
    for name in checkpoint.rebuild(folder, saved.found):
        gone = name in checkpoint.JUDGED
        if gone and not saved.found.stopped:
            continue  # it said how far an interrupted run was
        how = (
            "belonged to another model or was damaged, so it was removed"
            if gone
            else "was written again from the checkpoint"
        )
        observe(Note(f"{folder / name} {how}."))


def _extended(saved: Saved, epochs: int, observe: Observe) -> Recipe:
    """Return the run's recipe with this many epochs more: trained from its start, it gives the same parameters.

    Raises:
        RecipeError: no number of epochs.
    """
    from ..steps.stop import Progress

    if epochs < 1:
        raise RecipeError(f"epochs is {epochs}, but must be 1 or more.", hint="sevensteps resume RUN --epochs 5")
    recipe, found = saved.recipe, saved.found
    stopped = found.stopped if found else None
    history, seconds = with_timings(saved.folder, found.epochs if found else [])
    more = recipe.replace(epochs=(len(history) if stopped else recipe.epochs) + epochs)
    if recipe.schedule != "constant":
        more, said = _with_schedule(saved, more, len(history))
        if said:
            observe(Note(said))
    now = Progress(len(history), int(found.facts["batch"]) if found else 0, seconds, history, lambda: None)
    if reason := more.stop_rule().reason(now):
        rules = [rule for rule in ("stop_patience", "stop_accuracy", "stop_seconds") if getattr(recipe, rule)]
        observe(Note(f"It would stop at once, because {reason}; {', '.join(rules)} no longer applies."))
        more = more.replace(**{rule: type(getattr(recipe, rule))(0) for rule in rules})
    return more


def _with_schedule(saved: Saved, more: Recipe, done: int) -> tuple[Recipe, str]:
    """Return the longer recipe with its schedule, and what happens where the schedule of the run ends.

    At the end of a schedule the rate is next to 0, and nothing would be learned. So the schedule starts again there. A
    run that is to keep its last rate keeps it: so says `schedule_epochs`, and so did versions without restarts, whose
    runs must repeat their numbers.
    """
    recipe = saved.recipe
    end = recipe.schedule_epochs or recipe.epochs
    if more.epochs <= end:
        return more.replace(schedule_epochs=end), ""
    when = f"has ended after epoch {end}" if done >= end else f"ends after epoch {end}"
    starts_again = not saved.found or "schedule_restarts" in keys_of(saved.found.recipe)
    if starts_again and end >= recipe.epochs:
        restarts = ",".join(map(str, [*recipe.restarts(), end]))
        said = f"The {recipe.schedule} schedule {when}: a new cycle starts there, up to the rate {recipe.lr:g} again."
        return more.replace(schedule_epochs=0, schedule_restarts=restarts), said
    again = f"sevensteps train --recipe {shlex.quote(str(saved.folder))} --epochs {more.epochs} --schedule-epochs 0"
    said = f"The {recipe.schedule} schedule {when}: later epochs keep its last learning rate, too low to learn much."
    return more.replace(schedule_epochs=end), f"{said} To learn more: {again}"
