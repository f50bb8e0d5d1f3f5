"""`sevensteps predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..base.own_code import is_own
from ..errors import FileError, UsageError
from .flags import FIRST, OUTPUT, Common, Own
from .output import failure_of
from .printed_csv import Rows
from .printed_json import print_json
from .stdin import STDIN, from_stdin

if TYPE_CHECKING:
    from ..ship.answer import Answer


def _folder(kind: Any, tokens: Sequence[Any]) -> Path:
    """Return a folder as typed; an empty one, as of a shell's variable that is not set, would be the current folder."""
    if not tokens[0].value:
        raise ValueError("it is empty. Name a folder.")  # the parser says of which flag
    return Path(tokens[0].value)


def _files(kind: Any, tokens: Sequence[Any]) -> tuple[Path, ...]:
    """Return files as typed; an empty one would be all pictures in the current folder."""
    if not all(token.value for token in tokens):
        raise ValueError("The name of a file is empty. Name a picture file or a folder.")
    return tuple(Path(token.value) for token in tokens)


def predict(
    run: Path,
    files: Annotated[tuple[Path, ...], Parameter(required=True, json_list=False, converter=_files)],
    *,
    explain: Annotated[Path | None, Parameter(group=FIRST, converter=_folder)] = None,
    model: Annotated[Own, Parameter(group=FIRST)] = None,
    features: Annotated[str, Parameter(group=FIRST)] = "",
    sort_into: Annotated[Path | None, Parameter(group=FIRST, converter=_folder)] = None,
    invert: Annotated[Literal["auto"] | None, Parameter(group=FIRST)] = None,
    jsonl: Annotated[bool, Parameter(group=OUTPUT)] = False,
    csv: Annotated[bool, Parameter(group=OUTPUT)] = False,
    common: Common = Common(),
) -> int:
    """Classify picture files; say "not sure" or "none of these" when the model should not answer.

    Parameters
    ----------
    run
        A run's folder, its name under runs/, a model.safetensors, or a model.onnx.
    files
        Picture files, folders, patterns ('photos/**/*.png'), or - for standard input: a picture, or one path per line.
        Pictures are resized to the size that the model was trained on.
    explain
        Save pictures that show which pixels led to each answer in this folder.
    features
        timm:NAME or timm:NAME@FILE.safetensors, for a model of such features whose network is not on this machine yet.
    sort_into
        Copy each picture into this folder, into a folder named after its class, "not sure" or "none of these".
    invert
        auto: exchange dark and light of a picture that would be refused, and is not refused then, such as a drawing on
        white paper.
    jsonl
        Print one JSON object per line, as soon as each file is done.
    csv
        Print a table: file, class, probability, reason, distance, error, then the probability of each class. With a
        reason not to answer, the class is the nearest one.
    """
    from ..jobs.predict import Answers, caution_of, count_of, stream
    from ..jobs.sort import refuse_no_folder
    from ..jobs.sort import sort_into as sorted_into
    from ..show import terminal
    from ..show.countdown import Countdown
    from ..show.terminal_patches import print_drops

    if csv and (common.json or jsonl):
        raise UsageError("--csv cannot be combined with --json or --jsonl.", hint="Choose one of them.")
    if sort_into is not None:
        refuse_no_folder(sort_into, [path for path in files if path != STDIN])
    given = from_stdin() if STDIN in files else None
    if sort_into is not None and hasattr(given, "read"):
        raise UsageError("--sort-into cannot copy standard input.", hint="Save the picture as a file, and name that.")
    console, error = terminal.consoles(quiet_stdout=common.json or jsonl or csv)
    rows = Rows() if csv else None
    # Millions of files need no more memory than a few, unless all answers are one JSON object.
    answers, failed = list["Answer"](), 0
    never: tuple[str, ...] = ()
    is_list = given is not None and not hasattr(given, "read")
    countdown = Countdown(error, count_of(files) if error.is_terminal and not is_list else None)
    name_classes = rows.name_classes if rows is not None else lambda classes: None
    pictures = _pictures(files, given, sort_into)
    how = "no" if invert is None else invert
    for answer in stream(run, pictures, explain, model, features, invert=how, name_classes=name_classes):
        countdown.hide()
        copy = None
        if sort_into is not None:
            try:
                copy = sorted_into(sort_into, answer)
            except FileError as failure:  # of one file: the others are sorted all the same
                failed += 1
                error.print(terminal.printable(f"{failure.message} {failure.hint}".rstrip()))
        failed, never = failed + (answer.error is not None), never or answer.never_says
        if common.json:
            answers.append(answer)
        if jsonl:
            print_json(answer.as_json())
        elif rows is not None:
            rows.add(answer)
        elif answer.error is not None:
            error.print(terminal.printable(f"{answer.error} {answer.hint}".rstrip()))
        elif not common.json:
            where = f" -> {copy}" if copy is not None else ""
            why = f"; why: {answer.explanation}" if answer.explanation else ""
            hint = f". {answer.hint}" if answer.hint else ""
            hint += " Type --invert auto." if answer.looks_inverted else ""
            console.print(terminal.printable(f"{answer.file}: {answer.in_words}{where}{why}{hint}"))
            if answer.covered is not None:
                print_drops(console, answer.covered.name, answer.covered.drops)
        countdown.advance()
        if explain is None and sort_into is None and isinstance(failure_of(sys.stdout), BrokenPipeError):
            countdown.hide()
            return int(failed > 0)  # nobody reads the answers any more, and they leave nothing else
    countdown.hide()
    if rows is not None:
        rows.end()
    if common.json:
        print_json(Answers(tuple(answers)).as_json())
    elif (caution := caution_of(never)) and not jsonl:
        error.print(caution)
    return 1 if failed else 0


def _pictures(files: Sequence[Path], given: Any, sort_into: Path | None) -> Iterator[Any]:
    """Yield what was typed, with what standard input gives in the place of the first -."""
    from ..jobs.sort import unless_around

    for file in files:
        if file != STDIN:
            yield file
        elif hasattr(given, "read"):
            yield given
        else:
            for path in given or ():
                yield path if sort_into is None or not isinstance(path, Path) else unless_around(sort_into, path)


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
