"""The text of a table as people save it: its encoding, the separator of its cells, and its rows.

A spreadsheet may write UTF-16, semicolons, a first line `sep=;`, blank rows, or empty cells to the right.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

_SEPARATORS = ",;\t|"


def text_in(content: bytes) -> str:
    """Return the text of a file in UTF-8 or UTF-16, with or without a byte order mark.

    Args:
        content: The bytes of the file.

    Raises:
        UnicodeDecodeError: They are neither.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    if len(content) > 1 and 0 in content[:2]:  # text has no NUL, but the half of each plain letter in UTF-16 is one
        return content.decode("utf-16-be" if content[0] == 0 else "utf-16-le")
    return content.decode("utf-8-sig")


def rows_in(text: str, *, tabs: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a table that are not blank, each with the number of its last line in an editor.

    Args:
        text: The text of the table.
        tabs: Whether the cells lie between tabs; otherwise the first row shows what lies between them.

    Raises:
        csv.Error: A quotation mark is not closed, for example; its arguments are the reason and the number of the line.
    """
    named = re.match(r'"?sep=([^\r\n])"?\r?\n', text, re.IGNORECASE)
    text, skipped = (text[named.end() :], 1) if named else (text, 0)
    head = re.sub(r'"[^"\n]*"', "", text.lstrip("\r\n").split("\n", 1)[0])
    separator = named[1] if named else "\t" if tabs else max(_SEPARATORS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        rows = [(reader.line_num + skipped, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise csv.Error(str(error), reader.line_num + skipped) from error
    width = max((place + 1 for _, cells in rows for place, cell in enumerate(cells) if cell.strip()), default=0)
    yield from ((line, cells[:width]) for line, cells in rows)


def lines_in(text: str) -> Iterator[tuple[int, str]]:
    """Give the lines of JSON lines that are not blank, each with its number.

    Only the end of a line ends one: text in JSON may hold other separators, such as U+2028.

    Args:
        text: The text of the file.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line
