"""Measure how many pictures of other things are refused: by a model of features, and by one of pixels.

    python tools/make_stamps.py stamps
    python bench/foreign.py stamps

Each class in turn is left out of training, so that its pictures are foreign. Others are noise, white pictures, tiles of
photographs, and clothes of Fashion-MNIST. "Refused" is what `predict` says: "none of these" or "not sure". "ROC area"
tells by the distance alone whether a picture is foreign or one of the test pictures: 50 % is chance.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from machine import describe
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score

import sevensteps as ss

COUNT = 40  # pictures of each kind


def main() -> None:
    """Print the shares for features and for pixels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="class folders")
    parser.add_argument("--leave-out", nargs="*", help="classes to leave out in turn; without it, all")
    parser.add_argument("--unfreeze", type=int, default=0, help="also measure a model with this many trained stages")
    arguments = parser.parse_args()
    print(describe())
    models = {"features": {"features": "efficientnet-lite0"}, "pixels": {"features": "none"}}
    if arguments.unfreeze:
        models["unfrozen"] = {"features": "efficientnet-lite0", "unfreeze": arguments.unfreeze}
    classes = sorted(path.name for path in arguments.folder.iterdir() if path.is_dir())
    seen: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory() as out:
        for left_out in arguments.leave_out or classes:
            kept = tuple(name for name in classes if name != left_out)
            foreign = {"class left out": list_of(arguments.folder / left_out), **elsewhere()}
            for kind, settings in models.items():
                folder = Path(out) / f"{left_out}-{kind}"
                run = ss.train(arguments.folder, classes=kept, folds=1, out=folder, **settings)
                home = answers(run, [arguments.folder / name for name in run.tables["test"].ids])
                for name, pictures in {"test pictures": [], **foreign}.items():
                    other = answers(run, pictures) if pictures else home
                    seen.setdefault((name, kind), []).append(measured(home, other))
            print(f"{left_out} left out", flush=True)
    for (name, kind), rows in seen.items():
        none, unsure, area = np.mean(rows, axis=0)
        print(f"{name:<18}{kind:<10}none of these {none:6.1%}  not sure {unsure:6.1%}  ROC area {area:6.1%}")


def answers(run: ss.Run, pictures: list[Path | Image.Image]) -> list[tuple[str | None, float]]:
    """Return the reason not to answer and the distance of each picture."""
    return [(answer.reason, float(answer.distance or 0)) for answer in ss.predict(run, pictures)]


def measured(home: list[tuple[str | None, float]], other: list[tuple[str | None, float]]) -> tuple[float, float, float]:
    """Return the shares of "none of these" and of "not sure", and the ROC area of the distance."""
    reasons = [reason for reason, _ in other]
    is_foreign = [0] * len(home) + [1] * len(other)
    area = roc_auc_score(is_foreign, [distance for _, distance in home + other])
    return reasons.count("none of these") / len(other), reasons.count("not sure") / len(other), float(area)


def list_of(folder: Path) -> list[Path | Image.Image]:
    """Return the files of a folder."""
    return sorted(folder.iterdir())[:COUNT]


def elsewhere() -> dict[str, list[Path | Image.Image]]:
    """Return pictures of other things, by kind."""
    random = np.random.default_rng(0)
    china, _ = map(Image.fromarray, load_sample_images().images)
    corners = [(random.integers(0, china.width - 96), random.integers(0, china.height - 96)) for _ in range(COUNT)]
    clothes = ss.load("pullover-dress").test
    assert clothes is not None
    return {
        "noise": [Image.fromarray(random.integers(0, 256, (96, 96, 3), dtype=np.uint8)) for _ in range(COUNT)],
        "white": [Image.new("RGB", (96, 96), (value,) * 3) for value in range(256 - COUNT, 256)],
        "tiles of a photo": [china.crop((x, y, x + 96, y + 96)) for x, y in corners],
        "clothes": [Image.fromarray(pixels[0]) for pixels in clothes.pixels[:COUNT]],
    }


if __name__ == "__main__":
    main()
