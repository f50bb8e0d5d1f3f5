"""The Studio holds where the disk is full, where nobody reads, and where many ask at once."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from in_studio import Page

import sevensteps as ss
from sevensteps.base import files
from sevensteps.studio.start import beside


class Disk:
    """A disk that can be full, or read-only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fault = 0
        write = files._Raw.write

        def may_write(raw: Any, content: Any) -> int:
            if self.fault:
                raise OSError(self.fault, os.strerror(self.fault))
            return write(raw, content)

        monkeypatch.setattr(files._Raw, "write", may_write)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk, which has room until a test says otherwise."""
    return Disk(monkeypatch)


@pytest.mark.parametrize(("fault", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")])
def test_a_run_goes_on_once_the_disk_has_room_again(page: Page, disk: Disk, fault: int, said: str) -> None:
    page.do("start", batch_size=1024, epochs=2)
    disk.fault = fault
    page.do("batch")  # which makes the folder
    place = page.place
    assert (place["phase"], place["batch"]) == ("failed", 0)
    assert said in place["error"]["message"]
    assert "--out" not in place["error"]["hint"]
    disk.fault = 0
    page.do("batch")
    assert [path.name for path in Path("runs").iterdir()] == ["pullover-dress-plain-1"]  # and none half made
    page.do("lr", lr=0.1)
    page.do("batch")
    before = page.state
    disk.fault = fault
    for verb, values in (("lr", {"lr": 0.3}), ("back", {"to": 0})):
        assert said in page.refused(verb, **values)["message"]
        after = page.state  # what is refused has done nothing
        assert [after[name] for name in ("marks", "curve")] == [before[name] for name in ("marks", "curve")]
        assert (after["place"]["batch"], after["place"]["lr"]) == (2, 0.1)
    disk.fault = 0
    page.do("speed", value=0)
    disk.fault = fault
    page.do("run")
    place = page.wait(lambda state: state["place"]["phase"] == "failed")["place"]
    assert (place["batch"], said in place["error"]["message"]) == (22, True)
    disk.fault = 0
    page.do("run")
    state = page.rest()
    assert (state["place"]["phase"], state["verdict"]["status"]) == ("done", "fresh")
    assert ss.verify(state["run"]["folder"]).passed


def test_many_questions_that_wait_do_not_keep_the_page_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    go = threading.Event()
    studio = beside(port=0, first=lambda trainer: go.wait(30))  # a trainer that is busy
    asking: list[http.client.HTTPConnection] = []
    try:
        page = Page(studio.url)
        for _ in range(60):
            asking.append(http.client.HTTPConnection("127.0.0.1", page.port, timeout=20))
            asking[-1].request("GET", "/suspects", headers={"X-Sevensteps-Token": page.token})
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
        connection.request("GET", "/", headers={"X-Sevensteps-Token": page.token})
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        go.set()
        for connection in asking:
            connection.close()
        studio.close()


def test_streams_that_nobody_reads_hold_nothing_up(page: Page) -> None:
    streams = []
    page.do("speed", value=0)
    try:
        for _ in range(8):
            stream = socket.create_connection(("127.0.0.1", page.port), 20)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nX-Sevensteps-Token: {page.token}\r\n\r\n"
            stream.sendall(head.encode())
            streams.append(stream)
        page.do("run")
        page.wait(lambda state: state["place"]["batch"] > 200)
        page.do("pause")
        assert page.rest()["place"]["phase"] in ("paused", "done")
    finally:
        for stream in streams:
            stream.close()
