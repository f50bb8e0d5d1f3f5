"""`predict`: classify picture files with a saved model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..runs.folder import AnyRun, find_run
from ..runs.saved import check_model

if TYPE_CHECKING:
    from ..ship.predict import Answer

SHOWN = 20  # answers in a repr


@dataclass(frozen=True, repr=False)
class Answers:
    """What a model says of picture files, in their order."""

    results: tuple[Answer, ...]

    @property
    def failed(self) -> int:
        """How many files could not be classified."""
        return sum(answer.error is not None for answer in self.results)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> Answer:
        return self.results[index]

    def as_json(self) -> dict[str, Any]:
        """Return what `predict --json` prints."""
        return {"results": [answer.as_json() for answer in self.results], "failed": self.failed}

    def __repr__(self) -> str:
        lines = [answer.error or f"{answer.file}: {answer.in_words}" for answer in self.results[:SHOWN]]
        more = len(self.results) - SHOWN
        return "\n".join([*lines, *([f"and {more:,} more"] if more > 0 else [])])


def predict(model: AnyRun, pictures: str | Path | Sequence[str | Path], explain: str | Path | None = None) -> Answers:
    """Classify picture files with a saved model.

    Args:
        model: A run's folder, its name under `runs/`, the run that `train` returned, or a `model.safetensors`.
        pictures: A picture file, or several.
        explain: A folder for a picture of why, one for each file.

    Returns:
        An answer for each file; one that cannot be read has its error.

    Raises:
        RunError: There is no such run or file, or it has no model.
        ModelError: The model is damaged.
        UsageError: `explain` is a file.
        FileError: A picture of why cannot be written.
    """
    files = [pictures] if isinstance(pictures, (str, Path)) else pictures
    return Answers(tuple(stream(model, [Path(file) for file in files], Path(explain) if explain else None)))


def stream(model: AnyRun, pictures: Sequence[Path], explain: Path | None = None) -> Iterator[Answer]:
    """Give the answers of `predict` one by one, each as soon as it is known.

    Args:
        model: See `predict`.
        pictures: Picture files.
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
    answers = load_model(path).predict(pictures)
    return answers if explain is None else _explained(path, answers, explain)


def _explained(model: Path, answers: Iterator[Answer], folder: Path) -> Iterator[Answer]:
    """Give the answers, each with the file that holds its picture of why."""
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
