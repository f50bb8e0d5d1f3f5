"""What every verb of the command line shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ..data.files.how import FILE_SETTINGS
from ..recipes.recipe import Recipe
from ..recipes.settings import setting_types


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


Files = flags_of(FILE_SETTINGS)


AS_THEY_ARE = Files()


def given(flags: Any) -> dict[str, Any]:
    """Return the settings that were typed, by name.

    Args:
        flags: A record of a class that `flags_of` made.
    """
    return {key: value for key, value in vars(flags).items() if value is not None}


Split = Literal["test", "out-of-fold", "valid"]
