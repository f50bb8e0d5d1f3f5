"""`sevensteps judge`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.words import pictures
from ..show.terminal import _notes_to
from .flags import Common, Own, Split
from .hints import program, source_of
from .printed_json import print_json

if TYPE_CHECKING:
    from ..recipes.recipe import Recipe
    from ..records.scores import Metric


def judge(
    run: Path,
    *,
    split: Split | None = None,
    clopper_pearson: bool = False,
    model: Own = None,
    common: Common = Common(),
) -> int:
    """Print every metric of a saved run with its 95 % interval, overall and for each class.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    split
        The pictures to judge it on. Default: test.
        For a cross-validated run, out-of-fold: each picture answered by a model that has not seen it.
    clopper_pearson
        Use Clopper-Pearson intervals (never too narrow) instead of Wilson intervals (closer to 95 % on average).
    """
    from ..jobs.judge import judge as judge_job
    from ..records.scores import OUT_OF_FOLD
    from ..show import sentences, terminal
    from ..show.sentences import copies_in_words

    console, error = terminal.consoles(quiet_stdout=common.json)
    judged = judge_job(run, split, clopper_pearson=clopper_pearson, model=model, observe=_notes_to(error.print))
    saved, scores = judged.saved, judged.scores
    if common.json:
        print_json(judged.as_json())
        return 0
    how = {"wilson": "Wilson's", "clopper-pearson": "Clopper-Pearson"}[judged.shares]
    head = f"{saved.folder}: {pictures(scores.n, scores.split)}; 95 % intervals ({how}, for shares)"
    console.print(terminal.printable(head))
    if scores.split == OUT_OF_FOLD:
        console.print(sentences.UNSEEN)
    rows = [(name.replace("_", " "), *_cells(metric)) for name, metric in scores.metrics.items()]
    apart = judged.calibration.error
    value = "" if apart.value is None else f"{apart.value:.2%}"
    low, high = (f"{apart.interval.low:.2%}", f"{apart.interval.high:.2%}") if apart.interval else ("", "")
    rows.append(("calibration error", value, low, high, apart.reason or "its interval is approximate"))
    terminal.print_table(console, ("metric", "value", "from", "to", ""), rows)
    if judged.coverage:
        console.print(terminal.printable(sentences.coverage_in_words(judged.coverage)))
        if judged.coverage.foreign:
            console.print(terminal.printable(sentences.foreign_in_words(judged.coverage)))
    of_features = saved.recipe.features != "none"
    if judged.against:
        console.print(terminal.printable(sentences.against_in_words(judged.against, of_features)))
    for name, baseline in judged.baselines.items():
        other = "" if baseline.split == scores.split else ", on other pictures than those above"
        is_same = name == "logistic regression" and _is_logistic_regression(saved.recipe)
        same = " (the same kind of model as yours)" if is_same else ""
        named = sentences.baseline_in_words(name, of_features)
        console.print(terminal.printable(f"baseline {named}{same}: {sentences.in_words(baseline)}{other}"))
    if copies := saved.judgement.get("audit"):
        console.print(terminal.printable(copies_in_words(copies, f"{program()} data {source_of(saved.recipe)}")))
    console.print()
    per_class = [
        (of.name, f"{of.n:,}", *(_share(metric) for metric in (of.recall, of.precision, of.f1)))
        for of in scores.per_class
    ]
    terminal.print_table(console, ("class", "pictures", "recall", "precision", "F1"), per_class)
    if scores.absent:
        console.print(terminal.printable(f"classes without pictures in this split: {', '.join(scores.absent)}"))
    console.print()
    names = [of.name for of in scores.per_class]
    confusion = [(name, *map(str, row)) for name, row in zip(names, scores.confusion, strict=True)]
    terminal.print_table(console, ("true class | predicted", *names), confusion)
    return 0


def _is_logistic_regression(recipe: Recipe) -> bool:
    """Return whether a run's model is the one of the baseline: linear, trained with cross-entropy."""
    losses = ("auto", "cross_entropy", "binary_cross_entropy_with_logits")
    return recipe.model == "linear" and recipe.features == "none" and recipe.loss in losses


def _cells(metric: Metric) -> Sequence[str]:
    if metric.value is None:
        return ("", "", "", metric.note)
    bounds = ["" if bound is None else _number(metric, bound) for bound in (metric.low, metric.high)]
    return (_number(metric, metric.value), *bounds, metric.note)


def _share(metric: Metric) -> str:
    """A share with its interval, in a cell."""
    if metric.value is None:
        return "-"
    interval = "" if metric.low is None or metric.high is None else f" ({metric.low:.1%} to {metric.high:.1%})"
    return f"{metric.value:.1%}{interval}"


def _number(metric: Metric, value: float) -> str:
    return f"{value:.4f}" if metric.name in ("log_loss", "brier", "roc_auc") else f"{value:.2%}"
