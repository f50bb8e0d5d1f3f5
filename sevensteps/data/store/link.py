"""Link: read a file at an address by byte ranges, with `fsspec`, and ask again for what failed.

A range is asked for up to eight times, over 13 seconds and the time that the answers take. An answer that comes whole
but has a wrong checksum is asked for once more only: the file itself is damaged then, or has been replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...base.addresses import complete
from ...errors import DataError, DownloadError, FileError, SevenstepsError, UsageError

INSTALL = "pip install 'sevensteps[remote]'"

TRIES = 8

FIRST_WAIT = 0.1  # seconds before the second try; each further wait is twice as long

PATIENCE = 30.0  # seconds without a byte, or for a connection, after which a server on the web is asked again

Range = tuple[int, int]  # the first byte, and the byte after the last

_AGAIN = "Check the network and run the same command again. To continue a run: sevensteps resume RUN"

_RIGHTS = (
    "Set credentials in the environment or in fsspec's settings file. Credentials and signatures in an address are "
    "never saved."
)

_NOT_RIGHTS = "Check the address and the network, and run the same command again."

_WEB = ("http", "https")

# Where a file appears when all of it has come.
_BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss"})

_WITHOUT_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"})  # of botocore


class Link:
    """A file at an address.

    Args:
        address: The address, without secrets: those typed in this process are remembered.

    Raises:
        UsageError: There is no such protocol, or a package that it needs is not installed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.protocol = address.partition("://")[0].lower()
        self.system, self.path = _connected(address, self.protocol)

    def beginning(self, length: int) -> tuple[bytes, int]:
        """Return the first bytes of the file, and its size.

        Args:
            length: How many bytes; fewer if the file is shorter.

        Raises:
            DataError: The file does not exist, or its server answers no byte ranges.
            DownloadError: It cannot be read.
        """
        reason = ""
        for attempt in range(TRIES):
            _wait(attempt)
            try:
                if self.protocol in _WEB:
                    content, size = self._beginning_on_the_web(length)
                else:
                    self.system.invalidate_cache()
                    size = int(self.system.info(self.path)["size"])
                    content = self.system.cat_file(self.path, start=0, end=min(length, size))
            except Exception as error:  # whatever a package for a protocol raises
                reason = self._reason(error)
            else:
                if len(content) == min(length, size):
                    return content, size
                reason = f"{len(content):,} of {min(length, size):,} bytes arrived"
        raise DownloadError(f"{self.address} could not be opened in {TRIES} tries: {reason}.", hint=_AGAIN)

    def ranges(
        self, wanted: Sequence[Range], names: Sequence[str], is_right: Callable[[int, bytes], bool]
    ) -> list[bytes]:
        """Return byte ranges of the file, asked for together.

        Args:
            wanted: The ranges.
            names: What each is, for messages.
            is_right: Whether the bytes of a range, given by its place, have the right checksum.

        Raises:
            DataError: A checksum is wrong twice, or the file is gone.
            DownloadError: A range cannot be read.
        """
        content: dict[int, bytes] = {}
        reasons: dict[int, str] = {}
        wrong: set[int] = set()
        for attempt in range(TRIES):
            left = [place for place in range(len(wanted)) if place not in content]
            if not left:
                break
            _wait(attempt)
            for place, answer in zip(left, self._answers([wanted[place] for place in left]), strict=True):
                size = wanted[place][1] - wanted[place][0]
                if isinstance(answer, BaseException):
                    reasons[place] = self._reason(answer)
                elif len(answer) != size:
                    reasons[place] = f"{len(answer):,} of {size:,} bytes arrived"
                elif is_right(place, answer):
                    content[place] = answer
                elif place in wrong:
                    raise DataError(
                        f"{self.address}: {names[place]} {_bytes(wanted[place])} arrived twice with a wrong checksum.",
                        hint="The file is damaged there, or was replaced: write it again with sevensteps prepare. "
                        f"To see all damage: sevensteps verify {self.address}",
                    )
                else:
                    wrong.add(place)
                    reasons[place] = "its checksum was wrong"
        missing = [place for place in range(len(wanted)) if place not in content]
        if missing:
            raise DownloadError(
                f"{self.address}: {names[missing[0]]} {_bytes(wanted[missing[0]])} could not be read in {TRIES} "
                f"tries: {reasons[missing[0]]}.",
                hint=_AGAIN,
            )
        return [content[place] for place in range(len(wanted))]

    def refuse_existing(self) -> None:
        """Raise if there is a file at the address.

        Raises:
            FileError: There is one, or the place cannot be looked at.
        """
        try:
            self.system.invalidate_cache()
            there = self.system.exists(self.path)
        except Exception as error:
            raise self._not_written(error) from None
        if there:
            raise FileError(
                f"{self.address} already exists; nothing was changed.",
                hint=f"Choose another name, or train on it: sevensteps train {self.address}",
            )

    def upload(self, path: Path, size: int) -> None:
        """Write a file to the address. It appears there when it is complete.

        A bucket shows an object only when all of it has come. In folders, it has another name until then.

        Args:
            path: The file.
            size: Its size in bytes.

        Raises:
            FileError: It cannot be written.
        """
        folder, slash, name = self.path.rpartition("/")
        target = self.path if self.protocol in _BUCKETS else f"{folder}{slash}.{name}.part"
        try:
            self.system.put_file(str(path), target)
            if target != self.path:
                self.system.mv(target, self.path)
            self.system.invalidate_cache()
            there = int(self.system.info(self.path)["size"])
        except Exception as error:
            raise self._not_written(error) from None
        if there != size:
            raise FileError(f"{self.address} has {there:,} bytes instead of {size:,}.", hint=_NOT_RIGHTS)

    def _not_written(self, error: BaseException) -> FileError:
        """Return the error for what a package for a protocol raised while it wrote."""
        hint = _RIGHTS if _is_refused(error) else _NOT_RIGHTS
        return FileError(f"{self.address} cannot be written: {_in_words(error)}.", hint=hint)

    def _answers(self, wanted: Sequence[Range]) -> list[Any]:
        """Return the bytes of each range, or the error in their place."""
        try:
            starts, ends = zip(*wanted, strict=True)
            answers = self.system.cat_ranges([self.path] * len(wanted), list(starts), list(ends), on_error="return")
        except Exception as error:
            return [error] * len(wanted)
        return list(answers)

    def _beginning_on_the_web(self, length: int) -> tuple[bytes, int]:
        """Return the first bytes and the size, by one request that is given up if the server sends the whole file."""
        from fsspec.asyn import sync

        async def asked() -> tuple[bytes, int]:
            session = await self.system.set_session()
            headers = {**self.system.kwargs.get("headers", {}), "Range": f"bytes=0-{length - 1}"}
            options = {**self.system.kwargs, "headers": headers}
            async with session.get(self.system.encode_url(self.path), **options) as response:
                response.raise_for_status()
                total = response.headers.get("Content-Range", "").rpartition("/")[2]
                if response.status != 206 or not total.isdecimal():
                    raise DataError(
                        f"{self.address}: its server does not answer requests for a range of bytes.",
                        hint="Copy the store to this machine, or to a server that does, such as nginx or S3.",
                    )
                return await response.read(), int(total)

        content, size = sync(self.system.loop, asked)
        return content, size

    def _reason(self, error: BaseException) -> str:
        """Return in words why a try failed; they hold no address, which may have a signature.

        Raises:
            DataError: Another try would fail, too.
        """
        if isinstance(error, SevenstepsError):
            raise error
        status = getattr(error, "status", None)
        if isinstance(error, FileNotFoundError) or status in (404, 410):
            raise DataError(f"There is no file at {self.address}.", hint="Check the address.") from None
        if _is_refused(error):
            raise DataError(f"{self.address} cannot be read: access was refused.", hint=_RIGHTS) from None
        if isinstance(status, int) and 400 <= status < 500 and status not in (408, 425, 429):
            raise DataError(
                f"{self.address} cannot be read: the server answers {status}.", hint="Check the address."
            ) from None
        return _in_words(error)


def _connected(address: str, protocol: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it.

    Raises:
        UsageError: There is no such protocol, or a package that it needs is not installed.
    """
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(complete(address), **_options(protocol))
    except ImportError as error:
        said = str(error).rstrip(".") or "it is not installed"
        hint = INSTALL if protocol in (*_WEB, "s3", "s3a") else f"{INSTALL}, and the package named above"
        raise UsageError(f"{protocol}:// needs a package that is missing ({said}).", hint=hint) from None
    except ValueError as error:
        raise UsageError(
            f"{address} is not an address that fsspec knows.", hint="Most stores are at s3:// or https:// addresses."
        ) from error
    return system, str(path)


def _options(protocol: str) -> dict[str, Any]:
    """Return how a web server is asked: with limits on silence in place of one on the whole answer."""
    if protocol not in _WEB:
        return {}
    import aiohttp
    from fsspec.config import conf

    limits = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=PATIENCE)
    return {"client_kwargs": {"timeout": limits, **conf.get(protocol, {}).get("client_kwargs", {})}}


def _is_refused(error: BaseException) -> bool:
    """Return whether an error of another package says that credentials are missing or not enough."""
    refused = getattr(error, "status", None) in (401, 403) or isinstance(error, PermissionError)
    return refused or type(error).__name__ in _WITHOUT_CREDENTIALS


def _in_words(error: BaseException) -> str:
    """Return what an error of another package says, without addresses, which may hold a signature."""
    if _is_refused(error):
        return "access was refused"
    if isinstance(status := getattr(error, "status", None), int):
        return f"the server answered {status}"
    kind = type(error).__name__
    return f"{kind}, {error.strerror}" if isinstance(error, OSError) and error.strerror else kind


def _wait(attempt: int) -> None:
    """Wait before another try."""
    if attempt:
        time.sleep(FIRST_WAIT * 2 ** (attempt - 1))


def _bytes(wanted: Range) -> str:
    """Return a range in words."""
    return f"(bytes {wanted[0]:,} to {wanted[1] - 1:,})"
