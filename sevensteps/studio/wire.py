"""What goes over the wire: JSON with arrays in it, answers, errors, and the bodies of requests."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..errors import FileError, SevenstepsError, UsageError

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]

_TYPES = {"u1": "u8", "f4": "f32"}
_LARGEST = 1e15  # of a number that a request gives; whole numbers up to it are exact everywhere


class RefusedError(Exception):
    """A request that is not answered: its status, and what the page shows.

    Args:
        status: The status of the answer.
        code: For programs.
        message: What was wrong.
        hint: What to do.
    """

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it.

    Args:
        value: Plain data, which may hold arrays, and numbers that are not finite.

    Returns:
        Plain data: arrays as shape, type and base64; None for a number that is not finite.
    """
    if isinstance(value, np.ndarray):
        array = value if value.dtype == np.uint8 else value.astype("<f4", copy=False)
        data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
        return {"shape": list(value.shape), "type": _TYPES[array.dtype.str[1:]], "data": data}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(value: Any) -> str:
    """Return a value as the text of JSON; see `plain`.

    Args:
        value: The value.
    """
    return json.dumps(plain(value), separators=(",", ":"), allow_nan=False)


def answer(value: Any) -> Response:
    """Return an answer that holds a value as JSON.

    Args:
        value: The value.
    """
    return Response(as_json(value), media_type="application/json")


def about(error: SevenstepsError | RefusedError) -> dict[str, str]:
    """Return what the page shows of an error.

    Args:
        error: What went wrong.
    """
    # The hint of a file that cannot be written names a flag that the page does not have.
    is_of_file = type(error) is FileError
    hint = "Make room, or allow writing there. Then do it again: what was saved is whole." if is_of_file else error.hint
    return {"message": error.message, "hint": hint}


def error_answer(error: SevenstepsError | RefusedError) -> Response:
    """Return the answer to a request that failed.

    Args:
        error: What went wrong.
    """
    status = error.status if isinstance(error, RefusedError) else 400
    # As ASCII: what is wrong may be half a character, which has no bytes in UTF-8.
    content = json.dumps({"error": {"code": error.code, **about(error)}})
    return Response(content, status, media_type="application/json")


def get(path: str, endpoint: Endpoint) -> Route:
    """Return a route that only reads.

    Args:
        path: The path.
        endpoint: What answers.
    """
    return Route(path, endpoint, methods=["GET"])


def post(path: str, endpoint: Endpoint) -> Route:
    """Return a route that changes something.

    Args:
        path: The path.
        endpoint: What answers.
    """
    return Route(path, endpoint, methods=["POST"])


async def body(request: Request) -> dict[str, Any]:
    """Return the JSON object that a request holds.

    Args:
        request: The request; an empty body is an empty object.

    Raises:
        UsageError: It holds something else.
    """
    content = await request.body()
    try:
        value = json.loads(content or b"{}")
    except (ValueError, RecursionError) as error:
        raise UsageError("The body is not JSON.", hint='Send a JSON object, such as {"lr": 0.1}.') from error
    if not isinstance(value, dict):
        raise UsageError("The body is not a JSON object.", hint='Send a JSON object, such as {"lr": 0.1}.')
    return value


def number_in(values: Mapping[str, Any], name: str, kind: type = float) -> Any:
    """Return a number that a request gives.

    Args:
        values: What the request holds.
        name: The name of the number.
        kind: float, or int for a whole number.

    Raises:
        UsageError: It is missing or not such a number.
    """
    value = values.get(name)
    good = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, good) or not -_LARGEST <= value <= _LARGEST:
        what = f"a {'whole ' if kind is int else ''}number, not beyond 1e15"
        raise UsageError(f"{name} is {value!r:.80}, but must be {what}.", hint=f'Send {{"{name}": 1}}.')
    return kind(value)


def text_in(values: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return a text that a request gives.

    Args:
        values: What the request holds.
        name: The name of the text.
        default: What a request means that does not give it; without one, it must.

    Raises:
        UsageError: It is missing or not a text.
    """
    value = values.get(name, default)
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r:.80}, but must be a text.", hint=f'Send {{"{name}": "…"}}.')
    return value
