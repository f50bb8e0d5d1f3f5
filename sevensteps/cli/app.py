"""The command line: parses, calls `jobs`, prints. Results to stdout, progress and warnings to stderr.

Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted (143 by SIGTERM).
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import cyclopts
from cyclopts import App, Group, Parameter

from ..base.version import __version__
from ..base.words import with_names
from ..errors import RecipeError, SevenstepsError, UsageError
from . import (
    compare,
    data,
    doctor,
    export,
    judge,
    lesson,
    predict,
    prepare,
    report,
    runs,
    serve,
    studio,
    train,
    verify,
    xray,
)
from .completion import Shell, install
from .errors import say_error
from .output import failure_of, settle_size
from .usage import usage_in_words


def _shown(default: object) -> str | None:
    """Return a default as help shows it; None for a flag that is off or empty."""
    return None if default is None or default is False or default in ("", ()) else str(default)


app = App(
    name="sevensteps",
    help="Train an image classifier in seven steps you can see, trust the result, and ship the model.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=_shown),
)


# The verbs in groups, each with examples for the end of its help.
_EXAMPLES = {
    train.train: (
        "train",
        "train photos --epochs 20 --augment photos",
        "train --recipe relu --lr 0.03 --plots",
        "train fashion-mini --classes Sneaker Bag",
        "train --seeds 5",
    ),
    data.data: (
        "data --list",
        "data photos",
        "data photos --suggest fix.csv",
        "data photos --show-augmented varied.png",
    ),
    predict.predict: (
        "predict runs/photos-cnn-1 cat.jpg dog.jpg",
        "predict runs/photos-cnn-1 cat.jpg --explain why",
        "predict runs/photos-cnn-1 photos --jsonl",
    ),
    export.export: ("export runs/photos-cnn-1", "export runs/photos-cnn-1 --to page --out cats.html"),
    serve.serve: ("serve runs/photos-cnn-1", "serve model.onnx --port 9000"),
}


# The usage lines of verbs whose words may be left out.
_USAGES = {
    train.train: "Usage: sevensteps train [SOURCE] [OPTIONS]",
    data.data: "Usage: sevensteps data [SOURCE] [OPTIONS]",
    runs.runs: "Usage: sevensteps runs [FOLDER] [OPTIONS]",
    studio.studio: "Usage: sevensteps studio [SOURCE|RUN] [OPTIONS]",
}


for group, verbs in {
    Group("Pictures", sort_key=1): (data.data, prepare.prepare),
    Group("Training", sort_key=2): (train.train, train.resume, runs.runs),
    Group("Understanding", sort_key=3): (studio.studio, lesson.lesson, xray.xray, doctor.doctor),
    Group("Judging", sort_key=4): (judge.judge, compare.compare, report.report, verify.verify),
    Group("Using the model", sort_key=5): (predict.predict, export.export, serve.serve),
}.items():
    for verb in verbs:
        usage = _USAGES.get(verb)
        examples = [f"  sevensteps {typed}" for typed in _EXAMPLES.get(verb, ())]
        epilogue = "\n\n".join(["Examples:", *examples]) if examples else None
        app.command(verb, group=group, help_epilogue=epilogue, **({"usage": usage} if usage else {}))


@app.command(name="--install-completion")
def install_completion(shell: Shell | None = None) -> int:
    """Let the Tab key complete verbs, flags and choices in your shell.

    Parameters
    ----------
    shell
        bash, zsh or fish; the one you are in unless given.
    """
    return install(app, shell)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; errors are printed in words. The caller reports an interrupt."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal cannot spell must not fail: Windows' pipes know few letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    settle_size(os.environ)
    code = _run(arguments)
    failure = failure_of(sys.stdout)
    if isinstance(failure, BrokenPipeError):  # as `head` leaves, once it has seen enough; a program needs all of JSON
        return code or int("--json" in arguments)
    if failure is not None:
        done = "" if code else "The work is done; only its output is lost."
        say_error("file", f"The output could not be written: {failure.strerror}.", done, as_json=False)
        return code or 1
    return code


def _run(arguments: Sequence[str]) -> int:
    as_json, debug = "--json" in arguments, "--debug" in arguments
    try:
        # A hyphen alone means standard input; the parser would take it for an option.
        reads = list(arguments[:1]) == ["predict"]
        words = ["./-" if reads and word == "-" else word for word in arguments]
        words = predict.as_typed_before(words) if reads else words
        command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        return command(*bound.args, **bound.kwargs) or 0
    except cyclopts.CycloptsError as error:
        say_error("usage", *usage_in_words(error, arguments, app), as_json)
        return 2
    except SevenstepsError as error:
        if debug:
            raise
        say_error(error.code, error.message, with_names(error.hint, bound.arguments), as_json)
        return 2 if isinstance(error, (UsageError, RecipeError)) else 1
    except OSError as error:  # a path that is too long
        if debug:
            raise
        say_error(
            "file",
            f"The operating system reported an error: {error}",
            "Check the disk and the paths, and try again.",
            as_json,
        )
        return 1
    except Exception as error:
        if debug:
            raise
        message = f"Internal error: {type(error).__name__}: {error}"
        say_error("bug", message, "Run it again with --debug and report what it shows.", as_json)
        return 1
