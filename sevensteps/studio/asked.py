"""Routes whose answers take time: they are computed in a thread, so that the page stays alive meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import RunError, SevenstepsError, UsageError
from . import wire

if TYPE_CHECKING:
    from ..data.images import Splits
    from ..recipes.recipe import Recipe
    from ..runs.run import Run
    from .session import Session
    from .trainer import Trainer

# What a request asks: the query of a GET, the JSON object of a POST, or its raw body under "".
Asked = Mapping[str, Any]

LARGEST_SIDE = 96  # pixels of a picture in a list; a list of photographs would otherwise be megabytes
LARGEST_SHOWN = 384  # of one that is looked at alone

# Most of them wait for the batch in hand. Those of many reloads would otherwise take all threads, which the page's own
# files need, too, and no page would come until the trainer is free.
_THREADS = CapacityLimiter(16)


@dataclass(frozen=True, eq=False)
class Open:
    """What the Studio has open, as it was between two batches."""

    folder: Path | None  # of the run; None before its first batch
    recipe: Recipe | None
    splits: Splits | None  # the run's pictures, corrected and held out
    raw: Splits | None  # as they were opened
    judged: Run | None = None  # as it was judged: a learner without a folder, and a run before its end, are here alone
    is_learner: bool = False  # whether it is a learner of the user's own, which gets no folder
    recorded: Mapping[str, Any] = field(default_factory=dict)  # what was observed when the run began

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name if self.folder else ""

    def need_folder(self) -> Path:
        """Return the run's folder, or raise a `RunError` where there is no run yet."""
        if self.folder is None:
            raise RunError("Nothing has been trained yet.", hint="Choose pictures, then train.")
        return self.folder


def opened(session: Session) -> Open:
    """Return what the Studio has open; waits for the batch in hand.

    Args:
        session: The state that the page shows.
    """
    return session.trainer.post(_opened).result()


def _opened(trainer: Trainer) -> Open:
    run = trainer.run
    if run is None:
        return Open(None, None, None, trainer.raw)
    work = run.work
    return Open(work.folder, work.recipe, work.splits, trainer.raw, run.judged, not run.saves, work.recorded)


def thumbnails(pixels: np.ndarray, largest: int = LARGEST_SIDE) -> np.ndarray:
    """Return pictures for a list: small ones as they are, of larger ones every second or third pixel.

    Args:
        pixels: `(n, channels, height, width)`.
        largest: The longest side, in pixels, of what is sent.
    """
    step = max(1, -(-max(pixels.shape[2:]) // largest))
    return pixels if step == 1 else pixels[:, :, step // 2 :: step, step // 2 :: step]


def number(asked: Asked, name: str) -> int:
    """Return a whole number of a request, 0 where it has none.

    Args:
        asked: The request.
        name: The number's name.

    Raises:
        UsageError: It is something else, or negative.
    """
    text = str(asked.get(name, 0))
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(f"{name} is {text!r:.40}, but must be a whole number of 0 or more.")
    return int(text)


def get(path: str, answer: Callable[[Asked], Any]) -> Route:
    """Return a route that only reads.

    Args:
        path: The path.
        answer: Gets the query; returns what becomes JSON, or a response.
    """

    async def endpoint(request: Request) -> Response:
        return await _answered(answer, dict(request.query_params))

    return wire.get(path, endpoint)


def post(path: str, answer: Callable[[Asked], Any], *, raw: bool = False) -> Route:
    """Return a route that changes something, or that needs more than a query.

    Args:
        path: The path.
        answer: Gets the JSON object of the request, or its bytes under the key "".
        raw: Whether the body is bytes.
    """

    async def endpoint(request: Request) -> Response:
        asked = {"": await request.body(), **request.query_params} if raw else await wire.body(request)
        return await _answered(answer, asked)

    return wire.post(path, endpoint)


async def _answered(answer: Callable[[Asked], Any], asked: Asked) -> Response:
    try:
        result = await to_thread.run_sync(answer, asked, limiter=_THREADS)
    except SevenstepsError as error:
        return wire.error_answer(error)
    return result if isinstance(result, Response) else wire.answer(result)
