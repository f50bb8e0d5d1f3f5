"""Jobs: what each verb of the command line does, one function each, returning a record.

A job tells whoever `observe`s it what is going on, in plain records; the command line draws them, `--json` does not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import abstention, checkpoint, files, runs
from .data.images import Splits
from .errors import DataError, ModelError, RecipeError, RunError, UsageError
from .recipe import Recipe, read_recipe, recorded_in
from .records import Check, Comparison, Note, Scores, Spread, XRay

if TYPE_CHECKING:
    from .data.audit import Audit
    from .judge.predictions import Predictions
    from .learner import Learner
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
    observe: Observe = lambda event: None,
    **settings: Any,
) -> Run:
    """Train a classifier as the recipe says, and judge it: what `sevensteps train` does.

    Settings given by name take the place of the recipe's. Nothing is written unless `out` names a folder, or `save`
    asks for the next free one under `runs/`. Where the recipe is a run's, it is said what is another now than it was
    then; with `exact` that is refused.

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
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe or "linear")
    recipe = recipe.replace(**settings, **({"source": str(source)} if source else {}))
    from .training import count_look

    run, pictures = _trained(recipe, before, out, save, force, plots, exact, observe)
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
    one look at the test pictures. An interrupted run is the last.

    Raises:
        RecipeError: fewer than two seeds; and as `train`.
    """
    from .judge.comparison import over_seeds
    from .training import count_look

    if count < 2:
        raise RecipeError(f"seeds is {count}, and must be 2 or more.", hint="sevensteps train --seeds 20")
    first = (recipe if isinstance(recipe, Recipe) else Recipe.load(recipe or "linear")).replace(**settings)
    trained = []
    pictures = ""
    for seed in range(first.seed, first.seed + count):
        beside = Path(out) / f"seed-{seed}" if out else None
        run, pictures = _trained(first.replace(seed=seed), {}, beside, save, force, False, False, observe)
        trained.append(run)
        done(run)
        if run.interrupted:
            return count_look(trained, pictures, observe), None
    tables = [next(iter(run.tables.values())) for run in trained if run.tables]
    return count_look(trained, pictures, observe), over_seeds(tables) if tables else None


def _trained(
    recipe: Recipe,
    before: Mapping[str, Any],
    out: str | Path | None,
    save: bool,
    force: bool,
    plots: bool,
    exact: bool,
    observe: Observe,
) -> tuple[Run, str]:
    """A run trained and judged, and the fingerprint of the pictures it was tested on; see `train`."""
    seconds: dict[str, float] = {}
    splits, recipe = _prepared(recipe, seconds, observe)
    from .judge.doctor import Doctor
    from .training import Work, to_the_end

    with _threads(recipe.threads):
        learn = recipe.learner(splits)
        recipe = recipe.replace(gradient=learn.gradient)  # which is the model's to say
        learn.xray()  # what cannot be trained is refused before the folder is made, or an earlier run makes way for it
        now = recorded(splits, recipe)
        _say_differences(before, now, exact, observe)
        with contextlib.ExitStack() as stack:
            folder = None
            if out or save:
                folder = stack.enter_context(runs.new_folder(recipe, Path(out) if out else None, force=force))
                stack.enter_context(_interrupts_name(folder))
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
                how = "was of another model, or damaged: it is gone" if gone else "was made again from the checkpoint"
                observe(Note(f"{folder / name} {how}."))
        else:
            observe(Note(f"Nothing was saved in {folder} yet: training begins at the start."))
        if epochs is not None:
            recipe = _extended(folder, recipe, found, epochs, observe)
        seconds: dict[str, float] = {}
        splits, recipe = _prepared(recipe, seconds, observe)
        from .judge.doctor import Doctor
        from .training import Work, count_look, finding_from, save, snapshot, to_the_end

        with _threads(recipe.threads):
            now = recorded(splits, recipe)
            _refuse_other_pictures(folder, recipe, before, now)
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


def take_up(learn: Learner, found: checkpoint.Checkpoint, folder: Path) -> None:
    """Put a learner where the checkpoint was saved.

    Raises:
        TrainingError: the checkpoint is of another model or optimizer than the recipe's.
    """
    import torch

    state = learn.state
    state.restore({name: torch.from_numpy(array) for name, array in found.arrays.items()}, found.facts)
    state.history, state.seconds = runs.with_timings(folder, state.history)
    learn.temperature = float(found.about.get("temperature") or 1.0)
    _, learn.abstention = abstention.in_file(found.arrays, found.about, folder / checkpoint.CHECKPOINT)


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


def verify(thing: str | Path, *, rerun: bool = False, observe: Observe = lambda event: None) -> list[Check]:
    """Hold a run's folder, or a model's file, against its checksums; with `rerun`, train again and compare.

    Raises:
        RunError, ModelError: no such run or file.
        DataError, RecipeError, TrainingError: the run cannot be trained again.
    """
    path = Path(thing)
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
    from .judge.doctor import Doctor
    from .training import Work, learn_from_validation, snapshot, to_the_end

    before = recorded_in(found.recipe)
    # A clock does not repeat: what it ended is ended at the same place.
    splits, recipe = _prepared(Recipe.from_toml(found.recipe).replace(stop_seconds=0.0), {}, observe)
    now = recorded(splits, recipe)
    with _threads(recipe.threads):
        learn = recipe.learner(splits)
        place = int(found.facts["epoch"]), int(found.facts["position"])
        work = Work(None, recipe, now, splits, learn, {}, Doctor(learn), until=place)
        if number := to_the_end(work, observe).interrupted:
            raise KeyboardInterrupt(number)  # nothing can be said of a run that was not trained as far again
        if found.stopped:  # `until` leaves before the end is said
            learn_from_validation(work)
        again = checkpoint.derived(snapshot(work))
    wanted, differences = checkpoint.derived(found), differences_between(before, now)
    checks = []
    for name in (checkpoint.HISTORY, checkpoint.MODEL):
        same = again[name] == wanted[name]
        why = f" ({'; '.join(differences)})" if differences else ""
        checks.append(Check(f"{name} of a second run", same, "the same bytes" if same else f"other bytes{why}"))
    return checks


def judge(
    run: str | Path,
    split: str = "test",
    *,
    clopper_pearson: bool = False,
    observe: Observe = lambda event: None,
) -> tuple[runs.SavedRun, Scores]:
    """Every figure of a saved run on one of its splits, with its interval, from its table of predictions.

    Nothing is trained, and where the table is there neither pictures nor PyTorch are needed. Where it is not there (the
    run was interrupted, or left the test pictures unread) the run's model answers first, and the table is kept.
    `clopper_pearson` asks for that interval of each share in the place of Wilson's.

    Raises:
        RunError: no such run, one in which nothing was saved, or one whose pictures are others now.
        DataError: there is no such split.
    """
    from .judge import ledger
    from .judge.intervals import clopper_pearson as exact_interval
    from .judge.scores import score_table

    saved = runs.open_run(Path(run))
    found = _checkpoint_of(saved.folder)
    tables = _tables(saved.folder, found)
    if split not in tables:
        tables = _answered(saved, found, split, tables, observe)
    if split == "test":
        pictures = recorded_in(found.recipe).get("data", {}).get("test", "")
        _, problem = ledger.look(pictures, [checkpoint.digest(found.model_bytes())])
        if problem:
            observe(Note(problem))
    scores = score_table(tables[split])
    if clopper_pearson:
        exact = {
            name: dataclasses.replace(metric, low=interval.low, high=interval.high, method="clopper-pearson")
            for name, metric in scores.metrics.items()
            if metric.method == "wilson" and metric.value is not None
            for interval in [exact_interval(round(metric.value * metric.n), metric.n)]
        }
        scores = dataclasses.replace(scores, metrics={**scores.metrics, **exact})
    return saved, scores


def doctor(run: str | Path) -> tuple[runs.SavedRun, list[Mapping[str, Any]]]:
    """What the doctor found wrong with a saved run while it trained, as plain data; nothing is trained or read anew.

    Raises:
        RunError: no such run, or none of its checkpoints is whole.
    """
    saved = runs.open_run(Path(run))
    found, _ = checkpoint.load(saved.folder)
    # A run that diverged may have saved nothing but why.
    findings = found.findings if found else saved.judgement.get("findings") or []
    return saved, [finding for finding in findings if isinstance(finding, dict)]


def compare(names: Sequence[str | Path], split: str = "test") -> tuple[tuple[Comparison, ...], str]:
    """Whether saved runs differ on the same pictures, pair by pair, and what choosing between them by these does.

    Needs neither pictures nor PyTorch. More than two are corrected for their number.

    Raises:
        RunError: no such run, one without predictions of this split, or runs that were judged on different pictures.
        UsageError: fewer than two runs, or one named twice.
    """
    from .judge import ledger
    from .judge.comparison import compare_all

    if len(names) < 2 or len(set(map(str, names))) != len(names):
        raise UsageError("compare takes two runs or more, each once.", hint="sevensteps compare RUN RUN")
    tables, pictures = {}, {}
    for name in names:
        folder = runs.find(Path(name))
        runs.refuse_if_no_run(folder)
        found = _checkpoint_of(folder)
        of_run = _tables(folder, found)
        if split not in of_run:
            raise RunError(
                f"{folder} has no predictions of {split} pictures.", hint=f"sevensteps judge {folder} --split {split}"
            )
        tables[str(name)] = of_run[split]
        data = recorded_in(found.recipe).get("data", {})
        pictures[str(name)] = data.get("test" if split == "test" else "train", "")
    first, *others = pictures
    for other in others:
        if pictures[other] != pictures[first]:
            raise RunError(
                f"{first} and {other} were judged on different pictures.",
                hint="Train both on the same source, with the same seed for what is held out.",
            )
    effect = ""
    looks = len(ledger.looks_at(pictures[first])) if split == "test" else 0
    if looks > 1:
        best = max(tables.values(), key=lambda table: table.score.accuracy).score
        points = 100 * ledger.luck_of_the_best(looks, best.accuracy, best.n)
        effect = (
            f"These test pictures have judged {looks} models on this machine. Whoever keeps the best of so many by "
            f"them may report up to {points:.2f} points of luck: choose on validation pictures (--split valid), or "
            "test the choice on new ones."
        )
    return compare_all(tables), effect


def _checkpoint_of(folder: Path) -> checkpoint.Checkpoint:
    """The checkpoint of a run.

    Raises:
        RunError: nothing was saved yet, or none is whole.
    """
    found, _ = checkpoint.load(folder)
    if found is None:
        raise RunError(f"Nothing was saved in {folder} yet.", hint=f"sevensteps resume {folder}")
    return found


def _tables(folder: Path, found: checkpoint.Checkpoint) -> dict[str, Predictions]:
    """The tables of predictions of a run's own model; none where they are missing, damaged, or another model's."""
    from .judge.predictions import from_jsonl

    if not checkpoint.is_judged(folder, found):
        return {}
    return from_jsonl(folder / checkpoint.PREDICTIONS, found.about.get("classes") or ())


def _answered(
    saved: runs.SavedRun,
    found: checkpoint.Checkpoint,
    split: str,
    tables: Mapping[str, Predictions],
    observe: Observe,
) -> dict[str, Predictions]:
    """The tables with that of one more split, which the run's model answers now; kept in the run's folder.

    Raises:
        RunError: the pictures are others now, or another process has the run.
        DataError: there is no such split.
    """
    splits, recipe = _prepared(Recipe.from_toml(found.recipe), {}, observe)
    _refuse_other_pictures(saved.folder, recipe, recorded_in(found.recipe), recorded(splits, recipe))
    images = {"test": splits.test, "valid": splits.valid, "train": splits.train}.get(split)
    if images is None:
        raise DataError(f"{recipe.source} has no {split} pictures.", hint="--split test, valid or train.")
    from .judge.predictions import predict_split
    from .training import save_judgement

    with _threads(recipe.threads), files.locked(saved.folder):
        learn = recipe.learner(splits)
        take_up(learn, found, saved.folder)
        if learn.state.best:
            learn.model.load_state_dict(learn.state.best)
        learn.temperature = float(found.about.get("temperature") or 1.0)
        more = {**tables, split: predict_split(learn, images, split)}
        judgement = {key: value for key, value in saved.judgement.items() if key not in ("sha256", "files")}
        if split in ("test", "valid"):
            judgement[split] = more[split].score.as_json()
        checkpoint.rebuild(saved.folder, found)
        save_judgement(saved.folder, judgement, more)
    return more


def xray(run: Path, *, start: bool = False) -> tuple[runs.SavedRun, str, XRay]:
    """The seven steps of one batch of a saved run, and where it is: the batch that would come next, or the first.

    Raises:
        RunError: no such run, one in which nothing was saved, or one whose pictures are others now.
        DataError: its pictures cannot be found any more.
    """
    saved = runs.open_run(run)
    splits, recipe = _prepared(saved.recipe, {}, lambda event: None)
    before = recorded_in(read_recipe(saved.folder / checkpoint.RECIPE))
    _refuse_other_pictures(saved.folder, recipe, before, recorded(splits, recipe))
    learn = recipe.learner(splits)
    if not start:
        found, _ = checkpoint.load(saved.folder)
        if found is None:
            raise RunError(
                f"Nothing was saved in {saved.folder} yet.", hint=f"sevensteps resume {saved.folder}, or xray --start"
            )
        take_up(learn, found, saved.folder)
    from .training import place

    return saved, place(learn), learn.xray()


def data(
    source: str | Path, classes: Sequence[str] = (), observe: Observe = lambda event: None
) -> tuple[Splits, Audit]:
    """What a source holds: counts, sizes, exact duplicates and leaks.

    Raises:
        DataError: no such source, or pictures that cannot be used.
    """
    from .data.audit import audit
    from .data.sources import load

    splits = load(source, classes or None, say=lambda line: observe(Note(line)))
    return splits, audit(splits)


def predict(model: Path, pictures: Sequence[Path], explain: Path | None = None) -> Iterator[Answer]:
    """What a saved model says of each picture file; with `explain`, a picture of why goes to that folder for each.

    Raises:
        RunError: no such run or file.
        ModelError: no model in the run, or a damaged one.
        FileError: a picture of why cannot be written.
    """
    from .ship.predict import load_model

    path = model if model.is_file() else runs.find(model)
    answers = load_model(path).predict(pictures)
    return answers if explain is None else _explained(path, answers, explain)


def _explained(model: Path, answers: Iterator[Answer], folder: Path) -> Iterator[Answer]:
    """The answers, each with the file in which its picture of why was saved."""
    from .data.decode import read_picture
    from .ship.explain import load_explainer
    from .show import figures

    explainer = load_explainer(model)
    taken: set[str] = set()
    for answer in answers:
        if answer.probabilities is None:
            yield answer
            continue
        pixels = read_picture(Path(answer.file), explainer.shape)
        why = explainer.explain(pixels, answer.best)
        drawn = figures.explanation(
            pixels, why.contributions, answer.in_words, why.name, why.start, why.score, why.method
        )
        stem = Path(answer.file).stem
        names = (f"{stem}{number}.why.png" for number in ("", *(f"-{n}" for n in range(2, len(taken) + 3))))
        name = next(name for name in names if name not in taken)  # a/1.png and b/1.png are two pictures
        taken.add(name)
        yield dataclasses.replace(answer, explanation=str(figures.save(drawn, folder / name)))


def open_source(recipe: Recipe, observe: Observe) -> Splits:
    """The pictures that a recipe names.

    Raises:
        DataError: no such source, or pictures that cannot be used.
    """
    from .data.sources import SOURCES, load

    if recipe.source not in SOURCES and Path(recipe.source).is_absolute() and not Path(recipe.source).exists():
        raise DataError(
            f"The pictures of recipe {recipe.name!r} are not at {recipe.source} any more.",
            hint="Bring them back there, or train on them where they are now: sevensteps train PATH --recipe RUN",
        )
    splits = load(recipe.source, recipe.classes or None, say=lambda line: observe(Note(line)))
    for name, images in (("test", splits.test), ("valid", splits.valid)):
        if images is not None and not len(images):
            raise DataError(
                f"{recipe.source}: the {name} split has no pictures.",
                hint="Remove its files, and training pictures are held out in their place.",
            )
    if splits.test is None and recipe.validate_on == "test":
        raise DataError(f"{recipe.source} has no test pictures to validate on.", hint="Set validate_on = valid.")
    if splits.test is None:
        train, test = splits.train.split(0.2, recipe.seed)
        if not len(test):
            raise DataError(
                f"{recipe.source} has no test pictures, and too few to hold any out: one of each class.",
                hint="Add pictures: four of each class or more.",
            )
        splits = Splits(train, test, splits.valid, splits.source)
    return splits


def recorded(splits: Splits, recipe: Recipe) -> dict[str, Any]:
    """What a run was made with: compared and reported on repeating it, and never a setting."""
    import platform

    import numpy as np
    import torch

    from . import __version__

    return {
        "sevensteps": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": recipe.threads,
        "data": {"train": splits.train.fingerprint, **({"test": splits.test.fingerprint} if splits.test else {})},
    }


def differences_between(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What a run was made with and is another here, of what may change its numbers; in words."""
    named = {"sevensteps", "torch", "numpy", "machine", "cpu_capability", "threads"}
    found = [
        f"{name} was {before[name]} and is {now[name]}"
        for name in sorted(named & before.keys())
        if before[name] != now[name]
    ]
    return found + ["the pictures are others"] * (before.get("data", now["data"]) != now["data"])


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


def _refuse_other_pictures(folder: Path, recipe: Recipe, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise if a run's pictures are not those that it was trained on.

    Raises:
        RunError: saying so.
    """
    if before.get("data") not in (None, now["data"]):
        raise RunError(
            f"The pictures of {recipe.source} are others than those that {folder} was trained on.",
            hint=f"Bring those back, or train anew on these: sevensteps train --recipe {folder / checkpoint.RECIPE}",
        )


def _recorded_with(recipe: str | Path | None) -> dict[str, Any]:
    """What the run was made with whose recipe this is; nothing for a recipe that ships."""
    path = Path(recipe or "linear")
    path = path / checkpoint.RECIPE if path.is_dir() else path
    return recorded_in(read_recipe(path), str(path)) if path.is_file() else {}


def _prepared(recipe: Recipe, seconds: dict[str, float], observe: Observe) -> tuple[Splits, Recipe]:
    """The pictures, with some held out, and the recipe with every open choice made for them.

    Raises:
        DataError, RecipeError: pictures or settings that cannot be used.
    """
    began = time.perf_counter()
    splits = recipe.held_out(open_source(recipe, observe))
    data = time.perf_counter()
    recipe = recipe.settled(splits)  # before training is imported, so that what does not fit is answered at once
    from . import training  # noqa: F401

    seconds |= {"data": data - began, "import": time.perf_counter() - data}
    return splits, recipe


@contextlib.contextmanager
def _interrupts_name(folder: Path) -> Iterator[None]:
    """An interrupt that comes out of the block carries the run that can be gone on with."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        number = next(iter(interrupt.args), int(signal.SIGINT))
        raise KeyboardInterrupt(number, str(folder)) from interrupt


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    """Compute with this many threads, and with as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
