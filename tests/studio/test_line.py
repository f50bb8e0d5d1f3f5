"""The thread that does what the page asks: nothing that is asked ends it, and nobody waits for it in vain."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from sevensteps.errors import SevenstepsError, UsageError
from sevensteps.studio.line import Line


def test_a_request_whose_client_has_gone_does_not_end_the_thread() -> None:
    line = Line("line", lambda: None, lambda: None, lambda: None)
    go, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go.wait(10)

    under_way = line.post(hold)
    waiting = line.post(lambda: 1)
    line.start()
    begun.wait(10)
    under_way.cancel()
    assert waiting.cancel()
    go.set()
    assert line.post(lambda: 2).result(10) == 2
    with pytest.raises(CancelledError):
        waiting.result(10)
    line.close()


def test_what_waits_at_the_end_is_refused_and_what_comes_last_is_done() -> None:
    done: list[str] = []
    line = Line("line", lambda: None, lambda: None, lambda: done.append("saved"))
    go, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go.wait(10)

    line.start()
    line.post(hold)
    begun.wait(10)
    waiting = [line.post(lambda: done.append("not this")) for _ in range(100)]
    threading.Timer(0.2, go.set).start()
    line.close()
    assert done == ["saved"]
    for future in [*waiting, line.post(lambda: None)]:
        with pytest.raises(UsageError, match="closing"):
            future.result(10)


def test_an_error_of_what_comes_last_is_told() -> None:
    def fail() -> None:
        raise OSError("no space left")

    line = Line("line", lambda: None, lambda: None, fail)
    line.start()
    with pytest.raises(SevenstepsError, match="no space left"):
        line.close()
