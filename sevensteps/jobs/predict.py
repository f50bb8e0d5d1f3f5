"""`predict`: classify picture files with a saved model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..runs.folder import find_run
from ..runs.saved import check_model

if TYPE_CHECKING:
    from ..ship.predict import Answer


def predict(model: Path, pictures: Sequence[Path], explain: Path | None = None) -> Iterator[Answer]:
    """What a saved model says of each picture file; with `explain`, a picture of why goes to that folder for each.

    Raises:
        RunError: no such run or file, or one without a model.
        ModelError: a damaged model.
        UsageError: the folder for pictures of why is a file.
        FileError: a picture of why cannot be written.
    """
    from ..ship.predict import load_model

    path = model if model.is_file() else find_run(model)
    if path.is_dir():
        check_model(path)
    if explain is not None and explain.exists() and not explain.is_dir():
        raise UsageError(f"{explain} is a file, and --explain takes a folder.", hint="Name a folder: --explain why")
    answers = load_model(path).predict(pictures)
    return answers if explain is None else _explained(path, answers, explain)


def _explained(model: Path, answers: Iterator[Answer], folder: Path) -> Iterator[Answer]:
    """The answers, each with the file in which its picture of why was saved."""
    from ..data.decode import read_picture
    from ..ship.explain import load_explainer
    from ..show import drawing, figures

    explainer = load_explainer(model)
    taken: set[str] = set()
    for answer in answers:
        if answer.probabilities is None:
            yield answer
            continue
        pixels = read_picture(Path(answer.file), explainer.shape, explainer.fit)
        why = explainer.explain(pixels, answer.best)
        drawn = figures.explanation(
            pixels, why.contributions, answer.in_words, why.name, why.start, why.score, why.method
        )
        stem = Path(answer.file).stem
        names = (f"{stem}{number}.why.png" for number in ("", *(f"-{n}" for n in range(2, len(taken) + 3))))
        name = next(name for name in names if name not in taken)  # a/1.png and b/1.png are two pictures
        taken.add(name)
        yield dataclasses.replace(answer, explanation=str(drawing.save(drawn, folder / name)))
