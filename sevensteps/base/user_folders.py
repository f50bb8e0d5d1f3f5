"""The user's folders outside any project: a cache, which can be rebuilt, and the state, which cannot."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for downloads and for results that can be computed again.

    Returns:
        The environment variable SEVENSTEPS_CACHE, or the system's cache folder for this user.
    """
    import platformdirs

    return Path(os.environ.get("SEVENSTEPS_CACHE") or platformdirs.user_cache_dir("sevensteps"))


def state_folder() -> Path:
    """Return the folder for the ledger, which counts how often test pictures were used.

    Returns:
        The environment variable SEVENSTEPS_STATE, or the system's state folder for this user.
    """
    import platformdirs

    return Path(os.environ.get("SEVENSTEPS_STATE") or platformdirs.user_state_dir("sevensteps"))
