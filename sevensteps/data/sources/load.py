"""`load`: pictures by the name of a source, or from a path. `load_streams`: the same, going by.

A new source is one file beside this one and one line in `SOURCES`.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base import memory
from ...base.user_folders import cache_folder
from ...errors import DataError, UsageError
from ..files import load as load_
from ..files.catalog import Catalog, is_picture
from ..files.how import AS_USUAL, BadFiles, How
from ..fit import Fit
from ..images import Splits

if TYPE_CHECKING:
    from ..store.streams import Streams


def _embedded(say: Callable[[str], None]) -> Splits:
    from .pullover_dress import load_pullover_dress

    return load_pullover_dress()


def _fashion(say: Callable[[str], None]) -> Splits:
    from .fashion import load_fashion

    return load_fashion(say)


SOURCES: dict[str, Callable[[Callable[[str], None]], Splits]] = {
    "pullover-dress": _embedded,
    "fashion-mnist": _fashion,
}


def load(
    source: Any = "pullover-dress",
    classes: Sequence[str] | None = None,
    *,
    size: int = How.size,
    fit: Fit = How.fit,
    bad_files: BadFiles = How.bad_files,
    group: str = How.group,
    file_column: str = How.file_column,
    label_column: str = How.label_column,
    fix: str | Path = "",
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Splits:
    """The splits of a source: "pullover-dress", "fashion-mnist", the path of pictures, a pandas table or a dataset.

    A path is that of class folders, of a zip or tar of them, of a table that names files and classes (CSV, TSV, JSON
    lines, Parquet) or a folder with one, of Parquet with the pictures in it, of arrays (`.npz`, `.npy`), IDX files or a
    store. A dataset is anything with a length whose items are a picture and its label.

    Picture files are made `size` pixels a side (0: their own size where it is one of at most 64, else 64); see `decode`
    for `fit`. A file among them that is no picture stops it, unless `bad_files` is "skip". Pictures in whose paths the
    regular expression `group` finds the same, or of which the column `group` of a table says the same, stay on one
    side of every split. `file_column` and `label_column` say what a table's columns hold, where it cannot be told.
    Files that took long to decode are kept decoded in the cache, and decoded again where their size or times have
    changed; with `fresh`, all of them.
    IDX files that do not fit into memory are prepared into a store first, which is kept in the cache. `classes` picks
    classes by name, and the order given is the label. `fix` is a corrections file (see `corrections`), which is applied
    before classes are picked. `say` gets a line about anything slow, and about a folder.

    >>> load("pullover-dress").train
    Images(train: 12,000 pictures of 28x28x1: 6,000 Pullover, 6,000 Dress)

    Raises:
        UsageError: a source that is none of these, or classes that are no list.
        DataError: no such source, path or class, no pictures, or a single class; or corrections that do not go with it.
        DownloadError: a source that is not on this machine and could not be fetched.
    """
    how = How(size=size, fit=fit, bad_files=bad_files, group=group, file_column=file_column, label_column=label_column)
    return load_as(source, classes, how, fix=fix, fresh=fresh, say=say)


def load_as(
    source: Any,
    classes: Sequence[str] | None,
    how: How,
    *,
    fix: str | Path = "",
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Splits:
    """Return the splits of a source whose picture files are read as `how` says; everything else is as in `load`.

    Raises:
        UsageError, DataError, DownloadError: As `load`.
    """
    _refuse_if_none(source, classes)
    corrections = None
    if fix:
        from ..corrections import corrected, corrected_files, read

        corrections = read(fix)  # before any picture is
    wanted = tuple(classes or ())
    if (catalog := find_catalog(source, how)) is not None:
        made = None
        if corrections is not None:
            catalog, made = corrected_files(catalog, corrections, wanted)
        splits = load_.load_files(catalog, wanted, how, say, fresh=fresh)
        splits = dataclasses.replace(splits, corrected=made)
    elif not isinstance(source, (str, Path)):
        from .datasets import load_dataset

        splits = load_dataset(source, how, say)
    else:
        _refuse_unused(source, how)
        named = SOURCES.get(str(source))
        # What is of another class now may be corrected to one of those that are wanted.
        splits = named(say) if named else _from_path(Path(source), () if fix else wanted, say)
    if corrections is not None and splits.corrected is None:
        splits = corrected(splits, corrections, wanted)
    if splits.corrected is not None:
        say(f"corrected by {fix}: {splits.corrected.in_words}")
    if classes:
        splits = splits.choose(classes)
    present = [name for name, count in splits.train.counts.items() if count]
    if len(present) < 2:
        what = f"only pictures of {present[0]!r}" if present else "no pictures at all"
        raise DataError(
            f"{source}: the training split has {what}.", hint="A classifier needs pictures of two classes or more."
        )
    elsewhere = [images for images in (splits.test, splits.valid) if images is not None]
    untaught = [
        name for name in splits.classes if name not in present and any(images.counts[name] for images in elsewhere)
    ]
    if untaught:
        raise DataError(
            f"{source}: there are pictures of {', '.join(untaught)} to test with, and none to train on.",
            hint=f"Choose the classes that there are: {', '.join(present)}.",
        )
    return splits


def with_bad_skipped(source: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same settings, and bad files skipped unless they say otherwise, where the source is picture files.

    Whoever only looks at pictures is to see the rest of them, too.

    Args:
        source: As for `load`.
        settings: Settings by name that were given.
    """
    is_files = isinstance(source, (str, Path)) and str(source) not in SOURCES and holds_files(Path(source))
    return {"bad_files": "skip", **settings} if is_files else dict(settings)


def find_catalog(source: Any, how: How = AS_USUAL) -> Catalog | None:
    """The picture files of a source that consists of some; None for all other sources.

    A folder of class folders is one before tables in it are looked at; of tables and Parquet files beside class folders
    nothing is read.

    Raises:
        UsageError: a source of another kind, or a group that is no regular expression.
        DataError: no such source, no picture files with classes, or what there is can be meant in two ways.
    """
    from ..files import archive, class_folders, table

    _refuse_if_none(source, None)
    if is_frame(source):
        return table.scan_frame(source, how)
    if not isinstance(source, (str, Path)):
        return None
    path = Path(source)
    if str(source) in SOURCES or not holds_files(path):
        return None
    if archive.is_archive(path.name):
        return archive.scan_archive(path, how)
    if path.is_file():
        from ..files.parquet import holds_pictures, scan_parquet

        return scan_parquet(path, how) if holds_pictures(path) else table.scan_table(path, how)
    found, refusal = None, None
    try:
        found = class_folders.scan(path, how)
    except DataError as error:
        refusal = error
    if found is None or len(found.classes) < 2:
        found = _from_tables(path, how) or found
    if found is None and refusal is not None:
        raise refusal
    return found


def _from_tables(folder: Path, how: How) -> Catalog | None:
    """What the tables in a folder, or in folders in it, name or hold; None where there are none."""
    from ..files import table

    if any(folder.glob("*.parquet")) or any(folder.glob("*/*.parquet")):
        from ..files.parquet import holds_pictures, scan_parquet

        if all(holds_pictures(part) for part in folder.rglob("*.parquet")):
            return scan_parquet(folder, how)
    return table.scan_folder_of_tables(folder, how)


def is_frame(source: Any) -> bool:
    """Whether a source is a pandas table."""
    return hasattr(source, "itertuples") and hasattr(source, "columns")


def holds_files(path: Path) -> bool:
    """Whether a path is a source of picture files, from its name and what lies directly in it."""
    from ..files.archive import is_archive
    from ..files.table import is_table

    try:
        if path.is_file():
            return is_archive(path.name) or is_table(path.name)
        return path.is_dir() and not any(_OTHER_FILES.search(name) for name in os.listdir(path))
    except OSError:
        return True  # and then it is said why it cannot be read


_OTHER_FILES = re.compile(r"-idx\d-ubyte(\.gz)?\Z|\.npy\Z")  # what makes a folder another source


def load_streams(
    source: str | Path,
    say: Callable[[str], None] = lambda line: None,
    *,
    classes: Sequence[str] = (),
    how: How = AS_USUAL,
    hold_out: bool = True,
) -> Streams:
    """The streams of a source: what `prepare` makes a store of. Those of picture files are of the chosen classes alone.

    With `hold_out` pictures for validation are to be held out where the source has none: see `stream_files`.

    Raises:
        UsageError, DataError, DownloadError: as `load`; or the source is a store already.
    """
    from ..store import streams
    from ..store.store import is_store
    from . import idx
    from .arrays import holds_arrays, load_arrays

    if (catalog := find_catalog(source, how)) is not None:
        return load_.stream_files(catalog, tuple(classes), how, say, hold_out=hold_out)
    _refuse_unused(source, how)
    if str(source) in SOURCES:
        return streams.of_splits(SOURCES[str(source)](say))
    if holds_arrays(Path(source)):
        return streams.of_splits(load_arrays(Path(source), say))
    if is_store(Path(source)):
        raise DataError(f"{source} is a store already.", hint=f"Train on it: sevensteps train {source}")
    return idx.of_idx(Path(source))


def _from_path(path: Path, classes: tuple[str, ...], say: Callable[[str], None]) -> Splits:
    """The splits at a path.

    Raises:
        DataError: pictures that cannot be used.
    """
    from ..store.store import is_store, open_store
    from .arrays import holds_arrays, load_arrays
    from .idx import find_pictures, load_idx, read_picture_shape

    if is_store(path):
        return open_store(path, say)
    if holds_arrays(path):
        return load_arrays(path, say)
    size = sum(math.prod(read_picture_shape(file)) for file in find_pictures(path).values())
    # Choosing classes and holding pictures out copy them, so twice as much is needed for a moment.
    if 2 * size > (free := memory.available()):
        return open_store(_prepared_in_cache(path, classes, size, free, say), say)
    return load_idx(path)


def _prepared_in_cache(path: Path, classes: tuple[str, ...], size: int, free: int, say: Callable[[str], None]) -> Path:
    """The store of these files in the cache; made where it is not there, with what a recipe holds out by default.

    Raises:
        DataError, FileError: see `prepare`.
    """
    import hashlib

    from ..store.prepare import prepare
    from ..store.store import in_words
    from .idx import of_idx

    streams = of_idx(path)
    key = hashlib.sha256(repr((streams.files, classes)).encode()).hexdigest()[:16]
    target = cache_folder() / "stores" / f"{path.name}-{key}.store"
    if target.exists():
        return target
    say(
        f"{path} has {in_words(size)} of pictures, and {in_words(free)} of memory are free: they are prepared once "
        f"into {target}, with 10 % of the training pictures held out for validation."
    )
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if done * 10 // total > told:
            told = done * 10 // total
            say(f"  {10 * told} % of it is done")

    prepare(streams, target, classes=classes, say=say, progress=tell)
    return target


def _refuse_unused(source: str | Path, how: How) -> None:
    """Raise for a setting that would do nothing.

    Raises:
        UsageError: naming it.
    """
    for key in how.changed():
        raise UsageError(f"{key} is for picture files, and {source} holds none.", hint=f"Leave {key} out.")


def _refuse_if_none(source: Any, classes: Sequence[str] | None) -> None:
    """Raise if nothing can be meant by a source, or by classes.

    Raises:
        UsageError: a source that is none of these, or classes that are no list.
        DataError: no such source or path, or a single picture.
    """
    if not isinstance(source, (str, Path)):
        from .datasets import is_dataset

        if not is_frame(source) and not is_dataset(source):
            raise UsageError(
                f"The source is {source!r:.80}, and must be a name, a path, a table or a dataset.",
                hint='ss.load("pullover-dress")',
            )
    if isinstance(classes, str):
        raise UsageError(f"classes is {classes!r}, and must be a list of names.", hint='classes=["Pullover", "Dress"]')
    if not isinstance(source, (str, Path)) or str(source) in SOURCES:
        return
    if is_picture(str(source)) and Path(source).is_file():
        raise DataError(
            f"{source} is one picture, and a source is many, with labels.",
            hint=f"To classify it: sevensteps predict RUN {source}",
        )
    if not Path(source).exists():
        from .did_you_mean import what_is_there

        raise DataError(f"There is no source or path {str(source)!r}.", hint=what_is_there(Path(source), SOURCES))
