"""Copy emoji into class folders: Google's to train on, Twitter's of the same emoji to test on.

    python tools/make_emoji.py FOLDER

npm fetches the packages emoji-datasource-google and emoji-datasource-twitter (130 MB), unless their archives are in
FOLDER already. The class is the category. The pictures have 64 pixels a side. Google's are under the Apache License
2.0, Twitter's under CC-BY 4.0; they are not part of this repository.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from PIL import Image

VERSION = "16.0.0"


SPLITS = {"train": "google", "test": "twitter"}


LEFT_OUT = ("Component", "Flags")  # five skin tones; flags look the same from every maker


def archive(folder: Path, maker: str) -> Path:
    """Return the package's archive, which npm fetches if it is not in the folder.

    Raises:
        SystemExit: npm is missing, or cannot fetch it.
    """
    path = folder / f"emoji-datasource-{maker}-{VERSION}.tgz"
    if not path.is_file():
        npm = shutil.which("npm")
        if npm is None:
            sys.exit("npm is missing: it fetches the emoji.")
        package = f"emoji-datasource-{maker}@{VERSION}"
        if subprocess.run([npm, "pack", package], cwd=folder, capture_output=True, check=False).returncode:
            sys.exit(f"npm cannot fetch {package}.")
    return path


def make(folder: Path) -> int:
    """Copy the emoji, each maker's into a split of its own.

    Args:
        folder: Receives `pictures/train` and `pictures/test`, with a folder for each category.

    Returns:
        The number of pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for split, maker in SPLITS.items():
        with tarfile.open(archive(folder, maker)) as packed:
            members = {member.name: member for member in packed}
            facts = packed.extractfile("package/emoji.json")
            assert facts is not None
            for emoji in json.load(facts):
                member = members.get(f"package/img/{maker}/64/{emoji['image']}")
                of_both = all(emoji[f"has_img_{each}"] for each in SPLITS.values())
                if emoji["category"] in LEFT_OUT or member is None or not of_both:
                    continue
                content = packed.extractfile(member)
                assert content is not None
                place = folder / "pictures" / split / emoji["category"]
                place.mkdir(parents=True, exist_ok=True)
                Image.open(io.BytesIO(content.read())).save(place / f"{emoji['short_name']}.png")
                count += 1
    return count


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python tools/make_emoji.py FOLDER")
    print(f"{make(Path(sys.argv[1]))} emoji in {Path(sys.argv[1]) / 'pictures'}")
