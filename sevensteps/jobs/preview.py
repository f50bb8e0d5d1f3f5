"""Show what training will see of a few pictures, before there is a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from ..data.sources.find import with_bad_skipped
from ..data.sources.named import as_text, named
from ..errors import UsageError
from ..recipes.choose import choose
from ..records.report import Varied
from ..runs.pictures import prepared

if TYPE_CHECKING:
    from ..learner.learner import Learner
    from ..records.events import Observe


PICTURES, EPOCHS = 6, 7  # rows, and columns beside the pictures as they are


def show_augmented(
    source: str | Path,
    path: str | Path,
    augment: str = "auto",
    observe: Observe = lambda event: None,
    **settings: Any,
) -> Varied:
    """Save a figure of training pictures, and of each as `train` sees it in its first epochs with seed 0.

    These are the very pictures that `train SOURCE --augment AUGMENT` draws.

    Args:
        source: As for `train`.
        path: The PNG file to write.
        augment: How the pictures are varied.
        observe: Receives notes.
        settings: Settings of the recipe.

    Returns:
        The file, and which pictures it shows.

    Raises:
        UsageError: The file is not a PNG, or would lie among the pictures.
        DataError, RecipeError: The pictures or settings cannot be used.
        FileError: The file cannot be written.
    """
    from ..show import drawing, figures
    from ..show.labels import label_of

    source, path = as_text(source), Path(path)
    drawing.must_be_png(path)
    if named(source) is None and path.resolve().is_relative_to(Path(source).resolve()):
        raise UsageError(f"{path} is inside the folder of pictures.", hint="Choose a file outside that folder.")
    settings = with_bad_skipped(source, settings)
    recipe = choose(source, settings).with_given({**settings, "source": source, "augment": augment})
    splits, settled = prepared(recipe, {}, observe)
    learn = settled.learner(splits)
    train = splits.train
    rows = _of_each_class(train.labels, len(train.classes))
    seen, targets = seen_in_training(learn, rows, EPOCHS)
    said = [[label_of(target, train.classes) for target in of_one] for of_one in targets]
    originals = np.stack([train.pixels[row] for row in rows])
    figure = figures.varied(originals, seen, [train.classes[train.labels[row]] for row in rows], said)
    return Varied(str(drawing.save(figure, path)), settled.augment, tuple(train.ids[row] for row in rows), EPOCHS)


def seen_in_training(
    learn: Learner, rows: Sequence[int], epochs: int
) -> tuple[Float[np.ndarray, "rows epochs channels height width"], list[list[np.ndarray]]]:
    """Return training pictures and their targets as a learner that has just begun will see them in each epoch.

    Args:
        learn: The learner.
        rows: The places of the pictures.
        epochs: The number of epochs.

    Returns:
        The pixels in [0, 1], (rows, epochs, channels, height, width); and the targets, a list of epochs for
        each row.
    """
    from ..data.batches import Batches

    batches = learn.dls.train
    assert isinstance(batches, Batches)
    shape = batches.images.shape
    pixels = np.empty((len(rows), epochs, *shape), np.float32)
    targets: list[list[np.ndarray]] = [[] for _ in rows]
    for epoch in range(epochs):
        order = batches.order(learn.state.seed, epoch).numpy()
        for at, row in enumerate(rows):
            batch, place = divmod(int(np.flatnonzero(order == row)[0]), batches.batch_size)
            x, y = next(batches.epoch_batches(learn.state.seed, epoch, batch))
            pixels[at, epoch] = x[place].reshape(shape).cpu().numpy()
            targets[at].append(y[place].cpu().numpy())
    return pixels, targets


def _of_each_class(labels: Int[np.ndarray, " n"], classes: int) -> list[int]:
    """Return the places of the first pictures of each class, class by class in turn."""
    first = [np.flatnonzero(labels == label)[:PICTURES].tolist() for label in range(classes)]
    turns = [rows[turn] for turn in range(PICTURES) for rows in first if turn < len(rows)]
    return turns[:PICTURES]
