"""Try the model on a picture: the answer, how sure it is, why, and the picture that the model saw."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import files
from ..base.words import percent, pictures, split_in_words
from ..errors import DataError, ModelError, RunError, SevenstepsError
from ..jobs.predict import caution_of
from ..records.scores import OUT_OF_FOLD
from ..runs.checkpoint import MODEL
from ..ship import file as model_file
from ..ship.abstention import NOT_SURE, Limits
from ..ship.predict import Model, load_model
from .asked import LARGEST_SHOWN, Asked, get, opened, post, thumbnails
from .results import Result, result_now

if TYPE_CHECKING:
    from starlette.routing import Route

    from ..ship.answer import Answer
    from ..ship.explain import Explainer
    from .session import Session
    from .trainer import Trainer

SAMPLES = 8  # pictures of the test to try

STEPS = (0.5, 0.6, 0.7, 0.8, 0.9)  # where the kinds of confidence begin whose record is told


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """A model, and what explains it."""

    model: Model
    explainer: Explainer | None  # None: a model of features, which is asked about covered pictures


def loaded(content: bytes) -> Loaded:
    """Load a model from the bytes of its file.

    Args:
        content: The bytes of a `model.safetensors`.

    Raises:
        ModelError: As `load_model`.
    """
    from ..ship.explain import load_explainer

    with tempfile.TemporaryDirectory(prefix="sevensteps-") as folder:
        file = Path(folder) / MODEL
        files.write(file, content)
        model = load_model(file)
        return Loaded(model, None if model.read else load_explainer(file))


def tried(there: Loaded, content: bytes, result: Result | None) -> dict[str, Any]:
    """Answer a picture, and say why.

    Args:
        there: The model.
        content: The bytes of the picture's file.
        result: The judged run, for how often such answers are right; None if it is not judged.

    Raises:
        DataError: It is not a picture that can be read.
    """
    if not content:
        raise DataError("The picture is empty.", hint="Choose another file.")
    picture = _named(content)
    answer, seen = next(iter(there.model.answers([picture])))
    if answer.probabilities is None or seen is None:
        raise DataError((answer.error or "").replace(f"{PICTURE}: ", ""), hint=answer.hint)
    best = answer.best
    return {
        "answer": best,
        "classes": list(there.model.classes),
        "probabilities": [answer.probabilities[name] for name in there.model.classes],
        "said": answer.reason or best,
        "why": why_no_answer(answer, there.model.abstention),
        "hint": answer.hint,
        "caution": caution_of(answer.never_says),
        "record": record_of(result, answer.probabilities[best]) if result and not answer.reason else "",
        "seen": _shown(content, there.model) if there.model.read else seen,
        "size": list(there.model.shape),
        "explain": explained(there, content, seen, answer),
    }


PICTURE = "The picture"  # what errors call what was sent


def _named(content: bytes) -> io.BytesIO:
    """Return an open file; its name is for errors."""
    picture = io.BytesIO(content)
    picture.name = PICTURE
    return picture


def _shown(content: bytes, model: Model) -> np.ndarray:
    """Return the picture in color, small enough to show; a model of features does not see pixels."""
    from ..data.on_white import whole_on_white

    whole = whole_on_white(_named(content), model.range)
    whole.thumbnail((LARGEST_SHOWN, LARGEST_SHOWN))
    return np.asarray(whole).transpose(2, 0, 1)


def why_no_answer(answer: Answer, limits: Limits | None) -> str:
    """Return why a model does not answer; "" if it does.

    Args:
        answer: The answer, which has a reason to doubt it.
        limits: When the model does not answer.
    """
    if answer.reason is None or limits is None or answer.probabilities is None:
        return ""
    if answer.reason == NOT_SURE:
        share = answer.probabilities[answer.best]
        return (
            f"Its best answer, {answer.best}, has a probability of {percent(share, 0)}. Below "
            f"{percent(limits.confidence, 0)} this model does not answer, because it would be wrong too often."
        )
    return (
        f"The picture is unlike those that it learned from: its distance is {answer.distance:.1f}, where about 1 is "
        f"usual and {limits.distance:.1f} is the limit. The nearest class is {answer.best}."
    )


def record_of(result: Result, share: float) -> str:
    """Return how often answers as sure as one were right when the model was tested.

    Args:
        result: The judged run.
        share: The probability of the answer.
    """
    low = max((step for step in STEPS if step <= share), default=0.0)
    high = next((step for step in STEPS if step > share), 1.0)
    such = (result.shares >= low) & ((result.shares < high) | (high == 1))
    count, split = int(such.sum()), result.table.split
    which = f"the {pictures(len(result.table), split_in_words(split))}"
    if split == OUT_OF_FOLD:
        which = f"{pictures(len(result.table))} that the models had not learned from"
    if not count:
        return "No test picture got an answer of this probability."
    between = f"between {percent(low, 0)} and {percent(high, 0)}"
    if high == 1 or not low:
        between = f"above {percent(low, 0)}" if high == 1 else f"below {percent(high, 0)}"
    right = int(result.table.right[such].sum())
    return f"Of its answers {between}, {right:,} of {count:,} were right ({percent(right / count)}), on {which}."


def explained(there: Loaded, content: bytes, seen: np.ndarray, answer: Answer) -> dict[str, Any] | None:
    """Return what in the picture speaks for the answer, as signed numbers; None if that cannot be said.

    Of two classes with one score, positive numbers speak for the second class and negative ones for the first, as in
    every picture of weights. Otherwise they speak for and against the answer.

    Args:
        there: The model.
        content: The bytes of the picture's file.
        seen: What the model takes of it.
        answer: The answer.
    """
    assert answer.probabilities is not None
    if there.explainer is None:
        from ..data.on_white import whole_on_white
        from ..ship.covered import cover

        def predicted(picture: Any) -> dict[str, float]:
            return there.model.answer(picture).probabilities or {}

        try:
            covered = cover(
                whole_on_white(_named(content), there.model.range),
                answer.best,
                answer.probabilities[answer.best],
                predicted,
            )
        except (SevenstepsError, KeyError):
            return None
        return {"kind": "patches", "values": covered.drops, "toward": answer.best, "method": "covering", "sides": False}
    classes = there.model.classes
    of_two = len(classes) == 2
    toward = classes[1] if of_two else answer.best
    try:
        why = there.explainer.explain(np.ascontiguousarray(seen), toward)
    except SevenstepsError:
        return None
    return {
        "kind": "pixels",
        "values": why.contributions.sum(0),
        "toward": toward,
        "method": why.method,
        "sides": of_two,
    }


class Bench:
    """The model that is tried: that of the finished run, or the one in training as it is now.

    Args:
        session: The state that the page shows.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._kept: tuple[str, Loaded] | None = None

    def loaded(self) -> Loaded:
        """Return the model; it is loaded again only if it has changed.

        Raises:
            RunError: There is none yet.
        """
        content = self._content()
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            if self._kept is None or self._kept[0] != digest:
                self._kept = digest, loaded(content)
            return self._kept[1]

    def _content(self) -> bytes:
        now = opened(self._session)
        is_done = self._session.section("place")["phase"] == "done"
        if is_done and now.folder and (now.folder / MODEL).is_file():
            return files.content(now.folder / MODEL, model_file.LARGEST)
        return self._session.trainer.post(_as_it_is).result()


def _as_it_is(trainer: Trainer) -> bytes:
    """Return the bytes of the model in training."""
    if trainer.run is None:
        raise RunError("There is no model yet.", hint="Choose pictures, then train.")
    work = trainer.run.work
    try:
        return model_file.to_bytes(work.learn.arrays(), work.about_model)
    except ModelError as error:
        raise RunError("This model cannot be tried now: its numbers are not finite.", hint="Go back.") from error


def routes(session: Session) -> list[Route]:
    """Return the routes of Try it.

    Args:
        session: The state that the page shows.
    """
    bench = Bench(session)

    def answer(asked: Asked) -> dict[str, Any]:
        now = opened(session)
        result = None
        if session.section("place")["phase"] == "done":
            with contextlib.suppress(RunError):
                result = result_now(now)
        return tried(bench.loaded(), asked[""], result)

    def samples(asked: Asked) -> dict[str, Any]:
        """Give test pictures of each class in turn."""
        splits = opened(session).splits
        images = None if splits is None else splits.test or splits.valid or splits.train
        if images is None:
            return {"pictures": None, "labels": []}
        by_class = [np.flatnonzero(images.labels == label)[:SAMPLES] for label in range(len(images.classes))]
        turns = [rows[turn] for turn in range(SAMPLES) for rows in by_class if turn < len(rows)][:SAMPLES]
        rows = np.array(turns, dtype=np.int64)
        return {"pictures": thumbnails(images.pixels[rows], LARGEST_SHOWN), "labels": images.labels[rows].tolist()}

    return [post("/try", answer, raw=True), get("/try/samples", samples)]
