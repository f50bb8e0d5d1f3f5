"""The command line: parses, calls `jobs`, prints. Results to stdout, progress and warnings to stderr.

Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted (143 by SIGTERM).
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import App, Parameter

from . import __version__
from . import cli_data as preparing
from . import cli_judging as judging
from . import cli_showing as showing
from .choosing import choose
from .cli_common import Common, Source, flags_of, from_here, said_as_typed, source_of, whole_number
from .cli_common import program as _program
from .cli_common import quoted as _quoted
from .cli_usage import usage_in_words, with_names
from .errors import RecipeError, SevenstepsError, UsageError
from .recipe import Recipe, shipped_recipes

if TYPE_CHECKING:
    from .training import Run

app = App(
    name="sevensteps",
    help="Train an image classifier in seven steps you can see, trust the result, and ship the model.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
)


Settings = flags_of([known.name for known in dataclasses.fields(Recipe) if known.name not in ("name", "source")])
NOTHING_GIVEN = Settings()


@app.command
def train(
    source: Source = None,
    *,
    recipe: str | None = None,
    out: Path | None = None,
    force: bool = False,
    plots: bool = False,
    exact: bool = False,
    seeds: Annotated[int | None, Parameter(converter=whole_number)] = None,
    settings: Settings = NOTHING_GIVEN,  # type: ignore[valid-type]
    common: Common = Common(),
) -> int:
    """Train a classifier; without arguments, pullover against dress on the embedded pictures.

    Parameters
    ----------
    recipe
        A recipe that ships (linear, relu, cnn, fashion-10, walkthrough-by-hand, walkthrough-learner), a TOML file, or
        a run's folder. A model's name chooses the recipe of that name; without either, picture files and arrays get
        linear or cnn, batches and epochs by their count and size, and everything else linear.
    out
        The run's folder; the next free one under runs/ unless given.
    force
        Replace the run that is in the folder.
    plots
        Draw figures into the run's folder.
    exact
        Where the recipe is a run's: refuse if its numbers cannot be repeated here.
    seeds
        Train with so many seeds, and say how far they differ, apart from how far other pictures might.
    """
    given = {key: value for key, value in vars(settings).items() if value is not None}
    if "classes" in given:
        given["classes"] = tuple(given["classes"])
    if recipe is None and given.get("model") in shipped_recipes():
        recipe = str(given["model"])
    elif recipe and recipe not in shipped_recipes() and not Path(recipe).exists() and (Path("runs") / recipe).is_dir():
        recipe = str(Path("runs") / recipe)
    suited = choose(source, given, recipe)
    loaded = Recipe.load(suited.recipe)
    with said_as_typed("train", source, given.get("classes", ())):
        # Before anything heavy is imported, so that a mistyped flag is answered at once.
        chosen = suited.with_given(given).replace(**({"source": source} if source else {}))
        from . import jobs
        from .show import terminal

        console, error = terminal.consoles(quiet_stdout=common.json)
        if suited.why:
            error.print(terminal.printable(suited.why))
        if seeds is not None:
            return judging.train_seeds(seeds, chosen, out, force, common, _interrupted)
        # A recipe that was changed on the way here is no longer the one that was recorded with the run.
        which: Any = suited.recipe if chosen == loaded else chosen
        with terminal.training(console, error) as observe:
            written: dict[str, Any] = {"out": out, "save": True, "force": force, "plots": plots}
            run = jobs.train(recipe=which, **written, exact=exact, why=suited.why, observe=observe)
    return _shown(run, chosen, common)


@app.command
def resume(
    run: Path,
    *,
    epochs: Annotated[int | None, Parameter(converter=whole_number)] = None,
    exact: bool = False,
    plots: bool = False,
    common: Common = Common(),
) -> int:
    """Go on with a run from its last save, to the very end that it would have had.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    epochs
        So many more than it was to have.
    exact
        Refuse if the same numbers cannot be promised here.
    plots
        Draw figures into the run's folder.
    """
    from . import jobs
    from .show import terminal

    console, error = terminal.consoles(quiet_stdout=common.json)
    with terminal.training(console, error) as observe:
        done = jobs.resume(run, epochs=epochs, exact=exact, plots=plots, observe=observe)
    folds = done.recipe.folds if done.recipe.folds > 1 else 0  # 1 is what was found to do
    return _shown(done, done.recipe.replace(folds=folds), common)


def _shown(run: Run, chosen: Recipe, common: Common) -> int:
    """Print what a run came to, and what to type next; gives the exit code."""
    from .show import terminal
    from .show.audit import audit_in_words

    if run.interrupted:
        return _interrupted(run, common)
    console, _ = terminal.consoles(quiet_stdout=common.json)
    kept = f"; the parameters kept are those of epoch {run.kept_epoch}" if run.recipe.keep == "best" else ""
    names = {"run": run.folder, "source": from_here(run.recipe.source)}
    findings = [dataclasses.replace(finding, fix=with_names(finding.fix, names)) for finding in run.findings]
    terminal.print_result(
        console,
        score=run.score,
        stopped_because=run.stopped_because,
        kept=kept,
        findings=findings,
        validated_on_test=run.recipe.validate_on == "test",
        baselines=run.baselines,
        against=run.against,
        looks=run.looks,
        coverage=run.coverage,
        fewest=run.fewest,
        imbalance=run.imbalance,
        balance=run.recipe.balance,
        audit=audit_in_words(run.audit, f"{_program()} data {source_of(chosen)}") if run.audit else None,
    )
    folder = str(run.folder)
    following = [
        f"{_program()} report {_quoted(folder)}",
        f"{_program()} predict {_quoted(folder)} PICTURE.png",
        _worth_trying(chosen),
    ]
    terminal.print_next(console, folder, following)
    if common.json:
        print(json.dumps(run.as_json()))
    return 0


app.command(preparing.data)
app.command(preparing.prepare)
app.command(judging.judge)
app.command(judging.compare)
app.command(judging.doctor)
app.command(showing.xray)
app.command(showing.report)


def _interrupted(run: Run, common: Common) -> int:
    """Say what is left of a run that was interrupted, and how to go on."""
    message = f"Stopped because {run.stopped_because}; what was learned until then is saved in {run.folder}."
    _say_error("interrupted", message, f"{_program()} resume {_quoted(str(run.folder))}", common.json)
    return 128 + run.interrupted


@app.command
def verify(thing: Path, *, rerun: bool = False, common: Common = Common()) -> int:
    """Hold a run, a model or a store against its checksums; exit code 1 if something is not as it must be.

    Parameters
    ----------
    thing
        A run's folder, its name under runs/, a model.safetensors, or a store.
    rerun
        Train the run again from its recipe, and compare byte for byte.
    """
    from . import jobs
    from .show import terminal

    console, error = terminal.consoles(quiet_stdout=common.json)
    with terminal.training(error, error) as observe:
        checks = jobs.verify(thing, rerun=rerun, observe=observe)
    passed = all(check.passed for check in checks)
    if common.json:
        print(json.dumps({"passed": passed, "checks": [dataclasses.asdict(check) for check in checks]}))
        return 0 if passed else 1
    terminal.print_table(
        console, ("what", "", "seen"), [(c.name, "ok" if c.passed else "WRONG", c.line) for c in checks]
    )
    return 0 if passed else 1


def _worth_trying(recipe: Recipe) -> str:
    """A third command that teaches something: the next rung up, on the same pictures."""
    following = {
        "walkthrough-by-hand": "walkthrough-learner",
        "walkthrough-learner": "linear",
        "linear": "relu",
        "relu": "cnn",
    }
    source = f" {source_of(recipe)}".removesuffix(" pullover-dress")  # which is what train takes unless told
    source += f" --folds {recipe.folds}" if recipe.folds else ""
    source += "" if recipe.balance == "none" else f" --balance {recipe.balance}"
    return f"{_program()} train{source} --recipe {following.get(recipe.name, 'linear')} --plots"


@app.command
def runs(folder: Path | None = None, *, common: Common = Common()) -> int:
    """List runs with their results.

    Parameters
    ----------
    folder
        Where the runs are; runs/ unless given.
    """
    from . import runs as room
    from .show import terminal

    console, error = terminal.consoles()
    found = room.list_runs(folder or room.ROOT)
    saved = [run for run in found if isinstance(run, room.SavedRun)]
    damaged = [run for run in found if not isinstance(run, room.SavedRun)]
    for problem in damaged:
        error.print(terminal.printable(f"! {problem.message}"))
    if common.json:
        rows = [
            {
                "run": str(run.folder),
                "recipe": run.recipe.name,
                "source": run.recipe.source,
                "epochs": len(run.history),
                **run.judgement,
            }
            for run in saved
        ]
        print(json.dumps({"runs": rows, "damaged": [problem.message for problem in damaged]}))
        return 0
    terminal.print_table(
        console,
        ("run", "recipe", "epochs", "accuracy", "95 % interval", "n", "stopped because"),
        [_row(run) for run in saved],
    )
    return 0


def _row(run: Any) -> list[str]:
    """A line of the list of runs."""
    test = next(filter(None, map(run.judgement.get, ("test", "cross_validation", "valid"))), None)
    folds = f", {test['folds']} folds" if test and "folds" in test else ""
    shown = (
        [f"{test['accuracy']:.2%}", f"{test['low']:.2%} to {test['high']:.2%}", f"{test['n']:,}{folds}"]
        if test
        else ["", "", ""]
    )
    reason = run.stopped_because or f"it is under way, or was cut off: {_program()} resume {run.folder.name}"
    return [run.folder.name, run.recipe.name, str(len(run.history)), *shown, reason]


@app.command
def predict(
    model: Path,
    files: Annotated[tuple[Path, ...], Parameter(required=True)],
    *,
    explain: Path | None = None,
    jsonl: bool = False,
    common: Common = Common(),
) -> int:
    """Classify picture files, or say that the model is not sure, or that a picture is none of its classes.

    Parameters
    ----------
    model
        A run's folder, its name under runs/, or a model.safetensors.
    files
        Pictures; they are resized to the size that the model was trained on.
    explain
        A folder: for each file, a picture of what in it speaks for the answer is saved there.
    jsonl
        Print one JSON object a line, as each file is done.
    """
    from . import jobs
    from .show import terminal

    console, error = terminal.consoles(quiet_stdout=common.json or jsonl)
    answers = []
    for answer in jobs.predict(model, files, explain):
        answers.append(answer)
        if jsonl:
            print(json.dumps(answer.as_json()), flush=True)
        elif answer.error is not None:
            error.print(terminal.printable(answer.error))
        elif not common.json:
            why = f"; why: {answer.explanation}" if answer.explanation else ""
            console.print(terminal.printable(f"{answer.file}: {answer.in_words}{why}"))
    failed = sum(answer.error is not None for answer in answers)
    if common.json:
        print(json.dumps({"results": [answer.as_json() for answer in answers], "failed": failed}))
    return 1 if failed else 0


def run(arguments: Sequence[str]) -> int:
    """Run a command line and give its exit code; errors are said in words. An interrupt is the caller's to say."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks is no reason to fail: Windows' pipes know few letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except OSError:  # the reader has gone, or the disk behind it is full
        _give_up_stdout()
        code = code or 1
    return code


def _run(arguments: Sequence[str]) -> int:
    as_json, debug = "--json" in arguments, "--debug" in arguments
    try:
        command, bound, _ = app.parse_args(list(arguments), exit_on_error=False, print_error=False)
        return command(*bound.args, **bound.kwargs) or 0
    except cyclopts.CycloptsError as error:
        _say_error("usage", *usage_in_words(error, arguments, app), as_json)
        return 2
    except SevenstepsError as error:
        if debug:
            raise
        _say_error(error.code, error.message, with_names(error.hint, bound.arguments), as_json)
        return 2 if isinstance(error, (UsageError, RecipeError)) else 1
    except BrokenPipeError:
        _give_up_stdout()
        return 1
    except OSError as error:  # stdout on a full disk, a path that is too long
        if debug:
            raise
        _say_error("file", f"The system refused: {error}", "Check the disk and the paths, and try again.", as_json)
        return 1
    except Exception as error:
        if debug:
            raise
        message = f"Something went wrong that should not have: {type(error).__name__}: {error}"
        _say_error("bug", message, "Run it again with --debug and report what it shows.", as_json)
        return 1


def _say_error(code: str, message: str, hint: str, as_json: bool) -> None:
    """An error for a person on stderr, or for a program on stdout."""
    from .show.terminal import printable

    if as_json:
        try:
            print(json.dumps({"error": {"code": code, "message": message, "hint": hint}}), flush=True)
            return
        except OSError:  # where stdout is what failed, at least a person learns of it
            _give_up_stdout()
    print(f"sevensteps: {printable(_one_line(message))}", file=sys.stderr)
    if hint:
        print(f"  {printable(_one_line(hint))}", file=sys.stderr)


def _give_up_stdout() -> None:
    """Send what is left for stdout nowhere: Python would fail once more on it while closing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(text: str) -> str:
    """Without line breaks and the indentation after them."""
    return " ".join(line.strip() for line in text.splitlines())
