"""`train`: train a classifier as a recipe says, and judge it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.interrupts import before_training, leaving
from ..base.own_code import given, is_own, name_of
from ..data.corrections import refuse_many
from ..data.images import Splits
from ..data.sources.named import as_text
from ..errors import RecipeError, TrainingError, UsageError
from ..integrations.track import check_tracker, tracked
from ..recipes.choose import choose
from ..recipes.recipe import Recipe
from ..recipes.recipe_file import read_recipe, recorded_in
from ..records.comparison import Spread
from ..records.events import Note
from ..runs import checkpoint
from ..runs import folder as folders
from ..runs.pictures import prepared
from ..runs.recorded import _say_differences, recorded
from ..ship.backbone.names import is_of_timm
from ..ship.backbone.timm_network import fetch
from ..show.epochs import live_table
from .choose import measured
from .processes import number_of_processes, refuse_more_than_parts, together

if TYPE_CHECKING:
    from ..records.events import Observe
    from ..runs.run import Run


def train(
    source: str | Path | None = None,
    recipe: str | Path | Recipe | None = None,
    *,
    out: str | Path | None = None,
    save: bool = False,
    force: bool = False,
    plots: bool = False,
    exact: bool = False,
    yes: bool = False,
    compare_scratch: bool = False,
    why: str = "",
    others: Sequence[Recipe] | None = None,
    processes: int | None = None,
    observe: Observe | None = None,
    **settings: Any,
) -> Run:
    """Train a classifier as the recipe says, and judge it: what `sevensteps train` does.

    A terminal or a notebook shows the epoch table, unless `observe` is given to receive the events instead.

    Args:
        source: The name or path of pictures, as for `load`; the recipe's unless given.
        recipe: The name of a recipe that ships, a TOML file, a run's folder, or a `Recipe`; chosen for the pictures
            unless given.
        out: The run's folder; nothing is written unless this or `save` is given.
        save: Whether to save the run in the next free folder under `runs/`.
        force: Whether to replace an earlier run in `out`.
        plots: Whether to draw figures into the run's folder.
        exact: Whether to refuse a run's recipe if its numbers cannot be repeated here; else a line says so.
        yes: Whether to apply a `fix` that changes more than a fifth of the labels.
        compare_scratch: For photographs without a recipe: whether a network from scratch is compared, too, with what
            is learned from features of a pretrained network. This takes minutes.
        why: Why a `Recipe` was chosen, for the run's record.
        others: What to try instead if a logistic regression gets more validation pictures right than a `Recipe` that
            was chosen; None to train it as it is.
        processes: How many processes on this machine compute the batches, at most `shards`. Under torchrun it is as
            many as were started, and only the first returns from this call: the others end with it.
        observe: Receives every event.
        settings: Settings that replace those of the recipe. `model` may also be a function of your own that makes the
            network, or its name, `package.module:function`.

    Returns:
        The run. `run.score` is the score that counts; `run.test` is None where the run was cross-validated.

    Raises:
        UsageError: The source or the recipe is of another kind; `fix` changes more than a fifth of the labels; or
            there is nothing to compare a network from scratch with.
        DataError, RecipeError: The pictures or settings cannot be used.
        RunError, FileError: The folder is in the way, in use, or cannot be written.
        TrainingError: The loss became infinite or not a number; recipe and history are saved first.
    """
    other: Any = source
    if other is not None and not isinstance(other, (str, Path)):
        what = "splits" if isinstance(other, Splits) else "ss.load(source)"
        raise UsageError(
            f"train needs the name or path of a source, which the recipe can record, not a {type(other).__name__}.",
            hint=f'ss.Recipe.load("linear").learner({what}).fit() trains on it.',
        )
    if recipe is not None and not isinstance(recipe, (str, Path, Recipe)):
        raise UsageError(
            f"The recipe is {recipe!r:.80}, but must be a name, a file, or a Recipe.",
            hint="Settings are given by name: ss.train(epochs=3, lr=0.1).",
        )
    if compare_scratch and (recipe is not None or "model" in settings):
        raise UsageError(
            "compare_scratch chooses the model, and a recipe or model is given.",
            hint="Leave out the recipe and the model.",
        )
    model = settings.get("model")
    is_mine = callable(model) or (isinstance(model, str) and is_own(model))
    with contextlib.ExitStack() as stack:
        stack.enter_context(together(processes, model if is_mine else None))
        if observe is None:
            observe = stack.enter_context(live_table())
        stack.enter_context(given(model if is_mine else None))
        if is_of_timm(str(settings.get("features", ""))):
            fetch(settings["features"], lambda line: observe(Note(line)))
        if callable(settings.get("model")):
            settings["model"] = name_of(settings["model"])
        yes = yes or not (settings.get("fix") or (isinstance(recipe, Recipe) and recipe.fix))
        before = {} if isinstance(recipe, Recipe) else _recorded_with(recipe)
        opened: Splits | None = None
        if not isinstance(recipe, Recipe):
            ships = "model" in settings and not is_own(str(settings["model"]))
            chosen = choose(source, settings, recipe or ("linear" if ships else None))
            automatic = recipe is None and "model" not in settings
            others = chosen.to_try({**settings, "source": str(source)}) if automatic and source else None
            if automatic:
                from .features import pixels_or_features

                with before_training():
                    chosen, opened = pixels_or_features(source, chosen, settings, observe, compare_scratch)
                others = None if "features" in chosen.settings else others
            recipe, why = chosen.with_given(settings), chosen.why
            if why:
                observe(Note(why, detail=True))
        recipe = recipe.replace(**settings, **({"source": as_text(source)} if source else {}))
        from ..runs.judged import count_look

        run, pictures = _trained(recipe, before, out, save, force, plots, exact, yes, observe, why, others, opened)
        return count_look([run], pictures, observe)[0]


def train_seeds(
    count: int,
    recipe: str | Path | Recipe | None = None,
    *,
    out: str | Path | None = None,
    save: bool = False,
    force: bool = False,
    yes: bool = False,
    processes: int | None = None,
    observe: Observe = lambda event: None,
    done: Callable[[Run], None] = lambda run: None,
    **settings: Any,
) -> tuple[list[Run], Spread | None]:
    """Train the same recipe with several seeds, counting up from its own.

    All runs together count as one look at the test pictures, also if a later one fails. An interrupted run is the
    last.

    Args:
        count: The number of seeds, 2 or more.
        recipe: As for `train`.
        out: A folder for the runs' folders `seed-0`, `seed-1`, ….
        save: Whether to save them under `runs/` otherwise.
        force: Whether to replace earlier runs.
        yes: Whether to apply a `fix` that changes more than a fifth of the labels.
        processes: As for `train`.
        observe: Receives every event.
        done: Receives each run as it ends.
        settings: Settings that replace those of the recipe.

    Returns:
        The runs; and the spread over seeds and the interval over pictures, None if it was interrupted.

    Raises:
        RecipeError: Fewer than two seeds; and as `train`.
        TrainingError: The loss of a seed, which is named, became infinite or not a number; training ends there.
    """
    from ..trust.comparison import over_seeds

    if count < 2:
        raise RecipeError(f"seeds is {count}, but must be 2 or more.", hint="sevensteps train --seeds 20")
    first = (recipe if isinstance(recipe, Recipe) else Recipe.load(recipe or "linear")).replace(**settings)
    trained: list[tuple[Run, str]] = []
    try:
        with together(processes, first.model if is_own(first.model) else None):
            for seed in range(first.seed, first.seed + count):
                beside = Path(out) / f"seed-{seed}" if out else None
                trained.append(_trained(first.replace(seed=seed), {}, beside, save, force, False, False, yes, observe))
                done(trained[-1][0])
                if trained[-1][0].interrupted:
                    break
    except TrainingError as error:
        error.message = f"Seed {seed}: {error.message}"
        raise
    finally:
        looked = _counted(trained, observe)
    tables = [next(iter(run.tables.values())) for run in looked if run.tables]
    return looked, over_seeds(tables) if tables and not looked[-1].interrupted else None


def _counted(trained: Sequence[tuple[Run, str]], observe: Observe) -> list[Run]:
    """Return the runs with their number of looks; runs that were tested on the same pictures are one look."""
    from ..runs.judged import count_look

    looked: dict[int, Run] = {}
    for pictures in dict.fromkeys(pictures for _, pictures in trained):
        places = [place for place, (_, tested_on) in enumerate(trained) if tested_on == pictures]
        looked |= zip(places, count_look([trained[place][0] for place in places], pictures, observe), strict=True)
    return [looked[place] for place in range(len(trained))]


def _trained(
    recipe: Recipe,
    before: Mapping[str, Any],
    out: str | Path | None,
    save: bool,
    force: bool,
    plots: bool,
    exact: bool,
    yes: bool,
    observe: Observe,
    why: str = "",
    others: Sequence[Recipe] | None = None,
    opened: Splits | None = None,
) -> tuple[Run, str]:
    """Train and judge a run; return it with the fingerprint of its test pictures. See `train`."""
    check_tracker(recipe.track, is_saved=bool(out or save))
    seconds: dict[str, float] = {}
    chosen = recipe
    with before_training():
        splits, recipe = prepared(chosen, seconds, observe, source=opened)
    refuse_more_than_parts(recipe)
    if not yes:
        refuse_many(splits, chosen.fix)
    if others is not None:
        best, said = measured(chosen.replace(folds=1), [other.replace(folds=1) for other in others], splits, observe)
        recipe = best.replace(folds=recipe.folds).settled(splits)
        why = f"{why} {said}."
    from ..runs.run import Work
    from ..runs.training import to_the_end
    from ..trust.doctor.doctor import Doctor

    with recipe.computing():
        learn = recipe.learner(splits)
        learn.xray()  # what cannot be trained is refused before the folder is made, or an earlier run makes way for it
        now = recorded(splits, recipe, why)
        _say_differences(before, now, exact, observe)
        with contextlib.ExitStack() as stack:
            folder = None
            if out or save:
                folder = stack.enter_context(folders.new_folder(recipe, Path(out) if out else None, force=force))
                stack.enter_context(leaving(folder))
                folders.save_corrections(folder, splits.corrected)
                folders.save_recipe(folder, recipe, now, number_of_processes())
                observe = stack.enter_context(tracked(recipe.track, folder, observe))
            work = Work(
                folder=folder,
                recipe=recipe,
                recorded=now,
                splits=splits,
                learn=learn,
                seconds=seconds,
                doctor=Doctor(learn),
                plots=plots,
            )
            return to_the_end(work, observe), now["data"].get("test", "")


def _recorded_with(recipe: str | Path | None) -> dict[str, Any]:
    """Return what was observed by the run whose recipe this is; nothing for a recipe that ships."""
    path = Path(recipe or "linear")
    path = path / checkpoint.RECIPE if path.is_dir() else path
    return recorded_in(read_recipe(path), str(path)) if path.is_file() else {}
