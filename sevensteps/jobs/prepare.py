"""`prepare`: write a source into a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..data.files.how import AS_USUAL, How
from ..errors import UsageError
from ..records.events import Note, Portion
from ..records.report import Prepared


def prepare(
    source: str | Path,
    out: str | Path | None = None,
    *,
    classes: Sequence[str] = (),
    hold_out: float = 0.1,
    seed: int = 0,
    how: How = AS_USUAL,
    observe: Callable[[Any], None] = lambda event: None,
) -> Prepared:
    """Write the pictures of a source into a store, which is trained on without being in memory.

    It is `NAME.store` in this folder unless given.

    Raises:
        DataError: no such source, or pictures that cannot be used.
        FileError: the store is there, the disk has not enough room, or cannot be written.
    """
    from ..data.sources.load import load_streams
    from ..data.store.prepare import prepare as write

    if not 0 <= hold_out <= 0.9:
        raise UsageError(f"hold_out is {hold_out!r}, and must be 0 to 0.9.", hint="--hold-out 0.1")

    def say(line: str) -> None:
        observe(Note(line))

    target = Path(out) if out else Path(f"{Path(source).absolute().name.removesuffix('.gz')}.store")
    header = write(
        load_streams(source, say, classes=classes, how=how, hold_out=hold_out > 0),
        target,
        classes=tuple(classes),
        hold_out=hold_out,
        seed=seed,
        say=say,
        progress=lambda done, total: observe(Portion(done, total)),
    )
    counts = {name: header.splits[name].count for name in ("train", "valid", "test") if name in header.splits}
    return Prepared(str(target), header.places().size, counts)
