"""`sevensteps prepare`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..errors import SevenstepsError, UsageError
from .flags import AS_THEY_ARE, PATHS, Common, Files, given
from .hints import as_flag, program, quoted
from .printed_json import print_json


def prepare(
    source: Annotated[str, Parameter(help=f"pullover-dress, fashion-mnist, or {PATHS}.")],
    out: str | None = None,
    *,
    classes: Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None))] = (),
    hold_out: float = 0.1,
    seed: int = 0,
    fix: Annotated[str, Parameter(show=False)] = "",
    files: Files = AS_THEY_ARE,
    common: Common = Common(),
) -> int:
    """Write pictures to one file (a store), to train on more than fits into memory.

    If interrupted, it continues where it stopped. `train`, `data` and `verify` read a store like any other source.

    Parameters
    ----------
    out
        The file or address (s3://BUCKET/NAME.store) to write. Default: NAME.store in the current folder.
    classes
        Use only these classes, labeled in this order.
    hold_out
        Share to hold out for validation if the source has no validation pictures.
    seed
        Seed for the order of the pictures and for what is held out.
    """
    from ..data.store.store import in_words
    from ..jobs.prepare import prepare as prepare_job
    from ..show import terminal

    if fix:
        raise UsageError(
            "prepare does not take --fix: a store would not show which labels were corrected; a run does.",
            hint=f"Train on the pictures as they are: {program()} train {quoted(source)} --fix {quoted(fix)}",
        )

    if (out or "").lower().startswith("memory://"):
        raise UsageError(
            f"{out} is in this command's memory, which ends with it.",
            hint="Write to s3://bucket/name.store, or to a file.",
        )

    console, error = terminal.consoles(quiet_stdout=common.json)
    with terminal.working(error) as observe:
        try:
            made = prepare_job(
                source,
                out,
                classes=classes,
                hold_out=hold_out,
                seed=seed,
                observe=observe,
                **given(files),
            )
        except SevenstepsError as failure:
            if failure.settings:
                failure.hint = failure.hint_with(as_flag)
            raise
        except KeyboardInterrupt:
            error.print("The finished part is kept: run the same command again to continue.")
            raise
    if common.json:
        print_json(made.as_json())
        return 0
    purposes = {"train": "to train on", "valid": "held out for validation", "test": "to test on"}
    counts = ", ".join(f"{count:,} {purposes[split]}" for split, count in made.counts.items())
    console.print(terminal.printable(f"{made.store}: {in_words(made.bytes)}; {counts}"))
    terminal.print_next(console, None, [f"{program()} train {quoted(made.store)}"])
    return 0
