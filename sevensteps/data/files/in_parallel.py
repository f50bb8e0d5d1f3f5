"""Each: something done with each file of a catalog, in order, on all cores where that takes long."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from ...base.device import cores
from ...errors import DataError
from .catalog import Catalog, File

LONG = 1e-3  # seconds for a file


_AT_ONCE = 64  # files that go to threads together


def each(function: Callable[[bytes, str], Any], files: Iterable[File], catalog: Catalog) -> Iterator[Any]:
    """What a function gives for the content of each file, in their order; its `DataError` where it gives nothing.

    The first files are worked on one by one. If they take long the others go to threads; small pictures do not, whose
    threads would do little but wait for Python's lock.
    """
    files = list(files)
    contents = zip(catalog.contents(files), map(catalog.name_of, files), strict=True)

    def attempt(one: tuple[Callable[[], bytes], str]) -> Any:
        content, name = one
        try:
            return function(content(), name)
        except DataError as error:
            return error

    # Decoding sets the filter of warnings, which all threads share: whatever they leave it as is taken back here.
    with warnings.catch_warnings():
        began = time.perf_counter()
        yield from map(attempt, islice(contents, _AT_ONCE))
        if time.perf_counter() - began < LONG * min(len(files), _AT_ONCE):
            yield from map(attempt, contents)
            return
        with ThreadPoolExecutor(cores()) as pool:
            while some := list(islice(contents, _AT_ONCE)):
                yield from pool.map(attempt, some)
