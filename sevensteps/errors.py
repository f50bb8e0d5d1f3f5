"""The errors that users meet: one small family, with a stable code for each.

A message says what was wrong and where; the hint says what to do next. The command line prints both, without a
traceback. Each class is also the built-in error that Python users would catch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SevenstepsError(Exception):
    """The base of the family: `message` says what was wrong, `hint` what to do next, and `code` is for programs.

    Args:
        message: What was wrong, and where: the file, the row, the value.
        hint: What to do next.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(SevenstepsError, ValueError):
    """A command or call that makes no sense as written; the command line exits with 2."""

    code = "usage"


class DataError(SevenstepsError, ValueError):
    """Pictures or labels that cannot be used as they are."""

    code = "data"


class ShapeError(SevenstepsError, ValueError):
    """Tensors whose shapes do not fit together, or would broadcast silently."""

    code = "shape"


class RecipeError(SevenstepsError, ValueError):
    """A recipe with an unknown key, a wrong type or an impossible value."""

    code = "recipe"


class ModelError(SevenstepsError, ValueError):
    """A model that cannot be described, rebuilt or loaded."""

    code = "model"


class UnreadableError(ModelError):
    """A model file that cannot be read now, although it may be intact."""

    code = "unreadable"


class TrainingError(SevenstepsError, RuntimeError):
    """Training that cannot continue: a second stream, a loss that is not finite."""

    code = "training"


class RunError(SevenstepsError, ValueError):
    """A run folder that is missing, incomplete, or in the way."""

    code = "run"


class FileError(SevenstepsError, OSError):
    """A file that cannot be written or read."""

    code = "file"


class DownloadError(SevenstepsError, OSError):
    """A download that failed or returned the wrong bytes."""

    code = "download"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the known word closest to `word`, or lists all of them.

    Args:
        word: What the user wrote.
        known: The words that are valid.

    Returns:
        A hint, or "" if nothing is known.

    >>> nearest("Pulover", ["Pullover", "Dress"])
    "Did you mean 'Pullover'?"
    """
    known = list(known)
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {by_lower[close[0]]!r}?"
    return f"Known: {', '.join(known)}." if known else ""
