"""Where things of the user's are kept outside any project: what can be made again, and what is counted."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Decoded and downloaded data, and what was computed of it once: SEVENSTEPS_CACHE, or the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("SEVENSTEPS_CACHE") or platformdirs.user_cache_dir("sevensteps"))


def state_folder() -> Path:
    """The ledger of looks at test pictures: SEVENSTEPS_STATE, or the user's state folder."""
    import platformdirs

    return Path(os.environ.get("SEVENSTEPS_STATE") or platformdirs.user_state_dir("sevensteps"))
