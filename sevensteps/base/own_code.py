"""A function of the user's own that makes a model, `package.module:function`: who may call it, and how it is found.

A recipe, a run and a model file keep its name as information. Only a name that was typed for the call under way, or a
function that was passed to it, is imported and called: see `given`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError, nearest

NEEDED = "own model"  # the kind of the error for code that nobody has asked for


OwnCode = str | Callable[..., Any] | None  # what `given` takes


_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


_GIVEN: ContextVar[tuple[str, Callable[..., Any]] | None] = ContextVar("given", default=None)


def is_own(model: str) -> bool:
    """Return whether this is the name of a function, `package.module:function`, and not of a model that ships.

    Args:
        model: As a recipe has it.
    """
    return _NAME.fullmatch(model) is not None


def name_of(model: str | Callable[..., Any]) -> str:
    """Return the name that a recipe keeps of a model.

    Args:
        model: A name, which stays as it is, or a function.
    """
    if isinstance(model, str):
        return model
    name = str(getattr(model, "__qualname__", type(model).__qualname__))
    plain = name.replace("<locals>.", "").replace("<lambda>", "function")
    return f"{getattr(model, '__module__', None) or '__main__'}:{plain}"


def is_importable(model: str | Callable[..., Any]) -> bool:
    """Return whether another process finds a model by its name: it stands in a module, and not in a script or inside
    a function.

    Args:
        model: A name, or a function.
    """
    if isinstance(model, str):
        return True
    module, _, path = name_of(model).partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return module != "__main__" and bool(found == model)


@contextlib.contextmanager
def given(model: Any) -> Iterator[None]:
    """Inside the block, allow a function of the user's own to be called.

    Args:
        model: Its name as it was typed, which is imported; or the function. None changes nothing.

    Raises:
        UsageError: There is no such module or function, or the module cannot be imported.
    """
    if model is None:
        yield
        return
    if not (callable(model) or (isinstance(model, str) and is_own(model))):
        raise UsageError(f"{model!r:.80} is not the name of a function.", hint=_FORM)
    function = _imported(model) if isinstance(model, str) else model
    token = _GIVEN.set((name_of(model), function))
    try:
        yield
    finally:
        _GIVEN.reset(token)


def is_given() -> bool:
    """Return whether a function of the user's own may be called here."""
    return _GIVEN.get() is not None


def function_named(name: str) -> Callable[..., Any]:
    """Return the function that was given for this call.

    Args:
        name: What a recipe or a file calls it, for the error.

    Raises:
        ModelError: None was given: a name in a file is not enough to run code.
    """
    given = _GIVEN.get()
    if given is None:
        raise ModelError(
            f"This model needs your function {name}, and a model file never runs code by itself.",
            hint=f"If you trust that code, add --model {name}, or pass the function in Python.",
            kind=NEEDED,
        )
    return given[1]


def given_name() -> str:
    """Return the name of the function that was given for this call, as it was typed; "" if none was."""
    given = _GIVEN.get()
    return given[0] if given else ""


def refuse_idle(model: str) -> None:
    """Raise if a function was given for something that is not made by one.

    Args:
        model: The model as a recipe has it.

    Raises:
        UsageError: Naming the model.
    """
    if is_given() and not is_own(model):
        raise UsageError(f"The model is {model}, which needs no code of your own.", hint="Leave --model out.")


def fingerprint_of(function: Callable[..., Any]) -> str:
    """Return the SHA-256 of the file that a function stands in; "" where there is none, as in a notebook.

    Args:
        function: The function.
    """
    path = getattr(sys.modules.get(getattr(function, "__module__", "")), "__file__", None)
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
    except OSError:
        return ""


_FORM = "Name it as package.module:function, for example --model nets:small for small() in nets.py."


def _imported(name: str) -> Any:
    """Return the function with this name, from a module in this folder or among the installed packages.

    Raises:
        UsageError: There is none, or its module cannot be imported.
    """
    module_name, _, path = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:  # a program that pip installed does not look there
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            looked = f"{here} and the installed packages were searched."
            raise UsageError(f"There is no module {error.name}: {looked}", hint=_FORM) from error
        raise UsageError(f"{module_name} cannot be imported: {error}", hint="Install what it needs.") from error
    except Exception as error:  # whatever the code does when it is imported
        reason = f"{type(error).__name__}: {error!s:.300}"
        hint = "Correct it; python -c 'import ...' shows where it fails."
        raise UsageError(f"{module_name} cannot be imported: {reason}", hint=hint) from error
    for part in path.split("."):
        if not hasattr(found, part):
            functions = [word for word in vars(found) if not word.startswith("_") and callable(getattr(found, word))]
            raise UsageError(f"{module_name} has no function {path}.", hint=nearest(part, functions) or _FORM)
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{name} is {found!r:.80}, which is not a function.", hint=_FORM)
    return found
