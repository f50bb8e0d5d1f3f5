"""Layout: which of a source's folders are splits and which are classes, decided by their names and what they hold.

A wrong guess here gives a high accuracy on the wrong problem, such as telling training pictures from test pictures. So
what could be both is refused, and the hint says what to type in either case.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ...base.words import text_of
from ...errors import DataError
from .catalog import is_picture
from .listing import Entries, Listing, listed
from .split_names import SPLIT_WORDS, are_parts, read, splits_of

SHOWN = 3  # folders that one message lists


def split_folders(folder: Path, above: str, inside: Mapping[str, Listing], chosen: Sequence[str]) -> dict[str, str]:
    """Return the split folders by split; without any, the folder `above` is the training split.

    A folder named train is a class if it holds no folders and lies next to other classes. A name with other words in
    it, such as seg_train, is a split if its neighbors are: bullet_train and steam_train are classes.

    Args:
        folder: The source, for error messages.
        above: The folder that holds the others.
        inside: What each of its folders holds.
        chosen: The classes that were asked for; if they are all folders, these folders are classes.

    Raises:
        DataError: The layout is ambiguous, or there is no training split.
    """
    filled = {place: listing for place, listing in inside.items() if any((listing.folders, listing.files, listing.bad))}
    name_of = {place: _last(place) for place in filled}
    if are_chosen(filled, chosen):
        return {"train": above}
    split_of = splits_of(name_of.values())
    named = {place: split for place in filled if (split := split_of[name_of[place]])}
    other_words = {place: rest for place in named if (rest := read(name_of[place]).rest)}
    if not _are_splits(other_words, named, filled):
        named = {place: split for place, split in named.items() if place not in other_words}
    classes = [place for place in filled if place not in named]
    if classes:
        ambiguous = [place for place in named if filled[place].folders or place in other_words]
        if ambiguous:
            raise DataError(
                f"{folder}: {text_of(ambiguous[0])} looks like a split, but {text_of(classes[0])} next to it looks "
                "like a class.",
                hint="Put every class folder into a split folder, and move everything else out of the source. If all "
                "of them are classes: {classes}",
                settings={"classes": _names(filled)},
            )
        return {"train": above}
    if not named:
        return {"train": above}
    splits = {split: place for place, split in named.items()}
    if len(splits) < len(named):
        twice = [place for place, split in named.items() if list(named.values()).count(split) > 1]
        raise DataError(
            f"{folder}: {text_of(twice[0])} and {text_of(twice[1])} are the same split.",
            hint="Merge the two folders into one. If they are classes: {classes}",
            settings={"classes": _names(filled)},
        )
    if "train" not in splits:
        raise DataError(
            f"{folder}: there is {', '.join(splits.values())}, but no folder train.",
            hint="Rename the folder with the training pictures to train.",
        )
    return {split: splits[split] for split in ("train", "test", "valid") if split in splits}


def _are_splits(
    other_words: Mapping[str, Sequence[str]], named: Mapping[str, str], filled: Mapping[str, Listing]
) -> bool:
    """Return whether folders whose names have other words beside that of a split are splits."""
    if len(set(map(tuple, other_words.values()))) != 1 or len(set(named.values())) < 2:
        return False
    return len(other_words) > 1 or all(filled[place].folders for place in other_words)


def within_splits(entries: Entries, splits: Mapping[str, str], inside: Mapping[str, Listing]) -> dict[str, str]:
    """Return where the class folders of each split lie: a folder that only repeats its split is looked into.

    Many downloads unpack into training_set/training_set/cat, or have train/images/cat and test/images/cat.

    Args:
        entries: Lists the folder at a path within the source.
        splits: The split folders by split.
        inside: What each of them holds.
    """
    only = {split: _only_folder_of(inside[place]) for split, place in splits.items()}
    is_same = len({_last(inner) for inner in only.values()}) == 1
    return {
        split: inner
        if inner and (is_same or splits_of([_last(inner)])[_last(inner)] == split) and listed(entries, inner).folders
        else splits[split]
        for split, inner in only.items()
    }


def splits_in_classes(inside: Mapping[str, Listing]) -> dict[str, dict[str, str]]:
    """Return the folders of each split where each class folder holds splits (cat/train, cat/test), with their classes.

    Args:
        inside: What each class folder holds.

    Returns:
        For each split, the class folder of each of its folders; empty if the class folders hold something else.
    """
    filled = {place: listing for place, listing in inside.items() if any((listing.folders, listing.files, listing.bad))}
    found: dict[str, dict[str, str]] = {}
    for place, listing in filled.items():
        split_of = splits_of(map(_last, listing.folders))
        if not listing.folders or any(map(is_picture, listing.files)) or None in split_of.values():
            return {}
        for inner in listing.folders:
            if read(_last(inner)).rest:
                return {}
            found.setdefault(str(split_of[_last(inner)]), {})[inner] = place
    return found if "train" in found and len(found) > 1 else {}


def refuse_unclear(
    folder: Path, classes: Mapping[str, Listing], chosen: Sequence[str], group: str, *, has_splits: bool
) -> None:
    """Raise if class folders look like parts of one set: they hold the same folders, or their names only number them.

    Args:
        folder: The source, for error messages.
        classes: What each class folder holds.
        chosen: The classes that were asked for; if they are all folders, these folders are classes.
        group: The regular expression for groups; folders that it finds are groups.
        has_splits: Whether the class folders lie in split folders.

    Raises:
        DataError: The two readings.
    """
    filled = {place: listing for place, listing in classes.items() if listing.folders or listing.files}
    if are_chosen(filled, chosen) or len(filled) < 2:
        return
    parents = {
        place: listing
        for place, listing in filled.items()
        if listing.folders and not any(map(is_picture, listing.files))
    }
    counts = Counter(_last(inner) for listing in parents.values() for inner in listing.folders)
    shared = [name for name, count in counts.items() if count > 1 and not _is_group(group, name)]
    if 2 * len(shared) > len(counts):
        first, second, *_ = parents
        inner = ", ".join(map(text_of, shared[:SHOWN]))
        raise DataError(
            f"{folder}: {text_of(first)} and {text_of(second)} hold the same folders ({inner}), so either may be the "
            "classes.",
            hint=f"If the inner folders are the classes, merge those of one name, or put them into the folders train, "
            f"valid and test. If {text_of(_last(first))} and {text_of(_last(second))} are classes: {{classes}}",
            settings={"classes": _names(filled)},
        )
    if not has_splits and are_parts(map(_last, filled)):
        raise DataError(
            f"{folder}: {text_of(_last(min(filled)))} and the folders next to it look like numbered parts of one set, "
            "not like classes.",
            hint="Put the pictures of each class into a folder with its name, or add a table that names the files and "
            "their classes. If these folders are classes: {classes}",
            settings={"classes": _names(filled)},
        )


def are_chosen(places: Collection[str], chosen: Sequence[str]) -> bool:
    """Return whether classes were asked for that are all folders here.

    Args:
        places: The places of folders.
        chosen: The classes that were asked for.
    """
    return bool(chosen) and set(chosen) <= {unicodedata.normalize("NFC", text_of(_last(place))) for place in places}


def only_folder(top: Listing, entries: Entries) -> str:
    """Return the single folder that holds everything, unless it is a split folder or a class; "" without one.

    Pictures next to it, such as a cover, do not make it a class: one class is nothing to learn.

    Args:
        top: What the folder above holds.
        entries: Lists the folder at a path within the source.
    """
    if len(top.folders) != 1 or top.bad:
        return ""
    is_split = _last(top.folders[0]).lower() in SPLIT_WORDS
    return "" if is_split or not listed(entries, top.folders[0]).folders else top.folders[0]


def _only_folder_of(listing: Listing) -> str:
    """Return the single folder that a folder holds, without any picture next to it; "" without one."""
    return listing.folders[0] if len(listing.folders) == 1 and not any(map(is_picture, listing.files)) else ""


def _is_group(pattern: str, name: str) -> bool:
    """Return whether a regular expression for groups finds one in the name of a folder."""
    try:
        return bool(pattern) and re.search(pattern, f"{name}/") is not None
    except (re.error, OverflowError, RecursionError):
        return False  # reading the groups reports it


def _names(places: Collection[str]) -> list[str]:
    """Return the names of folders, to be typed as classes."""
    return [text_of(_last(place)) for place in places]


def _last(place: str) -> str:
    """Return the last part of a place."""
    return place.split("/")[-1]
