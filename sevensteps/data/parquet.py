"""Parquet: tables that hold the pictures themselves, as the hub's datasets do, or that name files (`table`)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .catalog import CLASS, Bad, Catalog, Content, File, How, in_order, split_named, with_groups
from .table import Row, Table, label_column, text_of_cell

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_AT_ONCE = 64  # rows whose pictures are in memory


def holds_pictures(path: Path) -> bool:
    """Whether a Parquet file has a column of pictures' bytes.

    Raises:
        DataError: it is no Parquet file, or pyarrow is missing.
    """
    return path.suffix.lower() == ".parquet" and _picture_column(_opened(path)) is not None


def scan_parquet(source: Path, how: How) -> Catalog:
    """The pictures that a Parquet file holds, or the Parquet files of a folder: train-…, test-… and so on.

    A picture is called by its file and row.

    Raises:
        DataError: a file that cannot be read, or a column that cannot be told.
    """
    parts = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    base = source.parent if source.is_file() else source
    splits: dict[str, list[File]] = {}
    bad: list[Bad] = []
    told = ""
    for part in parts:
        file = _opened(part)
        pictures = _picture_column(file)
        if pictures is None:
            raise DataError(f"{part} holds no pictures.", hint="Put it elsewhere, or name the file that is meant.")
        columns, rows = read_texts(part)
        table = Table(part, columns, rows, first=0)
        label = label_column(table, how)
        if label is None:
            raise DataError(
                f"{part}: which column gives the classes? It has {', '.join(columns)}.",
                hint=f"label_column = {next(iter(columns), 'NAME')}",
            )
        group = how.group if how.group in columns else None
        split = split_named(os.fspath(part.relative_to(base))) or "train"
        told = told or f", from the column {label} of {'Parquet files' if len(parts) > 1 else part.name}"
        for number, row in enumerate(rows):
            place = f"{part.relative_to(base)}/{number}"
            if row[label]:
                splits.setdefault(split, []).append(File(place, row[label], (row[group] or None) if group else None))
            else:
                bad.append(Bad(place, "has no class"))
    if "train" not in splits:
        raise DataError(f"{source}: there is nothing to train on.", hint="Call a file train-00000-of-00001.parquet.")
    ordered: dict[str, list[File]] = {split: splits[split] for split in ("train", "test", "valid") if split in splits}
    grouped = with_groups(source, ordered, how.group, columns)
    classes = in_order(file.name for files in ordered.values() for file in files)
    return Catalog(
        source,
        CLASS,
        told,
        classes,
        grouped,
        partial(_contents, base),
        {"": bad},
        base=base,
        holder_of=partial(_holder, base),
    )


def _holder(base: Path, path: str) -> str:
    return str(base / path.rsplit("/", 1)[0])


def read_texts(path: Path) -> tuple[tuple[str, ...], Sequence[Row]]:
    """The columns of a Parquet file that are no pictures, as text; numbers of classes as the names that the hub keeps.

    Raises:
        DataError: it cannot be read.
    """
    file = _opened(path)
    names = _class_names(file)
    columns = tuple(field.name for field in file.schema_arrow if not _is_deep(field.type))
    rows = []
    try:
        for batch in file.iter_batches(columns=list(columns)):
            rows += [{key: _cell(row[key], names.get(key)) for key in columns} for row in batch.to_pylist()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error!s:.200}.", hint="Download or export it again.") from error
    return columns, rows


def _cell(value: Any, names: Sequence[str] | None) -> str:
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else ""  # the hub writes -1 for what has no class
    return text_of_cell(value)


def _contents(base: Path, files: Iterable[File]) -> Iterator[Content]:
    """The bytes of each picture, whose rows are in the order of their file."""
    at: tuple[str, Iterator[tuple[int, Any]]] | None = None
    for file in files:
        part, number = file.path.rsplit("/", 1)
        if at is None or at[0] != part:
            at = part, _pictures(base / part)
        content = next(found for row, found in at[1] if row == int(number))
        yield partial(_bytes, f"{base / part}/{number}", content)


def _pictures(path: Path) -> Iterator[tuple[int, Any]]:
    file = _opened(path)
    column = _picture_column(file)
    row = 0
    try:
        for batch in file.iter_batches(batch_size=_AT_ONCE, columns=[column]):
            for value in batch.column(0).to_pylist():
                yield row, value
                row += 1
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error!s:.200}.", hint="Download or export it again.") from error


def _bytes(name: str, value: Any) -> bytes:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise DataError(f"{name} holds no bytes of a picture.", hint="Export the pictures into the file.")
    return content


def _opened(path: Path) -> pq.ParquetFile:
    """The open file.

    Raises:
        DataError: it is no Parquet file, or pyarrow is missing.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet takes pyarrow.", hint="pip install 'sevensteps[parquet]'") from error
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error!s:.200}.", hint="Download it again.") from error


def _picture_column(file: pq.ParquetFile) -> str | None:
    """The column with pictures: of bytes, or of a structure in which the hub keeps bytes and path."""
    import pyarrow as pa

    for field in file.schema_arrow:
        kind = field.type
        if pa.types.is_struct(kind):
            kind = next((inner.type for inner in kind if inner.name == "bytes"), kind)
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return str(field.name)
    return None


def _is_deep(kind: Any) -> bool:
    """Whether a column's values are no cells of text."""
    import pyarrow as pa

    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _class_names(file: pq.ParquetFile) -> Mapping[str, Sequence[str]]:
    """The names of the classes that the hub keeps beside numbers, by column."""
    kept = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(kept)["info"]["features"]
        return {
            name: [str(one) for one in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
