"""Addresses of files elsewhere, such as `s3://bucket/digits.store`; what is shown and saved of one has no secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

T = TypeVar("T")

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

# The parts of a query that say which file it is. All others may be signatures, tokens or keys.
_HARMLESS = frozenset({"version", "versionid", "generation", "raw", "dl", "download"})

_complete: dict[str, str] = {}  # the address as it was typed in this process, by what is shown of it


def is_address(source: object) -> bool:
    """Return whether a source is an address: text that begins with a protocol.

    Args:
        source: As for `load`.

    >>> is_address("s3://bucket/digits.store"), is_address("digits.store")
    (True, False)
    """
    return isinstance(source, str) and _ADDRESS.match(source) is not None


def without_secrets(source: T) -> T:
    """Return an address without user, password and signatures; anything else unchanged.

    This process remembers the complete address, to open the file. It is never written down.

    Args:
        source: As for `load`.

    >>> without_secrets("https://me:secret@example.org/a.store?versionId=3&X-Amz-Signature=0f")
    'https://example.org/a.store?versionId=3'
    """
    if not isinstance(source, str) or not is_address(source):
        return source
    parts = urlsplit(source)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key.lower() in _HARMLESS]
    fragment = "" if parts.scheme in ("http", "https") else parts.fragment  # elsewhere a name may contain "#"
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(query), fragment))
    if not _ADDRESS.match(shown):  # urlunsplit leaves the slashes of "memory:///a" out
        shown = f"{parts.scheme}://{shown.partition(':')[2]}"
    if shown != source:
        _complete[shown] = source
    return cast(T, shown)


def complete(address: str) -> str:
    """Return an address as it was typed in this process, with its secrets.

    Args:
        address: What `without_secrets` returned.
    """
    return _complete.get(address, address)


def typed_here() -> dict[str, str]:
    """Return the addresses with secrets that this process remembers, by what is shown of them."""
    return dict(_complete)


def remember(typed: Mapping[str, str]) -> None:
    """Remember addresses with secrets that were typed in the process that leads this one.

    Args:
        typed: What `typed_here` returned there.
    """
    _complete.update(typed)


def name_in(address: str) -> str:
    """Return the name of the file at an address.

    Args:
        address: The address.

    >>> name_in("s3://bucket/sets/digits.store?versionId=3")
    'digits.store'
    """
    return urlsplit(address).path.rpartition("/")[2] or urlsplit(address).netloc
