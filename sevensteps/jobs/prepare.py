"""`prepare`: write a source into a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..records.events import Note, Portion
from ..records.report import Prepared

if TYPE_CHECKING:
    from ..records.events import Observe


def prepare(
    source: str | Path,
    out: str | Path | None = None,
    *,
    classes: Sequence[str] = (),
    hold_out: float = 0.1,
    seed: int = 0,
    observe: Observe = lambda event: None,
    **settings: Any,
) -> Prepared:
    """Write the pictures of a source into a store: one file, which `train` reads without holding it in memory.

    Args:
        source: As for `load`.
        out: The file to write; `NAME.store` in this folder unless given.
        classes: Only these classes; the order given is the label.
        hold_out: The share of the training pictures that is held out for validation, 0 to 0.9.
        seed: What decides the order of the pictures, and which are held out.
        observe: Receives notes, and how far it is.
        settings: How to read picture files: the fields of `How`.

    Returns:
        The store's file, its size in bytes, and its number of pictures for each split.

    Raises:
        UsageError: `hold_out` is out of range.
        DataError: There is no such source, or its pictures cannot be used.
        FileError: The store exists already, the disk is full, or the file cannot be written.
    """
    from ..data.files.how import How
    from ..data.sources.load import load_streams
    from ..data.store.prepare import prepare as write
    from .features import is_store_of_photos

    if not 0 <= hold_out <= 0.9:
        raise UsageError(f"hold_out is {hold_out!r}, but must be 0 to 0.9.", hint="--hold-out 0.1")

    def say(line: str) -> None:
        observe(Note(line))

    if not isinstance(source, (str, Path)):
        raise UsageError(
            f"prepare takes the name or path of pictures, and not a {type(source).__name__}.",
            hint="Save the pictures as files, or train on them in memory: ss.load(source).",
        )
    target = Path(out) if out else Path(f"{Path(source).absolute().name.removesuffix('.gz')}.store")
    header = write(
        load_streams(source, say, classes=classes, how=How(**settings), hold_out=hold_out > 0),
        target,
        classes=tuple(classes),
        hold_out=hold_out,
        seed=seed,
        say=say,
        progress=lambda done, total: observe(Portion(done, total)),
    )
    if is_store_of_photos(target):
        say("A store has no features, which help with few photos. If they fit into memory, train on the folder.")
    counts = {name: header.splits[name].count for name in ("train", "valid", "test") if name in header.splits}
    return Prepared(str(target), header.places().size, counts)
