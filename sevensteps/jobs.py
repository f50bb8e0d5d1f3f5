"""Jobs: what each verb of the command line does, one function each, returning a record. Those that only judge or show
saved runs are in `judging`, `seeing` and `reporting`.

A job tells whoever `observe`s it what is going on, in plain records; the command line draws them, `--json` does not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import checkpoint, files, runs
from .choosing import choose
from .data.catalog import AS_USUAL, How
from .data.images import Splits
from .device import computing_with
from .errors import ModelError, RecipeError, RunError, TrainingError, UsageError
from .opening import differences_between, prepared, recorded, refuse_other_pictures, take_up
from .recipe import Recipe, read_recipe, recorded_in
from .records import AuditResult, Check, Note, Portion, Prepared, Spread

if TYPE_CHECKING:
    from .ship.predict import Answer
    from .training import Observe, Run


def train(
    source: str | Path | None = None,
    recipe: str | Path | Recipe | None = None,
    *,
    out: str | Path | None = None,
    save: bool = False,
    force: bool = False,
    plots: bool = False,
    exact: bool = False,
    why: str = "",
    observe: Observe = lambda event: None,
    **settings: Any,
) -> Run:
    """Train a classifier as the recipe says, and judge it: what `sevensteps train` does.

    Settings given by name take the place of the recipe's. Nothing is written unless `out` names a folder, or `save`
    asks for the next free one under `runs/`. Where the recipe is a run's, it is said what is another now than it was
    then; with `exact` that is refused. `why` is what a `Recipe` was chosen for, which its run records.

    Raises:
        UsageError: a source or recipe of another kind.
        DataError, RecipeError: pictures or settings that cannot be used.
        RunError, FileError: the folder is in the way, in use, or cannot be written.
        TrainingError: the loss became infinite or not a number; recipe and history are saved before.
    """
    if isinstance(source, Splits):
        raise UsageError(
            "train takes the name or path of pictures, which its recipe can name, and not the Splits themselves.",
            hint='ss.Recipe.load("linear").learner(splits).fit() trains on them.',
        )
    if recipe is not None and not isinstance(recipe, (str, Path, Recipe)):
        raise UsageError(
            f"The recipe is {recipe!r:.80}, and must be a name, a file, or a Recipe.",
            hint="Settings are given by name: ss.train(epochs=3, lr=0.1).",
        )
    before = {} if isinstance(recipe, Recipe) else _recorded_with(recipe)
    if not isinstance(recipe, Recipe):
        chosen = choose(source, settings, recipe or ("linear" if "model" in settings else None))
        recipe, why = chosen.with_given(settings), chosen.why
        if why:
            observe(Note(why))
    recipe = recipe.replace(**settings, **({"source": str(source)} if source else {}))
    from .training import count_look

    run, pictures = _trained(recipe, before, out, save, force, plots, exact, observe, why)
    return count_look([run], pictures, observe)[0]


def train_seeds(
    count: int,
    recipe: str | Path | Recipe | None = None,
    *,
    out: str | Path | None = None,
    save: bool = False,
    force: bool = False,
    observe: Observe = lambda event: None,
    done: Callable[[Run], None] = lambda run: None,
    **settings: Any,
) -> tuple[list[Run], Spread | None]:
    """The same recipe with so many seeds, from its own on; how far they differ, and apart from it how far pictures do.

    `done` is told of each run as it ends. With `out` they go to its folders `seed-0`, `seed-1`, …. Together they are
    one look at the test pictures, also where a later one fails. An interrupted run is the last.

    Raises:
        RecipeError: fewer than two seeds; and as `train`.
        TrainingError: the loss of a seed, which is named, became infinite or not a number; no further one is trained.
    """
    from .judge.comparison import over_seeds

    if count < 2:
        raise RecipeError(f"seeds is {count}, and must be 2 or more.", hint="sevensteps train --seeds 20")
    first = (recipe if isinstance(recipe, Recipe) else Recipe.load(recipe or "linear")).replace(**settings)
    trained: list[tuple[Run, str]] = []
    try:
        for seed in range(first.seed, first.seed + count):
            beside = Path(out) / f"seed-{seed}" if out else None
            trained.append(_trained(first.replace(seed=seed), {}, beside, save, force, False, False, observe))
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
    """The runs with the number of looks; those that were tested on the same pictures are one look at them."""
    from .training import count_look

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
    observe: Observe,
    why: str = "",
) -> tuple[Run, str]:
    """A run trained and judged, and the fingerprint of the pictures it was tested on; see `train`."""
    seconds: dict[str, float] = {}
    splits, recipe = prepared(recipe, seconds, observe)
    from .judge.doctor import Doctor
    from .training import Work, to_the_end

    with computing_with(recipe.threads):
        learn = recipe.learner(splits)
        recipe = recipe.replace(gradient=learn.gradient)  # which is the model's to say
        learn.xray()  # what cannot be trained is refused before the folder is made, or an earlier run makes way for it
        now = recorded(splits, recipe, why)
        _say_differences(before, now, exact, observe)
        with contextlib.ExitStack() as stack:
            folder = None
            if out or save:
                folder = stack.enter_context(runs.new_folder(recipe, Path(out) if out else None, force=force))
                stack.enter_context(_interrupts_name(folder))
                runs.save_corrections(folder, splits.corrected)
                runs.save_recipe(folder, recipe, now)
            run = to_the_end(Work(folder, recipe, now, splits, learn, seconds, Doctor(learn), plots), observe)
            return run, now["data"].get("test", "")


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
    folder = runs.find(Path(run))
    runs.refuse_if_no_run(folder)
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
        splits, recipe = prepared(recipe, seconds, observe, runs.corrections_of(folder, recipe, before))
        from .judge.doctor import Doctor
        from .training import Work, count_look, finding_from, save, snapshot, to_the_end

        with computing_with(recipe.threads):
            now = recorded(splits, recipe, before.get("chosen", ""))
            refuse_other_pictures(folder, recipe, before, splits)
            if not runs.has_corrections(folder / runs.CORRECTIONS, before):
                runs.save_corrections(folder, splits.corrected)
            _say_differences(before, now, exact, observe)
            learn = recipe.learner(splits)
            recipe = recipe.replace(gradient=learn.gradient)
            doctor = Doctor(learn)
            if found:
                take_up(learn, found, folder)
                doctor.findings = [finding_from(finding) for finding in found.findings]
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
    from .steps.stop import Progress

    if epochs < 1:
        raise RecipeError(f"epochs is {epochs}, and must be 1 or more.", hint="sevensteps resume RUN --epochs 5")
    stopped = found.stopped if found else None
    history, seconds = runs.with_timings(folder, found.epochs if found else [])
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


def verify(
    thing: str | Path, *, rerun: bool = False, observe: Callable[[Any], None] = lambda event: None
) -> list[Check]:
    """Hold a run's folder, a model's file or a store against its checksums; with `rerun`, train again and compare.

    Raises:
        RunError, ModelError: no such run or file.
        DataError, RecipeError, TrainingError: the run cannot be trained again.
    """
    from .data import store

    path = Path(thing)
    if store.is_store(path):
        return store.verify_store(path, lambda done, total: observe(Portion(done, total)))
    if path.is_file():
        return [_checked_file(path)]
    folder = runs.find(path)
    runs.refuse_if_no_run(folder)
    checks = [_checked_file(folder / name) for name in checkpoint.BOTH if (folder / name).exists()]
    if not (folder / checkpoint.CHECKPOINT).exists():
        checks.insert(
            0, Check(checkpoint.CHECKPOINT, False, f"is not there; see what sevensteps resume {folder} can do")
        )
    try:
        found, _ = checkpoint.load(folder)
    except RunError:
        found = None
    if found is None:
        return checks
    for name, wanted in checkpoint.derived(found).items():
        there = checkpoint.content_of(folder / name)
        line = "is not there" if there is None else "is not what the checkpoint says"
        repair = f"; sevensteps resume {folder} makes it again"
        checks.append(Check(name, there == wanted, "as the checkpoint says" if there == wanted else line + repair))
    if "corrections" in (before := recorded_in(found.recipe)):
        same = runs.has_corrections(folder / runs.CORRECTIONS, before)
        line = (
            "as the recipe says" if same else f"is not what the recipe says; see what sevensteps resume {folder} can do"
        )
        checks.append(Check(runs.CORRECTIONS, same, line))
    judged = checkpoint.is_judged(folder, found)
    if found.stopped:
        line = "of this model" if judged else f"missing, or of another model; sevensteps resume {folder} judges again"
        checks.append(Check(checkpoint.JUDGEMENT, judged, line))
    if rerun:
        checks += _repeated(folder, found, observe)
    return checks


def _checked_file(path: Path) -> Check:
    """Whether a file is whole, and holds what its kind holds."""
    from .saving import load_learner

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


def _repeated(folder: Path, found: checkpoint.Checkpoint, observe: Observe) -> list[Check]:
    """Train the run again, to the batch at which it stands, and compare what it gives byte for byte."""
    from .fitting import learn_from_validation
    from .judge.doctor import Doctor
    from .training import Work, snapshot, to_the_end

    before = recorded_in(found.recipe)
    # A clock does not repeat: what it ended is ended at the same place.
    recipe = Recipe.from_toml(found.recipe).replace(stop_seconds=0.0)
    splits, recipe = prepared(recipe, {}, observe, runs.corrections_of(folder, recipe, before))
    now = recorded(splits, recipe)
    with computing_with(recipe.threads):
        learn = recipe.learner(splits)
        place = int(found.facts["epoch"]), int(found.facts["position"])
        work = Work(None, recipe, now, splits, learn, {}, Doctor(learn), until=place)
        if number := to_the_end(work, observe).interrupted:
            raise KeyboardInterrupt(number)  # nothing can be said of a run that was not trained as far again
        if found.stopped:  # `until` leaves before the end is said
            learn_from_validation(learn, splits, recipe)
        again = checkpoint.derived(snapshot(work))
    wanted, differences = checkpoint.derived(found), differences_between(before, now)
    checks = []
    for name in (checkpoint.HISTORY, checkpoint.MODEL):
        same = again[name] == wanted[name]
        why = f" ({'; '.join(differences)})" if differences else ""
        checks.append(Check(f"{name} of a second run", same, "the same bytes" if same else f"other bytes{why}"))
    return checks


def data(
    source: str | Path, classes: Sequence[str] = (), observe: Observe = lambda event: None, *, fix: str = "", **how: Any
) -> tuple[Splits, AuditResult]:
    """What a source holds, and everything that was found in it: see `auditing.audited`.

    `fix` is a corrections file, and `how` as for `load`.

    Raises:
        DataError: no such source, or pictures that cannot be used.
    """
    from .auditing import audited
    from .data.sources import SOURCES, holds_files, load

    if str(source) not in SOURCES and holds_files(Path(source)):
        how = {"bad_files": "skip", **how}
    splits = load(source, classes or None, fix=fix, say=lambda line: observe(Note(line)), **how)
    return splits, audited(splits)


def prepare(
    source: str | Path,
    out: str | Path | None = None,
    *,
    classes: Sequence[str] = (),
    hold_out: float = 0.1,
    seed: int = 0,
    how: How = AS_USUAL,
    observe: Callable[[Any], None] = lambda event: None,
) -> Prepared:
    """Write the pictures of a source into a store, which is trained on without being in memory.

    It is `NAME.store` in this folder unless given.

    Raises:
        DataError: no such source, or pictures that cannot be used.
        FileError: the store is there, the disk has not enough room, or cannot be written.
    """
    from .data.prepare import prepare as write
    from .data.sources import load_streams

    if not 0 <= hold_out <= 0.9:
        raise UsageError(f"hold_out is {hold_out!r}, and must be 0 to 0.9.", hint="--hold-out 0.1")

    def say(line: str) -> None:
        observe(Note(line))

    target = Path(out) if out else Path(f"{Path(source).absolute().name.removesuffix('.gz')}.store")
    header = write(
        load_streams(source, say, classes=classes, how=how, hold_out=hold_out > 0),
        target,
        classes=tuple(classes),
        hold_out=hold_out,
        seed=seed,
        say=say,
        progress=lambda done, total: observe(Portion(done, total)),
    )
    counts = {name: header.splits[name].count for name in ("train", "valid", "test") if name in header.splits}
    return Prepared(str(target), header.places().size, counts)


def predict(model: Path, pictures: Sequence[Path], explain: Path | None = None) -> Iterator[Answer]:
    """What a saved model says of each picture file; with `explain`, a picture of why goes to that folder for each.

    Raises:
        RunError: no such run or file, or one without a model.
        ModelError: a damaged model.
        UsageError: the folder for pictures of why is a file.
        FileError: a picture of why cannot be written.
    """
    from .ship.predict import load_model

    path = model if model.is_file() else runs.find(model)
    if path.is_dir():
        runs.refuse_if_no_model(path)
    if explain is not None and explain.exists() and not explain.is_dir():
        raise UsageError(f"{explain} is a file, and --explain takes a folder.", hint="Name a folder: --explain why")
    answers = load_model(path).predict(pictures)
    return answers if explain is None else _explained(path, answers, explain)


def _explained(model: Path, answers: Iterator[Answer], folder: Path) -> Iterator[Answer]:
    """The answers, each with the file in which its picture of why was saved."""
    from .data.decode import read_picture
    from .ship.explain import load_explainer
    from .show import drawing, figures

    explainer = load_explainer(model)
    taken: set[str] = set()
    for answer in answers:
        if answer.probabilities is None:
            yield answer
            continue
        pixels = read_picture(Path(answer.file), explainer.shape, explainer.fit)
        why = explainer.explain(pixels, answer.best)
        drawn = figures.explanation(
            pixels, why.contributions, answer.in_words, why.name, why.start, why.score, why.method
        )
        stem = Path(answer.file).stem
        names = (f"{stem}{number}.why.png" for number in ("", *(f"-{n}" for n in range(2, len(taken) + 3))))
        name = next(name for name in names if name not in taken)  # a/1.png and b/1.png are two pictures
        taken.add(name)
        yield dataclasses.replace(answer, explanation=str(drawing.save(drawn, folder / name)))


def _say_differences(before: Mapping[str, Any], now: Mapping[str, Any], exact: bool, observe: Observe) -> None:
    """One line where the same numbers cannot be promised.

    Raises:
        RunError: there is such a difference, and the same numbers were asked for.
    """
    if differences := differences_between(before, now):
        line = f"The numbers may differ from those of the run before: {'; '.join(differences)}."
        if exact:
            raise RunError(line, hint="Leave --exact out to go on all the same.")
        observe(Note(line))


def _recorded_with(recipe: str | Path | None) -> dict[str, Any]:
    """What the run was made with whose recipe this is; nothing for a recipe that ships."""
    path = Path(recipe or "linear")
    path = path / checkpoint.RECIPE if path.is_dir() else path
    return recorded_in(read_recipe(path), str(path)) if path.is_file() else {}


@contextlib.contextmanager
def _interrupts_name(folder: Path) -> Iterator[None]:
    """An interrupt that comes out of the block carries the run that can be gone on with."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        number = next(iter(interrupt.args), int(signal.SIGINT))
        raise KeyboardInterrupt(number, str(folder)) from interrupt
