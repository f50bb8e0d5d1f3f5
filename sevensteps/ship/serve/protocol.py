"""uvicorn's HTTP protocol with what it lacks: one deadline for headers and body, and a limit on headers.

A client that sends a byte now and then would keep a connection, and memory, for days. And a server that ends closes
connections on which the next request is under way; here they stay open a little longer.
"""

from __future__ import annotations

import asyncio
import json
import re
import select
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from .body import LATE
from .limits import MOST_CONNECTIONS, MOST_HEAD, RETRY_AFTER, Limits
from .refused import RequestError, busy, malformed, too_slow

BUSY = "busy"  # in the state of a request: it was turned away, and its connection is to wait


_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


LINGER = 1.5  # seconds for which an idle connection stays open when the server ends


def protocol_with(limits: Limits) -> type[HttpToolsProtocol]:
    """Return the protocol with these limits, as uvicorn takes it.

    Args:
        limits: The limits.
    """
    return type("Limited", (_Limited,), {"limits": limits})


class _Limited(HttpToolsProtocol):
    """One connection."""

    limits: Limits

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._unanswered = 0  # requests whose headers came
        self._is_in_head = True  # whether the headers of the next request are awaited
        self._head = 0  # bytes of its headers so far
        self._is_ending = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(busy())
            return
        self._begin_deadline()
        if getattr(self.server_state, "is_ending", False):
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._deadline is None:
            self._begin_deadline()
        if self._is_in_head:
            data = _without_upgrade(data)
        self._head += len(data)
        super().data_received(data)
        if self._head > MOST_HEAD and not self.transport.is_closing():
            self._refuse(_long_head())

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD:
            self._refuse(_long_head())
            raise ValueError  # which ends the parsing
        self._is_in_head = False
        super().on_headers_complete()
        self._unanswered += 1
        if self._is_ending:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._head -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_head, self._head = True, 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        state = self.cycle.scope.get("state", {})
        super().on_response_complete()
        # A client that comes back at once would cost more time than the answers to all others.
        if BUSY in state and not self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()
            self.loop.call_later(RETRY_AFTER, self.flow.resume_reading)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.deadline, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def shutdown(self) -> None:
        """Close the connection once its requests are answered, or if no other comes for a little while."""
        self._is_ending = True
        if self._unanswered:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LINGER, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._unanswered or self._head or self.transport.is_closing():
            return
        if select.select([self.transport.get_extra_info("socket").fileno()], [], [], 0)[0]:
            self.loop.call_later(0.01, self._close_if_idle)  # a request has come that nobody has read yet
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(malformed("The request is not valid HTTP."))

    def _begin_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.limits.deadline, self._too_slow)

    def _too_slow(self) -> None:
        """Refuse the request that did not come in time; one that waits behind another gets more of it."""
        if self.transport.is_closing():
            return
        if self._unanswered > (not self._is_in_head):
            self._begin_deadline()
        elif self._is_in_head and self._head:
            self._refuse(too_slow(self.limits.deadline))
        elif self._unanswered:
            self.cycle.scope["state"][LATE] = True
            self.cycle.keep_alive = False
            self.cycle.message_event.set()
        else:
            self.transport.close()

    def _refuse(self, error: RequestError) -> None:
        """Answer outside the application, and close the connection."""
        body = json.dumps(error.as_json()).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
        lines = [f"{name}: {value}\r\n".encode() for name, value in (headers | error.headers).items()]
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", body]))
        self.transport.close()


def _without_upgrade(data: bytes) -> bytes:
    """Return the beginning of a request without the wish for another protocol, which a server may ignore.

    Where there is one (Java's client asks for HTTP/2 in each request), the parser takes the body for that protocol.
    """
    end = data.find(b"\r\n\r\n")
    end = len(data) if end < 0 else end
    if _UPGRADE.search(data, 0, end) is None:
        return data
    return _UPGRADE.sub(b"\r\nX-Upgrade:", data[:end]) + data[end:]


def _long_head() -> RequestError:
    return RequestError(431, "too_large", f"The headers have more than {MOST_HEAD:,} bytes.")
