"""`verify`: check a run, a model or a store against its checksums."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base import files
from ..base.addresses import is_address, without_secrets
from ..base.interrupts import interrupt_if
from ..base.own_code import NEEDED, OwnCode, given
from ..base.words import counted
from ..errors import ModelError, RunError, UsageError
from ..records.events import Check, Portion
from ..runs import checkpoint
from ..runs import folder as folders
from ..runs.folder import AnyRun
from ..runs.kept_files import is_corrections_file
from ..runs.recorded import differences_between, recorded
from ..runs.saved import Saved
from ..ship.formats import FORMATS
from .card import CARD, ONNX

if TYPE_CHECKING:
    from ..records.events import Observe


@dataclass(frozen=True, repr=False)
class Verified:
    """Whether a run, a model or a store is as its checksums say; its checks, one after the other."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return what `verify --json` prints."""
        return {"passed": self.passed, "checks": [dataclasses.asdict(check) for check in self.checks]}

    def __repr__(self) -> str:
        return "\n".join(f"{check.name}: {'ok' if check.passed else 'WRONG'}, {check.line}" for check in self.checks)


def verify(
    thing: AnyRun, *, rerun: bool = False, model: OwnCode = None, observe: Observe = lambda event: None
) -> Verified:
    """Check a run's folder, a model's file or a store against its checksums.

    Args:
        thing: A run's folder, its name under `runs/`, the run that `train` returned, a `model.safetensors`, a
            `model.onnx`, or a store, or the address of one.
        rerun: Whether to train the run again from its recipe and compare byte for byte.
        model: The network of your own that the run was trained with: a function, or its name,
            `package.module:function`.
        observe: Receives the events of training again.

    Returns:
        The checks.

    Raises:
        RunError, ModelError: There is no such run or file.
        DataError, RecipeError, TrainingError: The run cannot be trained again.
    """
    with given(model):
        return Verified(tuple(_checks(thing, rerun, observe)))


def _checks(thing: AnyRun, rerun: bool, observe: Observe) -> list[Check]:
    """Return the checks of a run, a model or a store; see `verify`."""
    from ..data.store import store

    if is_address(thing):
        from ..data.store.elsewhere import verify_store_at

        return verify_store_at(without_secrets(str(thing)), lambda done, total: observe(Portion(done, total)))
    path = Path(thing) if isinstance(thing, (str, Path)) else folders.find_run(thing)
    if store.is_store(path):
        return store.verify_store(path, lambda done, total: observe(Portion(done, total)))
    if path.suffix.lower() == ".onnx":
        if rerun:
            raise UsageError("--rerun trains a run again, and an ONNX file is not one.", hint="Name the run's folder.")
        return [_checked_onnx(path)]
    if path.suffix.lower() == ".html" and path.is_file():
        raise UsageError(f"{path} is a page, which checks itself whenever it is opened.", hint="Open it in a browser.")
    if path.suffix.lower() == ".py" and path.is_file():
        raise UsageError(
            f"{path} is a program, which checks its weights whenever it runs.", hint=f"python {path} picture.png"
        )
    if path.is_file():
        return [_checked_file(path)]
    folder = folders.find_run(path)
    folders.check_run(folder)
    checks = [_checked_file(folder / name) for name in checkpoint.BOTH if (folder / name).exists()]
    if not (folder / checkpoint.CHECKPOINT).exists():
        checks.insert(0, Check(checkpoint.CHECKPOINT, False, f"is missing; sevensteps resume {folder} may restore it"))
    try:
        saved = Saved.open(folder)
    except RunError:  # the checks above say what is damaged
        return checks
    found = saved.found
    if found is None:
        return checks
    for name, wanted in checkpoint.derived(found, folder).items():
        there = checkpoint.content_of(folder / name)
        line = "is missing" if there is None else "differs from the checkpoint"
        repair = f"; sevensteps resume {folder} writes it again"
        checks.append(Check(name, there == wanted, "matches the checkpoint" if there == wanted else line + repair))
    if "corrections" in saved.recorded:
        same = is_corrections_file(folder / folders.CORRECTIONS, saved.recorded)
        line = "matches the recipe" if same else f"differs from the recipe; sevensteps resume {folder} may restore it"
        checks.append(Check(folders.CORRECTIONS, same, line))
    judged = checkpoint.is_judged(folder, found)
    if found.stopped:
        line = (
            "belongs to this model"
            if judged
            else f"missing, or belongs to another model; sevensteps resume {folder} judges again"
        )
        checks.append(Check(checkpoint.JUDGEMENT, judged, line))
    checks += _checked_exports(folder)
    if rerun:
        checks += _repeated(saved, found, observe)
    return checks


def _checked_file(path: Path) -> Check:
    """Check that a file is intact and holds what its kind should hold."""
    from ..learner.load import load_learner

    try:
        if path.name in checkpoint.BOTH:
            found = checkpoint.read(path)
            return Check(path.name, True, f"whole: {place_in_words(found)}")
        load_learner(path)
    except ModelError as error:
        if error.kind == NEEDED:
            return Check(path.name, True, "whole; the code of its model was not run")
        return Check(path.name, False, error.message)
    return Check(path.name, True, "whole")


def _checked_onnx(path: Path) -> Check:
    """Check that an ONNX file is intact, and that it answers the pictures beside it as the model did."""
    from ..ship.onnx.export import verify_onnx

    try:
        agreement = verify_onnx(path)
    except ModelError as error:
        return Check(path.name, False, f"{error.message} {error.hint}".rstrip())
    return Check(path.name, agreement.passed, agreement.in_words)


def _checked_exports(folder: Path) -> list[Check]:
    """Check that the exports in a run's folder, and in that of its card, were written from the model there now."""
    model = checkpoint.content_of(folder / checkpoint.MODEL)
    if model is None:
        return []
    sha256, card = hashlib.sha256(model).hexdigest(), folder / CARD
    checks = [
        check
        for path in [*folders.entries(folder), *folders.entries(card)]
        if (check := _checked_export(path, path.relative_to(folder), sha256)) is not None
    ]
    again = f"move {card} away, then sevensteps export {folder} --to card writes a new one"
    if (there := checkpoint.content_of(card / checkpoint.MODEL)) is not None:
        checks.append(_belongs(Path(CARD, checkpoint.MODEL), there == model, again))
    return checks


def _checked_export(path: Path, name: Path, sha256: str) -> Check | None:
    """Check that an export was written from a model; None for a file of another kind."""
    from ..ship.onnx.run import LARGEST, read_onnx

    kind = next((kind for kind, each in FORMATS.items() if each.suffix == path.suffix.lower()), None)
    if kind is None or not path.is_file():
        return None
    try:
        content = files.content(path, LARGEST)
    except OSError as error:
        return Check(str(name), False, f"cannot be read ({error.strerror or error})")
    of = FORMATS[kind].model_sha256(content)
    if kind == "onnx" and (of or path.name == ONNX):
        try:
            read_onnx(path)
        except ModelError as error:
            return Check(str(name), False, f"{error.message} {error.hint}".rstrip())
    run = path.parent.parent if path.parent.name == CARD else path.parent
    to = "" if kind == "onnx" else f" --to {kind}"
    out = "" if path.stem == "model" and path.parent == run else f" --out {path}"
    return _belongs(name, sha256.startswith(of), f"sevensteps export {run}{to}{out} writes it again") if of else None


def _belongs(name: Path, same: bool, again: str) -> Check:
    """Return the check that an export belongs to the model of a run."""
    line = "belongs to this model" if same else f"belongs to another model; {again}"
    return Check(str(name), same, line)


def place_in_words(found: checkpoint.Checkpoint) -> str:
    """Return in words how far a saved run is.

    Args:
        found: Its checkpoint.

    Returns:
        The number of epochs and batches.
    """
    return f"{counted(found.facts['epoch'], 'epoch')}, {counted(found.facts['batch'], 'batch', 'batches')}" + (
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
        work = Work(
            folder=None,
            recipe=recipe,
            recorded=now,
            splits=splits,
            learn=learn,
            seconds={},
            doctor=Doctor(learn),
            until=place,
        )
        # Nothing can be said of a run that was not trained as far again.
        interrupt_if(to_the_end(work, observe).interrupted)
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
