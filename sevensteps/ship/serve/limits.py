"""What one request, and all of them together, may ask of the server."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ...errors import UsageError

RETRY_AFTER = 1  # seconds after which a client that was turned away should ask again


MOST_CONNECTIONS = 900  # open at once; many systems let a process have 1,024 files


MOST_HEAD = 1 << 16  # bytes of a request line and headers


MOST_JSON = 4 << 20  # bytes; parsing holds up everybody, 15 ms for each megabyte


MOST_PIXELS = 400_000_000  # of all pictures that wait; decoding them takes less time than the server has to end


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits that a user may set.

    Raises:
        UsageError: One is not positive, or a single request might exceed what all requests together may have.
    """

    body: int = 20_000_000  # bytes of a request
    pixels: int = 50_000_000  # of a picture
    pictures: int = 64  # in a request
    waiting: int = 512  # pictures that wait for an answer, of all requests
    memory: int = 256_000_000  # bytes of all requests that are read or wait
    deadline: float = 7.0  # seconds for headers and body together

    def __post_init__(self) -> None:
        for each in fields(self):
            if not getattr(self, each.name) > 0:
                flag = each.name if each.name == "deadline" else f"max-{each.name}"
                raise UsageError(f"--{flag} must be more than 0.", hint="Leave it out for the default.")
        for one, name, every, of in (
            (self.pictures, "pictures", self.waiting, "waiting"),
            (self.body, "body", self.memory, "memory"),
        ):
            if one > every:
                raise UsageError(
                    f"--max-{name} {one} is more than --max-{of} {every}, so such a request would never be answered.",
                    hint=f"--max-{name} {every}",
                )
