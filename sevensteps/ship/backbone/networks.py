"""Every backbone by its name: the one that a package brings, and those of timm."""

from __future__ import annotations

from collections.abc import Callable

from .names import is_of_timm
from .timm_network import load_timm
from .weights import Backbone, load_backbone


def load_network(name: str, sha256: str | None = None, say: Callable[[str], None] = lambda line: None) -> Backbone:
    """Return a backbone whose weights are on this machine.

    Args:
        name: "efficientnet-lite0", timm:NAME or timm:NAME@FILE.safetensors.
        sha256: Of the network of timm that is needed; None takes the file's, or the published weights.
        say: Takes a line if a file in the cache is damaged.

    Raises:
        UsageError: There is no such network.
        ModelError: It is not on this machine.
        FileError: A file cannot be read or written.
    """
    if is_of_timm(name):
        return load_timm(name, sha256)
    return load_backbone(name, say)
