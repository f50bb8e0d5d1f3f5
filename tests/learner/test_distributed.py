"""Processes that find each other: one that dies on the way ends the work, and is not waited for."""

from __future__ import annotations

import datetime
import os
import threading
import time

import pytest
import torch.distributed

from sevensteps.base.launched import Launched
from sevensteps.errors import TrainingError
from sevensteps.learner import distributed, heartbeat, meeting


def test_a_process_that_dies_before_it_connects_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "TO_CONNECT", datetime.timedelta(seconds=1))
    store, _ = meeting.store_here(2)
    store.set("here/1", "")  # it is there, and dies
    processes = distributed.Processes(Launched(0, 2, 0, 2), store, lambda: "Process 2 of 2 was ended by SIGKILL.")
    began = time.monotonic()
    with pytest.raises(TrainingError, match="Process 2 of 2 was ended by SIGKILL"):
        processes.tell(b"an order")
    assert time.monotonic() - began < 10


def test_a_process_that_never_comes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "SECONDS_TO_COME", 0.2)
    store, _ = meeting.store_here(3)
    store.set("here/1", "")
    with pytest.raises(TrainingError, match="Process 3 of 3 has not started") as raised:
        distributed.Processes(Launched(0, 3), store).tell(b"an order")
    assert "unset RANK" in raised.value.hint


def test_the_others_are_waited_for_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "SECONDS_TO_COME", 0.6)
    monkeypatch.setattr(distributed, "SECONDS_OF_SILENCE", 0.1)
    store, _ = meeting.store_here(2)
    with pytest.warns(UserWarning, match="Waiting for process 2 of 2"), pytest.raises(TrainingError):
        distributed.Processes(Launched(0, 2), store).tell(b"an order")


def test_an_address_where_nobody_leads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "SECONDS_HERE", 1)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=r"at 127\.0\.0\.1:9 \(MASTER_ADDR") as raised:
        meeting.store_of_launcher(Launched(1, 2, 1, 2))
    assert "unset RANK" in raised.value.hint


def silent_after(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the signs of life come faster than usual."""
    monkeypatch.setattr(heartbeat, "EVERY", 0.05)
    monkeypatch.setattr(heartbeat, "LOOK", 0.05)
    monkeypatch.setattr(heartbeat, "SILENT_AFTER", seconds)


def test_a_process_that_sends_no_more_signs_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    silent_after(0.5, monkeypatch)
    store, _ = meeting.store_here(2)
    asked, lost = [], threading.Event()
    first = heartbeat.Heartbeat(0, 2, store.clone(), asked.append)
    second = heartbeat.Heartbeat(1, 2, store.clone(), asked.append)
    second.watch(lost.set)
    time.sleep(1)
    assert first.silent() is second.silent() is None
    second.say_asked_to_end()
    time.sleep(0.3)
    assert asked == [1]
    first.end()
    assert lost.wait(3)
    assert second.silent() == 0
    second.end()


def test_a_process_whose_store_has_ended_is_told_so_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    silent_after(60, monkeypatch)
    monkeypatch.setattr(heartbeat, "TO_NOTICE", 0.2)
    store, port = meeting.store_here(2)
    lost = threading.Event()
    client = torch.distributed.TCPStore("127.0.0.1", port, None, False, wait_for_workers=False)
    second = heartbeat.Heartbeat(1, 2, client, lambda rank: None)
    second.watch(lost.set)
    time.sleep(0.3)
    assert not lost.is_set()
    del store
    assert lost.wait(5)
    second.end()


def test_a_store_that_no_longer_answers_counts_as_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    silent_after(0.5, monkeypatch)
    answers, lost = threading.Event(), threading.Event()

    class Stopped:
        """A store in a process that was stopped, before the leader gave a sign."""

        def set(self, key: str, value: str) -> None:
            answers.wait()

        def check(self, keys: list[str]) -> bool:
            return False

    second = heartbeat.Heartbeat(1, 2, Stopped(), lambda rank: None)
    second.watch(lost.set)
    assert lost.wait(5)
    answers.set()
    second.end()


def test_gloo_uses_the_loopback_where_all_are_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    for place, interface in ((Launched(0, 2, 0, 2), ("lo", "lo0")), (Launched(0, 2), (None,))):
        with meeting.interface_for(place):
            assert os.environ.get("GLOO_SOCKET_IFNAME") in interface
        assert "GLOO_SOCKET_IFNAME" not in os.environ
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine")
    with meeting.interface_for(Launched(0, 2, 0, 2)):
        assert os.environ["GLOO_SOCKET_IFNAME"] == "mine"
