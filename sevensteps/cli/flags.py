"""What every verb of the command line shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from ..data.files.how import FILE_SETTINGS
from ..data.range_ends import Ends
from ..recipes.recipe import Recipe
from ..recipes.settings import setting_types

# The groups of a verb's help, in their order.
FIRST = Group("Used most", sort_key=1)
PICTURES = Group("Pictures", sort_key=2)
MODEL = Group("Model", sort_key=3)
TRAINING = Group("Training", sort_key=4)
STOPPING = Group("Stopping", sort_key=5)
JUDGING = Group("Judging", sort_key=6)
OUTPUT = Group("Output", sort_key=7)


_GROUPS = {
    FIRST: ("epochs", "lr", "model", "classes", "augment", "batch_size"),
    PICTURES: (
        "size",
        "fit",
        "range",
        "bad_files",
        "group",
        "file_column",
        "label_column",
        "split_column",
        "fix",
        "hold_out",
        "balance",
    ),
    MODEL: ("width", "test_time_flip", "normalize", "init", "init_std"),
    STOPPING: ("stop_patience", "stop_accuracy", "stop_seconds", "keep"),
    JUDGING: ("validate_on", "test", "folds", "coverage"),
    OUTPUT: ("checkpoint_every", "track"),
}


_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names}


# Settings that recipes which ship give different values.
_OF_RECIPE = frozenset(
    {
        "augment", "batch_size", "epochs", "hold_out", "init", "init_std", "label_smoothing", "loss", "lr", "model",
        "momentum", "normalize", "optimizer", "schedule", "shards", "test_time_flip", "validate_on", "weight_decay",
        "width",
    }
)  # fmt: skip


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Flags of every verb."""

    json: Annotated[
        bool, Parameter(help="Print one JSON object on stdout; everything else goes to stderr.", group=OUTPUT)
    ] = False
    debug: Annotated[bool, Parameter(help="Show the traceback of an error.", group=OUTPUT)] = False


# What a source may be, in every verb's help.
PATHS = (
    "a path: a folder with one folder of pictures for each class (also inside train, valid and test folders), a zip "
    "or tar of these, a table of files and classes (CSV, TSV, JSON lines, Parquet) or a folder that holds one, Parquet "
    "that holds the pictures, arrays (.npz, .npy), IDX files"
)


Source = Annotated[
    str | None,
    Parameter(
        help="pullover-dress, fashion-mini, fashion-mnist, a store (also at an address: s3://BUCKET/NAME.store), or "
        f"{PATHS}.",
        show_default="pullover-dress",
    ),
]


def whole_number(kind: Any, tokens: Sequence[Any]) -> int:
    """Return an integer as typed; cyclopts' own conversion would take 1.5 epochs for 1."""
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f"{tokens[0].value!r} is not a whole number.") from error


def flags_of(keys: Sequence[str]) -> Any:
    """Return settings of a recipe as flags, each None unless given: one definition gives recipe, flags and help."""
    typed = []
    for known in dataclasses.fields(Recipe):
        if known.name not in keys:
            continue
        kind = setting_types()[known.name]
        kind = tuple[float, float] if kind == Ends else kind
        parameter = Parameter(
            help=known.metadata["help"],
            show_default=_default_of(known),
            group=_GROUP_OF.get(known.name, TRAINING),
            negative=f"--no-{known.name.replace('_', '-')}" if kind is bool else (),
            consume_multiple=(1, None) if known.name == "classes" else False,
            converter=whole_number if kind is int else None,
        )
        typed.append((known.name, Annotated[kind | None, parameter], dataclasses.field(default=None)))
    typed.sort(key=_place_in_help)  # the flags of the first group in the order of that group
    # In this module's name: cyclopts takes a class of the standard library's `types` for a builtin.
    settings = dataclasses.make_dataclass("Settings", typed, frozen=True, namespace={"__module__": __name__})
    return Parameter(name="*")(settings)


def _place_in_help(flag: tuple[str, Any, Any]) -> int:
    """Return the place of a flag in the first group of a verb's help; every other flag comes after these."""
    first = _GROUPS[FIRST]
    return first.index(flag[0]) if flag[0] in first else len(first)


def _default_of(setting: dataclasses.Field[Any]) -> str | bool:
    """Return what a flag acts as where it is not typed; False where there is nothing to show."""
    if setting.name in _OF_RECIPE:
        return "the recipe's"
    if setting.default is False or setting.default in ("", ()):
        return False
    return "yes" if setting.default is True else str(setting.default)


# For the verbs that open a model.
Own = Annotated[
    str | None,
    Parameter(help="package.module:function, if the model is a network of your own: no saved file may run its code."),
]


Files = flags_of(FILE_SETTINGS)


AS_THEY_ARE = Files()


def given(flags: Any) -> dict[str, Any]:
    """Return the settings that were typed, by name.

    Args:
        flags: A record of a class that `flags_of` made.
    """
    return {key: value for key, value in vars(flags).items() if value is not None}


Split = Literal["test", "out-of-fold", "valid"]
