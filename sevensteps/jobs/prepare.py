"""`prepare`: write a source into a store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.addresses import is_address, without_secrets
from ..base.user_folders import cache_folder
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
        out: The file to write, or an address such as `s3://bucket/name.store`: then the store is written to the cache
            first, and copied when it is complete. `NAME.store` in this folder unless given.
        classes: Only these classes; the order given is the label.
        hold_out: The share of the training pictures that is held out for validation, 0 to 0.9.
        seed: What decides the order of the pictures, and which are held out.
        observe: Receives notes, and how far it is.
        settings: How to read picture files: the fields of `How`.

    Returns:
        The store's file, its size in bytes, and its number of pictures for each split.

    Raises:
        UsageError: `hold_out` is out of range, or no file can be written to the address.
        DataError: There is no such source, or its pictures cannot be used.
        FileError: The store exists already, the disk is full, or the file cannot be written.
    """
    from ..data.files.how import How
    from ..data.sources.load import load_streams
    from ..data.store.elsewhere import upload, writable
    from ..data.store.opening import header_of
    from ..data.store.prepare import prepare as write
    from ..data.store.store import in_words
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
    shown = without_secrets(out)
    link = writable(str(shown)) if is_address(shown) else None
    streams = load_streams(source, say, classes=classes, how=How(**settings), hold_out=hold_out > 0)
    if link is not None:
        # The same call finds the finished store of one whose copy failed.
        made_of = (shown, str(source), streams.files, streams.classes, tuple(classes), hold_out, seed)
        key = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
        target = cache_folder() / "stores" / "outgoing" / f"{key}.store"
    else:
        target = Path(out) if out else Path(f"{Path(source).absolute().name.removesuffix('.gz')}.store")
    if link is not None and target.exists():
        header = header_of(target)[0]
    else:
        header = write(
            streams,
            target,
            classes=tuple(classes),
            hold_out=hold_out,
            seed=seed,
            say=say,
            progress=lambda done, total: observe(Portion(done, total)),
        )
    if is_store_of_photos(target):
        say("A store has no features, which help with few photos. If they fit into memory, train on the folder.")
    if link is not None:
        say(f"Copying {in_words(header.places().size)} to {link.address}")
        upload(target, link)
    counts = {name: header.splits[name].count for name in ("train", "valid", "test") if name in header.splits}
    return Prepared(str(target) if link is None else link.address, header.places().size, counts)
