"""The plan of a fit in a file: when it ends and how the rate changes, so that a loaded learner goes on with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.loaders import refuse_other_classes
from ..errors import SevenstepsError, TrainingError
from ..steps.rates import checked_rates
from ..steps.saved_module import plain_name
from ..steps.schedule import Schedule, schedule_facts, schedule_from
from ..steps.stop import StopRule, rule_from
from . import saving
from .position import COUNTS, Batching, recounted
from .trainer import Trainer

_OWN_SCHEDULE = {"schedule": "recipe"}  # that of the recipe which made the learner


def plan_facts(learn: Trainer) -> dict[str, Any]:
    """Return what a file says of how training goes on, and warn of what it cannot hold.

    Args:
        learn: The learner.
    """
    state, stop = learn.state, learn.stop.facts
    facts = {
        "batching": Batching.of(learn.dls.train, learn.device).as_json(),
        "usual_lr": state.usual_lr,
        "rates": state.rates.as_json(),
        "frozen": sorted(learn.frozen()),
    }
    if state.stopped is not None:
        return facts
    own = _OWN_SCHEDULE if learn.schedule is learn.plan[1] else None
    schedule = schedule_facts(learn.schedule) or own
    if state.batch > state.fit_batch and (missing := _missing(stop, schedule)):
        asked = ", ".join(f"{name.split()[0]}=..." for name in missing)
        warnings.warn(
            f"A file cannot hold a {' or a '.join(missing)} of your own. After load, give it again: "
            f"learn.stream({asked}).",
            stacklevel=4,
        )
    facts |= {"stop": stop, "schedule": schedule}
    if _counts_seconds(stop):
        facts["seconds"] = state.seconds - state.fit_seconds
    return facts


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The plan in a file, checked; parts that the file lacks are None."""

    stop: StopRule | None
    schedule: Schedule | None
    missing: frozenset[str]
    batching: Batching | None
    usual_lr: float | None
    rates: Mapping[str, Any] | None
    frozen: set[str] | None
    seconds: float

    @classmethod
    def of(cls, facts: Mapping[str, Any], learn: Trainer) -> _Plan:
        """Read what `plan_facts` returned; an empty mapping for a file of a version before there were plans.

        Raises:
            KeyError, TypeError, ValueError: It is damaged.
        """
        stop, schedule, lr = facts.get("stop"), facts.get("schedule"), facts.get("usual_lr")
        frozen = facts.get("frozen")
        if lr is not None and not 0 <= float(lr) < float("inf"):
            raise ValueError(f"its learning rate is {lr}")
        return cls(
            stop=None if stop is None else rule_from(stop),
            schedule=learn.plan[1] if schedule == _OWN_SCHEDULE else schedule and schedule_from(schedule),
            missing=frozenset(_missing(stop, schedule) if "stop" in facts else ()),
            batching=Batching.from_json(facts.get("batching")),
            usual_lr=None if lr is None else float(lr),
            rates=facts.get("rates"),
            frozen=None if frozen is None else set(map(str, frozen)),
            seconds=float(facts.get("seconds") or 0.0),
        )


def load(path: Path, learn: Trainer) -> None:
    """Take up what `saving.save` wrote: state and plan. If anything does not fit, nothing changes.

    Args:
        path: Of the file; `.safetensors` is added to the name if it is missing.
        learn: A learner with the same model and optimizer.

    Raises:
        ModelError: The file is missing, damaged, or of another kind.
        TrainingError: The file belongs to another model or optimizer, has other classes, or the loaders have batches
            with which the fit cannot go on.
    """
    arrays, about, names = saving.read(path)
    what = "The saved state does not fit this learner: its loaders have classes"
    refuse_other_classes(names, learn.trained_classes, what, TrainingError)
    state = learn.state
    try:
        plan = _Plan.of(about.get("plan") or {}, learn)
        counts = {name: about["state"][name] for name in COUNTS}
        moved = recounted(counts, plan.batching, Batching.of(learn.dls.train, learn.device), plan.stop)
        groups = len(about["state"]["optimizer"]["groups"])
        rates = None if plan.rates is None else checked_rates(plan.rates, groups)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = (error.message if isinstance(error, SevenstepsError) else str(error)).rstrip(".")
        raise TrainingError(f"The saved state is damaged: {reason}.", hint="Save it again.") from error
    undo, remark = _freeze_as(plan.frozen, learn)
    try:
        state.restore({name: torch.from_numpy(array) for name, array in arrays.items()}, about["state"])
    except TrainingError as error:
        undo()
        if plan.frozen is not None and (rest := learn.frozen() - plan.frozen):
            raise TrainingError(
                f"The saved state does not fit this learner: {min(rest)} is trained in the file, and frozen here.",
                hint="Unfreeze it before you load: learn.model.requires_grad_(True), or some layers only.",
            ) from error
        raise
    if remark:
        warnings.warn(remark, stacklevel=4)
    for name, count in moved.items():
        setattr(state, name, count)
    if rates is not None:
        state.rates.go_on(rates)
    state.usual_lr = state.usual_lr if plan.usual_lr is None else plan.usual_lr
    state.fit_seconds = state.seconds - plan.seconds
    learn.stop, learn.schedule = plan.stop or learn.stop, plan.schedule or learn.schedule
    learn.lost = plan.missing if state.batch > state.fit_batch else frozenset()
    learn.trained_classes = learn.trained_classes or names


def _freeze_as(frozen: set[str] | None, learn: Trainer) -> tuple[Callable[[], None], str]:
    """Freeze what is frozen in a file, unless somebody has frozen or unfrozen layers since the learner was made.

    What is frozen here is never unfrozen: the user has set it up so.

    Returns:
        A function that undoes it, and what there is to say; "" if nothing differs.
    """
    now = learn.frozen()
    named = {plain_name(name): parameter for name, parameter in learn.model.named_parameters()}
    groups = [list(group["params"]) for group in learn.opt.param_groups]

    def undo() -> None:
        for name, parameter in named.items():
            parameter.requires_grad_(name not in now)
        for group, parameters in zip(learn.opt.param_groups, groups, strict=True):
            group["params"] = parameters

    if frozen is None or not frozen < set(named):
        return undo, ""
    if now != learn.frozen_at_first:
        try:
            learn.hold_trainable()  # as the next fit would
        except TrainingError:
            undo()
            raise
    if frozen == now:
        return undo, ""
    changed = min(frozen ^ now)
    was, here = (_TRAINED[changed not in names] for names in (frozen, now))
    if now != learn.frozen_at_first or not now < frozen:
        return undo, f"{changed} is {was} in the file, and stays {here} here."
    for name in frozen:
        named[name].requires_grad_(False)
    return undo, f"As in the file, {changed} is now {was}."


_TRAINED = {True: "trained", False: "frozen"}


def _missing(stop: Any, schedule: Any) -> list[str]:
    """Return the parts of a plan that a file lacks."""
    return [name for name, facts in (("stop rule", stop), ("schedule", schedule)) if facts is None]


def _counts_seconds(stop: Any) -> bool:
    """Return whether a rule, or one that it joins, counts seconds."""
    return stop is not None and (stop.get("seconds") is not None or any(map(_counts_seconds, stop.get("of", ()))))
