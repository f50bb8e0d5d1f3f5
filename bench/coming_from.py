"""Run the job of docs/coming-from.md with each library, in an environment of its own.

    python bench/coming_from.py                       all of them
    python bench/coming_from.py fastai                only this one
    python bench/coming_from.py --envs FOLDER         where the environments are; they are made if they are not there

The pictures are 500 pullovers and dresses to learn from, and 200 to test with. Each script writes into an empty folder.
The accuracies are no comparison: the models differ, and all start from random weights.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import ENVIRONMENTS, OURS, python_of
from PIL import Image

import sevensteps as ss

SCRIPTS = Path(__file__).parent.parent / "examples" / "coming_from"
# The environment that each script runs in, by the name of its library.
LIBRARIES = {
    "sevensteps": OURS,
    "scikit-learn": OURS,
    "fastai": "fastai",
    "Keras": "keras",
    "Lightning": "lightning",
}
LEARN, NEW = 250, 100  # pictures of each class


def script_of(library: str) -> Path:
    """Return the script that does the job with a library."""
    return SCRIPTS / f"with_{library.lower().replace('-', '_')}.py"


def write_pictures(folder: Path) -> None:
    """Write the folders photos and new-photos, with a subfolder for each class, and new.jpg.

    Args:
        folder: Where.
    """
    splits = ss.load("pullover-dress")
    assert splits.test is not None
    for name, images, count in (("photos", splits.train, LEARN), ("new-photos", splits.test, NEW)):
        for label, of in enumerate(images.classes):
            (folder / name / of).mkdir(parents=True)
            for number, place in enumerate((images.labels == label).nonzero()[0][:count]):
                Image.fromarray(images.pixels[place, 0]).save(folder / name / of / f"{number:03}.jpg", quality=95)
    Image.fromarray(splits.test.pixels[0, 0]).save(folder / "new.jpg", quality=95)


def run(library: str, python: str) -> str:
    """Run the script of a library in an empty folder, and return what it prints.

    Args:
        library: Its name.
        python: The interpreter that has it.

    Raises:
        ChildProcessError: The script failed; the message is what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="sevensteps-") as folder:
        write_pictures(Path(folder))
        own = {"SEVENSTEPS_STATE": f"{folder}/state", "SEVENSTEPS_CACHE": f"{folder}/cache"}
        done = subprocess.run(
            [python, str(script_of(library).resolve())],
            cwd=folder,
            env={**os.environ, **own, "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ChildProcessError(f"{script_of(library)} failed:\n{done.stderr}")
    return done.stdout


def main() -> int:
    """Run the scripts of the libraries that are named, or of all; return 1 if one fails or has no environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", nargs="*", default=[*LIBRARIES], help=f"all unless given: {', '.join(LIBRARIES)}")
    parser.add_argument("--envs", type=Path, default=ENVIRONMENTS, help="the folder of the environments")
    arguments = parser.parse_args()
    if unknown := set(arguments.library) - set(LIBRARIES):
        parser.error(f"there is no script for {', '.join(unknown)}; there is one for {', '.join(LIBRARIES)}")
    is_fine = True
    for library in arguments.library:
        python = python_of(LIBRARIES[library], arguments.envs)
        print(f"# {library}", flush=True)
        try:
            print(run(library, python) if python else "no environment", flush=True)
            is_fine &= python is not None
        except ChildProcessError as error:
            print(error, file=sys.stderr)
            is_fine = False
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
