"""The verbs that judge: `judge`, `compare`, and `train --seeds`. `cli` names them; results to stdout."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from .cli_common import Common, program, source_of
from .cli_usage import with_names
from .recipe import Recipe
from .records import OUT_OF_FOLD, pictures

if TYPE_CHECKING:
    from .records import Metric
    from .training import Run

Split = Literal["test", "out-of-fold", "valid"]


def judge(
    run: Path,
    *,
    split: Split | None = None,
    clopper_pearson: bool = False,
    common: Common = Common(),
) -> int:
    """Every figure of a saved run with its interval: overall, class by class, and what is taken for what.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    split
        The pictures to judge it on: test unless given, or out-of-fold for a run that was cross-validated instead.
    clopper_pearson
        Intervals that never cover less than they say, for shares; Wilson's are closer to it on average.
    """
    from . import judging
    from .show import terminal
    from .show.audit import copies_in_words

    console, error = terminal.consoles(quiet_stdout=common.json)
    began = time.perf_counter()
    judged = judging.judge(run, split, clopper_pearson=clopper_pearson, observe=_notes_to(error.print))
    saved, scores = judged.saved, judged.scores
    if common.json:
        kept = {key: saved.judgement.get(key) for key in _KEPT}
        kept |= {name: of and of.as_json() for name in ("test", "valid") for of in [judged.splits.get(name)]}
        crossed = judged.splits.get(OUT_OF_FOLD)
        kept["cross_validation"] = crossed and {**crossed.as_json(), "folds": saved.recipe.folds}
        kept |= {"baselines": {name: score.as_json() for name, score in judged.baselines.items()}}
        seconds = {"import": 0.0, "data": 0.0, "train": 0.0, "judge": round(time.perf_counter() - began, 4)}
        coverage = judged.coverage.as_json() if judged.coverage else None
        found = {"scores": scores.as_json(), "calibration": judged.calibration.as_json(), "coverage": coverage}
        print(json.dumps({"run": str(saved.folder), **kept, "seconds": seconds, **found, "shares": judged.shares}))
        return 0
    how = {"wilson": "Wilson", "clopper-pearson": "Clopper and Pearson"}[judged.shares]
    head = f"{saved.folder}: {pictures(scores.n, scores.split)}, 95 % intervals, of shares by {how}"
    console.print(terminal.printable(head))
    rows = [(name.replace("_", " "), *_cells(metric)) for name, metric in scores.metrics.items()]
    apart = judged.calibration.error
    value = "" if apart.value is None else f"{apart.value:.2%}"
    low, high = (f"{apart.interval.low:.2%}", f"{apart.interval.high:.2%}") if apart.interval else ("", "")
    rows.append(("calibration error", value, low, high, apart.reason or "its interval is approximate"))
    terminal.print_table(console, ("figure", "value", "from", "to", ""), rows)
    if judged.coverage:
        console.print(terminal.printable(terminal.coverage_in_words(judged.coverage)))
        if judged.coverage.foreign:
            console.print(terminal.printable(terminal.foreign_in_words(judged.coverage)))
    if judged.against:
        console.print(terminal.printable(terminal.against_in_words(judged.against)))
    for name, baseline in judged.baselines.items():
        other = "" if baseline.split == scores.split else ", which are others than those above"
        console.print(terminal.printable(f"baseline {name}: {terminal.in_words(baseline)}{other}"))
    if copies := saved.judgement.get("audit"):
        console.print(terminal.printable(copies_in_words(copies, f"{program()} data {source_of(saved.recipe)}")))
    console.print()
    per_class = [
        (of.name, f"{of.n:,}", *(_share(metric) for metric in (of.recall, of.precision, of.f1)))
        for of in scores.per_class
    ]
    terminal.print_table(console, ("class", "pictures", "recall", "precision", "F1"), per_class)
    if scores.absent:
        console.print(terminal.printable(f"without pictures in this split: {', '.join(scores.absent)}"))
    console.print()
    names = [of.name for of in scores.per_class]
    confusion = [(name, *map(str, row)) for name, row in zip(names, scores.confusion, strict=True)]
    terminal.print_table(console, ("pictures of | taken for", *names), confusion)
    return 0


# What a judgement has that needs its pictures, and that is said again as it was saved.
_KEPT = (
    "test",
    "valid",
    "baselines",
    "against_best_baseline",
    "epochs",
    "stopped_because",
    "gradient",
    "model",
    "findings",
    "imbalance",
    "audit",
)


def doctor(run: Path, *, common: Common = Common()) -> int:
    """Explain what went wrong with a run: since when, by what evidence, and what to type.

    Parameters
    ----------
    run
        A run's folder, or its name under runs/.
    """
    from . import judging
    from .show import terminal

    console, _ = terminal.consoles(quiet_stdout=common.json)
    folder, epochs, findings = judging.doctor(run)
    if common.json:
        print(json.dumps({"run": str(folder), "findings": findings}))
        return 0
    if not findings:
        line = f"{folder}: nothing was found wrong in {epochs} epoch{'s' * (epochs != 1)}."
        console.print(terminal.printable(line))
    for finding in findings:
        until = finding.get("recovered_at")
        when = f"since epoch {finding.get('epoch')}" + (f", recovered at epoch {until}" if until else "")
        console.print(terminal.printable(f"{finding.get('code')}, {when}"))
        console.print(terminal.printable(f"  {finding.get('message')}"))
        console.print(terminal.printable(f"  {with_names(str(finding.get('fix')), {'run': run})}"))
        evidence = finding.get("evidence")
        for name, value in (evidence if isinstance(evidence, dict) else {}).items():
            console.print(terminal.printable(f"    {str(name).replace('_', ' ')}: {value}"))
    return 0


def compare(
    runs: Annotated[tuple[Path, ...], Parameter(required=True)],
    *,
    split: Split | None = None,
    common: Common = Common(),
) -> int:
    """Test whether runs differ on the same pictures: by how much, how sure, and how many more pictures it would take.

    Parameters
    ----------
    runs
        Two runs or more: folders, or names under runs/.
    split
        The pictures to compare them on: test unless given, or out-of-fold where all were cross-validated. To choose a
        run, take valid; runs with different seeds have no validation pictures in common, unless the source brings its
        own.
    """
    from . import judging
    from .show import terminal

    console, _ = terminal.consoles(quiet_stdout=common.json)
    pairs, spread, effect = judging.compare(runs, split)
    if common.json:
        found = [pair.as_json() for pair in pairs]
        one = found[0] if len(found) == 1 else {"comparisons": found}
        print(json.dumps({**one, "spread": spread and spread.as_json(), "effect_of_looking": effect}))
        return 0
    for pair in pairs:
        console.print(terminal.printable(pair.verdict))
        low, high = pair.interval.low, pair.interval.high
        difference = f"{100 * pair.difference:+.2f} points (95 % interval {100 * low:+.2f} to {100 * high:+.2f})"
        corrected = f", by Holm for {pair.comparisons} comparisons" if pair.comparisons > 1 else ""
        line = (
            f"  {pair.names[1]} minus {pair.names[0]}: {difference} on {pictures(pair.n, pair.split)}; right in one "
            f"alone: {pair.only_a} and {pair.only_b}; p = {pair.adjusted_p_value:.3g}{corrected}"
        )
        console.print(terminal.printable(line))
    if spread:
        console.print(terminal.printable(spread.line))
    if effect:
        console.print(terminal.printable(effect))
    return 0


def train_seeds(
    count: int,
    recipe: Recipe,
    out: Path | None,
    force: bool,
    common: Common,
    interrupted: Callable[[Run, Common], int],
) -> int:
    """`sevensteps train --seeds N`: a line a run with what was found wrong with it, then both spreads."""
    from . import jobs
    from .show import terminal

    console, error = terminal.consoles(quiet_stdout=common.json)

    def show(run: Run) -> None:
        score = run.score
        line = f"seed {run.recipe.seed:<4} {terminal.in_words(score) if score else run.stopped_because}"
        console.print(terminal.printable(f"{line}  {run.folder}"))
        for finding in run.findings:
            if finding.recovered_at is None:
                terminal.print_finding(console, finding)

    done, spread = jobs.train_seeds(
        count, recipe, out=out, save=True, force=force, observe=_notes_to(error.print), done=show
    )
    if done[-1].interrupted:
        return interrupted(done[-1], common)
    if spread is not None:
        console.print(terminal.printable(spread.line))
    first = done[0]
    if first.baselines:
        best, score = max(first.baselines.items(), key=lambda named: named[1].accuracy)
        console.print(
            terminal.printable(f"The best baseline of seed {first.recipe.seed}, {best}: {terminal.in_words(score)}")
        )
    if first.looks is not None:
        console.print(terminal.printable(terminal.looks_in_words(first.looks)))
    if common.json:
        runs = [run.as_json() for run in done]
        print(json.dumps({**runs[0], "runs": runs, "spread": spread.as_json() if spread else None}))
    return 0


def _notes_to(show: Callable[[str], None]) -> Callable[[object], None]:
    """An observer that shows notes and nothing else."""
    from .records import Note
    from .show.terminal import printable

    def observe(event: object) -> None:
        if isinstance(event, Note):
            show(printable(event.line))

    return observe


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
