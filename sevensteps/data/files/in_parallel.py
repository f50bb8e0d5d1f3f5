"""Apply a function to each file of a catalog, in order; on all cores if that saves time."""

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
from .in_processes import Pixels, decoded_in_processes, is_worth_it

LONG = 1e-3  # seconds for one file


_AT_ONCE = 64  # files that are handed to the threads together


def each(
    function: Callable[[bytes, str], Any], files: Iterable[File], catalog: Catalog, into: Pixels | None = None
) -> Iterator[Any]:
    """Give the result of a function for each file, in order; for a file that it refuses, the `DataError`.

    The first files are processed one by one. Threads process the rest only if those took long: with small pictures,
    threads would mostly wait for Python's lock. Many small ones that are to be decoded go to other processes.

    Args:
        function: Takes the bytes of a file and its name.
        files: Files of the catalog, in the order of a split.
        catalog: Reads and names the files.
        into: What the function decodes files into, if it does what `decode_and_look` does.

    Raises:
        DataError: Another process ended before it was done.
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
        yield from map(attempt, islice(contents, 1))  # not timed: it also imports what decodes
        began, began_work = time.perf_counter(), time.thread_time()
        yield from map(attempt, islice(contents, _AT_ONCE - 1))
        count, rest = max(1, min(len(files), _AT_ONCE) - 1), files[_AT_ONCE:]
        seconds, work = (time.perf_counter() - began) / count, (time.thread_time() - began_work) / count
        is_on_disk = catalog.holder_of is None
        if into is not None and is_on_disk and work < LONG and is_worth_it(len(rest), seconds):
            named = [(catalog.holder(file.path), catalog.name_of(file)) for file in rest]
            yield from decoded_in_processes(named, into, catalog.path)
            return
        if seconds < LONG:
            yield from map(attempt, contents)
            return
        with ThreadPoolExecutor(cores()) as pool:
            while part := list(islice(contents, _AT_ONCE)):
                yield from pool.map(attempt, part)
