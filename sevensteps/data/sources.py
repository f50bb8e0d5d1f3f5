"""`load`: pictures by the name of a source, or from a path.

A new source is one file beside this one and one line in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import DataError, UsageError, nearest
from .images import Splits


def _embedded(say: Callable[[str], None]) -> Splits:
    from .pullover_dress import load_pullover_dress

    return load_pullover_dress()


def _fashion(say: Callable[[str], None]) -> Splits:
    from .fashion import load_fashion

    return load_fashion(say)


SOURCES: dict[str, Callable[[Callable[[str], None]], Splits]] = {
    "pullover-dress": _embedded,
    "fashion-mnist": _fashion,
}


_PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}


def load(
    source: str | Path = "pullover-dress",
    classes: Sequence[str] | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Splits:
    """The splits of a source: "pullover-dress", "fashion-mnist", or the path of IDX files.

    `classes` picks classes by name, and the order given is the label. `say` gets a line about anything slow.

    >>> load("pullover-dress").train
    Images(train: 12,000 pictures of 28x28x1: 6,000 Pullover, 6,000 Dress)

    Raises:
        UsageError: a source that is no name or path, or classes that are no list.
        DataError: no such source, path or class, no pictures, or a single class.
        DownloadError: a source that is not on this machine and could not be fetched.
    """
    if not isinstance(source, (str, Path)):
        raise UsageError(
            f"The source is {source!r:.80}, and must be a name or a path.", hint='ss.load("pullover-dress")'
        )
    if isinstance(classes, str):
        raise UsageError(f"classes is {classes!r}, and must be a list of names.", hint='classes=["Pullover", "Dress"]')
    if str(source) in SOURCES:
        splits = SOURCES[str(source)](say)
    elif Path(source).suffix.lower() in _PICTURES and Path(source).is_file():
        raise DataError(
            f"{source} is one picture, and a source is many, with labels.",
            hint=f"To classify it: sevensteps predict RUN {source}",
        )
    elif Path(source).exists():
        from .idx import load_idx

        splits = load_idx(Path(source))
    else:
        raise DataError(f"There is no source or path {str(source)!r}.", hint=nearest(str(source), SOURCES))
    if classes:
        splits = splits.choose(classes)
    present = [name for name, count in splits.train.counts.items() if count]
    if len(present) < 2:
        what = f"only pictures of {present[0]!r}" if present else "no pictures at all"
        raise DataError(
            f"{source}: the training split has {what}.", hint="A classifier needs pictures of two classes or more."
        )
    elsewhere = [images for images in (splits.test, splits.valid) if images is not None]
    untaught = [
        name for name in splits.classes if name not in present and any(images.counts[name] for images in elsewhere)
    ]
    if untaught:
        raise DataError(
            f"{source}: there are pictures of {', '.join(untaught)} to test with, and none to train on.",
            hint=f"Choose the classes that there are: {', '.join(present)}.",
        )
    return splits
