"""`sevensteps data`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..base.words import counted, pictures
from ..errors import UsageError
from .flags import AS_THEY_ARE, FIRST, PICTURES, Common, Files, Source, given
from .hints import program, quoted, said_as_typed, typed
from .printed_json import print_json


def data(
    source: Source = None,
    *,
    classes: Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None), group=FIRST)] = (),
    fix: Annotated[str, Parameter(group=FIRST)] = "",
    suggest: Annotated[Path | None, Parameter(group=FIRST)] = None,
    yes: Annotated[bool, Parameter(group=PICTURES)] = False,
    fresh: Annotated[bool, Parameter(group=PICTURES)] = False,
    show_augmented: Annotated[Path | None, Parameter(group=FIRST)] = None,
    augment: Annotated[str | None, Parameter(group=FIRST)] = None,
    list_: Annotated[bool, Parameter(name="--list", group=FIRST)] = False,
    files: Files = AS_THEY_ARE,
    common: Common = Common(),
) -> int:
    """Check pictures: counts, bad files, duplicates, outliers, and suspicious labels.

    Parameters
    ----------
    classes
        Use only these classes.
    fix
        A corrections file to apply first (CSV: picture,now,was,why). It changes no picture file.
        now: the corrected class (empty: leave the picture out); was: the current class.
    suggest
        Write proposed corrections into this file. Look through it, then use it with --fix.
    yes
        Apply corrections also if they change more than a fifth of the labels.
    fresh
        Decode every file again, even if it has not changed.
    show_augmented
        Save a few pictures, as training sees them, to this PNG file, and do nothing else.
    augment
        How to vary those pictures; takes the same values as train --augment. Default: auto.
    list_
        List the sets of pictures that have a name, and their classes, and do nothing else.
    """
    if list_:
        if source is not None:
            raise UsageError(f"--list takes no source, but {source!r} is given.", hint=f"{program()} data --list")
        _print_sets(as_json=common.json)
        return 0
    from ..data.files.how import How
    from ..data.files.summary import with_splits
    from ..jobs.data import audit
    from ..show import terminal
    from ..show.terminal_audit import print_audit, print_changes

    console, error = terminal.consoles(quiet_stdout=common.json)
    settings = given(files)

    def observe(note: Any) -> None:
        error.print(terminal.printable(getattr(note, "line", "")))

    if show_augmented is not None:
        from ..jobs.preview import show_augmented as shown

        if suggest is not None:
            raise UsageError(
                "--show-augmented and --suggest cannot be combined.", hint="Run the command once with each of them."
            )
        if fresh:
            raise UsageError("--fresh has no effect with --show-augmented.", hint="Leave it out.")
        settings |= ({"classes": classes} if classes else {}) | ({"fix": fix} if fix else {})
        with said_as_typed("data", source, classes):
            made = shown(source or "pullover-dress", show_augmented, augment or "auto", observe, **settings)
        if common.json:
            print_json(dataclasses.asdict(made))
            return 0
        count = len(made.pictures)
        said = f"{made.file}: {pictures(count)} as they are, and as the first {made.epochs} epochs of training see them"
        console.print(terminal.printable(f"{said}: {made.augment}"))
        return 0
    if augment is not None:
        raise UsageError("--augment has no effect without --show-augmented.", hint="Add --show-augmented FILE.png.")
    with said_as_typed("data", source, classes):
        audited = audit(
            source or "pullover-dress",
            classes,
            fix=fix,
            suggest=suggest,
            yes=yes,
            fresh=fresh,
            observe=observe,
            **settings,
        )
    if common.json:
        print_json(audited.as_json())
        return 0
    splits, rows = audited.splits, audited.suggested or ()
    changed = settings | ({"fix": fix} if fix else {})
    look = f"{program()} data {typed(source or 'pullover-dress', classes, changed)} --suggest fix.csv"
    if splits.corrected:
        print_changes(console, splits.corrected)
    print_audit(console, splits.source, audited.result, lambda ids: with_splits(splits, ids), look)
    count = sum(map(len, splits.present().values()))
    if suggest is not None:
        said = f"{suggest}: {counted(len(rows), 'correction')} proposed; look through them first"
        console.print(terminal.printable(said if rows else f"no correction is proposed, and {suggest} is not written"))
        relabeled = sum(row.now != "" for row in rows)
        from ..data.corrections import MANY

        if relabeled > MANY * count:
            many = f"they change {relabeled:,} of {count:,} labels, so --fix asks for --yes: most of them may be right"
            console.print(terminal.printable(many))
    if source is None and not rows:
        terminal.print_next(console, None, [f"{program()} data --list  # the other sets of pictures that have a name"])
    if rows:
        source = source or "pullover-dress"
        bad = len(splits.bad_files)
        skipped = {} if How().leaves_out(bad, bad + count) else {"bad_files": "skip"}  # data leaves out any number
        following = {"data": settings, "train": settings | skipped}
        with_it = f"--fix {quoted(str(suggest))}"
        typed_again = [f"{program()} {verb} {typed(source, classes, how)} {with_it}" for verb, how in following.items()]
        terminal.print_next(console, None, typed_again)
    return 0


def _print_sets(*, as_json: bool) -> None:
    """Print the sources with a name: how many pictures they have, and of which classes."""
    from ..data.sources.fashion_facts import SETS
    from ..show import terminal

    if as_json:
        print_json({"sources": [known.as_json(name) for name, known in SETS.items()]})
        return
    console, _ = terminal.consoles()
    for name, known in SETS.items():
        count = len(known.classes)
        console.print(
            terminal.printable(
                f"{name}: {known.train * count:,} pictures to train on, {known.test * count:,} to test with"
            )
        )
        where = "comes with the program" if known.is_embedded else "is downloaded once, 30 MB"
        terminal.paragraph(console, "", f"{where}; classes: {', '.join(map(quoted, known.classes))}")
    terminal.print_next(console, None, [f"{program()} train fashion-mini --classes Sneaker {quoted('Ankle boot')}"])
