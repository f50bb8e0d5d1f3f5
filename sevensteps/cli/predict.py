"""`sevensteps predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .flags import FIRST, OUTPUT, Common


def predict(
    model: Path,
    files: Annotated[tuple[Path, ...], Parameter(required=True)],
    *,
    explain: Annotated[Path | None, Parameter(group=FIRST)] = None,
    jsonl: Annotated[bool, Parameter(group=OUTPUT)] = False,
    common: Common = Common(),
) -> int:
    """Classify picture files; say "not sure" or "none of these" where the model should not answer.

    Parameters
    ----------
    model
        A run's folder, its name under runs/, or a model.safetensors.
    files
        Picture files. They are resized to the size that the model learned.
    explain
        Save pictures that show which pixels led to each answer in this folder.
    jsonl
        Print one JSON object per line, as soon as each file is done.
    """
    from ..jobs.predict import Answers, stream
    from ..show import terminal

    console, error = terminal.consoles(quiet_stdout=common.json or jsonl)
    answers = []
    for answer in stream(model, files, explain):
        answers.append(answer)
        if jsonl:
            print(json.dumps(answer.as_json()), flush=True)
        elif answer.error is not None:
            error.print(terminal.printable(f"{answer.error} {answer.hint}".rstrip()))
        elif not common.json:
            why = f"; why: {answer.explanation}" if answer.explanation else ""
            console.print(terminal.printable(f"{answer.file}: {answer.in_words}{why}"))
    done = Answers(tuple(answers))
    if common.json:
        print(json.dumps(done.as_json()))
    return 1 if done.failed else 0
