"""Processes that find each other: one that dies on the way ends the work, and is not waited for."""

from __future__ import annotations

import datetime
import time

import pytest

from sevensteps.base.launched import Launched
from sevensteps.errors import TrainingError
from sevensteps.learner import distributed


def test_a_process_that_dies_before_it_connects_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "TO_CONNECT", datetime.timedelta(seconds=1))
    store, _ = distributed.store_here(2)
    store.set("here/1", "")  # it is there, and dies
    processes = distributed.Processes(Launched(0, 2, 0, 2), store, lambda: "Process 2 of 2 was ended by SIGKILL.")
    began = time.monotonic()
    with pytest.raises(TrainingError, match="Process 2 of 2 was ended by SIGKILL"):
        processes.tell(b"an order")
    assert time.monotonic() - began < 10


def test_a_process_that_never_comes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "SECONDS_TO_COME", 0.2)
    store, _ = distributed.store_here(3)
    store.set("here/1", "")
    with pytest.raises(TrainingError, match="Process 3 of 3 has not started") as raised:
        distributed.Processes(Launched(0, 3), store).tell(b"an order")
    assert "unset RANK" in raised.value.hint
