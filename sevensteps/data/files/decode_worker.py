"""A process that decodes picture files for another one: `python -P -m sevensteps.data.files.decode_worker`.

It reads lines of JSON from standard input: first how to decode, then files, some in each line. For each line of files
it answers with a line of JSON, what the headers or the errors say, and the pixels of the files that are pictures.
`in_processes` starts it. When its input ends, so does the process.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

import numpy as np

from ...errors import DataError
from ..decode import decode_and_look
from ..file_bytes import content_of
from ..value_range import Range


def main() -> None:
    """Decode until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks, which ends this one
    asked, answered = sys.stdin.buffer, sys.stdout.buffer
    how = json.loads(asked.readline())
    shape, fit, range = tuple(how["shape"]), how["fit"], Range.from_json(how["range"])
    for line in asked:
        headers: list[Any] = []
        pixels = []
        for path, name in json.loads(line):
            try:
                seen, decoded = decode_and_look(content_of(path), shape, name, fit, range)
            except DataError as error:
                headers.append({"message": error.message, "hint": error.hint})
            else:
                headers.append(seen)
                pixels.append(decoded)
        answered.write(json.dumps(headers).encode() + b"\n")
        if pixels:
            answered.write(np.stack(pixels).data)
        answered.flush()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # nobody waits for the answer
        sys.exit(1)
