"""Loading a source by its name or its path: into memory with `load`, picture by picture with `load_streams`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base import memory
from ...base.addresses import is_address, without_secrets
from ...errors import DataError
from ..files.catalog import Say
from ..files.how import AS_USUAL, BadFiles, How
from ..files.load import load_files
from ..fit import Fit
from ..images import Splits
from ..range_ends import Ends
from .find import find_catalog, names_in, refuse_if_none, refuse_unused
from .named import SOURCES, about_shadowed, named

if TYPE_CHECKING:
    from ..store.streams import Streams


def load(
    source: Any = "pullover-dress",
    classes: Iterable[str] | None = None,
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
    """Return the splits of a source: "pullover-dress", "fashion-mini", "fashion-mnist", a path, a table or a dataset.

    A path leads to class folders, a zip or tar of class folders, a table that names files and classes (CSV, TSV, JSON
    lines, Parquet) or a folder with one, Parquet files with the pictures in them, arrays (`.npz`, `.npy`), IDX files,
    or a store, also one at an address such as `s3://bucket/digits.store`. IDX files that do not fit into memory are
    first prepared into a store in the cache.

    Args:
        source: A name, a path, a pandas data frame that names files and classes, or a dataset: anything with a length
            whose items are a picture and its label.
        classes: Only these classes, by name; their order gives the labels. All classes unless given.
        size: Side length, in pixels, that picture files are resized to. 0: their own size if they share one of at most
            64, else 64.
        fit: How picture files are fitted to that size, see `decode`.
        range: The values that become black and white in pictures of more than 8 bits, such as `(0, 4095)`. Found over
            all pictures unless given.
        bad_files: "skip" leaves out files that cannot be read as pictures, "stop" raises for them, "skip-few" raises if
            they are more than 1 % of all files.
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
    classes: Iterable[str] | None,
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
    chosen = names_in(classes)
    source = without_secrets(source)
    refuse_if_none(source)
    if line := about_shadowed(source):
        (warn or say)(line)
    corrections = None
    if fix:
        from ..corrections import corrected, corrected_files, read

        corrections = read(fix)  # before any picture is read
    if (catalog := find_catalog(source, how, chosen)) is not None:
        counts = None
        if corrections is not None:
            catalog, counts = corrected_files(catalog, corrections, chosen)
        splits = load_files(catalog, chosen, how, say, fresh=fresh, warn=warn)
        splits = dataclasses.replace(splits, corrected=counts)
    elif not isinstance(source, (str, Path)):
        from .datasets import load_dataset

        taken = ("size", "fit", "bad_files", "range")
        refuse_unused(f"a {type(source).__name__}", how, taken=taken, fresh=fresh)
        splits = load_dataset(source, how, say, warn)
    else:
        refuse_unused(source, how, fresh=fresh)
        name = named(source)
        # Corrections may move pictures of other classes into the chosen ones, so those are needed, too.
        splits = SOURCES[name](say) if name else _from_path(source, () if fix else chosen, how, say, warn)
    if corrections is not None and splits.corrected is None:
        splits = corrected(splits, corrections, chosen)
    if splits.corrected is not None:
        say(f"corrected by {fix}: {splits.corrected.in_words}")
    if chosen:
        splits = _chosen(splits, source, chosen)
    present = [of_class for of_class, count in splits.train.counts.items() if count]
    shown = source if isinstance(source, (str, Path)) else splits.source  # a frame would be shown with all its rows
    if len(present) < 2:
        content = f"only pictures of {present[0]!r}" if present else "no pictures at all"
        raise DataError(
            f"{shown}: the training split has {content}.",
            hint="Add pictures: a classifier needs two classes or more.",
        )
    elsewhere = [images for images in (splits.test, splits.valid) if images is not None]
    untaught = [
        name for name in splits.classes if name not in present and any(images.counts[name] for images in elsewhere)
    ]
    if untaught:
        raise DataError(
            f"{shown}: there are no training pictures of {', '.join(untaught)}, although other splits have some.",
            hint=f"Add some, or choose the classes that have training pictures: {', '.join(present)}.",
        )
    return splits


def _chosen(splits: Splits, source: Any, classes: tuple[str, ...]) -> Splits:
    """Return the pictures of some classes; the hint names the source that has them, if that is another one.

    Raises:
        DataError: The source does not have one of the classes.
    """
    from .fashion_facts import CLASSES

    try:
        return splits.choose(classes)
    except DataError as error:
        own, wanted = {name.lower() for name in splits.classes}, {name.lower() for name in classes}
        if named(source) == "pullover-dress" and not wanted <= own and wanted <= {name.lower() for name in CLASSES}:
            error.hint = 'fashion-mini has them: give "fashion-mini" as the source. "fashion-mnist" has more of them.'
        raise


def load_streams(
    source: str | Path,
    say: Callable[[str], None] = lambda line: None,
    *,
    classes: Iterable[str] = (),
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

    source = without_secrets(source)
    if (catalog := find_catalog(source, how, classes := names_in(classes))) is not None:
        return stream_files(catalog, classes, how, say, hold_out=hold_out)
    refuse_unused(source, how)
    if line := about_shadowed(source):
        say(line)
    if name := named(source):
        return streams.of_splits(SOURCES[name](say))
    if holds_arrays(Path(source)):
        return streams.of_splits(load_arrays(Path(source), say, how.range))
    if is_address(source) or is_store(Path(source)):
        raise DataError(f"{source} is already a store.", hint=f"Train on it: sevensteps train {source}")
    return idx.of_idx(Path(source))


def _from_path(source: str | Path, classes: tuple[str, ...], how: How, say: Say, warn: Say | None) -> Splits:
    """Return the splits of a store, of arrays or of IDX files.

    Raises:
        DataError: The pictures cannot be used.
    """
    from ..store.store import is_store, open_store
    from .arrays import holds_arrays, load_arrays
    from .idx import find_pictures, load_idx, read_picture_shape
    from .idx_in_cache import prepared_in_cache

    if is_address(source):
        from ..store.elsewhere import open_store_at

        return open_store_at(str(source), say)
    path = Path(source)
    if is_store(path):
        return open_store(path, say)
    if holds_arrays(path):
        return load_arrays(path, say, how.range, warn)
    size = sum(math.prod(read_picture_shape(file)) for file in find_pictures(path).values())
    # Choosing classes and holding pictures out copy them, which needs twice the memory for a moment.
    if 2 * size > (free := memory.available()):
        return open_store(prepared_in_cache(path, classes, size, free, say), say)
    return load_idx(path)
