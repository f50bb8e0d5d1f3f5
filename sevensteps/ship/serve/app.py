"""The routes: pictures to answers, the Open Inference Protocol, what there is to watch, and two pages.

No route names a file, loads one, or changes the model.
"""

from __future__ import annotations

import contextlib
import json
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import PurePath
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...base.version import __version__
from ..answer import Answer
from ..predict import Model
from . import described, infer, pages
from .body import Bodies
from .classifier import Classifier
from .form import pictures_in
from .limits import Limits
from .log import Log
from .metrics import CONTENT_TYPE, Metrics
from .protocol import BUSY
from .refused import RequestError, busy, out_of_memory, unreadable

CLIENT_LEFT = 499  # the status that logs and metrics give to a request whose client did not wait, as nginx does


def application(model: Model, name: str, limits: Limits, log: Log) -> ASGIApp:
    """Return the application that serves a model.

    Args:
        model: The model.
        name: What clients call it.
        limits: Of requests.
        log: Takes a line for each request.
    """
    bodies = Bodies(limits)
    classifier = Classifier(model, limits)
    metrics = Metrics(lambda: classifier.waiting, lambda: bodies.bytes)
    classifier.batch_of = metrics.batches.observe

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        classifier.stop()

    app = FastAPI(
        title=f"sevensteps: {name}",
        version=__version__,
        summary=f"Classify pictures as {', '.join(model.classes)}.",
        # FastAPI's pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers={
            RequestError: _refused,
            HTTPException: _no_route,
            MemoryError: _no_memory,
            Exception: _bug,
        },
    )

    async def classified(request: Request, pictures: list[Any]) -> list[Answer]:
        answers = await classifier.answers(pictures)
        metrics.answers(answers)
        request.scope["state"]["pictures"] = len(pictures)
        return answers

    @app.post("/predict", tags=["Pictures"], **described.PREDICT)
    async def predict(request: Request) -> Response:
        """Classify one picture: the body is the file."""
        async with bodies.read(request.scope, request.receive) as body:
            if any(name == b"content-type" and kind[:10] == b"multipart/" for name, kind in request.scope["headers"]):
                raise RequestError(
                    415, "usage", "The body is a form.", "Send the file as it is, or the form to /predict-many."
                )
            (answer,) = await classified(request, [body])
        if answer.probabilities is None:
            raise unreadable(answer.error or "", answer.hint)
        return _json(_without_file(answer))

    @app.post("/predict-many", tags=["Pictures"], **described.PREDICT_MANY)
    async def predict_many(request: Request) -> Response:
        """Classify several pictures, sent as the files of a form."""
        async with bodies.read(request.scope, request.receive) as body:
            files = pictures_in(request.headers.get("content-type", ""), body, limits.pictures)
            answers = await classified(request, [content for _, content in files])
        results = [_with_file(file, answer) for (file, _), answer in zip(files, answers, strict=True)]
        return _json({"results": results, "failed": sum("error" in result for result in results)})

    @app.get("/v2/health/live", tags=["Open Inference Protocol"], **described.GET)
    async def live() -> Response:
        """Say that the server runs."""
        return _json({"live": True})

    @app.get("/v2/health/ready", tags=["Open Inference Protocol"], **described.GET)
    async def ready() -> Response:
        """Say that the server answers."""
        return _json({"ready": True})

    @app.get("/v2", tags=["Open Inference Protocol"], **described.GET)
    async def server_metadata() -> Response:
        """Name the server and the extensions that it supports."""
        return _json({"name": "sevensteps", "version": __version__, "extensions": list(infer.EXTENSIONS)})

    def refuse_another(request: Request) -> None:
        asked = {"version": infer.VERSION} | request.path_params
        if asked != {"model": name, "version": infer.VERSION}:
            raise RequestError(404, "usage", "There is no such model or version.", f"The model is {name!r}, version 1.")

    for names in ({"model": name}, {"model": name, "version": infer.VERSION}):
        path = "/v2" + "".join(f"/{part}s/{{{part}}}" for part in names)
        tag: Any = {"tags": ["Open Inference Protocol"]}

        @app.get(path, **tag, **described.get_model(names))
        async def model_metadata(request: Request) -> Response:
            """Describe the model's input and outputs."""
            refuse_another(request)
            return _json(infer.about(model, name))

        @app.get(f"{path}/ready", **tag, **described.get_model(names))
        async def model_ready(request: Request) -> Response:
            """Say that the model answers."""
            refuse_another(request)
            return _json({"name": name, "ready": True})

        @app.post(f"{path}/infer", **tag, **described.infer(names))
        async def model_infer(request: Request) -> Response:
            """Classify pixels: a tensor of pictures."""
            refuse_another(request)
            async with bodies.read(request.scope, request.receive) as body:
                asked = infer.asked(model, request.headers.get(infer.LENGTH), body, limits)
                answers = await classified(request, list(asked.pictures))
            content, headers = infer.answered(model, name, asked, answers)
            return Response(content, headers=headers)

    @app.get("/metrics", tags=["Watching"], **described.METRICS)
    async def prometheus() -> Response:
        """Return counts and times for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    front = pages.page(name, model.classes)
    routes = pages.docs(app.openapi())

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return front

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return routes

    return _Watched(app, {("POST", "/predict"): predict}, classifier.is_full, metrics, log)


def _json(value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as `predict --json` prints it."""
    return Response(json.dumps(value), status, headers, "application/json")


def _without_file(answer: Answer) -> dict[str, Any]:
    """Return an answer for a picture without a name."""
    return {key: value for key, value in answer.as_json().items() if key != "file"}


def _with_file(file: str, answer: Answer) -> dict[str, Any]:
    """Return an answer for one of several pictures."""
    return {**answer.as_json(), "file": file}


async def _refused(request: Request, error: Exception) -> Response:
    """Return the answer to a request that is refused; on routes of the protocol, as the protocol has it."""
    assert isinstance(error, RequestError)
    if error.status == 503:
        request.scope["state"][BUSY] = True
    if request.scope["path"].startswith("/v2"):
        return _json({"error": f"{error.message} {error.hint}".strip()}, error.status, error.headers)
    return _json(error.as_json(), error.status, error.headers)


async def _no_route(request: Request, error: Exception) -> Response:
    """Return the answer for a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    message = "There is no such route." if error.status_code == 404 else f"This route does not take {request.method}."
    response = await _refused(request, RequestError(error.status_code, "usage", message, "GET /docs lists all routes."))
    response.headers.update(error.headers or {})
    return response


async def _no_memory(request: Request, error: Exception) -> Response:
    """Return the answer for a request that the memory does not suffice for."""
    return await _refused(request, out_of_memory())


async def _bug(request: Request, error: Exception) -> Response:
    """Return the answer for an error of ours; the log has its kind."""
    return await _refused(
        request, RequestError(500, "bug", "The server failed.", "Report this, with the server's log.")
    )


Quick = Mapping[tuple[str, str], Callable[[Request], Awaitable[Response]]]


class _Watched:
    """Counts and logs each request to an application; in the log are no pictures, and no paths but those of routes.

    Args:
        app: The application.
        quick: Routes that are called without its router, which takes as long as all other parts of HTTP together.
        is_full: Returns whether no picture can be taken now.
        metrics: Counts.
        log: Takes a line for each request.
    """

    def __init__(self, app: ASGIApp, quick: Quick, is_full: Callable[[], bool], metrics: Metrics, log: Log) -> None:
        self._app, self._quick, self._is_full, self._metrics, self._log = app, quick, is_full, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, failure = time.perf_counter(), CLIENT_LEFT, {}

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        handler = self._quick.get((scope["method"], scope["path"]))
        # HEAD is answered as GET. The connection, which knows the true method, leaves out the body.
        routed = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            if handler is None:
                await self._app(routed, receive, noted)
            else:
                response = await self._quickly(handler, Request(scope, receive))
                status = response.status_code
                await response(scope, receive, send)
        except ClientDisconnect:
            status = CLIENT_LEFT  # FastAPI has taken it for an error
        except Exception as error:  # a traceback would only repeat what the log says
            failure = {"error": type(error).__name__, "where": _place_of(error)}
            if handler is not None:
                status = 500
                await (await _bug(Request(scope), error))(scope, receive, send)
        finally:
            seconds = time.perf_counter() - began
            route = str(getattr(routed.get("route"), "path", "none") if handler is None else scope["path"])
            self._metrics.request(route, status, seconds)
            self._log.add(
                "request",
                method=scope["method"],
                route=route,
                status=status,
                ms=round(1000 * seconds, 2),
                bytes=scope["state"].get("bytes", 0),
                pictures=scope["state"].get("pictures", 0),
                **failure,
            )

    async def _quickly(self, handler: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        """Return the response of a handler. Those who are turned away must cost little, or nobody would be served."""
        try:
            if self._is_full():
                raise busy()
            return await handler(request)
        except RequestError as error:
            return await _refused(request, error)
        except MemoryError as error:
            return await _no_memory(request, error)


def _place_of(error: BaseException) -> str:
    """Return the file and the line that raised an error."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{PurePath(place.filename).name}:{place.lineno}"
