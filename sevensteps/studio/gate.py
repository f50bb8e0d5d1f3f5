"""Who may ask the Studio for something: this machine's browser with the token of this start, and nobody else.

Each request passes three checks before a route sees it. The Host header must name this server, so that a foreign site
cannot reach it under a name of its own (DNS rebinding). The token must come in the cookie of this start, or in a header
where no cookie can come: in a notebook's frame. A request that changes something must carry a header of ours, which a
foreign page cannot send without asking first, and must not come from a foreign Origin.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .wire import RefusedError, error_answer

COOKIE = "sevensteps-studio"
HEADER, TOKEN = "x-sevensteps", "x-sevensteps-token"
SMALL_BODY = 1 << 20  # bytes of a request that holds no picture
PICTURE_BODY = 32 << 20
WITH_PICTURE = ("/gather", "/try")

# Cookies are shared by all ports of a host, so that two Studios need two names.
_WELCOME = (
    '<!doctype html><meta http-equiv="refresh" content="0;url=./"><title>Studio</title>'
    '<link rel="icon" href="icon.svg"><a href="./">Studio</a>'  # else a browser asks for /favicon.ico
)
_FRAME = re.compile(r"/frame/([A-Za-z0-9_-]{16,})(/.*)")


@dataclass(frozen=True, kw_only=True)
class Door:
    """What the gate of one Studio knows: its port and tokens, and the notebook that may show it in a frame."""

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    frame_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    frame_of: str = ""  # the origin of the notebook; "" for none

    @property
    def url(self) -> str:
        """The address of the page for a browser."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def frame_url(self) -> str:
        """The address of the page for a notebook's frame."""
        return f"http://127.0.0.1:{self.port}/frame/{self.frame_token}/"

    @property
    def hosts(self) -> set[str]:
        """The values of the header Host under which this server is reached."""
        return {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")}

    @property
    def cookie(self) -> str:
        """The name of the cookie."""
        return f"{COOKIE}-{self.port}"


class Gate:
    """Lets a request through to the application, or answers why not.

    Args:
        app: The application.
        door: What it knows.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_framed = bool(self._door.frame_of) and scope["path"].startswith("/frame/")
        sends = _with_headers(send, self._door.frame_of if is_framed else "")
        try:
            scope, welcome = self._checked(scope)
            if welcome is not None:
                await welcome(scope, receive, sends)
                return
            limit = PICTURE_BODY if scope["path"] in WITH_PICTURE else SMALL_BODY
            await self._app(scope, _limited(receive, Headers(scope=scope), limit), sends)
        except RefusedError as refused:
            await error_answer(refused)(scope, receive, sends)

    def _checked(self, scope: Scope) -> tuple[Scope, Response | None]:
        """Return the request as routes see it, and the answer to one that brings the token for the cookie.

        Raises:
            RefusedError: The request may not pass.
        """
        door, headers, method = self._door, Headers(scope=scope), scope["method"]
        if headers.get("host") not in door.hosts:
            raise RefusedError(421, "host", "This address is not the Studio's.", f"Open {door.url.partition('?')[0]}")
        if method not in ("GET", "HEAD", "POST"):
            raise RefusedError(405, "method", f"The Studio does not know the method {method!r:.20}.")
        if method == "POST":
            self._check_change(headers)
        if (framed := _FRAME.fullmatch(scope["path"])) and door.frame_of:
            if not _same(framed[1], door.frame_token):
                raise _no_token()
            # A page's files come by their address alone; what it shows needs the header, too.
            path = framed[2]
            if not _is_file(path) and not _same(headers.get(TOKEN, ""), door.frame_token):
                raise _no_token()
            return {**scope, "path": path, "raw_path": path.encode()}, None
        request = Request(scope)
        if _same(request.cookies.get(door.cookie, ""), door.token) or _same(headers.get(TOKEN, ""), door.token):
            return scope, None
        if method == "GET" and scope["path"] == "/" and _same(request.query_params.get("token", ""), door.token):
            # A page, and no redirect: a browser that came from elsewhere would not send a strict cookie along with it.
            welcome = HTMLResponse(_WELCOME)
            welcome.set_cookie(door.cookie, door.token, httponly=True, samesite="strict", path="/")
            return scope, welcome
        raise _no_token()

    def _check_change(self, headers: Mapping[str, str]) -> None:
        """Refuse a request that wants to change something and does not come from our page.

        Raises:
            RefusedError: It does not.
        """
        if headers.get(HEADER) != "1":
            raise RefusedError(403, "header", "A request that changes something needs the header X-Sevensteps: 1.")
        origin = headers.get("origin")
        if origin is not None and origin not in {f"http://{host}" for host in self._door.hosts}:
            raise RefusedError(403, "origin", "This request comes from another page.", "Use the Studio's own page.")


def _no_token() -> RefusedError:
    return RefusedError(
        403,
        "token",
        "The token is missing, or it is from an earlier start.",
        "Open the address that `sevensteps studio` printed.",
    )


def _same(given: str, wanted: str) -> bool:
    """Compare two tokens in a time that says nothing about them."""
    return secrets.compare_digest(given.encode(), wanted.encode())


def _is_file(path: str) -> bool:
    """Return whether a path names the page itself or one of its files."""
    return path == "/" or path.rpartition(".")[2] in ("js", "css", "svg", "png", "woff2")


def _limited(receive: Receive, headers: Mapping[str, str], limit: int) -> Receive:
    """Return what receives a body up to a number of bytes, whatever its headers promise.

    Raises:
        RefusedError: The headers promise more already.
    """
    too_large = RefusedError(413, "body", f"The body is larger than {limit:,} bytes.", "Send a smaller picture.")
    promised = headers.get("content-length", "0")
    if not promised.isdecimal() or int(promised) > limit:
        raise too_large
    count = 0

    async def receive_some() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > limit:
            raise too_large
        return message

    return receive_some


def _with_headers(send: Send, frame_of: str) -> Send:
    """Return what sends answers with the headers that each of them has."""
    ancestors = frame_of or "'none'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        f"media-src blob:; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors {ancestors}"
    )
    own: dict[str, Any] = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        **({} if frame_of else {"x-frame-options": "DENY", "cross-origin-opener-policy": "same-origin"}),
    }

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(own)
        await send(message)

    return send_with
