"""The command line: parses, calls `jobs`, prints. Results to stdout, progress and warnings to stderr.

Exit codes: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted (143 by SIGTERM).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import cyclopts
from cyclopts import App, Parameter

from ..base.version import __version__
from ..errors import RecipeError, SevenstepsError, UsageError
from . import compare, data, doctor, judge, predict, prepare, report, runs, train, verify, xray
from .errors import give_up_stdout, say_error
from .usage import usage_in_words, with_names

app = App(
    name="sevensteps",
    help="Train an image classifier in seven steps you can see, trust the result, and ship the model.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
)


for verb in (
    train.train, train.resume, runs.runs, xray.xray, judge.judge, compare.compare, doctor.doctor, report.report,
    verify.verify, data.data, prepare.prepare, predict.predict,
):  # fmt: skip
    app.command(verb)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and give its exit code; errors are said in words. An interrupt is the caller's to say."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks is no reason to fail: Windows' pipes know few letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except OSError:  # the reader has gone, or the disk behind it is full
        give_up_stdout()
        code = code or 1
    return code


def _run(arguments: Sequence[str]) -> int:
    as_json, debug = "--json" in arguments, "--debug" in arguments
    try:
        command, bound, _ = app.parse_args(list(arguments), exit_on_error=False, print_error=False)
        return command(*bound.args, **bound.kwargs) or 0
    except cyclopts.CycloptsError as error:
        say_error("usage", *usage_in_words(error, arguments, app), as_json)
        return 2
    except SevenstepsError as error:
        if debug:
            raise
        say_error(error.code, error.message, with_names(error.hint, bound.arguments), as_json)
        return 2 if isinstance(error, (UsageError, RecipeError)) else 1
    except BrokenPipeError:
        give_up_stdout()
        return 1
    except OSError as error:  # stdout on a full disk, a path that is too long
        if debug:
            raise
        say_error("file", f"The system refused: {error}", "Check the disk and the paths, and try again.", as_json)
        return 1
    except Exception as error:
        if debug:
            raise
        message = f"Something went wrong that should not have: {type(error).__name__}: {error}"
        say_error("bug", message, "Run it again with --debug and report what it shows.", as_json)
        return 1
