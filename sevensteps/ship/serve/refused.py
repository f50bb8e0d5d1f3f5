"""The errors of the server: one family, each with the HTTP status that it is answered with."""

from __future__ import annotations

from typing import Any

from ...errors import SevenstepsError
from .limits import RETRY_AFTER


class RequestError(SevenstepsError):
    """A request that gets no answer.

    Args:
        status: The HTTP status.
        code: For programs.
        message: What is wrong with the request.
        hint: What to do.
    """

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status, self.code = status, code

    def as_json(self) -> dict[str, Any]:
        """Return what the client gets."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the status asks for."""
        return {"retry-after": str(RETRY_AFTER)} if self.status == 503 else {}


def busy() -> RequestError:
    """Return the error for a request that finds the queue or the memory full."""
    return RequestError(503, "busy", "The server is busy.", f"Try again in {RETRY_AFTER} second.")


def out_of_memory() -> RequestError:
    """Return the error for a request that needs more memory than the system gives."""
    return RequestError(
        503,
        "busy",
        "The server has too little memory for this request.",
        f"Try again in {RETRY_AFTER} second, or send less at a time.",
    )


def too_large(what: str, hint: str) -> RequestError:
    """Return the error for a request over a limit.

    Args:
        what: The limit, in a sentence.
        hint: What to do.
    """
    return RequestError(413, "too_large", what, hint)


def too_slow(seconds: float) -> RequestError:
    """Return the error for a request that did not arrive in time.

    Args:
        seconds: The deadline.
    """
    return RequestError(408, "too_slow", f"The request did not arrive within {seconds:g} seconds.", "Send it again.")


def malformed(message: str, hint: str = "") -> RequestError:
    """Return the error for a request that is not in the form that its route takes.

    Args:
        message: What is wrong.
        hint: What to send.
    """
    return RequestError(400, "usage", message, hint)


def unreadable(message: str, hint: str) -> RequestError:
    """Return the error for a picture that gets no answer.

    Args:
        message: What is wrong with it.
        hint: What to do.
    """
    return RequestError(422, "data", message, hint)
