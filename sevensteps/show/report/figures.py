"""The report's part on figures: the result beside the baselines, the curves, each class, the calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...base.words import pictures, split_in_words
from ...records.events import Epoch
from ...records.report import Report
from ...records.scores import OUT_OF_FOLD, Metric, Score, Scores
from ..sentences import UNSEEN, never_in_words, stop_in_words
from . import svg
from .html import Html, Piece, name_of, plain, table, tag

NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "roc_auc": "Area under the ROC curve (1 is best, 0.5 is chance)",
    "log_loss": "Log loss (0 is best; confident mistakes cost most)",
    "brier": "Brier score (0 is best; squared error of the probabilities)",
}


def result_section(report: Report) -> list[Html]:
    """The accuracy on each split beside the baselines."""
    named = [
        (f"{'models like it' if name == OUT_OF_FOLD else 'this model'}, {split_in_words(name)}", score)
        for name, score in report.scores.items()
    ]
    named += [
        (f"{name}, {split_in_words(score.split)}", score)
        for name, score in sorted(report.baselines.items(), key=lambda b: -b[1].accuracy)
    ]
    rows = [[name_of(name), *_cells(score)] for name, score in named]
    numbers = table("Accuracy with its 95 % interval", ("of", "accuracy", "95 % interval", "right", "of n"), rows)
    drawn = svg.dots(
        "Accuracy beside the baselines",
        "The share of right answers on each split, with its 95 % interval. The top row is the result.",
        [(name, score.accuracy, score.interval.low, score.interval.high) for name, score in named],
        numbers,
        x_name="share of right answers",
    )
    notes = [tag("p", name_of(name), f": {score.note}.", class_="note") for name, score in named if score.note]
    if OUT_OF_FOLD in report.scores:
        notes.append(tag("p", f"{UNSEEN[0].upper()}{UNSEEN[1:]}.", class_="note"))
    return [drawn, *notes, *([_figures(report.figures)] if report.figures else [])]


def _figures(scores: Scores) -> Html:
    """Every figure of the split that is no class's own."""
    rows = [
        [
            NAMES.get(metric.name, plain(metric.name).replace("_", " ").capitalize()),
            *_metric(metric),
            f"{metric.n:,}",
            _how(metric),
        ]
        for metric in scores.metrics.values()
    ]
    titles = ("metric", "value", "95 % interval", "pictures", "interval method")
    return table(f"All metrics on {pictures(scores.n, scores.split)}", titles, rows, classes=_LAST_IS_WORDS)


_LAST_IS_WORDS = ("", "", "", "words")


def curves_section(report: Report) -> list[Html]:
    history = report.history
    kept = f" The dashed line is epoch {report.kept_epoch}, whose parameters were kept."
    if not report.kept_epoch:
        kept = " The parameters that training started from were kept."
    metrics = list(dict.fromkeys(name for epoch in history for name in epoch.metrics))
    titles = ["epoch", "training loss", f"{report.validated_on} loss", *map(name_of, metrics), "learning rate"]
    rows: list[Sequence[Piece]] = [
        [str(e.number), *map(_figure, (e.train_loss, e.valid_loss, *map(e.metrics.get, metrics), e.lr))]
        for e in history
    ]
    numbers = table("Each epoch", titles, rows)

    def points(value: Callable[[Epoch], float | None]) -> list[svg.Point]:
        seen = [(epoch.number, value(epoch)) for epoch in history]
        return [(float(number), float("nan") if y is None else y) for number, y in seen]

    losses = [("training", points(lambda epoch: epoch.train_loss))]
    if any(epoch.valid_loss is not None for epoch in history):
        losses.append((report.validated_on, points(lambda epoch: epoch.valid_loss)))
    epochs = f"{len(history):,} epoch{'s' * (len(history) > 1)}"
    on = f"{report.validated_on} pictures"
    about = f"Over {epochs}: the mean loss of each on the training pictures, and on the {on}."
    drawn = [
        svg.lines("Loss", about + kept, losses, numbers, x_name="epoch", y_name="loss", marked=float(report.kept_epoch))
    ]
    for name in metrics:
        about = f"Over {epochs}, on the {on}."
        series = [(name, points(lambda epoch, name=name: epoch.metrics.get(name)))]  # type: ignore[misc]
        title = plain(name).replace("_", " ").capitalize()
        small = table(title, ["epoch", name_of(name)], [[str(e.number), _figure(e.metrics.get(name))] for e in history])
        drawn.append(
            svg.lines(title, about + kept, series, small, x_name="epoch", y_name=name, marked=float(report.kept_epoch))
        )
    why = stop_in_words(report.stopped_because)
    ended = f"Training stopped because {why}." if why else "Training was interrupted, or is still running."
    return [tag("div", drawn, class_="side"), tag("p", ended)]


def classes_section(report: Report) -> list[Html]:
    scores = report.figures
    assert scores is not None
    rows: list[Sequence[Piece]] = []
    for one in scores.per_class:
        figures = [" ".join(_metric(metric)) for metric in (one.recall, one.precision, one.f1)]
        rows.append([name_of(one.name), f"{one.n:,}", *figures, f"{one.answers:,}"])
    titles = ("class", "n", "recall", "precision", "F1", "answers")
    caption = f"Each class of the {split_in_words(scores.split)} split, with 95 % intervals"
    numbers = table(caption, titles, rows)
    drawn = [
        (one.name, m.value, m.low, m.high)
        for one in scores.per_class
        if (m := one.recall).value is not None and m.low is not None and m.high is not None
    ]
    pieces = []
    if drawn:
        of = f"{split_in_words(scores.split)} pictures"
        about = f"Of the {of} of each class, the share that the model recognizes, with its 95 % interval."
        shown = [(name, value, low, high) for name, value, low, high in drawn if value is not None]
        pieces.append(svg.dots("Recall of each class", about, shown, numbers, x_name="recall"))
    else:
        pieces.append(numbers)
    if scores.absent:
        pieces.append(tag("p", "Without a picture in this split: ", [(name_of(n), " ") for n in scores.absent]))
    return pieces


def calibration_section(report: Report) -> list[Html]:
    found = report.calibration
    assert found is not None
    error, interval = found.error, found.error.interval
    value = "has no value" if error.value is None else f"is {error.value:.2%}"
    sure = (
        f" (95 % interval, approximate, {between(interval.low, interval.high)})" if interval else f" ({error.reason})"
    )
    words = (
        f"How far the confidence is from the share of right answers, on average: the expected calibration error {value}"
        f"{sure} on {pictures(found.n, found.split)}."
    )
    warmth = (
        f"The temperature is {found.temperature:.4g}: 1 changes nothing; a higher one makes the model less confident."
    )
    rows = [
        [
            f"{b.low:.0%} to {b.high:.0%}",
            f"{b.confidence:.2%}",
            f"{b.accuracy:.2%}",
            between(b.interval.low, b.interval.high),
            f"{b.n:,}",
        ]
        for b in found.bins
    ]
    titles = ("confidence", "mean confidence", "share right", "95 % interval", "pictures")
    drawn = svg.diagonal(
        "Reliability diagram",
        f"Each dot is a group of {split_in_words(found.split)} pictures with answers of similar confidence. Its height "
        "is the share of right answers. On the dashed line, the share equals the confidence.",
        [(b.confidence, b.accuracy, b.interval.low, b.interval.high) for b in found.bins],
        table("The bins that contain pictures", titles, rows),
        names=("confidence", "share of right answers"),
    )
    return [tag("p", words), tag("p", warmth), drawn]


def coverage_section(report: Report) -> list[Html]:
    """How many pictures are answered by a model that may abstain, and how often it is right then."""
    found = report.coverage
    assert found is not None
    words = (
        'sevensteps predict says "not sure" if the confidence is low, and "none of these" if a picture is unlike the '
        f"training pictures. Validation pictures set both limits, so that it answers {found.stated:.1%} of pictures "
        "like these. It always names its best guess."
    )
    if found.never_says:
        never = never_in_words(found)
        words += f" {never[0].upper()}{never[1:]}."
    low, high, left_out = found.interval.low, found.interval.high, found.not_sure + found.none_of_these
    why = f'not answered: {found.not_sure:,} "not sure", {found.none_of_these:,} "none of these"'
    rows: list[Sequence[Piece]] = [
        ["answered", f"{found.share:.2%}", between(low, high), f"{found.answered:,}", f"{found.n:,}"],
        [why, f"{1 - found.share:.2%}", between(1 - high, 1 - low), f"{left_out:,}", f"{found.n:,}"],
    ]
    title = f"What predict says about the {pictures(found.n, found.split)}"
    pieces = [tag("p", words), table(title, ("pictures", "share", "95 % interval", "how many", "of n"), rows)]
    every = report.scores.get(found.split)
    if found.score is not None:
        right = [["of the answered pictures", *_cells(found.score)]]
        right += [["of all pictures, counting its guesses", *_cells(every)]] if every else []
        pieces.append(table("Accuracy", ("of", "accuracy", "95 % interval", "right", "of n"), right))
    if found.foreign:
        words = (
            "These made-up pictures belong to no class, so the model should refuse them. It refuses pictures that look "
            "like one of the classes less often."
        )
        made: list[Sequence[Piece]] = [
            [
                of.pictures,
                f"{of.share:.1%}",
                between(of.interval.low, of.interval.high),
                f"{of.left_out:,}",
                f"{of.n:,}",
            ]
            for of in found.foreign
        ]
        titles = ("pictures", "refused", "95 % interval", "how many", "of n")
        pieces += [tag("p", words), table("Pictures of none of the classes", titles, made)]
    return pieces


def _cells(score: Score) -> list[Piece]:
    interval = score.interval
    return [f"{score.accuracy:.2%}", between(interval.low, interval.high), f"{score.correct:,}", f"{score.n:,}"]


def _metric(metric: Metric) -> tuple[str, str]:
    """A figure and its interval; shares in percent."""
    share = metric.name not in ("roc_auc", "log_loss", "brier")
    if metric.value is None:
        return "none", metric.note
    interval = "" if metric.low is None or metric.high is None else between(metric.low, metric.high, share)
    return (f"{metric.value:.2%}" if share else f"{metric.value:.4f}"), interval


def _how(metric: Metric) -> str:
    return "; ".join(filter(None, (metric.method, metric.note)))


def between(low: float, high: float, share: bool = True) -> str:
    return f"{low:.2%} to {high:.2%}" if share else f"{low:.4f} to {high:.4f}"


def _figure(value: float | None) -> Piece:
    return "" if value is None else f"{value:.4g}"
