"""The rows of a table of pictures: CSV, TSV, JSON lines, Parquet, or a data frame."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base import files
from ...base.words import counted
from ...errors import DataError
from .catalog import is_picture

if TYPE_CHECKING:
    import pyarrow.parquet as pq


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


LARGEST_TABLE = 1 << 30  # bytes


Row = Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """Rows of text with the names of their columns; a cell that is empty or missing is ""."""

    path: Path
    columns: tuple[str, ...]
    rows: Sequence[Row]
    first: int = 2  # number of the first row as an editor shows it

    def place(self, row: int) -> str:
        """What errors call a row."""
        return f"{self.path} row {row + self.first}"


# Reading


def read_table(path: Path) -> Table:
    """The rows of a table.

    Raises:
        DataError: it cannot be read, or a row is none.
    """
    if path.suffix.lower() == ".parquet":
        columns, rows = read_texts(path)
        return Table(path, columns, rows, first=0)
    try:
        with files.regular(path, LARGEST_TABLE) as (file, size):
            text = file.read(size).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not in UTF-8: {error}"
        raise DataError(f"{path} cannot be read ({reason}).", hint="A table is a text file in UTF-8.") from error
    return _from_lines(path, text) if path.suffix.lower() in (".jsonl", ".ndjson") else _from_cells(path, text)


def _from_cells(path: Path, text: str) -> Table:
    """A table of cells between commas, semicolons or tabs.

    Raises:
        DataError: a row with another number of cells than there are columns, or a column that is named twice.
    """
    head = text.split("\n", 1)[0]
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=head.count)
    try:
        cells = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"{path} is no table: {error}.", hint="Check its quotation marks.") from error
    names, first = tuple(cell.strip() for cell in cells[0]) if cells else (), 2
    if any(is_picture(name) for name in names):  # no names of columns, but a row already
        names, first = tuple(str(number) for number in range(1, len(names) + 1)), 1
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{path} has two columns called {twice[0]!r}.", hint="Give each column its own name.")
    rows = []
    for number, row in enumerate(cells[first - 1 :], first):
        if row and len(row) != len(names):
            raise DataError(
                f"{path} row {number}: {counted(len(row), 'cell')}, and the first row has {len(names)}.",
                hint="Put names with a comma in them into quotation marks.",
            )
        if row:
            rows.append(dict(zip(names, map(str.strip, row), strict=True)))
    return Table(path, names, rows, first)


def _from_lines(path: Path, text: str) -> Table:
    """A table of a JSON object a line.

    Raises:
        DataError: a line that is none.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} row {number} is not JSON: {error}", hint="One object a line.") from error
        if not isinstance(row, dict):
            raise DataError(f"{path} row {number} is no object.", hint='{"file_name": "a.png", "label": "cat"}')
        found.append({str(key): text_of_cell(value) for key, value in row.items()})
    columns = tuple(dict.fromkeys(itertools.chain.from_iterable(found)))
    return Table(path, columns, [{column: row.get(column, "") for column in columns} for row in found], first=1)


def text_of_cell(value: Any) -> str:
    """A cell as text; what is missing is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():  # a column of whole numbers in which some are missing
        return str(int(value))
    return str(value).strip()
