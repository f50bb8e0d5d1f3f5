"""Reading the rows of a table of pictures: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base import files
from ...base.words import counted
from ...errors import DataError
from ..class_names import is_missing
from .catalog import is_picture
from .cells import lines_in, rows_in, text_in

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def read_texts(
    path: Path, holds_labels: Callable[[str], bool] = lambda column: False
) -> tuple[tuple[str, ...], Sequence[Row]]:
    """Read the columns of a Parquet file that do not hold pictures, as text.

    Class indices become class names if the file stores them, as files of the Hugging Face hub do.

    Args:
        path: The file.
        holds_labels: Whether a column of lists is read, too, by its name.

    Returns:
        The names of the columns, and the rows.

    Raises:
        DataError: The file cannot be read.
    """
    file = open_parquet(path)
    names = _class_names(file)
    columns = tuple(
        field.name
        for field in file.schema_arrow
        if not _is_deep(field.type) or (_is_list(field.type) and holds_labels(field.name))
    )
    rows = []
    try:
        for batch in file.iter_batches(columns=list(columns)):
            rows += [{key: _cell(row[key], names.get(key)) for key in columns} for row in batch.to_pylist()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error!s:.200}.", hint="Download or export the file again.") from error
    return columns, rows


def _cell(value: Any, names: Sequence[str] | None) -> str:
    """Return a cell as text, a class index as the name of the class."""
    if names is not None and isinstance(value, list):
        value = [_cell(each, names) for each in value]
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else ""  # the hub writes -1 for a picture without a class
    return text_of_cell(value)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Args:
        path: The file.

    Raises:
        DataError: The file cannot be read as Parquet, or pyarrow is missing.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(f"{path}: Parquet files need pyarrow.", hint="pip install 'sevensteps[parquet]'") from error
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet: {error!s:.200}.", hint="Download or export the file again."
        ) from error


def picture_columns(file: pq.ParquetFile) -> list[str]:
    """Return the columns with pictures, stored as bytes or as the hub's structure of bytes and path.

    Args:
        file: An open Parquet file.
    """
    import pyarrow as pa

    columns = []
    for field in file.schema_arrow:
        kind = field.type
        if pa.types.is_struct(kind):
            kind = next((inner.type for inner in kind if inner.name == "bytes"), kind)
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            columns.append(str(field.name))
    return columns


def _is_deep(kind: Any) -> bool:
    """Return whether the values of a column cannot be shown as text."""
    import pyarrow as pa

    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_list(kind: Any) -> bool:
    """Return whether the values of a column are lists of values that can be shown as text."""
    import pyarrow as pa

    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and not _is_deep(kind.value_type))


def _class_names(file: pq.ParquetFile) -> Mapping[str, Sequence[str]]:
    """Return the class names that the hub stores with columns of class indices, by column."""
    kept = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(kept)["info"]["features"]
        return {
            name: [str(class_name) for class_name in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


LARGEST_TABLE = 1 << 30  # bytes


Row = Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """Rows of text with the names of their columns; an empty or missing cell is ""."""

    path: Path
    columns: tuple[str, ...]
    rows: Sequence[Row]
    numbers: Sequence[int] = ()  # of the rows in an editor; their indices unless given

    def number(self, row: int) -> int:
        """Return the number by which an editor calls a row.

        Args:
            row: Its index in `rows`.
        """
        return self.numbers[row] if self.numbers else row

    def place(self, row: int) -> str:
        """Return the name by which errors call a row.

        Args:
            row: Its index in `rows`.
        """
        return f"{self.path} row {self.number(row)}"


# Reading


def read_table(path: Path) -> Table:
    """Read a table.

    Args:
        path: A CSV, TSV, JSON lines or Parquet file.

    Raises:
        DataError: The file cannot be read, or a row is malformed.
    """
    if path.suffix.lower() == ".parquet":
        columns, rows = read_texts(path)
        return Table(path, columns, rows)
    try:
        with files.regular(path, LARGEST_TABLE) as (file, size):
            text = text_in(file.read(size))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not in UTF-8: {error}"
        raise DataError(f"{path} cannot be read ({reason}).", hint="Save the table as a text file in UTF-8.") from error
    return _from_lines(path, text) if path.suffix.lower() in (".jsonl", ".ndjson") else _from_cells(path, text)


def _from_cells(path: Path, text: str) -> Table:
    """Parse a table of cells between commas, semicolons, tabs or bars.

    Raises:
        DataError: A row has the wrong number of cells, or two columns have the same name.
    """
    try:
        rows = list(rows_in(text, tabs=path.suffix.lower() == ".tsv"))
    except csv.Error as error:
        raise DataError(
            f"{path} is not a valid table: {error.args[0]} (row {error.args[1]}).", hint="Check its quotation marks."
        ) from error
    names = tuple(cell.strip() for cell in rows[0][1]) if rows else ()
    if any(is_picture(name) for name in names):  # the first line is not a header but a row
        names = tuple(str(number) for number in range(1, len(names) + 1))
    else:
        rows = rows[1:]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{path} has two columns named {repeated[0]!r}.", hint="Give each column a different name.")
    for number, cells in rows:
        if len(cells) != len(names):
            raise DataError(
                f"{path} row {number} has {counted(len(cells), 'cell')}, but the first row has {len(names)}.",
                hint="Put names that contain a comma in quotation marks.",
            )
    texts = [dict(zip(names, map(str.strip, cells), strict=True)) for _, cells in rows]
    return Table(path, names, texts, numbers=[number for number, _ in rows])


def _from_lines(path: Path, text: str) -> Table:
    """Parse a table with a JSON object on each line.

    Raises:
        DataError: A line is not a JSON object.
    """
    rows, numbers = [], []
    for number, line in lines_in(text):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path} row {number} is not valid JSON: {error}", hint="Write one JSON object on each line."
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{path} row {number} is not a JSON object.", hint='{"file_name": "a.png", "label": "cat"}')
        rows.append({str(key): text_of_cell(value) for key, value in row.items()})
        numbers.append(number)
    columns = tuple(dict.fromkeys(itertools.chain.from_iterable(rows)))
    texts = [{column: row.get(column, "") for column in columns} for row in rows]
    return Table(path, columns, texts, numbers=numbers)


def text_of_cell(value: Any) -> str:
    """Return a cell as text; a missing value is "".

    Args:
        value: The value of a cell.
    """
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    elif getattr(value, "ndim", 0):  # an array, as pandas holds the lists of Parquet
        value = value.tolist()
    if isinstance(value, (list, tuple)) and len(value) < 2:
        value = value[0] if value else None  # a list of one label, as JSON and pandas hold it
    if is_missing(value):
        return ""
    if isinstance(value, float) and value.is_integer():  # pandas makes a column of integers with missing values floats
        return str(int(value))
    return str(value).strip()
