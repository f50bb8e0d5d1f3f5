"""Reading the body of a request, within the limits of one request and of all together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from .limits import Limits
from .metrics import Metrics
from .refused import RequestError, busy, too_large, too_slow

LATE = "late"  # in the state of a request: the deadline has passed (see `protocol`)


class Bodies:
    """The bodies of all requests that are being answered.

    Args:
        limits: How large one may be, and all together.
        metrics: Shows how large they are.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._bytes = 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Read a body, which counts until the context ends.

        Args:
            request: The request.

        Raises:
            RequestError: It is too large, all together are, or it came too slowly.
            ClientDisconnect: The client left.
        """
        self._refuse_by_headers(request)
        chunks, size = list[bytes](), 0
        try:
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk, is_last = message.get("body", b""), not message.get("more_body", False)
                size += len(chunk)
                self._bytes += len(chunk)
                self._metrics.memory.set(self._bytes)
                self._refuse_by_size(request, size)
                chunks.append(chunk)
                if is_last:
                    break
            yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            request.scope["state"]["bytes"] = size
            self._bytes -= size
            self._metrics.memory.set(self._bytes)

    def _refuse_by_headers(self, request: Request) -> None:
        """Raise what the headers alone tell, before a byte is read."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(
                415, "usage", "The body is compressed.", "Send the picture as it is, without Content-Encoding."
            )
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._limits.body:
            raise self._too_large()

    def _refuse_by_size(self, request: Request, size: int) -> None:
        """Raise if what came is too much, or too late."""
        if size > self._limits.body:
            raise self._too_large()
        if self._bytes > self._limits.memory:
            raise busy()
        if LATE in request.scope.get("state", ()):
            raise too_slow(self._limits.deadline)

    def _too_large(self) -> RequestError:
        return too_large(f"The request has more than {self._limits.body:,} bytes.", "Send a smaller picture.")
