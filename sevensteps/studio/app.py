"""The application behind the page: its files, the state as a stream, the batch in hand, and what the buttons do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from ..errors import SevenstepsError, UsageError
from ..runs import folder as folders
from . import comparing, gathering, offering, repair, taking, trying, verdict
from .gate import Door, Gate
from .session import FRAME, Follower, Session
from .wire import RefusedError, answer, body, error_answer, get, number_in, post, text_in

if TYPE_CHECKING:
    from .trainer import Trainer

PAGE = Path(__file__).parent / "page"
MOST_STREAMS = 32
BEAT = 5.0  # seconds between two comments of a stream where nothing changes
MOST_PICTURES = 256

_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def application(session: Session, door: Door) -> Gate:
    """Make the application.

    Args:
        session: What it shows.
        door: Who may ask.
    """
    routes: list[BaseRoute] = [
        get("/", _page),
        get("/state", _state(session)),
        get("/events", _events(session)),
        get("/xray", _xray(session)),
        get("/chain", _chain(session)),
        get("/pictures", _pictures(session)),
        *_of_others(session),
        post("/do/{verb}", _do(session)),
        Route("/{name}", _file, methods=["GET"]),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            SevenstepsError: _failed,
            RefusedError: _failed,
            ClientDisconnect: _gone,
            404: _missing,
            405: _missing,
            500: _broken,
        },
    )
    return Gate(app, door)


def _of_others(session: Session) -> list[BaseRoute]:
    """Return the routes of the other views; each module makes its own."""
    views = (gathering, offering, verdict, repair, trying, taking, comparing)
    return [route for view in views for route in view.routes(session)]


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, (SevenstepsError, RefusedError))
    return error_answer(error)


async def _missing(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return error_answer(RefusedError(status, "missing", "The Studio has nothing at this address."))


async def _gone(request: Request, error: Exception) -> Response:
    """Answer a client that hung up in the middle of what it sent: nobody reads it, and nothing is wrong here."""
    return Response(status_code=400)


async def _broken(request: Request, error: Exception) -> Response:
    return error_answer(RefusedError(500, "bug", f"Internal error: {type(error).__name__}", "Reload the page."))


async def _page(request: Request) -> Response:
    return FileResponse(PAGE / "index.html", media_type="text/html")


async def _file(request: Request) -> Response:
    """Answer with one of the page's files; a name from outside never becomes a path."""
    known = {path.name: path for path in PAGE.iterdir() if path.suffix in _KINDS}
    path = known.get(request.path_params["name"])
    if path is None:
        raise RefusedError(404, "missing", "The Studio has nothing at this address.")
    return FileResponse(path, media_type=_KINDS[path.suffix])


def _state(session: Session) -> Any:
    async def state(request: Request) -> Response:
        return Response(await session.snapshot(), media_type="application/json")

    return state


def _events(session: Session) -> Any:
    async def events(request: Request) -> Response:
        if session.listeners >= MOST_STREAMS:
            raise RefusedError(503, "streams", f"{MOST_STREAMS} pages follow already.", "This page asks once a second.")
        return StreamingResponse(_stream(session), media_type="text/event-stream")

    return events


async def _stream(session: Session) -> AsyncIterator[str]:
    """Give what changed as server-sent events: the latest state at most 30 times a second, and never a queue of it."""
    loop = asyncio.get_running_loop()
    async with Follower(session) as follower:
        while not session.is_closing:
            began = loop.time()
            if (message := follower.message()) is not None:
                yield f"data: {message}\n\n"
                # What changes meanwhile wakes nobody, so that a training at full speed need not.
                await asyncio.sleep(max(began + FRAME - loop.time(), 0))
            if not await follower.wait(BEAT):
                yield ": still here\n\n"


def _xray(session: Session) -> Any:
    async def xray(request: Request) -> Response:
        number = _picture_number(request, "0")

        def look(trainer: Trainer) -> tuple[dict[str, Any], dict[str, Any] | None]:
            """Return the batch in hand, and one of its pictures: of the same batch, however fast training is."""
            run = trainer.need_run()
            seen = run.in_hand()
            return seen, run.chain(min(number, len(seen["labels"]))) if number else None

        seen, followed = await session.ask(look)
        return answer({name: value for name, value in seen.items() if name != "chains"} | {"chain": followed})

    return xray


def _chain(session: Session) -> Any:
    async def chain(request: Request) -> Response:
        number = _picture_number(request, "1")
        return answer(await session.ask(lambda trainer: trainer.need_run().chain(number)))

    return chain


def _picture_number(request: Request, default: str) -> int:
    """Return the number of a picture in the batch that a request names."""
    text = request.query_params.get("number", default)
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f"{text!r:.20} is not the number of a picture.", hint="Pictures are counted from 1.")
    return int(text)


def _pictures(session: Session) -> Any:
    async def pictures(request: Request) -> Response:
        asked = request.query_params
        split, ids, rows = asked.get("split", "test"), asked.get("ids"), asked.get("rows", "")
        names = (ids if ids is not None else rows).split(",")[: MOST_PICTURES + 1]
        if len(names) > MOST_PICTURES:
            raise UsageError(f"At most {MOST_PICTURES} pictures at once.", hint="Ask again for the rest.")
        from .pictures import pictures_of

        return answer(await session.ask(lambda trainer: pictures_of(trainer, names, split if ids is None else None)))

    return pictures


def _do(session: Session) -> Any:
    async def do(request: Request) -> Response:
        verb, values = request.path_params["verb"], await body(request)
        if verb not in VERBS:
            raise RefusedError(404, "missing", f"The Studio has no verb {verb!r:.30}.")
        act = VERBS[verb](values)

        def counted(trainer: Trainer) -> int:
            """Count it, so that the page can tell which place comes after it; then do it."""
            trainer.teller.asked += 1
            act(trainer)
            return trainer.teller.asked

        return answer({"asked": await session.ask(counted)})

    return do


Work = Callable[["Trainer"], Any]


def _walk(how: str) -> Callable[[Mapping[str, Any]], Work]:
    return lambda values: lambda trainer: trainer.walk(how)


def _back(values: Mapping[str, Any]) -> Work:
    to = None if values.get("to") is None else number_in(values, "to", int)
    return lambda trainer: trainer.back(to)


def _open(values: Mapping[str, Any]) -> Work:
    if "run" in values:
        run = text_in(values, "run")
        return lambda trainer: trainer.open_run(str(_listed(trainer.session, run)))
    source = text_in(values, "source")
    return lambda trainer: trainer.open_source(_offered(trainer.session, source))


def _listed(session: Session, name: str) -> Path:
    """Return the folder of a run that the page lists; a page cannot name a path.

    Raises:
        UsageError: It is not listed.
    """
    if name not in [run["name"] for run in session.section("runs")]:
        raise UsageError(f"There is no run {name!r:.80} under runs/.", hint="Choose one from the list.")
    return folders.ROOT / name


def _offered(session: Session, source: str) -> str:
    """Return the name of pictures that the page offers; a page cannot name a path.

    Raises:
        UsageError: They are not offered.
    """
    if source not in [offer["source"] for offer in session.section("studio")["offers"]]:
        raise UsageError(f"{source!r:.80} is not offered here.", hint="Drop the pictures on the page.")
    return source


def _speed(values: Mapping[str, Any]) -> Work:
    value, unit = number_in(values, "value"), text_in(values, "unit", "batches")
    return lambda trainer: trainer.set_speed(value, unit)


def _rate(values: Mapping[str, Any]) -> Work:
    lr = number_in(values, "lr")
    return lambda trainer: trainer.set_rate(lr)


def _start(values: Mapping[str, Any]) -> Work:
    from .stories import changed

    return lambda trainer: changed(trainer, values)


VERBS: dict[str, Callable[[Mapping[str, Any]], Work]] = {
    **{how: _walk(how) for how in ("step", "batch", "epoch", "run")},
    "pause": lambda values: lambda trainer: trainer.pause(),
    "rewind": lambda values: lambda trainer: trainer.back(0),
    "back": _back,
    "speed": _speed,
    "lr": _rate,
    "start": _start,
    "open": _open,
    "judge": lambda values: lambda trainer: trainer.judge(),
}
