"""Copy 195 photographs of seven kinds from Debian's package tuxpaint-stamps-default into class folders.

    python tools/make_stamps.py FOLDER

The photographs are under free licenses (see /usr/share/doc/tuxpaint-stamps-default/copyright); they are not part of
this repository. docs/decisions/0032-what-is-said-holds.md has what `sevensteps train FOLDER` reaches on them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

STAMPS = Path("/usr/share/tuxpaint/stamps")


KINDS = {
    "birds": "animals/birds",
    "flowers": "plants/flowers",
    "fruit": "food/fruit",
    "insects": "animals/insects",
    "mammals": "animals/mammals",
    "vegetables": "food/vegetables",
    "vehicles": "vehicles",
}


def make(folder: Path) -> int:
    """Copy the photographs; drawings and mirrored copies are left out.

    Args:
        folder: Receives a folder for each kind.

    Returns:
        The number of photographs.

    Raises:
        SystemExit: The package is not installed.
    """
    if not STAMPS.is_dir():
        sys.exit("The photographs are missing: apt-get install tuxpaint-stamps-default")
    count = 0
    for kind, place in KINDS.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for path in sorted((STAMPS / place).rglob("*.png")):
            is_drawn = "cartoon" in str(path.relative_to(STAMPS))
            if not is_drawn and not path.stem.endswith(("_mirror", "_flip")):
                shutil.copy(path, folder / kind / path.name)
                count += 1
    return count


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python tools/make_stamps.py FOLDER")
    print(f"{make(Path(sys.argv[1]))} photographs in {len(KINDS)} folders")
