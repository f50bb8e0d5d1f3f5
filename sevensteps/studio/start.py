"""Open the Studio: a port, a token, the server and the browser; for `sevensteps studio` and `ss.open_studio`."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import uvicorn

from ..base.version import __version__
from ..errors import UsageError
from ..runs import folder as folders
from .app import application
from .gate import Door
from .gathering import LIMITS
from .session import Session
from .trainer import Trainer

PORT = 8420
PAGE_FIRST = 0.5  # seconds that the page has for itself before torch is imported
TRIES = 20  # ports above the first


def listening_at(port: int | None) -> socket.socket:
    """Return a socket of this machine alone that browsers can connect to.

    Args:
        port: The port; None for 8420 or the next one that is free.

    Raises:
        UsageError: The port is taken, or is not a port.
    """
    if port is not None and not 0 <= port < 1 << 16:
        raise UsageError(f"There is no port {port}.", hint=f"Name one from 0 to 65535: --port {PORT}")
    for tried in range(PORT, PORT + TRIES) if port is None else [port]:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if sys.platform != "win32":  # where it would let two programs listen at the same port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", tried))
            listening.listen(128)
            return listening
        except OSError as error:
            listening.close()
            if port is not None or error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise UsageError(
                    f"Port {tried} cannot be used: {error.strerror}.", hint="Leave out --port, or name another."
                ) from error
    raise UsageError(f"The ports {PORT} to {PORT + TRIES - 1} are in use.", hint="Name a free one: --port 9000")


class Server(uvicorn.Server):
    """A server that tells when it answers, and ends with its streams.

    Args:
        config: As for uvicorn.
        session: What it shows.
        begun: Called once requests are answered.
    """

    def __init__(self, config: uvicorn.Config, session: Session, begun: Callable[[], None]) -> None:
        super().__init__(config)
        self._session, self._begun = session, begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        import asyncio

        self._session.serve_on(asyncio.get_running_loop())
        await super().startup(sockets)
        if self.started:
            self._begun()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn, which writes a traceback of each request that ends with the server."""

        def is_told(record: logging.LogRecord) -> bool:
            return not self._session.is_closing

        log = logging.getLogger("uvicorn.error")
        log.addFilter(is_told)
        try:
            super().run(sockets)
        finally:
            log.removeFilter(is_told)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn; streams would otherwise never end."""
        self._session.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See uvicorn, which would end with the signal that it was asked with, as if something had gone wrong."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def server_of(session: Session, door: Door, begun: Callable[[], None]) -> Server:
    """Return the server of a session.

    Args:
        session: The session.
        door: Who may ask.
        begun: Called once requests are answered.
    """
    config = uvicorn.Config(
        application(session, door),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=1 << 15,
    )
    return Server(config, session, begun)


def new_session(*, framed: bool = False) -> tuple[Session, Trainer]:
    """Return a session with nothing open, whose trainer has not started yet.

    Args:
        framed: Whether a notebook shows the page.
    """
    session = Session()
    session.trainer = trainer = Trainer(session)
    about = {"version": __version__, "folder": str(Path.cwd()), "offers": [], "framed": framed, "limits": LIMITS}
    session.put("studio", about)
    return session, trainer


def _say_opening(session: Session) -> None:
    """Show that something is being opened: until the trainer's thread has begun, the page would ask for pictures."""
    session.put("place", {**session.section("place"), "phase": "opening"})


class Opened:
    """A Studio that runs beside the program that opened it.

    Args:
        session: What it shows.
        door: Who may ask.
        listening: Where it is reached.
    """

    def __init__(self, session: Session, door: Door, listening: socket.socket) -> None:
        self.door, self._session = door, session
        answers = threading.Event()
        self._server = server_of(session, door, answers.set)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="studio-server", daemon=True)
        self._thread.start()
        answers.wait(10)

    @property
    def url(self) -> str:
        """The address of the page for a browser on this machine, with its token."""
        return self.door.url

    def close(self) -> None:
        """Save the run, and end the server."""
        self._server.should_exit = True
        self._thread.join()
        self._session.trainer.close()

    def __repr__(self) -> str:
        return f"Studio: {self.url}"


S = TypeVar("S", bound=Opened)


def beside(
    name: str | None = None,
    *,
    port: int | None = None,
    frame_of: str = "",
    kind: Callable[[Session, Door, socket.socket], S] = Opened,  # type: ignore[assignment]
    first: Callable[[Trainer], None] | None = None,
) -> S:
    """Open the Studio beside this program, which goes on.

    Args:
        name: Pictures or a run to open.
        port: The port; None for 8420 or the next one that is free.
        frame_of: The origins of the notebook that may show it in a frame.
        kind: What is returned.
        first: What the trainer does first, in place of opening `name`.

    Returns:
        What closes it.

    Raises:
        UsageError: The port cannot be used.
    """
    listening = listening_at(port)
    door = Door(port=listening.getsockname()[1], frame_of=frame_of)
    session, trainer = new_session(framed=bool(frame_of))
    if name is not None or first is not None:
        _say_opening(session)
    studio = kind(session, door, listening)
    trainer.start(first or (lambda trainer: opened(trainer, name, framed=bool(frame_of))))
    return studio


def run_studio(
    name: str | None = None,
    *,
    port: int | None = None,
    browser: bool = True,
    fix: str = "",
    yes: bool = False,
    say: Callable[[str], None] = print,
) -> str:
    """Open the Studio and serve it until Ctrl-C.

    Args:
        name: Pictures or a run to open.
        port: The port; None for 8420 or the next one that is free.
        browser: Whether to open the page in the browser.
        fix: A corrections file, which is applied to the pictures.
        yes: Whether to apply one that changes more than a fifth of the labels.
        say: Receives the address.

    Returns:
        The folder of the run that was left before its end; "" for none.

    Raises:
        UsageError: The port cannot be used; or there are corrections without pictures, or for a run.
    """
    if fix and (name is None or _is_run(name)):
        raise UsageError(
            "--fix corrects pictures, and " + ("none are named." if name is None else f"{name} is a run."),
            hint="sevensteps studio SOURCE --fix FILE",
        )
    listening = listening_at(port)
    door = Door(port=listening.getsockname()[1])
    session, trainer = new_session()
    if name is not None:
        _say_opening(session)

    def begun() -> None:
        say(door.url)
        if browser:
            webbrowser.open(door.url)
        threading.Thread(target=start_training, name="studio-start", daemon=True).start()

    def start_training() -> None:
        session.is_followed.wait(PAGE_FIRST)  # while torch is imported, the page would wait for its files
        trainer.start(lambda trainer: opened(trainer, name, framed=False, fix=fix, yes=yes))

    server_of(session, door, begun).run([listening])
    session.trainer.close()
    run = trainer.run
    return "" if run is None or run.is_over or run.work.folder is None else str(run.work.folder)


def _is_run(name: str) -> bool:
    """Return whether this is the folder or the name of a run."""
    return any(path.is_dir() and folders.is_run(path) for path in (Path(name), folders.ROOT / name))


def opened(trainer: Trainer, name: str | None, *, framed: bool, fix: str = "", yes: bool = False) -> None:
    """Import what training needs, and open what was named.

    Args:
        trainer: Opens it, on its thread.
        name: Pictures or a run; None for nothing.
        framed: Whether a notebook shows the page.
        fix: A corrections file, which is applied to the pictures.
        yes: Whether to apply one that changes more than a fifth of the labels.
    """
    from ..errors import SevenstepsError
    from .described import studio_section
    from .stories import STORIES

    trainer.session.put("studio", studio_section(__version__, STORIES, LIMITS, framed))
    trainer.teller.show_runs()
    if name is None:
        return
    try:
        if _is_run(name):
            trainer.open_run(name)
        else:
            trainer.open_source(name, fix=fix, yes=yes)
    except SevenstepsError as error:
        trainer.say_failed(error)
