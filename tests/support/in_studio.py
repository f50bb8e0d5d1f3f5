"""Open the Studio beside a test, and ask it as its page does."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Reply:
    """An answer: its status, its headers, and what it holds."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """What it holds, as JSON."""
        return json.loads(self.content)


@dataclass
class Page:
    """What a page can ask a Studio for.

    Args:
        url: The address that the Studio gives, with its token.
    """

    url: str

    @property
    def port(self) -> int:
        """The Studio's port."""
        return int(self.url.split(":")[2].split("/")[0])

    @property
    def token(self) -> str:
        """The token of this start."""
        return self.url.partition("token=")[2]

    def send(self, method: str, path: str, body: bytes = b"", **headers: str | None) -> Reply:
        """Send a request with the headers of the page; given ones replace them, and None leaves one out."""
        named: dict[str, str | None] = {"X-Sevensteps-Token": self.token, "X-Sevensteps": "1"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {name: value for name, value in named.items() if value is not None}
            connection.request(method, path, body=body or None, headers=sent)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """Return what a route answers."""
        reply = self.send("GET", path)
        assert reply.status == 200, reply.content
        return reply.json

    def do(self, verb: str, **values: Any) -> None:
        """Do what a button does."""
        reply = self.send("POST", f"/do/{verb}", json.dumps(values).encode())
        assert reply.status == 200, reply.content

    def refused(self, verb: str, **values: Any) -> dict[str, str]:
        """Do what a button does where it is refused, and return the error."""
        reply = self.send("POST", f"/do/{verb}", json.dumps(values).encode())
        assert reply.status >= 400
        error: dict[str, str] = reply.json["error"]
        return error

    @property
    def state(self) -> Any:
        """All sections."""
        return self.get("/state")

    @property
    def place(self) -> Any:
        """Where training stands."""
        return self.state["place"]

    def wait(self, until: Callable[[Any], Any], seconds: float = 60.0) -> Any:
        """Wait until the state is so, and return it."""
        end = time.monotonic() + seconds
        while not until(state := self.state):
            assert time.monotonic() < end, state["place"]
            time.sleep(0.02)
        return state

    def rest(self) -> Any:
        """Wait until nothing runs, and return the state."""
        return self.wait(lambda state: state["place"]["phase"] in ("paused", "done", "failed") and state["run"])


def array(sent: Any) -> np.ndarray:
    """Return an array as it was before it was sent."""
    kind = {"f32": np.float32, "u8": np.uint8}[sent["type"]]
    return np.frombuffer(base64.b64decode(sent["data"]), kind).reshape(sent["shape"])
