"""The verdict of a judged run: how good the model is, how sure that is, and which pictures it gets wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.words import counted, percent, pictures, split_in_words
from ..errors import RunError, UsageError
from ..records.scores import OUT_OF_FOLD, REFUSALS, Against, Imbalance, Score
from ..runs.recorded import edited_of
from ..show.sentences import edited_in_words, stop_in_words
from .asked import Asked, get, number, opened
from .results import Result, Results, result_of

if TYPE_CHECKING:
    from starlette.routing import Route

    from .session import Session

PAGE, SUREST, PAIRS = 48, 24, 24  # pictures of a page of a cell, surest mistakes, kinds of mistakes


def section_of(folder: Path) -> dict[str, Any] | None:
    """Return the section `verdict` of a run; None if it has not been judged.

    Args:
        folder: The run's folder.
    """
    try:
        result = result_of(folder, None)
    except RunError:
        return None
    score = result.table.score
    return {
        "status": "fresh",
        "accuracy": score.accuracy,
        "low": score.interval.low,
        "high": score.interval.high,
        "n": score.n,
        "split": score.split,
        "sentence": headline(score),
    }


def headline(score: Score) -> str:
    """Return the result in one sentence.

    Args:
        score: The score that counts.

    >>> from sevensteps.trust.intervals import score
    >>> headline(score("test", 1931, 2000))
    'It is right on 96.55\\xa0% of pictures it has never seen.'
    >>> headline(score("test", 12, 12))
    'It is right on all 12 pictures it has never seen.'
    """
    if score.correct == score.n:
        share = f"all {pictures(score.n)}" if score.n > 1 else "the one picture"
    elif score.n < 100:
        share = f"{score.correct:,} of {pictures(score.n)}"
    else:
        digits = 2 if score.n >= 1000 else 1
        share = f"{percent(score.accuracy, digits)} of pictures"
    if score.split == OUT_OF_FOLD:
        return f"Models like it are right on {share} that they have never seen."
    if score.split == "valid":
        return f"It is right on {share} that training did not use."
    return f"It is right on {share} it has never seen."


def lead(score: Score, against: Against | None) -> str:
    """Return how sure the result is, and how it compares with the best simple method.

    Args:
        score: The score that counts.
        against: The difference from the best baseline.
    """
    low, high = percent(score.interval.low), percent(score.interval.high)
    which = "" if score.split == OUT_OF_FOLD else split_in_words(score.split)
    sentence = (
        f"{score.correct:,} of {pictures(score.n, which)}. Allowing for chance, its true rate is likely between "
        f"{low} and {high} (95\u00a0% interval)."
    )
    if against is None:
        return sentence
    points, ends = 100 * against.difference, [100 * against.interval.low, 100 * against.interval.high]
    between = f"({_signed(ends[0])} to {_signed(ends[1])})"
    side = "above" if points > 0 else "below"
    if points == 0:
        beside = f"It is as often right as the best simple method, {against.baseline}"
    else:
        beside = f"It is {abs(points):.2f} points {side} the best simple method, {against.baseline}"
    told = f": too close to call with {pictures(against.n)}" if 0.0 in against.interval else ""
    return f"{sentence} {beside}{told} {between}."


def _signed(value: float) -> str:
    """Return a number with its sign; the minus is as wide as the plus."""
    return f"{value:+.2f}".replace("-", "\u2212")


def verdict(result: Result, *, edited: int = 0) -> dict[str, Any]:
    """Return everything that the page shows of a verdict but the pictures of the cells.

    Args:
        result: The judged run.
        edited: How many labels of its test pictures were changed by corrections.
    """
    table, judged = result.table, result.figures
    score, classes = judged.score, table.classes
    wrong = np.flatnonzero(~table.right)
    wrong = wrong[np.lexsort((wrong, -result.shares[wrong]))]  # the surest first
    counts = np.bincount(table.labels, minlength=len(classes))
    confusion = np.asarray(judged.scores.confusion)
    kinds = [(int(confusion[a, b]), a, b) for a, b in np.argwhere(confusion).tolist() if a != b]
    pairs = sorted(kinds, key=lambda kind: (-kind[0], kind[1], kind[2]))
    baselines = judged.baselines.values() if judged.against else ()
    return {
        "run": result.name,
        "classes": list(classes),
        "stopped": _stopped(result),
        "headline": headline(score),
        "lead": lead(score, judged.against),
        "score": score.as_json(),
        "baselines": [
            {"name": name, **baseline.as_json()}
            for name, baseline in sorted(
                zip(judged.baselines, baselines, strict=False), key=lambda pair: -pair[1].accuracy
            )
        ],
        "confusion": confusion.tolist(),
        "per_class": [one.as_json() for one in judged.scores.per_class],
        "pairs": [{"label": a, "answer": b, "count": n, "n": int(counts[a])} for n, a, b in pairs[:PAIRS]],
        "kinds": len(pairs),
        "wrong": len(wrong),
        "surest": result.shown(wrong[:SUREST].tolist()),
        "calibration": judged.calibration.as_json(),
        "doubts": doubts(result, edited),
        "limits": limits(result),
        "edited": edited,
    }


def _stopped(result: Result) -> str:
    """Return why training ended, as a sentence."""
    run = result.run
    reason = result.saved.stopped_because if result.saved else run and run.stopped_because
    return f"Training stopped because {stop_in_words(reason)}." if reason else "Training is not finished."


def doubts(result: Result, edited: int = 0) -> list[str]:
    """Return the reasons to doubt the result.

    Args:
        result: The judged run.
        edited: How many labels of its test pictures were changed by corrections.
    """
    said = [edited_in_words(edited)] if edited else []
    return [*_found_doubtful(result), *said]


def _found_doubtful(result: Result) -> list[str]:
    """Return the reasons to doubt the result, apart from corrections."""
    from ..jobs.advice import doubts_of
    from ..trust.scores import score_of

    saved, table = result.saved, result.table
    if saved is None:
        return [finding.message for finding in (result.run.findings if result.run else ()) if not finding.recovered_at]
    judgement = saved.judgement
    score = score_of(table, saved.recipe.folds)
    imbalance = Imbalance.from_json(judgement.get("imbalance"))
    findings = [finding for finding in saved.findings if finding.recovered_at is None]
    return doubts_of(saved.checkpoint, {table.split: score}, findings, None, judgement, imbalance)


def limits(result: Result) -> list[str]:
    """Return what the result cannot tell.

    Args:
        result: The judged run.
    """
    table = result.table
    lines = [
        f"How it does on your next pictures: all {pictures(len(table))} that it was tested on come from the same "
        "source as the training pictures."
    ]
    coverage = result.figures.coverage
    if coverage is None or len(coverage.never_says) == 2:
        names = counted(len(table.classes), "answer")
        lines.append(f"What it says to something else: it knows {names}, and gives one of them to any picture.")
    else:
        said = " or ".join(f"“{reason}”" for reason in REFUSALS if reason not in coverage.never_says)
        right = f"; of its other answers {percent(coverage.score.accuracy)} are right" if coverage.score else ""
        lines.append(
            f"Whether it recognizes every strange picture: it says {said} to {percent(1 - coverage.share)} of the test "
            f"pictures{right}."
        )
    if wrong := int((~table.right).sum()):
        of_all = f"the {wrong:,} mistakes are the model's or the labels'"
        of_one = "the mistake is the model's or the label's"
        lines.append(f"Whether {of_one if wrong == 1 else of_all}. Repair helps with that.")
    return lines


def cell(result: Result, label: int, answer: int, page: int) -> dict[str, Any]:
    """Return a page of the pictures with one label and one answer, the surest first.

    Args:
        result: The judged run.
        label: The index of the class.
        answer: The index of the class that the model answers.
        page: From 0.

    Raises:
        UsageError: There is no such class.
    """
    table = result.table
    if max(label, answer) >= len(table.classes):
        raise UsageError(f"There is no class {max(label, answer)}: there are {len(table.classes)}, counted from 0.")
    rows = np.flatnonzero((table.labels == label) & (table.predicted == answer))
    rows = rows[np.lexsort((rows, -result.shares[rows]))]
    some = rows[page * PAGE : (page + 1) * PAGE].tolist()
    return {
        "label": label,
        "answer": answer,
        "count": len(rows),
        "page": page,
        "pages": -(-len(rows) // PAGE),
        **result.shown(some),
    }


def routes(session: Session) -> list[Route]:
    """Return the routes of the verdict.

    Args:
        session: The state that the page shows.
    """
    results = Results()

    def whole_verdict(asked: Asked) -> dict[str, Any]:
        now = opened(session)
        return verdict(results.of(now), edited=edited_of(now.recorded))

    def one_cell(asked: Asked) -> dict[str, Any]:
        label, answer, page = (number(asked, name) for name in ("label", "answer", "page"))
        return cell(results.of(opened(session)), label, answer, page)

    return [get("/verdict", whole_verdict), get("/verdict/cell", one_cell)]
