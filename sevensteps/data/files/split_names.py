"""Which split a name stands for: the name of a folder, a file, an array or a column, or the value in a column.

Names are read word by word, so train_images, seg_test, X_val and TestSet are understood. One table serves every source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# What a word stands for. What is only evaluated on is the test split, unless another name is more clearly that: then it
# is the validation split. So fit, eval and holdout are three splits, and so are Training, PublicTest and PrivateTest,
# as FER2013 has them.
_MEANING = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("valid", "val", "validation", "validate", "dev", "devel"), "valid"),
    **dict.fromkeys(("eval", "evaluation"), "evaluated"),
    **dict.fromkeys(("holdout", "heldout"), "held out"),
}
SPLIT_WORDS = frozenset({"train", "training", "test", "testing", "valid", "val", "validation"})
_ALONE = {"fit": "train", "development": "valid"}  # words that are too common inside other names
_TWO = {("hold", "out"): "held out", ("held", "out"): "held out"}

# Words beside that of a split which say nothing of what the pictures show.
_GENERIC = frozenset(
    {
        "a", "an", "the", "of", "and", "is", "in", "my", "new", "all", "set", "sets", "split", "splits", "subset",
        "partition", "phase", "data", "dataset", "datasets", "folder", "dir", "image", "images", "img", "imgs",
        "picture", "pictures", "photo", "photos", "pic", "pics", "file", "files", "label", "labels", "target",
        "targets", "class", "classes", "x", "y", "part", "parts", "fold", "folds", "batch", "batches", "shard",
        "shards", "chunk", "chunks", "final", "full", "small", "mini", "raw", "only", "usage",
    }
)  # fmt: skip
_PARTS = frozenset(
    {
        "fold", "folds", "part", "parts", "batch", "batches", "shard", "shards", "chunk", "chunks", "image",
        "images", "img", "imgs",
    }
)  # fmt: skip

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
# A word of a split that is written together with another one: xtrain, testset, trainimages, trainval.
_TOGETHER = re.compile(
    rf"[xy]?({'|'.join(sorted(_MEANING, key=len, reverse=True))})(?:x|y|set|sets|data|images|imgs?|labels|split|val)?\Z"
)


class Read(NamedTuple):
    """What a name says of a split, and its words that are neither that of a split nor generic."""

    meaning: str  # a split, or "evaluated", "held out", "public" or "private"; "" for none
    rest: tuple[str, ...]


def read(name: str) -> Read:
    """Return what a name says of a split.

    Args:
        name: A name.

    >>> read("seg_train"), read("Testing"), read("contest")
    (Read(meaning='train', rest=('seg',)), Read(meaning='test', rest=()), Read(meaning='', rest=('contest',)))
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if len(words) == 1 and words[0] in _ALONE:
        return Read(_ALONE[words[0]], ())
    meaning, rest, at = "", [], 0
    while at < len(words):
        pair, word = tuple(words[at : at + 2]), words[at]
        together = _TOGETHER.match(word)
        means = _TWO.get(pair) or (_MEANING[together[1]] if together else "")
        if means:
            meaning = meaning or means
        elif not (word in _GENERIC or len(word) == 1 or word.isdigit()):
            rest.append(word)
        at += 2 if pair in _TWO else 1
    if meaning == "test" and rest in (["public"], ["private"]):
        return Read(rest[0], ())
    return Read(meaning, tuple(rest))


def splits_of(names: Iterable[str]) -> dict[str, str | None]:
    """Return the split that each of several names stands for, read together; None for a name that says none.

    Args:
        names: Names of one kind: those of the folders in a folder, or the values in a column.

    >>> splits_of(["fit", "eval", "holdout", "cat"])
    {'fit': 'train', 'eval': 'valid', 'holdout': 'test', 'cat': None}
    """
    readings = {name: read(name).meaning for name in names}
    meanings = set(readings.values())
    split_of: dict[str, str | None] = {
        "private": "test",
        "public": "valid" if "private" in meanings else "test",
        "held out": "valid" if meanings & {"test", "private"} else "test",
        "evaluated": "valid" if meanings & {"test", "private", "held out"} else "test",
        "": None,
    }
    return {name: split_of.get(meaning, meaning) for name, meaning in readings.items()}


def split_named(name: str) -> str | None:
    """Return the split that one name stands for, as in "x_train" or "test-00000-of-00001"; None without one.

    Args:
        name: The name of a file or of an array.
    """
    return splits_of([name])[name]


def are_parts(names: Iterable[str]) -> bool:
    """Return whether names only number the parts of one set, as images_part_1 and images_part_2 or fold0 and fold1 do.

    Args:
        names: The names of folders.
    """
    every = [[word.lower() for word in _WORD.findall(name)] for name in names]
    beside = {tuple(word for word in words if not (word.isdigit() or len(word) == 1)) for words in every}
    return len(every) > 1 and len(beside) == 1 and bool(next(iter(beside))) and next(iter(beside))[-1] in _PARTS
