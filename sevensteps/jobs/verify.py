"""`verify`: check a run, a model or a store against its checksums."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, RunError
from ..records.events import Check, Portion
from ..runs import checkpoint
from ..runs import folder as folders
from ..runs.kept_files import is_corrections_file
from ..runs.recorded import differences_between, recorded
from ..runs.saved import Saved

if TYPE_CHECKING:
    from ..records.events import Observe


def verify(
    thing: str | Path, *, rerun: bool = False, observe: Callable[[Any], None] = lambda event: None
) -> list[Check]:
    """Hold a run's folder, a model's file or a store against its checksums; with `rerun`, train again and compare.

    Raises:
        RunError, ModelError: no such run or file.
        DataError, RecipeError, TrainingError: the run cannot be trained again.
    """
    from ..data.store import store

    path = Path(thing)
    if store.is_store(path):
        return store.verify_store(path, lambda done, total: observe(Portion(done, total)))
    if path.is_file():
        return [_checked_file(path)]
    folder = folders.find_run(path)
    folders.check_run(folder)
    checks = [_checked_file(folder / name) for name in checkpoint.BOTH if (folder / name).exists()]
    if not (folder / checkpoint.CHECKPOINT).exists():
        checks.insert(
            0, Check(checkpoint.CHECKPOINT, False, f"is not there; see what sevensteps resume {folder} can do")
        )
    try:
        saved = Saved.open(folder)
    except RunError:  # the checks above say what is damaged
        return checks
    found = saved.found
    if found is None:
        return checks
    for name, wanted in checkpoint.derived(found).items():
        there = checkpoint.content_of(folder / name)
        line = "is not there" if there is None else "is not what the checkpoint says"
        repair = f"; sevensteps resume {folder} makes it again"
        checks.append(Check(name, there == wanted, "as the checkpoint says" if there == wanted else line + repair))
    if "corrections" in saved.recorded:
        same = is_corrections_file(folder / folders.CORRECTIONS, saved.recorded)
        line = (
            "as the recipe says" if same else f"is not what the recipe says; see what sevensteps resume {folder} can do"
        )
        checks.append(Check(folders.CORRECTIONS, same, line))
    judged = checkpoint.is_judged(folder, found)
    if found.stopped:
        line = "of this model" if judged else f"missing, or of another model; sevensteps resume {folder} judges again"
        checks.append(Check(checkpoint.JUDGEMENT, judged, line))
    if rerun:
        checks += _repeated(saved, found, observe)
    return checks


def _checked_file(path: Path) -> Check:
    """Whether a file is whole, and holds what its kind holds."""
    from ..learner.load import load_learner

    try:
        if path.name in checkpoint.BOTH:
            found = checkpoint.read(path)
            return Check(path.name, True, f"whole: {place_in_words(found)}")
        load_learner(path)
    except ModelError as error:
        return Check(path.name, False, error.message)
    return Check(path.name, True, "whole")


def place_in_words(found: checkpoint.Checkpoint) -> str:
    """How far a saved run is."""
    return f"{found.facts['epoch']} epochs, {found.facts['batch']:,} batches" + (
        "" if found.stopped else ", not finished"
    )


def _repeated(saved: Saved, found: checkpoint.Checkpoint, observe: Observe) -> list[Check]:
    """Train the run again, up to the batch of its checkpoint, and compare the files byte for byte."""
    from ..runs.run import Work
    from ..runs.training import snapshot, to_the_end
    from ..runs.validation import learn_from_validation
    from ..trust.doctor.doctor import Doctor

    # A clock does not repeat: what it ended is ended at the same place.
    splits, recipe = saved.pictures(observe, saved.recipe.replace(stop_seconds=0.0), may_differ=True)
    now = recorded(splits, recipe)
    with saved.learner(splits, recipe, at_start=True) as learn:
        place = int(found.facts["epoch"]), int(found.facts["position"])
        work = Work(None, recipe, now, splits, learn, {}, Doctor(learn), until=place)
        if number := to_the_end(work, observe).interrupted:
            raise KeyboardInterrupt(number)  # nothing can be said of a run that was not trained as far again
        if found.stopped:  # `until` leaves before the end is said
            learn_from_validation(learn, splits, recipe)
        again = checkpoint.derived(snapshot(work))
    wanted, differences = checkpoint.derived(found), differences_between(saved.recorded, now)
    checks = []
    for name in (checkpoint.HISTORY, checkpoint.MODEL):
        same = again[name] == wanted[name]
        why = f" ({'; '.join(differences)})" if differences else ""
        checks.append(Check(f"{name} of a second run", same, "the same bytes" if same else f"other bytes{why}"))
    return checks
