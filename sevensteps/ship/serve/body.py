"""Reading the body of a request, within the limits of one request and of all together."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from .limits import Limits
from .refused import RequestError, busy, too_large, too_slow

LATE = "late"  # in the state of a request: the deadline has passed (see `protocol`)


class Bodies:
    """The bodies of all requests that are being answered.

    Args:
        limits: How large one may be, and all together.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.bytes = 0

    def read(self, scope: Scope, receive: Receive) -> Body:
        """Return a context in which the body of a request is read, and counts.

        Args:
            scope: Of the request.
            receive: Of the request.
        """
        return Body(self, scope, receive)


class Body:
    """The body of a request, which is read on entering and counts until the end.

    Args:
        bodies: All of them.
        scope: Of the request.
        receive: Of the request.
    """

    def __init__(self, bodies: Bodies, scope: Scope, receive: Receive) -> None:
        self._bodies, self._scope, self._receive = bodies, scope, receive
        self._size = 0

    async def __aenter__(self) -> bytes:
        """Read the body.

        Raises:
            RequestError: It is too large, all together are, or it came too slowly.
            ClientDisconnect: The client left.
        """
        self._refuse_by_headers()
        try:
            chunks = list[bytes]()
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk = message.get("body", b"")
                self._size += len(chunk)
                self._bodies.bytes += len(chunk)
                self._refuse_by_size()
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return chunk if len(chunks) == 1 else b"".join(chunks)
        except BaseException:
            self._end()
            raise

    async def __aexit__(self, *raised: object) -> None:
        self._end()

    def _end(self) -> None:
        self._scope["state"]["bytes"] = self._size
        self._bodies.bytes -= self._size

    def _refuse_by_headers(self) -> None:
        """Raise what the headers alone tell, before a byte is read."""
        for name, value in self._scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._bodies.limits.body:
                raise self._too_large()
            if name == b"content-encoding" and value.lower() != b"identity":
                raise RequestError(
                    415, "usage", "The body is compressed.", "Send the picture as it is, without Content-Encoding."
                )

    def _refuse_by_size(self) -> None:
        """Raise if what came is too much, or too late."""
        if self._size > self._bodies.limits.body:
            raise self._too_large()
        if self._bodies.bytes > self._bodies.limits.memory:
            raise busy()
        if LATE in self._scope["state"]:
            raise too_slow(self._bodies.limits.deadline)

    def _too_large(self) -> RequestError:
        return too_large(f"The request has more than {self._bodies.limits.body:,} bytes.", "Send a smaller picture.")
