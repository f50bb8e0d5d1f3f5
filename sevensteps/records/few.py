"""Few training pictures of a class: what that means for the result, in words and for programs."""

from __future__ import annotations

from typing import Any

FEW = 200  # below this many training pictures of a class, their number matters more than any setting


def few_in_words(fewest: int, has_backbone: bool = False) -> str:
    """Return what few training pictures of a class mean for the result.

    Args:
        fewest: The number of training pictures of the smallest class.
        has_backbone: Whether the model learned from features of a pretrained network.

    Returns:
        A clause in words.
    """
    return f"a class has {fewest:,} to train on: below {FEW} the interval is wide, and {_helps(has_backbone)}"


def few_as_json(fewest: int | None, has_backbone: bool = False) -> dict[str, Any] | None:
    """Return the same for programs.

    Args:
        fewest: The number of training pictures of the smallest class; None if it has enough.
        has_backbone: Whether the model learned from features of a pretrained network.

    Returns:
        Facts for JSON, or None.
    """
    if fewest is None:
        return None
    pretrained = {"pretrained": True} if has_backbone else {}
    return {"fewest": fewest, "below": FEW, "advice": _helps(has_backbone), **pretrained}


def _helps(has_backbone: bool) -> str:
    if has_backbone:
        return "more pictures help"
    return "a pretrained backbone, trained on many other pictures, usually helps"
