"""Loading a source by its name or its path: into memory with `load`, picture by picture with `load_streams`.

A new source is one file in this folder and one line in `SOURCES`.
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
from ...errors import DataError, UsageError
from ..files.catalog import Catalog, Say, is_picture
from ..files.how import AS_USUAL, BadFiles, How
from ..files.load import load_files
from ..fit import Fit
from ..images import Splits
from ..value_range import Ends

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
    range: Ends = How.range,
    bad_files: BadFiles = How.bad_files,
    group: str = How.group,
    file_column: str = How.file_column,
    label_column: str = How.label_column,
    split_column: str = How.split_column,
    fix: str | Path = "",
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Splits:
    """Return the splits of a source: "pullover-dress", "fashion-mnist", the path of pictures, a table or a dataset.

    A path leads to class folders, a zip or tar of class folders, a table that names files and classes (CSV, TSV, JSON
    lines, Parquet) or a folder with one, Parquet files with the pictures in them, arrays (`.npz`, `.npy`), IDX files,
    or a store. IDX files that do not fit into memory are first prepared into a store in the cache.

    Args:
        source: A name, a path, a pandas data frame that names files and classes, or a dataset: anything with a length
            whose items are a picture and its label.
        classes: Only these classes, by name; their order gives the labels. All classes unless given.
        size: Side length, in pixels, that picture files are resized to. 0: their own size if they share one of at most
            64, else 64.
        fit: How picture files are fitted to that size, see `decode`.
        range: The values that become black and white in pictures of more than 8 bits, such as `(0, 4095)`. Found over
            all pictures unless given.
        bad_files: "stop" raises for a file that cannot be read as a picture, "skip" leaves it out.
        group: A regular expression for paths, or a column of a table. Pictures of one group stay on one side of every
            split.
        file_column: The column of a table that names the files, if it is not recognized.
        label_column: The column of a table that gives the classes, if it is not recognized.
        split_column: The column of a table that gives the split of each row, if it is not recognized.
        fix: A corrections file, applied before classes are chosen; see `corrections`.
        fresh: Decode every picture file again. Files that took long to decode are otherwise decoded again only if their
            size or times have changed.
        say: Takes a line about anything slow, and the lines that describe a folder.

    >>> load("pullover-dress").train
    Images(train: 12,000 pictures of 28x28x1: 6,000 Pullover, 6,000 Dress)

    Raises:
        UsageError: The source is none of these, or a setting has an invalid value.
        DataError: The source, the path or a class does not exist, the pictures cannot be used, there are fewer than two
            classes, or the corrections do not fit the source.
        DownloadError: The source is not on this machine and could not be downloaded.
    """
    how = How(
        size=size,
        fit=fit,
        range=range,
        bad_files=bad_files,
        group=group,
        file_column=file_column,
        label_column=label_column,
        split_column=split_column,
    )
    return load_as(source, classes, how, fix=fix, fresh=fresh, say=say)


def load_as(
    source: Any,
    classes: Sequence[str] | None,
    how: How,
    *,
    fix: str | Path = "",
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] | None = None,
) -> Splits:
    """Return the splits of a source, as `load` does, with the settings of picture files in one record.

    Args:
        source: As for `load`.
        classes: As for `load`.
        how: How to read picture files.
        fix: As for `load`.
        fresh: As for `load`.
        say: As for `load`.
        warn: Takes the lines that the user must not miss; `say` takes them unless it is given.

    Raises:
        UsageError, DataError, DownloadError: As `load`.
    """
    _refuse_if_none(source, classes)
    corrections = None
    if fix:
        from ..corrections import corrected, corrected_files, read

        corrections = read(fix)  # before any picture is read
    chosen = tuple(classes or ())
    if (catalog := find_catalog(source, how, chosen)) is not None:
        counts = None
        if corrections is not None:
            catalog, counts = corrected_files(catalog, corrections, chosen)
        splits = load_files(catalog, chosen, how, say, fresh=fresh, warn=warn)
        splits = dataclasses.replace(splits, corrected=counts)
    elif not isinstance(source, (str, Path)):
        from .datasets import load_dataset

        splits = load_dataset(source, how, say, warn)
    else:
        _refuse_unused(source, how)
        named = SOURCES.get(str(source))
        # Corrections may move pictures of other classes into the chosen ones, so those are needed, too.
        splits = named(say) if named else _from_path(Path(source), () if fix else chosen, how, say, warn)
    if corrections is not None and splits.corrected is None:
        splits = corrected(splits, corrections, chosen)
    if splits.corrected is not None:
        say(f"corrected by {fix}: {splits.corrected.in_words}")
    if classes:
        splits = splits.choose(classes)
    present = [name for name, count in splits.train.counts.items() if count]
    if len(present) < 2:
        content = f"only pictures of {present[0]!r}" if present else "no pictures at all"
        raise DataError(
            f"{source}: the training split has {content}.",
            hint="Add pictures: a classifier needs two classes or more.",
        )
    elsewhere = [images for images in (splits.test, splits.valid) if images is not None]
    untaught = [
        name for name in splits.classes if name not in present and any(images.counts[name] for images in elsewhere)
    ]
    if untaught:
        raise DataError(
            f"{source}: there are no training pictures of {', '.join(untaught)}, although other splits have some.",
            hint=f"Add some, or choose the classes that have training pictures: {', '.join(present)}.",
        )
    return splits


def with_bad_skipped(source: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, with bad files skipped by default if the source consists of picture files.

    Looking at pictures does not stop at bad files, as training does.

    Args:
        source: As for `load`.
        settings: The settings that were given, by name.
    """
    is_files = isinstance(source, (str, Path)) and str(source) not in SOURCES and holds_files(Path(source))
    return {"bad_files": "skip", **settings} if is_files else dict(settings)


def find_catalog(source: Any, how: How = AS_USUAL, chosen: Sequence[str] = ()) -> Catalog | None:
    """Return the catalog of a source that consists of picture files; None for all other sources.

    In a folder with class folders, tables and Parquet files are ignored, unless a column of a table is named.

    Args:
        source: As for `load`.
        how: How to read picture files.
        chosen: The classes that were asked for; they settle which folders are classes.

    Raises:
        UsageError: The source is of no known kind, or the group is not a valid regular expression.
        DataError: The source does not exist, has no picture files with classes, or is ambiguous.
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
        if typed := how.columns():
            raise _no_table(source, typed)
        return archive.scan_archive(path, how, chosen)
    if path.is_file():
        from ..files.parquet import holds_pictures, scan_parquet

        return scan_parquet(path, how) if holds_pictures(path, how) else table.scan_table(path, how)
    catalog, refusal = None, None
    if typed := how.columns():  # what is typed is of the table, whatever folders lie beside it
        if (catalog := _from_tables(path, how)) is None:
            raise _no_table(source, typed)
        return catalog
    try:
        catalog = class_folders.scan(path, how, chosen)
    except DataError as error:
        refusal = error
    if catalog is None or len(catalog.classes) < 2:
        catalog = _from_tables(path, how) or catalog
    elif not chosen:
        table.refuse_other_classes(catalog, how)
    if catalog is None and refusal is not None:
        raise refusal
    return catalog


def _no_table(source: str | Path, typed: Sequence[str]) -> UsageError:
    """Return the error for settings that name a column of a table where there is no table."""
    return UsageError(
        f"{typed[0]} names a column of a table, but {source} holds no table.",
        hint=f"Leave {typed[0]} out, or name the table as the source.",
    )


def _from_tables(folder: Path, how: How) -> Catalog | None:
    """Return the catalog of the tables or Parquet files in a folder or in its subfolders; None without any."""
    from ..files import table

    if parts := list(folder.rglob("*.parquet")):  # the hub has them in default/train
        from ..files.parquet import holds_pictures, scan_parquet

        if all(holds_pictures(part, how) for part in parts):
            return scan_parquet(folder, how)
    return table.scan_folder_of_tables(folder, how)


def is_frame(source: Any) -> bool:
    """Return whether a source is a pandas data frame.

    Args:
        source: As for `load`.
    """
    return hasattr(source, "itertuples") and hasattr(source, "columns")


def holds_files(path: Path) -> bool:
    """Return whether a path is a source of picture files, judged by its name and the names directly in it.

    Args:
        path: A path.
    """
    from ..files.archive import is_archive
    from ..files.table import is_table

    try:
        if path.is_file():
            return is_archive(path.name) or is_table(path.name)
        return path.is_dir() and not any(_OTHER_FILES.search(name) for name in os.listdir(path))
    except OSError:
        return True  # reading it then reports why it cannot be read


_OTHER_FILES = re.compile(r"-idx\d-ubyte(\.gz)?\Z|\.npy\Z")  # files that make a folder a source of another kind


def load_streams(
    source: str | Path,
    say: Callable[[str], None] = lambda line: None,
    *,
    classes: Sequence[str] = (),
    how: How = AS_USUAL,
    hold_out: bool = True,
) -> Streams:
    """Return the streams of a source, from which `prepare` writes a store.

    Args:
        source: A name or a path, as for `load`.
        say: As for `load`.
        classes: Only these classes; it matters for picture files alone, since others are chosen when they are written.
        how: How to read picture files.
        hold_out: Whether validation pictures will be held out if the source has none.

    Raises:
        UsageError, DataError, DownloadError: As `load`; or the source is a store already.
    """
    from ..files.stream import stream_files
    from ..store import streams
    from ..store.store import is_store
    from . import idx
    from .arrays import holds_arrays, load_arrays

    if (catalog := find_catalog(source, how, tuple(classes))) is not None:
        return stream_files(catalog, tuple(classes), how, say, hold_out=hold_out)
    _refuse_unused(source, how)
    if str(source) in SOURCES:
        return streams.of_splits(SOURCES[str(source)](say))
    if holds_arrays(Path(source)):
        return streams.of_splits(load_arrays(Path(source), say, how.range))
    if is_store(Path(source)):
        raise DataError(f"{source} is already a store.", hint=f"Train on it: sevensteps train {source}")
    return idx.of_idx(Path(source))


def _from_path(path: Path, classes: tuple[str, ...], how: How, say: Say, warn: Say | None) -> Splits:
    """Return the splits of a store, of arrays or of IDX files.

    Raises:
        DataError: The pictures cannot be used.
    """
    from ..store.store import is_store, open_store
    from .arrays import holds_arrays, load_arrays
    from .idx import find_pictures, load_idx, read_picture_shape
    from .idx_in_cache import prepared_in_cache

    if is_store(path):
        return open_store(path, say)
    if holds_arrays(path):
        return load_arrays(path, say, how.range, warn)
    size = sum(math.prod(read_picture_shape(file)) for file in find_pictures(path).values())
    # Choosing classes and holding pictures out copy them, which needs twice the memory for a moment.
    if 2 * size > (free := memory.available()):
        return open_store(prepared_in_cache(path, classes, size, free, say), say)
    return load_idx(path)


def _refuse_unused(source: str | Path, how: How) -> None:
    """Raise for a setting of picture files that would have no effect.

    Raises:
        UsageError: The setting's name.
    """
    from .arrays import holds_arrays

    changed = how.changed()
    if str(source) not in SOURCES and holds_arrays(Path(source)):
        changed.pop("range", None)
    for key in changed:
        raise UsageError(f"{key} is for picture files, but {source} holds none.", hint=f"Leave {key} out.")


def _refuse_if_none(source: Any, classes: Sequence[str] | None) -> None:
    """Raise if a source or a choice of classes cannot be valid.

    Raises:
        UsageError: The source is of no known kind, or the classes are not a list.
        DataError: The source or path does not exist, or is a single picture.
    """
    if not isinstance(source, (str, Path)):
        from .datasets import is_dataset

        if not is_frame(source) and not is_dataset(source):
            raise UsageError(
                f"The source is {source!r:.80}, but must be a name, a path, a table or a dataset.",
                hint='ss.load("pullover-dress")',
            )
    if isinstance(classes, str):
        raise UsageError(f"classes is {classes!r}, but must be a list of names.", hint='classes=["Pullover", "Dress"]')
    if not isinstance(source, (str, Path)) or str(source) in SOURCES:
        return
    if is_picture(str(source)) and Path(source).is_file():
        raise DataError(
            f"{source} is a single picture, but a source has many, with labels.",
            hint=f"To classify it: sevensteps predict RUN {source}",
        )
    if not Path(source).exists():
        from .did_you_mean import what_is_there

        raise DataError(f"There is no source or path {str(source)!r}.", hint=what_is_there(Path(source), SOURCES))
