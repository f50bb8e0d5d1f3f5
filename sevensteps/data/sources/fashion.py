"""The whole Fashion-MNIST: from the cache, from the system's copy, or downloaded; decoded once.

70,000 grey pictures of 28x28 pixels in ten classes. © Zalando SE, MIT license.
Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms" (2017).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...base import files
from ...base.user_folders import cache_folder
from ...errors import DataError, DownloadError, FileError
from ..images import Images, Splits
from .fashion_facts import CLASSES, SHA256
from .idx_format import read_idx

SYSTEM = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist


MIRROR = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"


ATTEMPTS = 3


LONG = 1_000_000  # bytes; a shorter download is over before its progress can be read


Progress = Callable[[str], None]  # takes a line for the user


def load_fashion(say: Progress = lambda line: None) -> Splits:
    """Load all ten classes: 60,000 training and 10,000 test pictures of 28x28 grey pixels.

    The first call decodes and verifies the files and keeps the arrays in the cache; later calls map them into memory.

    Args:
        say: Takes a line about anything that takes long.

    Raises:
        DownloadError: The files are not on this machine and could not be downloaded.
        FileError: The cache cannot be written.
    """
    decoded = cache_folder() / "fashion-mnist" / "decoded"
    if not all(_array_file(decoded, name).is_file() for name in SHA256):
        _decode_into(decoded, say)
    try:
        return _open(decoded)
    except Exception as error:  # NumPy raises many kinds of errors for damage; the cache can be rebuilt
        say(f"The cached copy is damaged ({error}); decoding again.")
        _decode_into(decoded, say)
        return _open(decoded)


def _open(decoded: Path) -> Splits:
    """Map the four arrays copy-on-write: nothing is read before it is used, and nothing is written back."""
    train_pixels, train_labels, test_pixels, test_labels = (
        np.load(_array_file(decoded, name), mmap_mode="c", allow_pickle=False)  # noqa: TID251
        for name in SHA256
    )
    return Splits(
        Images(train_pixels, train_labels, CLASSES, "train"),
        Images(test_pixels, test_labels, CLASSES, "test"),
        source="fashion-mnist",
    )


def _array_file(decoded: Path, name: str) -> Path:
    """Return where the array of a file is kept."""
    return decoded / f"{name}.npy"


def _decode_into(decoded: Path, say: Progress) -> None:
    """Find the four files, verify their content, and keep them as arrays."""
    folder = cache_folder() / "fashion-mnist"
    try:
        for name in SHA256:
            content = _find(name, folder, say)
            pixels_or_labels = content[:, None] if content.ndim == 3 else content.astype(np.int64)
            with files.replacing(_array_file(decoded, name)) as file:
                np.save(file, pixels_or_labels, allow_pickle=False)  # noqa: TID251
    except FileError as error:
        hint = "Set SEVENSTEPS_CACHE to a folder that you can write to. `pullover-dress` needs no cache."
        raise FileError(error.message, hint=hint) from error


def _find(name: str, folder: Path, say: Progress) -> np.ndarray:
    """Return the verified content of a file: from the cache, the system's folder or a download."""
    for place in (folder, SYSTEM):
        for path in (place / f"{name}.gz", place / name):
            if path.is_file():
                try:
                    return _verified(path, name)
                except DataError as error:
                    say(f"{error.message} Looking elsewhere.")
    return _download(name, folder / f"{name}.gz", say)


def _verified(path: Path, name: str) -> np.ndarray:
    """Read the array in an IDX file and check that its content has the checksum of the original.

    Raises:
        DataError: The file is damaged or has other content.
    """
    array = read_idx(path)
    header = b"\0\0\x08" + bytes([array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    digest = hashlib.sha256(header)
    digest.update(array.data)
    if digest.hexdigest() != SHA256[name]:
        raise DataError(f"{path}: its content is not Fashion-MNIST's {name}.", hint="Remove the file and try again.")
    return array


def _download(name: str, target: Path, say: Progress) -> np.ndarray:
    """Download a file and verify it before it is moved into place; try again if the connection breaks.

    Raises:
        DownloadError: All attempts failed; the message has the reason of each.
    """
    import tempfile

    mirror = (os.environ.get("SEVENSTEPS_MIRROR") or MIRROR).rstrip("/")
    url, reasons = f"{mirror}/{name}.gz", []
    for attempt in range(1, ATTEMPTS + 1):
        say(f"Downloading {url}" + (f" (attempt {attempt} of {ATTEMPTS})" if attempt > 1 else ""))
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / target.name
            try:
                _fetch(url, part, say)
                array = _verified(part, name)
                files.write(target, part.read_bytes())
                return array
            except FileError:  # the cache is to blame, not the download
                raise
            except (OSError, ValueError) as error:  # every error of requests is an OSError
                reason = "the downloaded bytes are wrong" if isinstance(error, DataError) else _short(error)
                reasons.append(reason)
                say(f"  failed: {reason}")
        time.sleep(0.5 * (attempt < ATTEMPTS))
    raise DownloadError(
        f"Could not download {url}: {'; '.join(dict.fromkeys(reasons))}.",
        hint="Set SEVENSTEPS_MIRROR to another address of the four .gz files, or copy them into "
        f"{target.parent}. `pullover-dress` needs no download.",
    )


def _fetch(url: str, path: Path, say: Progress) -> None:
    """Download to a file, and report each tenth of a long download."""
    import pooch

    class Tenths:
        """The progress bar that pooch expects: a total, and updates in bytes."""

        total = 0
        done = 0

        def update(self, count: int) -> None:
            # pooch counts whole chunks, also for the last one, so the sum can exceed the total.
            before, self.done = self.done, min(self.done + count, self.total)
            if self.total >= LONG and self.done * 10 // self.total > before * 10 // self.total:
                say(f"  {100 * self.done // self.total:3d} % of {self.total / 1e6:.1f} MB")

        def reset(self) -> None:
            pass  # called at the end, before everything is counted once more

        def close(self) -> None:
            pass

    pooch.HTTPDownloader(progressbar=Tenths(), timeout=30)(url, str(path), None)


def _short(error: Exception) -> str:
    """Return a network error in a few words, since those of the HTTP library carry whole call chains."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)
