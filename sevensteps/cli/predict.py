"""`sevensteps predict`."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..base.own_code import is_own
from ..errors import UsageError
from .flags import FIRST, OUTPUT, Common, Own
from .printed_json import print_json

STDIN = Path("-")


def predict(
    run: Path,
    files: Annotated[tuple[Path, ...], Parameter(required=True)],
    *,
    explain: Annotated[Path | None, Parameter(group=FIRST)] = None,
    model: Annotated[Own, Parameter(group=FIRST)] = None,
    features: Annotated[str, Parameter(group=FIRST)] = "",
    jsonl: Annotated[bool, Parameter(group=OUTPUT)] = False,
    common: Common = Common(),
) -> int:
    """Classify picture files; say "not sure" or "none of these" when the model should not answer.

    Parameters
    ----------
    run
        A run's folder, its name under runs/, or a model.safetensors.
    files
        Picture files, folders of these, or - for a picture from standard input. They are resized to the size that the
        model was trained on.
    explain
        Save pictures that show which pixels led to each answer in this folder.
    features
        timm:NAME or timm:NAME@FILE.safetensors, for a model of such features whose network is not on this machine yet.
    jsonl
        Print one JSON object per line, as soon as each file is done.
    """
    from ..jobs.predict import Answers, stream
    from ..show import terminal
    from ..show.terminal_patches import print_drops

    console, error = terminal.consoles(quiet_stdout=common.json or jsonl)
    answers = []
    for answer in stream(run, [_given(file) for file in files], explain, model, features):
        answers.append(answer)
        if jsonl:
            print_json(answer.as_json())
        elif answer.error is not None:
            error.print(terminal.printable(f"{answer.error} {answer.hint}".rstrip()))
        elif not common.json:
            why = f"; why: {answer.explanation}" if answer.explanation else ""
            hint = f". {answer.hint}" if answer.hint else ""
            console.print(terminal.printable(f"{answer.file}: {answer.in_words}{why}{hint}"))
            if answer.covered is not None:
                print_drops(console, answer.covered.name, answer.covered.drops)
    done = Answers(tuple(answers))
    if done.caution and not (common.json or jsonl):
        error.print(done.caution)
    if common.json:
        print_json(done.as_json())
    return 1 if done.failed else 0


def as_typed_before(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with --run in place of --model where a run follows: it was once named so.

    Args:
        words: As they were typed.
    """
    following = [*words[1:], ""]
    return [
        "--run" if word == "--model" and not is_own(value) else word
        for word, value in zip(words, following, strict=True)
    ]


def _given(file: Path) -> Any:
    """Return what was typed as a picture: the path, or for - the picture that comes from standard input.

    Raises:
        UsageError: Nothing comes from there, since it is the keyboard.
    """
    if file != STDIN:
        return file
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "- reads a picture from standard input, and there is none.", hint="sevensteps predict RUN - < cat.jpg"
        )
    from ..data.file_bytes import content_in

    picture = io.BytesIO(content_in(sys.stdin.buffer, "standard input"))
    picture.name = str(STDIN)
    return picture
