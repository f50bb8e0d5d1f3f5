"""`predict`: classify pictures with a saved model."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..base.own_code import OwnCode, given
from ..errors import DataError, ModelError, UsageError
from ..runs.folder import AnyRun, find_run
from ..runs.saved import check_model

if TYPE_CHECKING:
    from ..ship.answer import Answer
    from ..ship.explain import Explainer
    from ..ship.predict import Model
    from ..show.report.html import Piece

Invert = Literal["auto", "no"]  # whether dark and light may be exchanged


SHOWN = 20  # answers in a repr


SHOWN_SIDE = 448  # pixels a side, at most, of the picture beside the map of a model of features


def caution_of(never_says: Sequence[str]) -> str:
    """Return a sentence about which of "not sure" and "none of these" is switched off; "" if neither is.

    Args:
        never_says: As `Answer` has it.
    """
    never = " or ".join(f'"{reason}"' for reason in never_says)
    return f"This model never says {never}: it was trained with too few validation pictures." if never else ""


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
        return caution_of(self.never_says)

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

    def _repr_html_(self) -> str:
        """Return the answers beside their pictures, where these are files, as a notebook shows them."""
        from ..show import notebook

        rows = [
            [_thumbnail(answer.file), answer.file, answer.error or f"{answer.in_words}. {answer.hint}".rstrip(". ")]
            for answer in self.results[:SHOWN]
        ]
        more = len(self.results) - SHOWN
        below = [f"and {more:,} more"] if more > 0 else []
        below += [self.caution] if self.caution else []
        return notebook.framed(
            notebook.grid(("picture", "file", "answer"), rows), *notebook.paragraphs("\n".join(below))
        )


def _thumbnail(file: str) -> Piece:
    """Return a small copy of a picture file as an element of a page; an empty text where there is no such file."""
    from ..data.on_white import whole_on_white
    from ..show.pixels import LARGEST, colors_of, data_uri
    from ..show.report.html import tag

    if not os.path.isfile(file):
        return ""
    try:
        whole = whole_on_white(file)
    except DataError:
        return ""
    whole.thumbnail((LARGEST, LARGEST))
    return tag("img", src=data_uri(colors_of(np.asarray(whole).transpose(2, 0, 1))), alt=file)


def predict(
    model: AnyRun,
    pictures: Any,
    explain: str | Path | None = None,
    *,
    network: OwnCode = None,
    features: str = "",
    invert: Invert = "no",
) -> Answers:
    """Classify pictures with a saved model.

    Args:
        model: A run's folder, its name under `runs/`, the run that `train` returned, a `model.safetensors`, or a
            `model.onnx`.
        pictures: A picture or a list of them. Each is a picture file, a folder of these, a pattern such as
            `photos/*.png`, the bytes of a file, an open file, a PIL picture or a uint8 array `(h, w, 3)`.
        explain: A folder for a picture of why, one for each file.
        network: The network of your own that the run was trained with: a function, or its name,
            `package.module:function`.
        features: The network of timm that the model learned from, "timm:NAME" or "timm:NAME@FILE.safetensors", where
            its weights are not on this machine yet.
        invert: "auto" exchanges dark and light of a picture that would be refused, and is not refused then: a drawing
            on white paper, where the training pictures are light on dark.

    Returns:
        An answer for each picture; one that cannot be read has its error.

    Raises:
        RunError: There is no such run or file, or it has no model.
        ModelError: The model is damaged; or it is a network of your own, and `network` is not given.
        UsageError: `explain` is a file.
        FileError: A picture of why cannot be written.
    """
    several = [pictures] if _is_one(pictures) else list(pictures)
    return Answers(tuple(stream(model, several, Path(explain) if explain else None, network, features, invert=invert)))


def _is_one(pictures: Any) -> bool:
    """Return whether this is one picture and not several of them."""
    is_array = hasattr(pictures, "ndim") and pictures.ndim in (2, 3)
    return (
        isinstance(pictures, (str, Path, bytes, bytearray))
        or is_array
        or any(hasattr(pictures, name) for name in ("read", "convert"))
    )


def stream(
    model: AnyRun,
    pictures: Iterable[Any],
    explain: Path | None = None,
    network: OwnCode = None,
    features: str = "",
    *,
    invert: Invert = "no",
    name_classes: Callable[[Sequence[str]], None] = lambda classes: None,
) -> Iterator[Answer]:
    """Give the answers of `predict` one by one, each as soon as it is known.

    Args:
        model: See `predict`.
        pictures: Pictures of any kind that `predict` takes; they are asked for one by one.
        explain: A folder for a picture of why, one for each file.
        network: See `predict`.
        features: See `predict`.
        invert: See `predict`.
        name_classes: Receives the classes of the model before the first answer.

    Raises:
        RunError, ModelError, UsageError, FileError: As `predict`.
    """
    from ..ship.explain import load_explainer

    path = model_path(model)
    if explain is not None and explain.exists() and not explain.is_dir():
        raise UsageError(f"{explain} is a file, and --explain takes a folder.", hint="Name a folder: --explain why")
    with given(network):
        loaded = dataclasses.replace(load(path, features), inverts=invert == "auto")
        name_classes(loaded.classes)
        if explain is None:
            return (answer for answer, *_ in _answered(loaded, pictures))
        if loaded.read is not None:
            return _explained_by_covering(path, loaded, pictures, explain)
        if path.suffix.lower() == ".onnx":
            raise UsageError(
                "--explain needs gradients, and an ONNX file has none.", hint="Name the run, or leave --explain out."
            )
        return _explained(load_explainer(path), loaded, pictures, explain)


def model_path(model: AnyRun) -> Path:
    """Return the folder or the file of a saved model.

    Args:
        model: See `predict`.

    Raises:
        RunError: There is no such run or file, or it has no model.
    """
    is_path = isinstance(model, (str, Path))
    is_file = is_path and (Path(str(model)).is_file() or Path(str(model)).suffix.lower() == ".onnx")
    path = Path(str(model)) if is_file else find_run(model)
    if path.is_dir():
        check_model(path)
    return path


def load(path: Path, features: str = "") -> Model:
    """Load a saved model.

    Args:
        path: As `model_path` returns it.
        features: See `predict`.

    Raises:
        ModelError: It is damaged, or a network of your own that nobody has given.
        UsageError: `features` is not a network of timm.
    """
    from ..ship.backbone.names import is_of_timm
    from ..ship.backbone.timm_network import fetch
    from ..ship.onnx.predict import load_onnx
    from ..ship.predict import load_model

    if features:
        if not is_of_timm(features):
            raise UsageError(f"{features!r:.80} is not a network of timm.", hint="--features timm:NAME")
        fetch(features, lambda line: None)
    return load_onnx(path) if path.suffix.lower() == ".onnx" else load_model(path)


def count_of(pictures: Sequence[Any]) -> int:
    """Return how many answers `stream` gives; folders are listed for this, and no file is opened.

    Args:
        pictures: See `predict`.
    """
    from ..data.files.unlabeled import count_pictures, is_pattern, matches

    total = 0
    for picture in pictures:
        paths = matches(str(picture)) if isinstance(picture, (str, Path)) and is_pattern(str(picture)) else [picture]
        for path in paths:
            is_folder = isinstance(path, (str, Path)) and os.path.isdir(path)
            with contextlib.suppress(DataError):  # `stream` will name it
                total += count_pictures(Path(path)) - 1 if is_folder else 0
            total += 1
    return total


def _answered(model: Model, pictures: Iterable[Any]) -> Iterator[tuple[Answer, np.ndarray | None, Any]]:
    """Give the answer for each picture, what the model sees of it, and the picture; of a folder one after the other."""
    asked, waiting = tee(_each(pictures))
    for (answer, pixels), picture in zip(model.answers(asked), waiting, strict=True):
        yield answer, pixels, picture


def _each(pictures: Iterable[Any]) -> Iterator[Any]:
    """Give each picture, those of folders and patterns among them; an answer in place of what holds no pictures."""
    from ..data.files.unlabeled import is_pattern, matches, pictures_in
    from ..ship.answer import Answer

    for picture in pictures:
        if not isinstance(picture, (str, Path)):
            yield picture
        elif os.path.isdir(picture):
            try:
                yield from pictures_in(Path(picture))
            except DataError as error:
                yield Answer(str(picture), error=error.message, hint=error.hint)
        elif is_pattern(str(picture)):
            is_empty = True
            for path in matches(str(picture)):
                is_empty = False
                yield from _each([path])
            if is_empty:
                yield Answer(str(picture), error=f"{picture}: no file matches.", hint="Check the folder and the name.")
        else:
            yield picture


def _explained(explainer: Explainer, model: Model, pictures: Iterable[Any], folder: Path) -> Iterator[Answer]:
    """Give the answers, each with the file that holds its picture of why."""
    from ..show import drawing, figures

    names = _Names()
    for answer, pixels, _ in _answered(model, pictures):
        if answer.probabilities is None or pixels is None:
            yield answer
            continue
        why = explainer.explain(pixels, answer.best)
        drawn = figures.explanation(
            pixels, why.contributions, answer.in_words, why.name, why.start, why.score, why.method
        )
        yield dataclasses.replace(answer, explanation=str(drawing.save(drawn, folder / names.new(answer.file))))


def _explained_by_covering(path: Path, model: Model, pictures: Iterable[Any], folder: Path) -> Iterator[Answer]:
    """Give the answers of a model of features, each with what covering takes away, and a file that shows it."""
    from ..data.on_white import whole_on_white
    from ..ship.covered import cover
    from ..show import drawing, figures

    def predicted(picture: Any) -> dict[str, float]:
        probabilities = model.answer(picture).probabilities
        if probabilities is None:
            raise ModelError(f"{path}: the scores of a covered picture are not finite.", hint="Export the model again.")
        return probabilities

    names = _Names()
    for answer, _, picture in _answered(model, map(_again, pictures)):
        if answer.probabilities is None:
            yield answer
            continue
        whole = whole_on_white(picture, model.range)
        why = cover(whole, answer.best, answer.probabilities[answer.best], predicted)
        whole.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        best = why.strongest
        caption = f"{answer.probabilities[answer.best]:.1%}, without the patch that matters most {best.probability:.1%}"
        pixels = np.asarray(whole).transpose(2, 0, 1)
        drawn = figures.covered(pixels, why.drops, answer.in_words, why.name, caption)
        saved = drawing.save(drawn, folder / names.new(answer.file))
        yield dataclasses.replace(answer, explanation=str(saved), covered=why)


def _again(picture: Any) -> Any:
    """Return a picture that can be read twice: of an open file its bytes, with its name."""
    if not hasattr(picture, "read"):
        return picture
    from ..data.file_bytes import content_in

    copy = io.BytesIO(content_in(picture))
    if (name := getattr(picture, "name", None)) is not None:
        copy.name = name
    return copy


class _Names:
    """Names for the pictures of why, each given once: a/1.png and b/1.png are two pictures."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, file: str) -> str:
        """Return a name for this file's picture."""
        stem = Path(file).stem
        names = (f"{stem}{number}.why.png" for number in ("", *(f"-{n}" for n in range(2, len(self._taken) + 3))))
        name = next(name for name in names if name not in self._taken)
        self._taken.add(name)
        return name
