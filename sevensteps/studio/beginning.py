"""How a run of the Studio begins: with pictures and a recipe, or from its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

import torch

from ..base import files
from ..data.batches import Batches
from ..data.corrections import refuse_many
from ..data.files.how import file_settings
from ..data.images import Splits
from ..data.sources.named import as_text
from ..errors import UsageError
from ..jobs.features import pixels_or_features
from ..recipes.choose import choose
from ..recipes.recipe import Recipe
from ..recipes.recipe_file import shipped_recipes
from ..records.events import Observe
from ..runs import folder as folders
from ..runs.judged import judged
from ..runs.pictures import as_it_is, prepared
from ..runs.recorded import recorded
from ..runs.run import Work
from ..runs.saved import Saved
from ..steps.loss import settings_of
from ..trust.doctor.doctor import Doctor
from .seen import pictured
from .session import Curve
from .timeline import Timeline
from .under_way import UnderWay

if TYPE_CHECKING:
    from ..learner.learner import Learner


def first_recipe(source: str, observe: Observe, fix: str = "") -> tuple[Recipe, Splits | None]:
    """Return the recipe of the first click: plain gradient descent, or what `train` chooses for picture files.

    So photographs get features of a pretrained network if a quick comparison says that these are better.

    Args:
        source: A name or path of pictures.
        observe: Receives what there is to say.
        fix: A corrections file.

    Returns:
        The recipe, and the pictures where the comparison has opened them.

    Raises:
        SevenstepsError: It is not a source.
    """
    given = {"fix": fix} if fix else {}
    chosen = choose(source, given)
    given["source"] = as_text(source)
    if chosen.recipe == "linear" and not chosen.settings:
        return Recipe.load("plain").replace(**given), None
    chosen, pictures = pixels_or_features(source, chosen, {"fix": fix} if fix else {}, observe)
    return chosen.with_given(given), pictures


def raw_key(recipe: Recipe) -> Any:
    """Return what decides how a recipe's pictures are opened.

    Args:
        recipe: The recipe.
    """
    settings = tuple(sorted((name, str(value)) for name, value in file_settings(vars(recipe)).items()))
    return recipe.source, settings, recipe.fix, recipe.classes, recipe.features, recipe.unfreeze


def refuse_unread(raw: Splits, recipe: Recipe) -> None:
    """Raise if the corrections of a recipe change more than a fifth of the labels.

    Args:
        raw: The corrected pictures.
        recipe: The recipe.

    Raises:
        UsageError: They do.
    """
    try:
        refuse_many(raw, recipe.fix)
    except UsageError as error:
        again = shlex.join(["sevensteps", "studio", recipe.source, "--fix", recipe.fix, "--yes"])
        hint = f"Look through them first: most labels are usually right. To apply them as they are: {again}"
        raise UsageError(error.message, hint=hint) from error


def begun(
    recipe: Recipe, raw: Splits | None, observe: Observe, *, parent: str, story: str, base: str
) -> tuple[UnderWay, Splits]:
    """Begin a run that has done nothing yet, and has no folder.

    Args:
        recipe: Its recipe, not settled yet.
        raw: The pictures as their source has them, where they are open.
        observe: Receives what there is to say.
        parent: The run that it comes from.
        story: The story that it tells.
        base: The recipe that ships which it is closest to.

    Returns:
        The run, and the pictures as their source has them.

    Raises:
        SevenstepsError: Pictures or settings that cannot be used.
    """
    raw = raw if raw is not None else as_it_is(recipe, observe)
    if recipe.name == "plain" and recipe.loss == "sigmoid_l1_loss" and len(raw.classes) > 2:
        recipe = recipe.replace(loss="auto")  # that loss is for two classes
    seconds: dict[str, float] = {}
    splits, settled = prepared(recipe, seconds, observe, source=raw)
    with settled.computing():
        learn = settled.learner(splits)
        learn.xray()  # what cannot be trained is refused here
        came = {**({"parent": parent} if parent else {}), **({"story": story} if story else {})}
        work = Work(
            folder=None,
            recipe=settled,
            recorded={**recorded(splits, settled), **came},
            splits=splits,
            learn=learn,
            seconds=seconds,
            doctor=Doctor(learn),
        )
        base = recipe.name if recipe.name in shipped_recipes() else base
        return UnderWay(work, recipe, base=base, parent=parent, story=story), raw


def reopened(name: str, observe: Observe) -> UnderWay:
    """Open a saved run where it stands; nobody else can train it meanwhile.

    Args:
        name: Its folder, or its name under runs/.
        observe: Receives what there is to say.

    Raises:
        SevenstepsError: It cannot be used, or another process trains it.
    """
    folder = folders.find_run(name)
    folders.check_run(folder)
    with contextlib.ExitStack() as stack:
        stack.enter_context(files.locked(folder))
        saved = Saved.open(folder)
        seconds: dict[str, float] = {}
        splits, recipe = saved.pictures(observe, seconds=seconds)
        with saved.learner(splits, recipe, at_start=True) as learn:
            doctor = Doctor(learn, saved.findings)  # which looks at the parameters as they started
            now = {**recorded(splits, recipe), **{key: saved.recorded[key] for key in _CAME if key in saved.recorded}}
            work = Work(
                folder=folder, recipe=recipe, recorded=now, splits=splits, learn=learn, seconds=seconds, doctor=doctor
            )
            timeline = Timeline(dataclasses.replace(work, doctor=Doctor(learn)))
            if saved.found is not None:
                saved.restore(learn)
            curve = Curve(_means_of(learn))
            base = recipe.name if recipe.name in shipped_recipes() else "plain"
            came = {key: str(now.get(key, "")) for key in _CAME}
            run = UnderWay(
                work, recipe, base=base, timeline=timeline, curve=curve, parent=came["parent"], story=came["story"]
            )
        run.enter(stack.pop_all())
    if run.is_over:
        run.take_judged(judged(work, {}, observe))
    return run


def _means_of(learn: Learner) -> list[float]:
    """Return the mean loss of its epoch for each batch that a saved run has done: those of batches are not saved."""
    state = learn.state
    means = [epoch.train_loss for epoch in state.history for _ in range(learn.batches_per_epoch or 0)]
    if state.seen:
        means += [float(state.loss_sum) / state.seen] * state.position
    return means[: state.batch]


def of_learner(learn: Learner) -> UnderWay:
    """Return a run of a learner that somebody has made; nothing of it is saved.

    Args:
        learn: The learner.

    Raises:
        UsageError: Its loaders were not made from pictures.
    """
    splits = learn.dls.splits
    if not isinstance(splits, Splits) or not isinstance(learn.dls.train, Batches):
        raise UsageError(
            "The Studio needs a learner whose loaders were made from pictures.",
            hint="dls = DataLoaders.from_images(splits), and Learner(dls, model).",
        )
    group, drawn = learn.opt.param_groups[0], pictured(learn.model, splits.train.input_shape)
    known = settings_of(learn.loss_func)
    recipe = Recipe(
        name="yours",
        source=splits.source or "your pictures",
        model="linear" if drawn is not None and drawn[2] else "relu",
        loss=known[0] if known else "auto",  # type: ignore[arg-type]
        optimizer=type(learn.opt).__name__,
        lr=learn.lr,
        momentum=float(group.get("momentum", 0.0)),
        weight_decay=float(group.get("weight_decay", 0.0)),
        clip=learn.clip or 0.0,
        batch_size=learn.dls.train.batch_size,
        epochs=learn.plan[0].epochs or 1,
        keep="best" if learn.keep == "best" else "last",
        seed=learn.seed,
        threads=torch.get_num_threads(),
        folds=1,
        classes=splits.classes,
    )
    work = Work(
        folder=None,
        recipe=recipe,
        recorded=recorded(splits, recipe),
        splits=splits,
        learn=learn,
        seconds={},
        doctor=Doctor(learn),
    )
    return UnderWay(work, recipe, saves=False, curve=Curve(_means_of(learn)))


_CAME = ("parent", "story")
