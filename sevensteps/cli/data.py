"""`sevensteps data`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..base.words import counted, pictures
from ..errors import UsageError
from .flags import AS_THEY_ARE, Common, Files, Source, given
from .hints import program, quoted, said_as_typed, typed


def data(
    source: Source = None,
    *,
    classes: Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None))] = (),
    fix: str = "",
    suggest: Path | None = None,
    fresh: bool = False,
    show_augmented: Path | None = None,
    augment: str | None = None,
    files: Files = AS_THEY_ARE,
    common: Common = Common(),
) -> int:
    """Show what a source holds: counts, sizes, bad files, copies within and across splits, and labels that look wrong.

    Parameters
    ----------
    classes
        Only these classes.
    fix
        A corrections file (CSV: picture,now,was,why): show the pictures as they are with it. No picture is changed.
    suggest
        A file to write corrections into that what was found proposes: to be looked through, then used with --fix.
    fresh
        Decode every file again, also those whose size and times are what they were.
    show_augmented
        Save a figure of a few pictures as training sees them in this PNG file, and do nothing else.
    augment
        What varies them there, as `train --augment` takes it; auto unless given.
    """
    from ..data.files.summary import with_splits
    from ..jobs.data import audit
    from ..show import terminal
    from ..show.terminal_audit import print_audit

    console, error = terminal.consoles(quiet_stdout=common.json)
    settings = given(files)

    def observe(note: Any) -> None:
        error.print(terminal.printable(getattr(note, "line", "")))

    if show_augmented is not None:
        from ..jobs.preview import show_augmented as shown

        if suggest is not None:
            raise UsageError("--show-augmented and --suggest are two things.", hint="Type one of them, then the other.")
        if fresh:
            raise UsageError("--fresh is of a whole look at the files, not of --show-augmented.", hint="Leave it out.")
        settings |= ({"classes": classes} if classes else {}) | ({"fix": fix} if fix else {})
        with said_as_typed("data", source, classes):
            made = shown(source or "pullover-dress", show_augmented, augment or "auto", observe, **settings)
        if common.json:
            print(json.dumps(dataclasses.asdict(made)))
            return 0
        count = len(made.pictures)
        said = f"{made.file}: {pictures(count)} as they are, and as the first {made.epochs} epochs of training see them"
        console.print(terminal.printable(f"{said}: {made.augment}"))
        return 0
    if augment is not None:
        raise UsageError("--augment is of what --show-augmented shows.", hint="Add --show-augmented FILE.png.")
    with said_as_typed("data", source, classes):
        audited = audit(
            source or "pullover-dress",
            classes,
            fix=fix,
            suggest=suggest,
            fresh=fresh,
            observe=observe,
            **settings,
        )
    if common.json:
        print(json.dumps(audited.as_json()))
        return 0
    splits, rows = audited.splits, audited.suggested or ()
    print_audit(console, splits.source, audited.result, lambda ids: with_splits(splits, ids))
    if suggest is not None:
        said = f"{suggest}: {counted(len(rows), 'correction')} proposed; look through them first"
        console.print(terminal.printable(said if rows else f"no correction is proposed, and {suggest} is not written"))
    if rows:
        source = source or "pullover-dress"
        # What data leaves out by itself stops train.
        skipped = {"bad_files": "skip"} if splits.bad_files else {}
        following = {"data": settings, "train": settings | skipped}
        with_it = f"--fix {quoted(str(suggest))}"
        typed_again = [f"{program()} {verb} {typed(source, classes, how)} {with_it}" for verb, how in following.items()]
        terminal.print_next(console, None, typed_again)
    return 0
