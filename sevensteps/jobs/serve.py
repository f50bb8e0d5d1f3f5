"""`serve`: classify pictures that are sent over HTTP."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..base.own_code import OwnCode, given
from ..errors import ModelError, UsageError
from ..runs.folder import AnyRun
from ..ship.serve.limits import Limits
from .predict import load, model_path

INSTALL = "pip install 'sevensteps[serve]'"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A server that answers."""

    url: str
    model: str  # what clients call it
    classes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what `serve --json` prints."""
        return {"url": self.url, "model": self.model, "classes": list(self.classes)}


def serve(
    model: AnyRun,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits = Limits(),
    *,
    network: OwnCode = None,
    begun: Callable[[Serving], None] | None = None,
) -> None:
    """Classify pictures that are sent over HTTP, with the answers of `predict`, until SIGTERM or Ctrl-C.

    A line of JSON for each request goes to standard error. At the end, all requests that have come are answered.

    Args:
        model: A run's folder, its name under `runs/`, the run that `train` returned, a `model.safetensors`, or a
            `model.onnx`.
        host: The address to listen on; by default, only programs on this machine can reach it.
        port: The port; 0 for a free one.
        limits: What requests may ask of the server.
        network: The network of your own that the run was trained with: a function, or its name,
            `package.module:function`.
        begun: Called with the address once requests are answered.

    Raises:
        RunError, ModelError: There is no such run or file, it is damaged, or the packages of the extra `serve` are
            missing.
        UsageError: The address is not one of this machine, or is taken; or this is a notebook, which has an event loop
            of its own.
    """
    try:
        from ..ship.serve.app import application
        from ..ship.serve.log import Log
        from ..ship.serve.server import run
    except ModuleNotFoundError as error:
        package = (error.name or "fastapi").partition(".")[0]
        raise ModelError(f"To serve a model, {package} must be installed.", hint=INSTALL) from error

    _refuse_in_an_event_loop()
    path = model_path(model)
    name = path.resolve().name if path.is_dir() else path.stem
    with given(network):
        loaded = load(path)
    listening = _listening(host, port)
    log = Log(sys.stderr)

    def announce() -> None:
        serving = Serving(url=_url(listening), model=name, classes=loaded.classes)
        log.add("started", **serving.as_json())
        if begun is not None:
            begun(serving)

    try:
        run(application(loaded, name, limits, log), listening, limits, log, announce)
        log.add("ended")
    finally:
        log.end()


def _refuse_in_an_event_loop() -> None:
    """Raise where a server cannot run, as in the cells of a notebook.

    Raises:
        UsageError: An event loop runs already.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        "A server cannot run in a notebook or inside an event loop.",
        hint="Start it in a terminal: sevensteps serve RUN",
    )


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that connections can be made to.

    Raises:
        UsageError: The address is not one of this machine, or is taken.
    """
    if not 0 <= port < 1 << 16:
        raise UsageError(f"There is no port {port}.", hint="Name one from 0 to 65535: --port 8000")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"There is no address {host!r:.80} with port {port}.", hint="--host 127.0.0.1") from error
    try:
        if sys.platform != "win32":  # where it would let two programs listen at the same port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        reason = error.strerror or error
        is_elsewhere = error.errno == errno.EADDRNOTAVAIL
        hint = "Name an address of this machine: --host 127.0.0.1" if is_elsewhere else "Name another port: --port 8001"
        raise UsageError(f"Cannot listen on {host}, port {port}: {reason}.", hint=hint) from error
    return listening


def _url(listening: socket.socket) -> str:
    """Return the address of a socket as a browser takes it."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
