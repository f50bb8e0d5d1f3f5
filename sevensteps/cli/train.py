"""`sevensteps train` and `sevensteps resume`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..base.own_code import given as own_code
from ..base.own_code import is_own
from ..base.words import with_names
from ..errors import UsageError
from ..jobs.processes import follow_if_launched
from ..recipes.choose import choose
from ..recipes.recipe import Recipe
from ..recipes.recipe_file import shipped_recipes
from ..records.events import Note
from ..records.scores import MANY_LOOKS
from ..ship.backbone.names import is_of_timm
from .errors import say_error
from .flags import FIRST, MODEL, OUTPUT, PICTURES, TRAINING, Common, Own, Source, flags_of, whole_number
from .hints import as_called, as_flag, from_here, said_as_typed, source_of
from .hints import program as _program
from .hints import quoted as _quoted
from .launching import On, Workers, on_ray
from .printed_json import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from ..runs.run import Run


Settings = flags_of([known.name for known in dataclasses.fields(Recipe) if known.name not in ("name", "source")])


NOTHING_GIVEN = Settings()


Processes = Annotated[int | None, Parameter(converter=whole_number, group=TRAINING)]


def train(
    source: Source = None,
    *,
    recipe: Annotated[str | None, Parameter(group=FIRST)] = None,
    settings: Settings = NOTHING_GIVEN,  # type: ignore[valid-type]
    out: Annotated[Path | None, Parameter(group=FIRST)] = None,
    force: Annotated[bool, Parameter(group=OUTPUT)] = False,
    plots: Annotated[bool, Parameter(group=FIRST)] = False,
    numbers: Annotated[bool, Parameter(group=OUTPUT)] = False,
    exact: Annotated[bool, Parameter(group=OUTPUT)] = False,
    yes: Annotated[bool, Parameter(group=PICTURES)] = False,
    seeds: Annotated[int | None, Parameter(converter=whole_number, group=FIRST)] = None,
    compare_scratch: Annotated[bool, Parameter(group=MODEL)] = False,
    processes: Processes = None,
    on: On = None,
    workers: Workers = None,
    common: Common = Common(),
) -> int:
    """Train a classifier. Without arguments: pullover or dress, on pictures that come with the program.

    Parameters
    ----------
    recipe
        Settings to start from: linear, plain, relu, cnn, fashion-10, fashion-94, walkthrough-by-hand,
        walkthrough-learner, a TOML file, or a run's folder. Without it, the recipe is chosen by the number and size of
        the pictures.
    out
        Folder for the run. Without it, the next free one under runs/.
    force
        Replace the run that is in the folder.
    plots
        Draw figures into the run's folder.
    numbers
        Print every number: shapes, norms, all baselines with their intervals, every epoch.
    exact
        With a run's recipe: refuse to train if this machine cannot repeat its numbers.
    yes
        Apply corrections (--fix) also if they change more than a fifth of the labels.
    seeds
        Train this many times from different starts; report how many learned and how far they differ.
    compare_scratch
        For photographs: also compare a network from scratch with the pretrained one; this takes minutes.
    processes
        Number of processes on this machine that share each batch, at most --shards. The results stay the same.
    on
        "ray": let Ray start the processes, on this machine or on the cluster at RAY_ADDRESS.
    workers
        With --on: number of processes, at most --shards.
    """
    given = {key: value for key, value in vars(settings).items() if value is not None}
    code = on_ray(on, workers, processes, gpus="cuda" in str(given.get("device", "")))
    if code is not None:
        return code
    own_model = str(given.get("model", ""))
    follow_if_launched(own_model if is_own(own_model) else None)
    if "classes" in given:
        given["classes"] = tuple(given["classes"])
    if recipe is None and given.get("model") in shipped_recipes():
        recipe = str(given["model"])
    elif recipe and recipe not in shipped_recipes() and not Path(recipe).exists() and (Path("runs") / recipe).is_dir():
        recipe = str(Path("runs") / recipe)
    with said_as_typed("train", source, given.get("classes", ())):
        suited = choose(source, given, recipe)
    loaded = Recipe.load(suited.recipe)  # the hints about a recipe's file speak of its keys
    model = str(given.get("model", ""))
    with said_as_typed("train", source, given.get("classes", ())), own_code(model if is_own(model) else None):
        # Before anything heavy is imported, so that a mistyped flag is answered at once.
        chosen = suited.with_given(given).replace(**({"source": source} if source else {}))
        from ..jobs.train import train as train_job
        from ..show import terminal
        from ..show.training import training

        console, error = terminal.consoles(quiet_stdout=common.json)
        if compare_scratch and recipe is not None:
            raise UsageError(
                "--compare-scratch chooses the model, and --recipe or --model is given.",
                hint="Leave out --recipe and --model.",
            )
        is_open = recipe is None  # the job may choose features in place of pixels
        if suited.why and numbers and not is_open:
            error.print(terminal.printable(suited.why))
        is_told = yes or "fix" not in given  # a run's own recipe repeats what was said then
        if seeds is not None:
            if typed := [flag for flag, is_typed in (("--plots", plots), ("--exact", exact)) if is_typed]:
                raise UsageError(f"{typed[0]} is for one run, not for --seeds.", hint=f"Leave {typed[0]} out.")
            if is_of_timm(str(given.get("features", ""))):
                from ..ship.backbone.timm_network import fetch

                fetch(chosen.features, lambda line: _printer_of_notes(error, numbers)(Note(line)))
            if recipe is None:
                from ..jobs.features import pixels_or_features

                suited, _ = pixels_or_features(
                    source, suited, given, _printer_of_notes(error, numbers), compare_scratch
                )
                if suited.why and numbers:
                    error.print(terminal.printable(suited.why))
                chosen = suited.with_given(given).replace(**({"source": source} if source else {}))
            return train_seeds(seeds, chosen, out, force, is_told, numbers, processes, common, _interrupted)
        # A recipe that was changed on the way here is no longer the one that was recorded with the run.
        which: Any = suited.recipe if chosen == loaded else chosen
        with training(console, error, numbers=numbers) as observe:
            if recipe is not None and is_of_timm(str(given.get("features", ""))):
                from ..ship.backbone.timm_network import fetch

                fetch(chosen.features, lambda line: observe(Note(line)))
            written: dict[str, Any] = {"out": out, "save": True, "force": force, "plots": plots, "yes": is_told}
            written["processes"] = processes
            if recipe is None:
                written["compare_scratch"] = compare_scratch
                run = train_job(source, **written, exact=exact, observe=observe, **given)
            else:
                run = train_job(recipe=which, **written, exact=exact, why=suited.why, observe=observe)
    is_other = recipe is None and run.recipe.model != chosen.model
    # As it was typed, for what is to be typed next.
    as_typed = {key: getattr(chosen, key) for key in ("source", "classes", "size", "folds")}
    shown = chosen if recipe is not None else run.recipe.replace(**as_typed)
    return _shown(run, shown, numbers, plots, common, stronger=not is_other)


def resume(
    run: Path,
    *,
    epochs: Annotated[int | None, Parameter(converter=whole_number)] = None,
    exact: bool = False,
    plots: bool = False,
    numbers: bool = False,
    model: Own = None,
    processes: Processes = None,
    on: On = None,
    workers: Workers = None,
    common: Common = Common(),
) -> int:
    """Continue an interrupted run; the result is the same as without the interruption.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    epochs
        Train this many more epochs than planned.
    exact
        Refuse to continue if this machine cannot repeat the same numbers.
    plots
        Draw figures into the run's folder.
    numbers
        Print every number, as train --numbers does.
    processes
        Number of processes on this machine that share each batch; it may differ from before.
    on
        "ray": let Ray start the processes, on this machine or on the cluster at RAY_ADDRESS.
    workers
        With --on: number of processes; it may differ from before.
    """
    if (code := on_ray(on, workers, processes)) is not None:
        return code
    follow_if_launched(model)
    from ..jobs.resume import resume as resume_job
    from ..show import terminal
    from ..show.training import training

    console, error = terminal.consoles(quiet_stdout=common.json)
    with training(console, error, numbers=numbers) as observe:
        done = resume_job(
            run, epochs=epochs, exact=exact, plots=plots, model=model, processes=processes, observe=observe
        )
    folds = done.recipe.folds if done.recipe.folds > 1 else 0  # 1 is what was found to do
    return _shown(done, done.recipe.replace(folds=folds), numbers, plots, common)


def _shown(run: Run, chosen: Recipe, numbers: bool, plots: bool, common: Common, stronger: bool = True) -> int:
    """Print the run's result and what to type next; return the exit code."""
    from ..show import terminal
    from ..show.result import Outcome, print_numbers, print_result

    if run.interrupted:
        return _interrupted(run, common)
    console, _ = terminal.consoles(quiet_stdout=common.json)
    names = {"run": run.folder, "source": from_here(run.recipe.source)}
    folder = str(run.folder)
    own = f" --model {chosen.model}" if is_own(chosen.model) else ""
    outcome = Outcome(
        score=run.score,
        stopped_because=run.stopped_because,
        is_early=run.epochs < run.recipe.epochs,
        kept_epoch=run.kept_epoch if run.recipe.keep == "best" else None,
        findings=[
            dataclasses.replace(finding, fix=as_called(with_names(finding.fix, names))) for finding in run.findings
        ],
        validated_on_test=run.recipe.validate_on == "test",
        baselines=run.baselines,
        against=run.against,
        looks=run.looks,
        coverage=run.coverage,
        fewest=run.fewest,
        imbalance=run.imbalance,
        balance=run.recipe.balance,
        audit=run.audit,
        has_backbone=run.recipe.features != "none",
        program=_program(),
        folder=folder,
        source=source_of(chosen),
        has_figures=plots,
        following=[
            f"{_program()} report {_quoted(folder)}{own}",
            f"{_program()} predict {_quoted(folder)} PICTURE.png{own}",
            worth_trying(chosen, stronger, {each.code for each in run.findings if each.recovered_at is None}),
        ],
    )
    (print_numbers if numbers else print_result)(console, outcome)
    if common.json:
        print_json(run.as_json())
    return 0


def _interrupted(run: Run, common: Common) -> int:
    """Say what is left of a run that was interrupted, and how to go on."""
    message = f"Stopped because {run.stopped_because}; what was learned until then is saved in {run.folder}."
    say_error("interrupted", message, f"{_program()} resume {_quoted(str(run.folder))}", common.json)
    return 128 + run.interrupted


def worth_trying(recipe: Recipe, stronger: bool, wrong: Collection[str]) -> str:
    """Return a third command: the next stronger recipe on the same pictures, or this one for longer.

    A run that memorizes its pictures is not trained for longer: its best epoch is kept.

    Args:
        recipe: The recipe that was trained.
        stronger: Whether a stronger recipe may be better; it was measured where it was not.
        wrong: The codes of what the doctor found.
    """
    from ..trust.doctor.symptoms import PATIENCE, longer

    following = {
        "walkthrough-by-hand": "--recipe walkthrough-learner",
        "walkthrough-learner": "--recipe linear",
        "linear": "--recipe relu",
        "relu": "--recipe cnn",
    }
    source = f" {source_of(recipe)}".removesuffix(" pullover-dress")  # which is what train takes unless told
    if recipe.features != "none":
        return f"{_program()} data{source}"
    source += f" --folds {recipe.folds}" if recipe.folds else ""
    source += "" if recipe.balance == "none" else f" --balance {recipe.balance}"
    overfits = "overfitting" in wrong
    next_one = following.get(recipe.name) if stronger and not overfits else None
    if next_one is None:
        name = recipe.name if recipe.name in shipped_recipes() else recipe.model
        epochs = longer(recipe.epochs) if "too_few_epochs" in wrong else 2 * recipe.epochs
        which = f"--model {name}" if is_own(name) else f"--recipe {name}{_settings_of(recipe, name)}"
        next_one = f"{which} --epochs {recipe.epochs if overfits else epochs}"
        if overfits:
            varied = " --augment flip+shift" if recipe.keep == "best" and recipe.augment == "none" else ""
            next_one += f"{varied} --keep best --stop-patience {PATIENCE}"
    return f"{_program()} train{source} {next_one} --plots"


def _settings_of(recipe: Recipe, name: str) -> str:
    """Return the flags of how a recipe takes the pictures and moves the weights, if they are not the usual ones."""
    usual = Recipe.load(name)
    batch = ("batch_size", "accumulate", "shards", "precision")
    kept = ("width", "augment", "hold_out", *batch, "optimizer", "lr", "momentum", "weight_decay", "schedule", "clip")
    changed = {key: getattr(recipe, key) for key in kept if getattr(recipe, key) != getattr(usual, key)}
    return "".join(f" {as_flag(key, value)}" for key, value in changed.items())


def _printer_of_notes(error: Console, numbers: bool) -> Callable[[object], None]:
    """Return an observer that prints notes; details only with --numbers."""
    from ..show import terminal

    def note(event: object) -> None:
        if isinstance(event, Note) and (numbers or not event.detail):
            error.print(terminal.printable(event.line))

    return note


def train_seeds(
    count: int,
    recipe: Recipe,
    out: Path | None,
    force: bool,
    yes: bool,
    numbers: bool,
    processes: int | None,
    common: Common,
    interrupted: Callable[[Run, Common], int],
) -> int:
    """`sevensteps train --seeds N`: a line for each run, then how many learned and how far they differ."""
    from ..jobs.train import train_seeds as train_seeds_job
    from ..show import seeds, sentences, terminal
    from ..show.findings import print_finding

    console, error = terminal.consoles(quiet_stdout=common.json)

    def show(run: Run) -> None:
        score, stopped = run.score, sentences.stop_in_words(run.stopped_because)
        if numbers:
            line = f"seed {run.recipe.seed:<4} {sentences.in_words(score) if score else stopped}"
            console.print(terminal.printable(f"{line}  {run.folder}"))
        else:
            right = f"{terminal.percent(score.accuracy)} right" if score else stopped
            failed = "" if score is None or seeds.has_learned(score, run.baselines) else ", did not learn"
            terminal.paragraph(console, f"seed {run.recipe.seed}", f"{right}{failed}: {run.folder}")
        for finding in run.findings if numbers else ():
            if finding.recovered_at is None:
                print_finding(console, finding)

    how: dict[str, Any] = {"out": out, "save": True, "force": force, "yes": yes, "processes": processes}
    runs, spread = train_seeds_job(count, recipe, **how, observe=_printer_of_notes(error, numbers), done=show)
    if runs[-1].interrupted:
        return interrupted(runs[-1], common)
    first, scores = runs[0], [run.score for run in runs if run.score is not None]
    if scores and len(scores) == len(runs):
        learned = [seeds.has_learned(run.score, run.baselines) for run in runs if run.score is not None]
        terminal.sentence(console, seeds.starts_in_words(scores, learned), style="bold green")
    if spread is not None and numbers:
        console.print(terminal.printable(spread.line))
    if first.baselines and numbers:
        best, score = max(first.baselines.items(), key=lambda named: named[1].accuracy)
        console.print(
            terminal.printable(f"The best baseline of seed {first.recipe.seed}, {best}: {sentences.in_words(score)}")
        )
    if first.looks is not None and (numbers or first.looks >= MANY_LOOKS):
        terminal.sentence(console, sentences.looks_in_words(first.looks), style="dim")
    if common.json:
        as_json = [run.as_json() for run in runs]
        print_json({**as_json[0], "runs": as_json, "spread": spread.as_json() if spread else None})
    return 0
