"""Advice on a result: the verdict in one sentence, the reasons to doubt it, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..base.own_code import is_own
from ..base.words import counted, pictures
from ..recipes.recipe import Recipe
from ..records.audit import AuditResult
from ..records.events import Finding
from ..records.few import few_in_words
from ..records.report import Mistakes
from ..records.scores import Against, Imbalance, Score
from ..runs.checkpoint import Checkpoint
from ..runs.kept_files import mapping
from ..ship.backbone.names import NAME
from ..show.sentences import ON_TEST, baseline_in_words, untested_in_words

FEW = 100  # pictures to judge with, under which an interval is wide whatever the model does


def verdict_of(
    found: Checkpoint, scores: Mapping[str, Score], against: Against | None, of_features: bool = False
) -> str:
    """Return the result in one sentence.

    Args:
        found: The checkpoint.
        scores: The scores by split; the first counts.
        against: The comparison with the best baseline.
        of_features: Whether the model takes features, and the baselines pixels.

    Returns:
        The sentence.
    """
    if not scores:
        how = "ended" if found.stopped else "was interrupted"
        epochs = f"{len(found.epochs):,} epoch{'s' * (len(found.epochs) != 1)}"
        return f"This run {how} after {epochs} and has not been judged: its accuracy is unknown."
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
    named = baseline_in_words(against.baseline, of_features)
    if 0.0 in against.interval:
        return f"{line}, which is not clearly different from the best baseline, {named}{between}."
    points = f"{100 * abs(against.difference):.2f} points {'above' if against.difference > 0 else 'below'}"
    return f"{line}, {points} the best baseline, {named}{between}."


def doubts_of(
    found: Checkpoint,
    scores: Mapping[str, Score],
    findings: Sequence[Finding],
    audited: AuditResult | None,
    judgement: Mapping[str, Any],
    imbalance: Imbalance | None,
) -> list[str]:
    """Return the reasons to doubt the result.

    Args:
        found: The run's checkpoint.
        scores: The score on each split, the most important first.
        findings: What the doctor found.
        audited: What the audit found; None if there was no audit.
        judgement: What judgement.json contains.
        imbalance: How much the sizes of the classes differ; None if they are similar.

    Returns:
        One sentence for each reason.
    """
    doubts = [finding.message for finding in findings if finding.recovered_at is None]
    if not found.stopped:
        doubts.append("Training is not finished.")
    if audited and audited.leaks:
        leaks = counted(len(audited.leaks), "group of exact duplicates is", "groups of exact duplicates are")
        doubts.append(f"{leaks} in two splits, so the model may be judged on pictures that it was trained on.")
    if judgement.get("validated_on_test"):
        doubts.append(ON_TEST)
    score = next(iter(scores.values()), None)
    few = mapping(judgement.get("few_pictures"))
    if isinstance(fewest := few.get("fewest"), int):
        sentence = few_in_words(fewest, few.get("pretrained") is True)
        doubts.append(f"{sentence[0].upper()}{sentence[1:]}.")
    balanced = score.balanced.value if score is not None and score.balanced else None
    if score is not None and score.absent:
        doubts.append(f"There are {untested_in_words(score)}: no figure says how well that is recognized.")
    elif balanced is not None and imbalance is not None:
        doubts.append(
            f"There are {imbalance.ratio:,.1f} times as many training pictures of {imbalance.largest} as of "
            f"{imbalance.smallest}. The balanced accuracy (the mean recall of the classes), {balanced:.2%}, says more "
            "than the accuracy."
        )
    if score is not None and score.split == "valid":
        doubts.append("The result is from validation pictures, which also guided choices; no test pictures were used.")
    if score is not None and score.n < FEW:
        doubts.append(f"It was judged on only {pictures(score.n)}: the interval shows how uncertain the result is.")
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
    """Return what to do next, most urgent first.

    Args:
        name: The run's name, as its commands use it.
        found: The run's checkpoint.
        recipe: The run's recipe.
        scores: The score on each split; empty if the run has not been judged.
        findings: What the doctor found.
        audited: What the audit found; None if there was no audit.
        mistakes: The run's mistakes; None if they are not known.
        lopsided: Whether one class has many more pictures than another.

    Returns:
        For each step, a sentence and the command for it ("" if there is none).
    """
    run, source = shlex.quote(name), shlex.quote(recipe.source)
    own = f" --model {recipe.model}" if is_own(recipe.model) else ""
    steps: list[tuple[str, str]] = []
    if not found.stopped:
        steps.append(("Finish the training: it continues exactly where it stopped.", f"sevensteps resume {run}{own}"))
    elif not scores:
        steps.append(("Judge the run.", f"sevensteps judge {run}{own}"))
    ill = [finding for finding in findings if finding.recovered_at is None]
    steps += [(finding.fix, "") for finding in ill]
    if audited and audited.leaks:
        steps.append(("Remove the duplicates, so that each picture is in one split only.", f"sevensteps data {source}"))
    if lopsided and recipe.balance == "none":
        steps.append(
            (
                "Make small classes count as much as large ones, and compare the recall of each class with this run.",
                f"sevensteps train --recipe {run}{own} --balance loss",
            )
        )
    if mistakes and mistakes.wrong:
        steps.append(("Look at the surest mistakes below. Where the label is wrong, correct it and train again.", ""))
    better = _larger(recipe)
    if better and not ill:  # what is wrong with a small model is found out faster than with a large one
        classes = (
            f" --classes {' '.join(map(shlex.quote, recipe.classes))}" if recipe.source != "pullover-dress" else ""
        )
        sentence, flags = better
        steps.append(
            (
                f"{sentence}, and test whether it is better.",
                f"sevensteps train {source}{classes} {flags} --out runs/larger\nsevensteps compare {run} larger",
            )
        )
    if found.stopped and not ill:
        steps.append(("Use it on your own pictures.", f"sevensteps predict {run} PICTURE.png{own}"))
    return steps


def _larger(recipe: Recipe) -> tuple[str, str] | None:
    """Return what to try next, and its flags: a larger model of pixels, or more of the pretrained network."""
    if recipe.features != "none":
        if recipe.features != NAME or recipe.unfreeze:
            return None
        return "Train the last stage of the pretrained network, too", "--unfreeze 1"
    larger = {"linear": "relu", "relu": "cnn"}.get(recipe.model)
    return ("Try the next larger model", f"--recipe {larger}") if larger else None
