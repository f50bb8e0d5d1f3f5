"""How to read picture files: the one place where these settings are written down.

The arguments of `load`, the keys of a recipe and the flags of the command line are derived from `How`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from ...base.setting import setting
from ...errors import UsageError, nearest
from ..fit import FITS, Fit
from ..range_ends import Ends, check_ends

BadFiles = Literal["stop", "skip-few", "skip"]

LARGEST_SIDE = 1024  # pixels

FEW = 0.01  # the share of bad files that "skip-few" leaves out; more of them are likely to have one cause to mend


@dataclass(frozen=True, kw_only=True)
class How:
    """How to read picture files: size, fit, bad files, groups and the columns of a table.

    Raises:
        UsageError: A value has the wrong type, is out of range or is not one of the choices.
    """

    size: int = setting(
        0,
        "Side length, in pixels, that pictures are resized to. 0: their own size if it is the same for all and "
        "at most 64; otherwise 64.",
        least=0,
        most=LARGEST_SIDE,
    )
    fit: Fit = setting(
        "letterbox",
        "How pictures are fitted to that size: padded with black, stretched, or cropped; -fast: large JPEG files are "
        "decoded at a lower resolution, several times faster and with slightly other pixels.",
    )
    range: Ends = setting(
        (),
        "The values that become black and white in files of more than 8 bits (--range 0 4095). Empty: found over all "
        "pictures.",
    )
    bad_files: BadFiles = setting(
        "skip-few",
        "What to do with files that cannot be read as pictures. skip: leave them out. skip-few: leave them out if they "
        "are at most 1 % of all files; otherwise stop.",
    )
    group: str = setting(
        "",
        "Keep the pictures of a group (such as a person or a video) in the same split: a regular expression that "
        "finds the group in a picture's path, or a column of a table.",
    )
    file_column: str = setting(
        "", "The column of a table that names the files. Empty: detected by its name and values."
    )
    label_column: str = setting("", "The column of a table that gives the classes. Empty: detected by its name.")
    split_column: str = setting(
        "", "The column of a table that gives the split (train, valid, test). Empty: detected by its name and values."
    )

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 0 <= self.size <= LARGEST_SIDE:
            raise UsageError(
                f"size is {self.size!r}, but must be a whole number from 0 to {LARGEST_SIDE}.",
                hint="Use {size}, for example.",
                settings={"size": 64},
            )
        for key, choices in (("fit", FITS), ("bad_files", get_args(BadFiles))):
            if (value := getattr(self, key)) not in choices:
                raise UsageError(
                    f"{key} is {value!r}, but must be one of {', '.join(choices)}.", hint=nearest(str(value), choices)
                )
        check_ends(self.range)
        for key in ("group", "file_column", "label_column", "split_column"):
            if not isinstance(value := getattr(self, key), str):
                raise UsageError(
                    f"{key} is {value!r:.80}, but must be text.", hint=f"Use {{{key}}}.", settings={key: "NAME"}
                )

    def changed(self) -> dict[str, object]:
        """Return the settings, by name, that differ from their defaults."""
        return {key: value for key, value in vars(self).items() if value != getattr(How, key)}

    def leaves_out(self, bad: int, count: int) -> bool:
        """Return whether bad files are left out.

        Args:
            bad: How many there are.
            count: The number of all files, including these.
        """
        return self.bad_files == "skip" or (self.bad_files == "skip-few" and bad <= FEW * count)

    def columns(self) -> list[str]:
        """Return the names of the settings that name a column of a table."""
        return [key for key in ("file_column", "label_column", "split_column") if getattr(self, key)]


FILE_SETTINGS = tuple(each.name for each in fields(How))

AS_USUAL = How()


def file_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings that say how to read picture files.

    Args:
        settings: Settings by name, such as those of a recipe or the flags that were typed.
    """
    return {key: settings[key] for key in FILE_SETTINGS if key in settings}


def file_setting(name: str) -> Any:
    """Return a dataclass field with the default, the help text and the limits that `How` gives a setting.

    Args:
        name: The name of the setting.
    """
    (known,) = (each for each in fields(How) if each.name == name)
    return setting(known.default, **known.metadata)
