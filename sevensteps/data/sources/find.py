"""Which kind of source a name, a path or an object is; the catalog of one that consists of picture files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from ...base.addresses import is_address
from ...errors import DataError, UsageError
from ..files.catalog import Catalog, is_picture
from ..files.how import AS_USUAL, How
from .named import SOURCES, named


def with_bad_skipped(source: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, with bad files skipped by default if the source consists of picture files.

    Looking at pictures does not stop at bad files, as training does.

    Args:
        source: As for `load`.
        settings: The settings that were given, by name.
    """
    is_files = isinstance(source, (str, Path)) and named(source) is None and holds_files(Path(source))
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

    refuse_if_none(source)
    if is_frame(source):
        return table.scan_frame(source, how)
    if not isinstance(source, (str, Path)) or is_address(source):
        return None
    path = Path(source)
    if named(source) or not holds_files(path):
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


def names_in(classes: Iterable[Any] | None) -> tuple[str, ...]:
    """Return the classes that were asked for, from a list, a tuple, an array or another sequence; empty for all.

    Args:
        classes: Names of classes, or whole numbers, which are names, too.

    Raises:
        UsageError: They are not a sequence of names.
    """
    is_sequence = classes is None or (
        isinstance(classes, Iterable) and not isinstance(classes, (str, bytes, Mapping, Set))
    )
    names = tuple(classes) if classes is not None and is_sequence else ()
    if not is_sequence or any(isinstance(name, (bool, float, bytes)) or not _is_name(name) for name in names):
        raise UsageError(
            f"classes is {classes!r:.80}, but must be a list of names.", hint='classes=["Pullover", "Dress"]'
        )
    return tuple(map(str, names))


def _is_name(value: Any) -> bool:
    """Return whether a value is text or a whole number."""
    return isinstance(value, str) or hasattr(value, "__index__")


def refuse_unused(source: Any, how: How, *, taken: Sequence[str] = (), fresh: bool = False) -> None:
    """Raise for a setting of picture files that would have no effect.

    Args:
        source: The source, for the message.
        how: How to read picture files.
        taken: The settings that have an effect.
        fresh: Whether every file is to be decoded again.

    Raises:
        UsageError: The setting's name.
    """
    from ..store.store import is_store
    from .arrays import holds_arrays

    if isinstance(source, (str, Path)) and named(source) is None and holds_arrays(Path(source)):
        taken = (*taken, "range")
    unused = [key for key in how.changed() if key not in taken] + ["fresh"] * fresh
    for key in unused:
        if is_address(source) or (isinstance(source, (str, Path)) and named(source) is None and is_store(Path(source))):
            raise UsageError(
                f"{key} is for picture files, but {source} is a store, whose pictures are already decoded.",
                hint=f"Leave {key} out, or write the store again from the picture files.",
            )
        raise UsageError(f"{key} is for picture files, but {source} holds none.", hint=f"Leave {key} out.")


# Kinds of files that hold pictures, labels or both elsewhere, with what to do.
_KINDS = {
    ("json",): ("a JSON file", "Write one JSON object on each line into a .jsonl file (JSON lines), or save as CSV."),
    ("txt", "lst", "list", "dat", "xml", "yaml", "yml"): (
        "a text file",
        "Save it as a table in CSV: a first line file,label, then a line for each picture, such as cat/1.png,cat.",
    ),
    ("xlsx", "xls", "xlsm", "ods", "numbers", "gsheet"): ("a spreadsheet", "Save its sheet as CSV."),
    ("7z", "rar", "zst", "lz4", "tar.zst", "tar.lz4"): (
        "an archive that cannot be read here", "Unpack it, or pack it as a zip or tar.",
    ),
    ("csv.gz", "tsv.gz", "jsonl.gz", "csv.zip", "csv.bz2", "csv.xz"): ("a packed table", "Unpack it first."),
    ("h5", "hdf5", "mat", "pkl", "pickle", "pt", "pth", "joblib"): (
        "a file of arrays that cannot be read here", "Save its arrays with numpy.savez, as x_train and y_train.",
    ),
    ("arrow", "feather", "orc", "avro", "sqlite", "db", "tfrecord", "mdb"): (
        "a file of data that cannot be read here", "Save it as Parquet, or write its pictures into class folders.",
    ),
    ("pdf", "mp4", "avi", "mov", "mkv", "webm"): (
        "not a set of pictures", "Save its pages or frames as pictures, in a folder for each class.",
    ),
}  # fmt: skip


def _refuse_other_kinds(path: Path) -> None:
    """Raise if a file is of a kind that is known but not read.

    Raises:
        DataError: What it is, and what to do.
    """
    name = path.name.lower()
    for suffixes, (kind, hint) in _KINDS.items():
        if name.endswith(tuple(f".{suffix}" for suffix in suffixes)) and path.is_file():
            raise DataError(f"{path} is {kind}.", hint=hint)


def refuse_if_none(source: Any) -> None:
    """Raise if a source cannot be valid.

    Args:
        source: As for `load`.

    Raises:
        UsageError: The source is of no known kind.
        DataError: The source or path does not exist, or is a single picture.
    """
    if not isinstance(source, (str, Path)):
        from .datasets import is_dataset

        if isinstance(source, Mapping):
            raise UsageError(
                f"The source is a {type(source).__name__} with {', '.join(map(repr, list(source)[:5])) or 'nothing'}, "
                "but must be a name, a path, a table or a dataset.",
                hint='Load one of its values, such as ss.load(source["train"]), or write a folder with train and test.',
            )
        if not is_frame(source) and not is_dataset(source):
            raise UsageError(
                f"The source is {source!r:.80}, but must be a name, a path, a table or a dataset.",
                hint='ss.load("pullover-dress")',
            )
    if not isinstance(source, (str, Path)) or named(source) or is_address(source):
        return
    if is_picture(str(source)) and Path(source).is_file():
        raise DataError(
            f"{source} is a single picture, but a source has many, with labels.",
            hint=f"To classify it: sevensteps predict RUN {source}",
        )
    _refuse_other_kinds(Path(source))
    if not Path(source).exists():
        from .did_you_mean import what_is_there

        raise DataError(f"There is no source or path {str(source)!r}.", hint=what_is_there(Path(source), SOURCES))
