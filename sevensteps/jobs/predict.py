"""`predict`: classify pictures with a saved model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, UsageError
from ..runs.folder import AnyRun, find_run
from ..runs.saved import check_model

if TYPE_CHECKING:
    import numpy as np

    from ..ship.predict import Answer, Model

SHOWN = 20  # answers in a repr


@dataclass(frozen=True, repr=False)
class Answers:
    """What a model says of picture files, in their order."""

    results: tuple[Answer, ...]

    @property
    def failed(self) -> int:
        """How many files could not be classified."""
        return sum(answer.error is not None for answer in self.results)

    @property
    def never_says(self) -> tuple[str, ...]:
        """Which of "not sure" and "none of these" too few validation pictures have switched off."""
        return next((answer.never_says for answer in self.results if answer.never_says), ())

    @property
    def caution(self) -> str:
        """A sentence about what is switched off; "" where nothing is."""
        never = " or ".join(f'"{reason}"' for reason in self.never_says)
        return f"This model never says {never}: it was trained with too few validation pictures." if never else ""

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> Answer:
        return self.results[index]

    def as_json(self) -> dict[str, Any]:
        """Return what `predict --json` prints."""
        never = {"never_says": list(self.never_says)} if self.never_says else {}
        return {"results": [answer.as_json() for answer in self.results], "failed": self.failed, **never}

    def __repr__(self) -> str:
        lines = [
            answer.error or f"{answer.file}: {answer.in_words}{f'. {answer.hint}' if answer.hint else ''}"
            for answer in self.results[:SHOWN]
        ]
        more = len(self.results) - SHOWN
        rest = [f"and {more:,} more"] if more > 0 else []
        return "\n".join([*lines, *rest, *([self.caution] if self.caution else [])])


def predict(model: AnyRun, pictures: Any, explain: str | Path | None = None) -> Answers:
    """Classify pictures with a saved model.

    Args:
        model: A run's folder, its name under `runs/`, the run that `train` returned, or a `model.safetensors`.
        pictures: A picture or a list of them. Each is a picture file, a folder of these, the bytes of a file, an open
            file, a PIL picture or a uint8 array `(h, w, 3)`.
        explain: A folder for a picture of why, one for each file.

    Returns:
        An answer for each picture; one that cannot be read has its error.

    Raises:
        RunError: There is no such run or file, or it has no model.
        ModelError: The model is damaged.
        UsageError: `explain` is a file.
        FileError: A picture of why cannot be written.
    """
    several = [pictures] if _is_one(pictures) else list(pictures)
    return Answers(tuple(stream(model, several, Path(explain) if explain else None)))


def _is_one(pictures: Any) -> bool:
    """Return whether this is one picture and not several of them."""
    is_array = hasattr(pictures, "ndim") and pictures.ndim in (2, 3)
    return (
        isinstance(pictures, (str, Path, bytes, bytearray))
        or is_array
        or any(hasattr(pictures, name) for name in ("read", "convert"))
    )


def stream(model: AnyRun, pictures: Sequence[Any], explain: Path | None = None) -> Iterator[Answer]:
    """Give the answers of `predict` one by one, each as soon as it is known.

    Args:
        model: See `predict`.
        pictures: Pictures of any kind that `predict` takes.
        explain: A folder for a picture of why, one for each file.

    Raises:
        RunError, ModelError, UsageError, FileError: As `predict`.
    """
    from ..ship.predict import load_model

    is_file = isinstance(model, (str, Path)) and Path(model).is_file()
    path = Path(str(model)) if is_file else find_run(model)
    if path.is_dir():
        check_model(path)
    if explain is not None and explain.exists() and not explain.is_dir():
        raise UsageError(f"{explain} is a file, and --explain takes a folder.", hint="Name a folder: --explain why")
    answers = _answered(load_model(path), pictures)
    return (answer for answer, _ in answers) if explain is None else _explained(path, answers, explain)


def _answered(model: Model, pictures: Sequence[Any]) -> Iterator[tuple[Answer, np.ndarray | None]]:
    """Give the answer for each picture, and its pixels; those in a folder one after the other."""
    from ..data.files.unlabeled import pictures_in
    from ..ship.predict import Answer

    place = 0
    for picture in pictures:
        found = [picture]
        if isinstance(picture, (str, Path)) and os.path.isdir(picture):
            try:
                found = list(pictures_in(Path(picture)))
            except DataError as error:
                yield Answer(str(picture), error=error.message, hint=error.hint), None
                continue
        for each in found:
            place += 1
            yield model.answer(each, place)


def _explained(model: Path, answers: Iterator[tuple[Answer, np.ndarray | None]], folder: Path) -> Iterator[Answer]:
    """Give the answers, each with the file that holds its picture of why."""
    from ..ship.explain import load_explainer
    from ..show import drawing, figures

    explainer = load_explainer(model)
    taken: set[str] = set()
    for answer, pixels in answers:
        if answer.probabilities is None or pixels is None:
            yield answer
            continue
        why = explainer.explain(pixels, answer.best)
        drawn = figures.explanation(
            pixels, why.contributions, answer.in_words, why.name, why.start, why.score, why.method
        )
        stem = Path(answer.file).stem
        names = (f"{stem}{number}.why.png" for number in ("", *(f"-{n}" for n in range(2, len(taken) + 3))))
        name = next(name for name in names if name not in taken)  # a/1.png and b/1.png are two pictures
        taken.add(name)
        yield dataclasses.replace(answer, explanation=str(drawing.save(drawn, folder / name)))
