"""The errors that users meet: one small family, with a stable code for each.

A message says what was wrong and where; the hint says what to do next. The command line prints both, without a
traceback. Each class is also the built-in error that Python users would catch.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound="SevenstepsError")


class SevenstepsError(Exception):
    """The base of the family: `message` says what was wrong, `hint` what to do next, and `code` is for programs.

    A hint names settings in braces, so that each program can spell them as its users type them:

    >>> error = SevenstepsError("Too few pictures.", hint="Set {hold_out}.", settings={"hold_out": 0})
    >>> error.hint
    'Set hold_out = 0.'
    >>> error.hint_with(lambda key, value: f"--{key} {value}")
    'Set --hold_out 0.'

    Args:
        message: What was wrong: the file, the row, the value.
        hint: What to do next.
        settings: The values of the settings that the hint names.
        kind: What kind of error of this class it is, for programs; "" if that makes no difference.
    """

    code = "error"

    def __init__(
        self, message: str, *, hint: str = "", settings: Mapping[str, Any] | None = None, kind: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.template, self.settings, self.kind = hint, dict(settings or {}), kind
        self.hint = self.hint_with(as_in_a_recipe)

    def hint_with(self, spelled: Callable[[str, Any], str]) -> str:
        """Return the hint with its settings spelled in another way.

        Args:
            spelled: Gives the words for a setting's name and its value.

        Returns:
            The hint.
        """
        hint = self.template
        for key, value in self.settings.items():
            hint = hint.replace(f"{{{key}}}", spelled(key, value))
        return hint

    def as_kind(self, kind: type[Kind], message: str = "") -> Kind:
        """Return the same error as one of another class, with its hint.

        Args:
            kind: The class.
            message: A message in the place of the error's own.

        Returns:
            The new error.
        """
        return kind(message or self.message, hint=self.template, settings=self.settings, kind=self.kind)

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


class TakenError(FileError):
    """A file whose name another process has taken in the meantime."""

    code = "taken"


class DownloadError(SevenstepsError, OSError):
    """A download that failed or returned the wrong bytes."""

    code = "download"


def as_in_a_recipe(key: str, value: Any) -> str:
    """Return a setting as a recipe has it.

    Args:
        key: The setting's name.
        value: Its value.

    Returns:
        `key = value`, as TOML but for words, which stand without quotation marks.

    >>> as_in_a_recipe("nesterov", False), as_in_a_recipe("fit", "crop"), as_in_a_recipe("checkpoint_every", "2 epochs")
    ('nesterov = false', 'fit = crop', 'checkpoint_every = "2 epochs"')
    """
    is_word = isinstance(value, str) and value and not any(map(str.isspace, value))
    return f"{key} = {value if is_word else json.dumps(value)}"


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
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {by_lower[close[0]]!r}?"
    return f"Known: {', '.join(names)}." if names else ""
