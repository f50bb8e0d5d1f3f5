"""What every verb of the command line shares."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .errors import SevenstepsError, UsageError
from .recipe import Recipe, how_read, setting_types


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Flags of every verb."""

    json: Annotated[bool, Parameter(help="Print one JSON object on stdout, and nothing else there.")] = False
    debug: Annotated[bool, Parameter(help="Show the traceback of an error.")] = False


# What a source may be, in every verb's help.
PATHS = (
    "the path of pictures: a folder with a folder of pictures for each class (in train, valid and test folders or "
    "not), a zip or tar of such, a table that names files and their classes (CSV, TSV, JSON lines, Parquet) or a "
    "folder with one, Parquet with the pictures in it, arrays (.npz, .npy), IDX files"
)
Source = Annotated[str | None, Parameter(help=f"pullover-dress (unless given), fashion-mnist, or {PATHS}, or a store.")]


def program() -> str:
    """What to type for this program here: its name where the shell finds it, else the path it was called by."""
    import shutil

    called = Path(sys.argv[0])
    if shutil.which("sevensteps"):
        return "sevensteps"
    return quoted(os.path.relpath(called)) if called.stem == "sevensteps" else "python -m sevensteps"


def quoted(path: str) -> str:
    """A path as a shell takes it."""
    import shlex

    return shlex.quote(path)


def typed(source: str, classes: Sequence[str], settings: Mapping[str, Any]) -> str:
    """A source with the flags that say how its pictures are taken, to be typed after a verb."""
    words = [source, *(["--classes", *classes] if classes else [])]
    for key, value in settings.items():
        words += [f"--{key.replace('_', '-')}", str(value)]
    return " ".join(map(quoted, words))


def source_of(recipe: Recipe) -> str:
    """The pictures that a recipe names, with the flags that say how they are taken, to be typed after a verb."""
    fix = {"fix": from_here(recipe.fix)} if recipe.fix else {}
    return typed(from_here(recipe.source), chosen_classes(recipe), how_read(vars(recipe)).changed() | fix)


def chosen_classes(recipe: Recipe) -> tuple[str, ...]:
    """The classes that somebody chose: a run's own recipe names its classes also where they are all there are."""
    from .data.fashion import CLASSES

    every = {"pullover-dress": ("Pullover", "Dress"), "fashion-mnist": CLASSES}.get(recipe.source)
    return () if recipe.classes == every else recipe.classes


def from_here(source: str) -> str:
    """A source as it is best typed in this folder: what lies below it without the path to it."""
    here = Path.cwd()
    return str(Path(source).relative_to(here)) if Path(source).is_relative_to(here) else source


def as_flags(hint: str) -> str:
    """A hint that speaks of a recipe's `key = value` as it is typed."""
    return re.sub(_SETTING, _as_flag, hint)


_SETTING = re.compile(r"""\b([a-z_]+)\ =\ ("[^"]*"|\[[^]]*\]|[^\s,]*[^\s,.])""", re.VERBOSE)


def _as_flag(setting: re.Match[str]) -> str:
    """A recipe's `key = value` as it is typed."""
    key, value = setting.groups()
    flag = f"--{key.replace('_', '-')}"
    if key not in setting_types():
        return setting[0]
    if value in ("true", "false"):
        return flag if value == "true" else f"--no-{flag[2:]}"
    return f"{flag} {re.sub('[][,]', '', value)}"


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
        error.hint = as_flags(error.hint)
        if source is None and error.message.startswith("There is no class ") and os.path.exists(classes[-1]):
            rest = " ".join(map(quoted, [classes[-1], "--classes", *classes[:-1]]))
            error.hint = f"If {classes[-1]} is the source, name it first: {program()} {verb} {rest}"
        raise


def whole_number(kind: Any, tokens: Sequence[Any]) -> int:
    """An integer as typed; cyclopts' own conversion would take 1.5 epochs for 1."""
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f"{tokens[0].value!r} is not a whole number.") from error


def flags_of(keys: Sequence[str]) -> Any:
    """Settings of a recipe as flags, each None unless given: one definition gives recipe, flags and help."""
    made = []
    for known in dataclasses.fields(Recipe):
        if known.name not in keys:
            continue
        kind = setting_types()[known.name]
        parameter = Parameter(
            help=known.metadata["help"],
            show_default=False,
            negative=f"--no-{known.name.replace('_', '-')}" if kind is bool else (),
            consume_multiple=(1, None) if known.name == "classes" else False,
            converter=whole_number if kind is int else None,
        )
        made.append((known.name, Annotated[kind | None, parameter], dataclasses.field(default=None)))
    # In this module's name: cyclopts takes a class of the standard library's `types` for a builtin.
    settings = dataclasses.make_dataclass("Settings", made, frozen=True, namespace={"__module__": __name__})
    return Parameter(name="*")(settings)
