"""Apply a function to each file of a catalog, in order; on all cores if it takes long."""

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

LONG = 1e-3  # seconds for one file


_AT_ONCE = 64  # files that are handed to the threads together


def each(function: Callable[[bytes, str], Any], files: Iterable[File], catalog: Catalog) -> Iterator[Any]:
    """Give the result of a function for each file, in order; for a file that it refuses, the `DataError`.

    The first files are processed one by one. Threads process the rest only if those took long: with small pictures,
    threads would mostly wait for Python's lock.

    Args:
        function: Takes the bytes of a file and its name.
        files: Files of the catalog, in the order of a split.
        catalog: Reads and names the files.
    """
    files = list(files)
    contents = zip(catalog.contents(files), map(catalog.name_of, files), strict=True)

    def attempt(content_and_name: tuple[Callable[[], bytes], str]) -> Any:
        content, name = content_and_name
        try:
            return function(content(), name)
        except DataError as error:
            return error

    # Decoding sets the warning filters, which all threads share; the filters are restored here.
    with warnings.catch_warnings():
        began = time.perf_counter()
        yield from map(attempt, islice(contents, _AT_ONCE))
        if time.perf_counter() - began < LONG * min(len(files), _AT_ONCE):
            yield from map(attempt, contents)
            return
        with ThreadPoolExecutor(cores()) as pool:
            while part := list(islice(contents, _AT_ONCE)):
                yield from pool.map(attempt, part)
