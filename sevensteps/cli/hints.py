"""Hints as they are typed: commands and settings in the words of the command line."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..base.addresses import without_secrets
from ..errors import SevenstepsError, UsageError
from ..recipes.recipe import Recipe

# The program's name where a verb follows, but not at the end of a path or of `python -m`.
_COMMAND = re.compile(
    r"(?<!-m )(?<![\w/.'-])sevensteps "
    r"(?=(?:train|resume|runs|data|prepare|xray|doctor|judge|compare|report|verify|predict|export|serve|studio|lesson)\b)"
)


def program() -> str:
    """What to type for this program here: its name where the shell finds it, else the path it was called by."""
    import shutil

    called = Path(sys.argv[0])
    if shutil.which("sevensteps"):
        return "sevensteps"
    return quoted(os.path.relpath(called)) if called.stem == "sevensteps" else "python -m sevensteps"


def as_called(text: str) -> str:
    """Return a text in which each command `sevensteps VERB` begins with what is typed for this program here.

    Args:
        text: Sentences with commands.
    """
    return _COMMAND.sub(lambda _: f"{program()} ", text)


def quoted(path: str) -> str:
    """A path as a shell takes it."""
    import shlex

    return shlex.quote(path)


def typed(source: str, classes: Sequence[str], settings: Mapping[str, Any]) -> str:
    """A source with the flags that say how its pictures are taken, to be typed after a verb."""
    words = [without_secrets(source), *(["--classes", *classes] if classes else [])]
    flags = [as_flag(key, value) for key, value in settings.items()]
    return " ".join([*map(quoted, words), *flags])


def source_of(recipe: Recipe) -> str:
    """The pictures that a recipe names, with the flags that say how they are taken, to be typed after a verb."""
    fix = {"fix": from_here(recipe.fix)} if recipe.fix else {}
    return typed(from_here(recipe.source), chosen_classes(recipe), recipe.how.changed() | fix)


def chosen_classes(recipe: Recipe) -> tuple[str, ...]:
    """The classes that somebody chose: a run's own recipe names its classes also where they are all there are."""
    from ..data.sources.fashion_facts import SETS

    known = SETS.get(recipe.source)
    return () if known is not None and recipe.classes == known.classes else recipe.classes


def from_here(source: str) -> str:
    """A source as it is best typed in this folder: what lies below it without the path to it."""
    from ..data.sources.named import as_text

    here = Path.cwd()
    return as_text(Path(source).relative_to(here)) if Path(source).is_relative_to(here) else source


def _are_of_fashion(classes: Sequence[str]) -> bool:
    """Return whether all of these are classes of Fashion-MNIST, in upper or lower case."""
    from ..data.sources.fashion_facts import CLASSES

    return {name.lower() for name in classes} <= {name.lower() for name in CLASSES}


def as_flag(key: str, value: Any) -> str:
    """Return a setting as it is typed.

    Args:
        key: The setting's name in a recipe.
        value: Its value.

    Returns:
        The flag with its value; `--no-KEY` for False.
    """
    flag = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    values = value if isinstance(value, (list, tuple)) else [value]
    values = [
        int(each) if isinstance(each, float) and each.is_integer() and len(values) > 1 else each for each in values
    ]
    return " ".join([flag, *(quoted(str(each)) for each in values)])


@contextlib.contextmanager
def said_as_typed(verb: str, source: str | None, classes: Sequence[str]) -> Iterator[None]:
    """Inside, hints speak of flags and not of a recipe's keys, and a path that --classes has taken is noticed.

    Raises:
        UsageError: a source that is empty, as that of a variable of the shell that is not set: it is no default.
    """
    if source == "":
        raise UsageError("SOURCE is empty.", hint="Name a source, or leave it out for pullover-dress.")
    try:
        yield
    except SevenstepsError as error:
        if error.settings:
            error.hint = error.hint_with(as_flag)
        if error.kind == "class" and source in (None, "pullover-dress") and _are_of_fashion(classes):
            named = " ".join(map(quoted, classes))
            error.hint = f"fashion-mini has them: {program()} {verb} fashion-mini --classes {named}"
        if source is None and error.kind == "class" and os.path.exists(classes[-1]):
            rest = " ".join(map(quoted, [classes[-1], "--classes", *classes[:-1]]))
            error.hint = f"If {classes[-1]} is the source, name it first: {program()} {verb} {rest}"
        raise
