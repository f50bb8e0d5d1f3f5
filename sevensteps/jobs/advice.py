"""Advice on a result: the verdict in one sentence, the reasons to doubt it, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..base.words import pictures
from ..recipes.recipe import Recipe
from ..records.audit import AuditResult
from ..records.events import Finding
from ..records.report import Mistakes
from ..records.scores import Against, Imbalance, Score, few_in_words
from ..runs.checkpoint import Checkpoint
from ..runs.kept_files import mapping
from ..show.sentences import ON_TEST

FEW = 100  # pictures to judge with, under which an interval is wide whatever the model does


def verdict_of(found: Checkpoint, scores: Mapping[str, Score], against: Against | None) -> str:
    """Return the result in one sentence.

    Args:
        found: The checkpoint.
        scores: The scores by split; the first counts.
        against: The comparison with the best baseline.

    Returns:
        The sentence.
    """
    if not scores:
        how = "ended" if found.stopped else "was cut off"
        epochs = f"{len(found.epochs):,} epoch{'s' * (len(found.epochs) != 1)}"
        return f"This run {how} after {epochs} and has not been judged: nobody knows how good it is."
    score = next(iter(scores.values()))
    interval = score.interval
    line = (
        f"{score.accuracy:.2%} of {pictures(score.n, score.split)} {'is' if score.n == 1 else 'are'} classified "
        f"correctly (95 % interval {interval.low:.2%} to {interval.high:.2%})"
    )
    if against is None:
        return f"{line}."
    low, high = against.interval.low, against.interval.high
    between = f" (95 % interval {100 * low:+.2f} to {100 * high:+.2f} points)"
    if 0.0 in against.interval:
        return f"{line}, which cannot be told from the best baseline, {against.baseline}{between}."
    points = f"{100 * abs(against.difference):.2f} points {'above' if against.difference > 0 else 'below'}"
    return f"{line}, {points} the best baseline, {against.baseline}{between}."


def doubts_of(
    found: Checkpoint,
    scores: Mapping[str, Score],
    findings: Sequence[Finding],
    audited: AuditResult | None,
    judgement: Mapping[str, Any],
    imbalance: Imbalance | None,
) -> list[str]:
    """What speaks against relying on the result."""
    doubts = [finding.message for finding in findings if finding.recovered_at is None]
    if not found.stopped:
        doubts.append("Training is not finished.")
    if audited and audited.leaks:
        leaks = f"{pictures(len(audited.leaks))} {'is' if len(audited.leaks) == 1 else 'are'} in two splits"
        doubts.append(f"{leaks}: the model has seen some of what it is judged on.")
    if judgement.get("validated_on_test"):
        doubts.append(ON_TEST)
    score = next(iter(scores.values()), None)
    few = mapping(judgement.get("few_pictures")).get("fewest")
    if isinstance(few, int):
        said = few_in_words(few)
        doubts.append(f"{said[0].upper()}{said[1:]}.")
    balanced = score.balanced.value if score is not None and score.balanced else None
    if balanced is not None and imbalance is not None:
        doubts.append(
            f"There are {imbalance.ratio:,.1f} times as many training pictures of {imbalance.largest} as of "
            f"{imbalance.smallest}: the mean of the classes' recalls, {balanced:.2%}, says more."
        )
    if score is not None and score.split == "valid":
        doubts.append("These are validation pictures, on which choices were made; no test pictures were read.")
    if score is not None and score.n < FEW:
        doubts.append(f"It was judged on {pictures(score.n)} only: the interval says how little that tells.")
    return doubts


def following_of(
    name: str,
    found: Checkpoint,
    recipe: Recipe,
    scores: Mapping[str, Score],
    findings: Sequence[Finding],
    audited: AuditResult | None,
    mistakes: Mistakes | None,
    lopsided: bool = False,
) -> list[tuple[str, str]]:
    """What to do next, the most urgent first, and the command for it."""
    run, source = shlex.quote(name), shlex.quote(recipe.source)
    steps: list[tuple[str, str]] = []
    if not found.stopped:
        steps.append(("Train it to its end: it goes on exactly where it was.", f"sevensteps resume {run}"))
    elif not scores:
        steps.append(("Have it judged.", f"sevensteps judge {run}"))
    ill = [finding for finding in findings if finding.recovered_at is None]
    steps += [(finding.fix, "") for finding in ill]
    if audited and audited.leaks:
        steps.append(("Take the pictures that are in two splits out of one of them.", f"sevensteps data {source}"))
    if lopsided and recipe.balance == "none":
        steps.append(
            (
                "Make small classes count as much as large ones, and hold the recall of each against that of this run.",
                f"sevensteps train --recipe {run} --balance loss",
            )
        )
    if mistakes and mistakes.wrong:
        steps.append(("Look at the surest mistakes below. Where the label is wrong, correct it and train again.", ""))
    better = {"linear": "relu", "relu": "cnn"}.get(recipe.model)
    if better and not ill:  # what is wrong with a small model is found out faster than with a large one
        classes = (
            f" --classes {' '.join(map(shlex.quote, recipe.classes))}" if recipe.source != "pullover-dress" else ""
        )
        steps.append(
            (
                "Try the next larger model, and let a test say whether it is better.",
                f"sevensteps train {source}{classes} --recipe {better} --out runs/larger\n"
                f"sevensteps compare {run} larger",
            )
        )
    if found.stopped and not ill:
        steps.append(("Use it on pictures of your own.", f"sevensteps predict {run} PICTURE.png"))
    return steps
