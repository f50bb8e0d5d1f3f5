"""Names of classes: one rule for every source, whether folders, tables, arrays or datasets give them.

A missing value is not a class, two names that people would read as the same are refused, and a picture has one label.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..errors import DataError

# What programs write where a value is missing. "None" and "NA" are not here: people name classes so.
_MISSING = frozenset({"nan", "NaN", "NAN", "-nan", "<NA>", "NaT", "NULL", "null", "N/A", "n/a", "#N/A", "#NA"})

# A number as it is printed after a column has become one of floats: "0.0" for 0.
_AS_FLOAT = re.compile(r"([+-]?\d+)\.0+\Z")

_LISTED = {"[": "]", "(": ")", "{": "}"}

# Between several labels of one picture. A comma or a slash is also a part of names ("Otter, sea").
_DELIMITERS, _ALSO_IN_NAMES = "|;", ",/+"


def is_missing(value: Any) -> bool:
    """Return whether a value stands for none: None, NaN, NaT, NA or an empty text, of whatever library.

    Args:
        value: The value of a cell, or a label.
    """
    if value is None or (isinstance(value, str) and not value) or type(value).__name__ == "MaskedConstant":
        return True
    try:
        return bool(value != value)  # true of NaN and NaT alone
    except ValueError:  # an array
        return False
    except TypeError:  # pandas.NA is neither equal to itself nor different
        return True


def class_named(text: str) -> str:
    """Return the name of a class in Unicode's composed form; "" if the text says that a value is missing.

    Args:
        text: A label as its source writes it.

    >>> class_named("cat"), class_named("NaN")
    ('cat', '')
    """
    text = text.strip()
    return "" if text in _MISSING else unicodedata.normalize("NFC", text)


def plain_form(name: str) -> str:
    """Return what stays of a name without case, extra spaces, Unicode form, and the ".0" of a whole number.

    Args:
        name: The name of a class.

    >>> plain_form("Big  Cat"), plain_form("3.0")
    ('big cat', '3')
    """
    return _AS_FLOAT.sub(r"\1", " ".join(unicodedata.normalize("NFC", name).lower().split()))


def difference(first: str, second: str) -> str:
    """Return, in words, in what two names with the same plain form differ.

    Args:
        first: A name as it is written.
        second: Another.
    """
    one, other = (unicodedata.normalize("NFC", name) for name in (first, second))
    if one == other:
        return "in their Unicode form"
    if " ".join(one.split()) == " ".join(other.split()):
        return "in spaces"
    if one.lower() == other.lower():
        return "in upper and lower case"
    return "in how a number is written" if _AS_FLOAT.match(one) or _AS_FLOAT.match(other) else "in spaces and case"


ONE_OR_TWO = "If they are one class, give both the same name; if they are two, choose names that differ clearly."


def check_names(source: Any, written: Mapping[str, str]) -> None:
    """Raise if two labels would be read as the same class, or if a label names several classes.

    Single letters may differ in case: "a" and "A" are two classes of handwriting.

    Args:
        source: The source, for the error.
        written: The labels as they are written, each with the place that it first has ("labels.csv row 7").

    Raises:
        DataError: Naming two labels and their places, or the label with several classes.
    """
    by_form: dict[str, str] = {}
    for text, place in written.items():
        form = text if len(text) == 1 else plain_form(text)
        before = by_form.setdefault(form, text)
        if before != text:
            raise DataError(
                f"{source}: the classes {before!a} ({written[before]}) and {text!a} ({place}) differ only "
                f"{difference(before, text)}.",
                hint=ONE_OR_TWO,
            )
    for text in written:
        if "," in text and _LISTED.get(text[0]) == text[-1]:
            raise _several(source, text, written[text])
    for delimiter in _DELIMITERS + _ALSO_IN_NAMES:
        parts_of = {text: [part.strip() for part in text.split(delimiter)] for text in written}
        count = Counter(part for parts in parts_of.values() for part in parts)
        for text, parts in parts_of.items():
            # Each part is a class elsewhere, or at least a part of another label; beside "cat", "cat|dog" is two.
            if len(parts) > 1 and (
                all(
                    part in written or (delimiter in _DELIMITERS and part and count[part] > parts.count(part))
                    for part in parts
                )
                or (delimiter in _DELIMITERS and all(parts) and any(part in written for part in parts))
            ):
                raise _several(source, text, written[text])


def _several(source: Any, text: str, place: str) -> DataError:
    """Return the error for a picture with several labels."""
    return DataError(
        f"{source}: {place} has several labels, {text!r:.80}, and a picture can have only one.",
        hint="Give each picture one label, or leave out the pictures with several.",
    )
