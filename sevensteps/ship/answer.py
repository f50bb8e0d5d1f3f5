"""The answer of a model for a picture, with the reason to doubt it where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ..base.words import readable
from .abstention import NONE_OF_THESE, Limits
from .covered import Covered


@dataclass(frozen=True)
class Answer:
    """The answer of a model for one file: the class and its probability, or why there is none.

    A model that may abstain still names the most probable class, with a `reason` to doubt it.
    """

    file: str
    probabilities: dict[str, float] | None = None
    error: str | None = None
    reason: str | None = None  # "not sure" or "none of these"; None for an answer
    distance: float | None = None  # from the nearest class; about 1 for a picture like those of training
    explanation: str | None = None  # the file that shows why
    covered: Covered | None = None  # why, of a model of features
    hint: str = ""  # what to do about the error, or about the reason
    looks_inverted: bool = False  # doubtful, but not with dark and light exchanged: see `hint`
    is_inverted: bool = False  # the answer is for the picture with dark and light exchanged
    never_says: tuple[str, ...] = ()  # the reasons that this model can never give: see `Abstention.never_says`

    @property
    def best(self) -> str:
        """The class with the highest probability."""
        assert self.probabilities is not None
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def in_words(self) -> str:
        """The answer in a few words: "Dress (98.0%)", or with the reason to doubt it."""
        assert self.probabilities is not None
        best, share = self.best, f"{self.probabilities[self.best]:.1%}{', inverted' * self.is_inverted}"
        if self.reason == NONE_OF_THESE:
            return f"{NONE_OF_THESE}; {best} is the nearest ({share})"
        return f"{best}? ({share}, {self.reason})" if self.reason else f"{best} ({share})"

    def as_json(self) -> dict[str, Any]:
        """Return the keys that `predict --json` promises."""
        if self.probabilities is None:
            return {"file": readable(self.file), "error": readable(self.error or ""), "hint": readable(self.hint)}
        why: dict[str, Any] = {} if self.explanation is None else {"explanation": readable(self.explanation)}
        why |= {} if self.covered is None else {"covered": self.covered.as_json()}
        best = self.best
        return {
            "file": readable(self.file),
            "class": best,
            "probability": self.probabilities[best],
            "probabilities": self.probabilities,
            "abstained": self.reason is not None,
            "reason": self.reason,
            "distance": self.distance,
            **({"hint": self.hint} if self.hint else {}),
            **({"inverted": True} if self.is_inverted else {}),
            **why,
        }


def answers_of(
    files: Sequence[str],
    classes: Sequence[str],
    shares: Float[np.ndarray, "n classes"],
    pixels: UInt8[np.ndarray, "n channels height width"],
    abstention: Limits | None,
) -> list[Answer]:
    """Return the answer for each picture, with the reason to doubt it where there is one.

    Args:
        files: The names of the pictures.
        classes: Names, in the order of `shares`.
        shares: The probability of each class.
        pixels: The pictures, for their distances from those of training.
        abstention: When the model gives no answer; None: it always answers.
    """
    rows = shares.tolist()
    usable = np.isfinite(shares).all(1).tolist()
    reasons: Sequence[str | None] = [None] * len(rows)
    distances: Sequence[float | None] = [None] * len(rows)
    hints = [""] * len(rows)
    never: tuple[str, ...] = ()
    if abstention is not None:
        far = abstention.distances(pixels, each_alone=True)
        # As float64, since a limit is compared with a float32 as the float32 that is nearest to it.
        reasons = abstention.reasons(shares.astype(np.float64).max(1), far)
        distances, never = far.tolist(), abstention.never_says
        if pixels.shape[1] in (1, 3):  # pictures, and not what a pretrained network returned
            hints = _about_inverted(pixels, far, reasons, abstention)
    answers = []
    for file, row, is_usable, reason, distance, hint in zip(
        files, rows, usable, reasons, distances, hints, strict=True
    ):
        if is_usable:
            shared = dict(zip(classes, row, strict=True))
            answer = Answer(file, shared, None, reason, distance, hint=hint, never_says=never)
            answers.append(replace(answer, looks_inverted=True) if hint else answer)
        else:  # which JSON cannot hold, and nobody can use
            answers.append(Answer(file, error=f"{file}: the model's scores of this picture are not finite."))
    return answers


def _about_inverted(
    pixels: UInt8[np.ndarray, "n channels height width"],
    distances: Float[np.ndarray, " n"],
    reasons: Sequence[str | None],
    abstention: Limits,
) -> list[str]:
    """Return a hint for each doubtful picture that is dark where those of training are light; "" for the others."""
    hints = [""] * len(pixels)
    doubted = [place for place, reason in enumerate(reasons) if reason]
    if not doubted:
        return hints
    inverted = abstention.distances(255 - pixels[doubted], each_alone=True)
    for place, distance in zip(doubted, inverted.tolist(), strict=True):
        if distance > abstention.distance or distance >= distances[place]:
            continue
        picture = pixels[place]
        around = np.concatenate([picture[..., 0, :], picture[..., -1, :], picture[..., 0], picture[..., -1]], axis=-1)
        yours, theirs = (
            ("dark on light", "light on dark") if around.mean() > 127 else ("light on dark", "dark on light")
        )
        hints[place] = f"Your picture is {yours}, those of training are {theirs}: invert it."
    return hints
