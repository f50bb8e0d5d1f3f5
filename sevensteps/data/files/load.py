"""Picture files as a source: every picture of a catalog is decoded into memory."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ...base import memory
from ...base.words import text_of
from ...errors import DataError
from ..decode import Shape
from ..images import Images, Splits
from ..store.streams import Chunk
from .catalog import Catalog, Say
from .decoded_cache import find_kept, keep
from .how import How
from .plan import classes_with_pictures, decode_all, group_numbers, ids_of, labels_of, plan_for

WORTH_KEEPING = 0.5  # seconds of decoding from which the pixels are kept in the cache


def load_files(
    catalog: Catalog, classes: Sequence[str], how: How, say: Say, *, fresh: bool = False, warn: Say | None = None
) -> Splits:
    """Decode the pictures of a catalog into memory.

    Pictures that take long to decode are kept in the cache, and are not decoded again until their files change.

    Args:
        catalog: The source.
        classes: Only these classes; empty: all.
        how: How to read the picture files.
        say: Takes the lines that describe the source, and the progress.
        fresh: Decode every file again.
        warn: Takes lines that the user must not miss; `say` takes them unless it is given.

    Returns:
        The splits; files that were left out are in `Splits.bad_files`.

    Raises:
        DataError: There are bad files that are not to be skipped, too little memory, or the source does not have one of
            the classes.
    """
    plan = plan_for(catalog, tuple(classes), how, None if fresh else find_kept(catalog, how))
    picture = int(np.prod(plan.shape))
    needed, free = sum(map(len, plan.files.values())) * picture, memory.available()
    if 2 * needed > free:  # choosing classes and holding out copy them
        from ..store.store import in_words

        raise DataError(
            f"{catalog.path}: its pictures need {in_words(needed)} as {_in_words(plan.shape)}, but only half of the "
            f"{in_words(free)} of free memory can be used.",
            hint=f"Write them into one file and train from the disk: sevensteps prepare {catalog.path}",
        )
    mapped = {split: plan.mapped(split) for split in plan.files}
    pixels = {
        split: np.empty((len(files), *plan.shape), dtype=np.uint8) if mapped[split] is None else mapped[split]
        for split, files in plan.files.items()
    }
    filled = dict.fromkeys(pixels, 0)

    def put(split: str, chunk: Chunk) -> None:
        if mapped[split] is None:
            pixels[split][filled[split] : filled[split] + len(chunk)] = chunk
        filled[split] += len(chunk)

    began = time.monotonic()
    done = decode_all(plan, say, put, warn)
    if done.again and not classes and time.monotonic() - began >= WORTH_KEEPING:
        decoded = [
            (files, plan.stamps[split][done.places[split]], done.headers[split], pixels[split][: filled[split]])
            for split, files in done.files.items()
        ]
        if size := keep(catalog, how, plan.shape, decoded, plan.values):
            from ..store.store import in_words

            say(f"{text_of(catalog.name)}: {in_words(size)} of decoded pictures kept in the cache for the next start")
    names = classes_with_pictures(plan, done.files, say)
    numbers = group_numbers(done.files)
    images = {
        split: Images(
            pixels[split][: filled[split]],
            labels_of(files, names),
            names,
            split,
            names=ids_of(catalog, files),
            groups=numbers.get(split),
            fit=how.fit,
            range=plan.range,
        )
        for split, files in done.files.items()
        if files or split == "train"
    }
    name = catalog.name
    return Splits(images["train"], images.get("test"), images.get("valid"), name, bad_files=tuple(sorted(done.bad)))


def _in_words(shape: Shape) -> str:
    """Return a shape in words: "28x28 gray pictures"."""
    return f"{shape[2]}x{shape[1]} {'gray' if shape[0] == 1 else 'color'} pictures"
