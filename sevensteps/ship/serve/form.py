"""Several pictures in one body: the form that browsers and `curl -F` send."""

from __future__ import annotations

import re
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from .refused import malformed, too_large

MOST_PADDING = 100  # spaces behind a boundary


HOW = "Send multipart/form-data with a file in each part: curl -F picture=@a.png -F picture=@b.png."


def pictures_in(content_type: str, body: bytes, most: int) -> list[tuple[str, bytes]]:
    """Return the name and the content of each file in a form.

    A part without a file name counts as a file only if its type says that it is not a text.

    Args:
        content_type: As the request's header has it.
        body: The form.
        most: The number of files that are allowed.

    Raises:
        RequestError: It is not a form, is damaged, is empty, has more files, or has a field of text.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise malformed("The body is not a form.", HOW)
    # The parser looks at every byte behind something like a boundary, which takes seconds for millions of them.
    edge = b"--" + boundary
    if body.count(b"\r\n" + edge) > most + 1:
        raise too_large(f"The form has more than {most:,} pictures.", "Send them in several requests.")
    if re.search(re.escape(edge) + rb"[ \t]{%d}" % MOST_PADDING, body):
        raise malformed("The form is damaged.", HOW)
    parts = _Parts(most)
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:  # also of a boundary that is too long
        raise malformed("The form is damaged.", HOW) from error
    if not parts.is_complete:
        raise malformed("The form is incomplete.", HOW)
    if not parts.files:
        raise malformed("The form has no picture.", HOW)
    return parts.files


class _Parts:
    """Collects what the parser finds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.files = list[tuple[str, bytes]]()
        self.is_complete = False
        self._content = bytearray()
        self._field, self._value, self._disposition = b"", b"", b""
        self._type = b""

    def callbacks(self) -> Any:
        """Return the methods that the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.files) == self._most:
            raise too_large(f"The form has more than {self._most:,} pictures.", "Send them in several requests.")
        self._content, self._disposition, self._type = bytearray(), b"", b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._content += memoryview(data)[start:end]

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        elif self._field.lower() == b"content-type":
            self._type = self._value
        self._field = self._value = b""

    def _end_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        is_text = not self._type or self._type.lower().startswith(b"text/")
        # Some programs send only filename*=, which the parser leaves out.
        if is_text and not re.search(rb";\s*filename\*?=", self._disposition, re.IGNORECASE):
            field = options.get(b"name", b"").decode("utf-8", "replace")
            raise malformed(f"The field {field!r:.80} of the form is not a file.", HOW)
        name = options.get(b"filename") or b""
        # A name, and not the path that some programs send with it.
        name = name.replace(b"\\", b"/").rpartition(b"/")[2]
        self.files.append((name.decode("utf-8", "replace") or f"picture {len(self.files) + 1}", bytes(self._content)))

    def _end(self) -> None:
        self.is_complete = True
