"""The report of a run as one HTML page: from records and arrays, without a script, and asking nothing of anybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import resources

from ...base.words import pictures, split_in_words
from ...records.events import Finding
from ...records.report import Answered, Mistakes, Report
from ...records.scores import Scores
from ..pixels import colors_of, data_uri
from ..sentences import against_in_plain_words, in_plain_words, out_of_100
from .audit import data_section
from .figures import between, calibration_section, classes_section, coverage_section, curves_section, result_section
from .html import Html, Piece, code, details, name_of, plain, section, source_of, table, tag
from .steps import steps_section

MOST_CLASSES = 20  # whose confusions are a table; of more it would be wider than any page


def page(report: Report) -> str:
    """The whole page: the same text for the same record."""
    sections = [(id, title, draw(report)) for id, title, draw in SECTIONS if id not in report.missing]
    silent = [(id, title) for id, title, _ in SECTIONS if id in report.missing]
    style = resources.files(__package__).joinpath("report.css").read_text("utf-8")
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Should a name get through all the same, the browser itself runs nothing and asks nobody.
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content=f"default-src 'none'; img-src data:; style-src {source_of(style)}; "
            "base-uri 'none'; form-action 'none'",
        ),
        tag("title", f"{report.run}: report"),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(style)),
    ]
    contents = [tag("li", tag("a", title, href=f"#{id}")) for id, title, _ in sections]
    missing = [tag("li", f"{title}: {report.missing[id]}") for id, title in silent]
    body = [
        tag("a", "To the report", class_="skip", href="#main"),
        tag(
            "header",
            tag("p", "Report of the run ", name_of(report.run), class_="run"),
            *_headline(report),
            [tag("p", doubt, class_="doubt") for doubt in report.doubts],
        ),
        tag("nav", tag("ul", contents), aria_label="Contents"),
        tag(
            "main",
            [section(id, title, content) for id, title, content in sections],
            section("missing", "Not in this report", tag("ul", missing)) if missing else "",
            id="main",
        ),
        tag("footer", tag("p", "Made by sevensteps. This file is complete: it loads nothing from any other machine.")),
    ]
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def _headline(report: Report) -> list[Html]:
    """The result in a few words, then in a sentence, and the exact figures for those who ask."""
    score = next(iter(report.scores.values()), None)
    if score is None:
        return [tag("h1", report.verdict)]
    compared = f", {against_in_plain_words(report.against, score)}" if report.against else ""
    return [
        tag("h1", out_of_100(score)),
        tag("p", f"{in_plain_words(score)}{compared}.", _learned_from(report)),
        details("How this was computed", tag("p", report.verdict), tag("p", _COMPUTED)),
    ]


def _learned_from(report: Report) -> str:
    """Return a sentence about the pretrained network, if the model learned from its features."""
    return f" The model learned from features of {report.features}, a pretrained network." if report.features else ""


_COMPUTED = (
    "A 95 % interval is where the true value is likely to be: of 100 intervals computed this way, about 95 contain it. "
    "The interval of a share comes from Wilson's formula, and that of the difference between two models on the same "
    "pictures from Tango's. For all other figures, the program computes the figure again on pictures that it draws at "
    "random from these, some of them more than once. 10,000 such draws show how much the figure varies (the bootstrap)."
)


def _next(report: Report) -> list[Html]:
    items = [tag("li", text, code(command) if command else "") for text, command in report.following]
    where = (
        "Type these in the folder that holds the run, or in the one that holds ",
        tag("code", "runs/"),
        ". Elsewhere, give the path of the run.",
    )
    return [tag("ol", items, class_="next"), tag("p", *where, class_="note")]


def _mistakes(report: Report) -> list[Html]:
    found = report.mistakes
    assert found is not None
    if not found.wrong:
        return [tag("p", f"No mistakes in {pictures(found.n, found.split)}.")]
    pieces = [
        tag(
            "p",
            f"{found.wrong:,} of {pictures(found.n, found.split)} {'is' if found.wrong == 1 else 'are'} wrong.",
            _why_none(found),
        )
    ]
    if report.figures and len(report.classes) <= MOST_CLASSES:
        pieces.append(_confusion(report.figures))
    for pair in found.pairs:
        sure = f"95 % interval {between(pair.interval.low, pair.interval.high)}; {split_in_words(found.split)} split"
        share = f"{pair.count:,} of {pair.n:,} ({pair.count / pair.n:.1%}, {sure})"
        pieces.append(tag("h3", name_of(pair.label), " mistaken for ", name_of(pair.answer)))
        pieces.append(tag("p", share))
        pieces.append(_pictures(pair.pictures, narrow=True))
    if found.pairs_in_all > len(found.pairs):
        pieces.append(tag("p", f"The {len(found.pairs)} most frequent of {found.pairs_in_all:,} kinds.", class_="note"))
    return pieces


def _surest(report: Report) -> list[Html]:
    found = report.mistakes
    assert found is not None
    if not found.surest:
        return [tag("p", f"No mistakes in {pictures(found.n, found.split)}.")]
    words = (
        f"The model was surest of these {len(found.surest):,} of {found.wrong:,} wrong answers. Either it has learned "
        "something wrong, or the label is wrong."
    )
    return [tag("p", words, _why_none(found)), _pictures(found.surest)]


def _why_none(found: Mistakes) -> str:
    return f" The pictures are not shown: {found.without_pictures}" if found.without_pictures else ""


def _pictures(answered: Sequence[Answered], *, narrow: bool = False) -> Html:
    items = []
    for one in answered:
        drawn: Piece = ""
        if one.pixels is not None:
            source, words = data_uri(colors_of(one.pixels)), f"{one.label}, mistaken for {one.answer}"
            drawn = tag("img", src=source, alt=words, loading="lazy")
        told = [tag("strong", f"{one.probability:.1%}"), " ", tag("span", name_of(one.answer), class_="answer")]
        truth = [] if narrow else [tag("br"), "is ", name_of(one.label)]
        items.append(tag("li", drawn, told, truth, tag("br"), tag("span", name_of(one.id), class_="note")))
    return tag("ul", items, class_="pictures narrow" if narrow else "pictures")


def _confusion(scores: Scores) -> Html:
    """How often each class is taken for each, the darker the larger a share of its row."""

    def cell(row: int, column: int) -> Html:
        count, total = scores.confusion[row][column], sum(scores.confusion[row]) or 1
        level = sum(count / total > least for least in (0, 0.02, 0.1, 0.5))
        look = f"h{level}" + (" right" if row == column else "")
        return tag("td", f"{count:,}", class_=look)

    places = range(len(scores.classes))
    rows = [
        tag("tr", tag("th", name_of(scores.classes[row]), scope="row"), [cell(row, c) for c in places])
        for row in places
    ]
    head = tag("tr", tag("td"), [tag("th", name_of(name), scope="col") for name in scores.classes])
    caption = f"A row for each true class, a column for each answer; {pictures(scores.n, scores.split)}"
    inside = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", rows), class_="heat")
    return tag("div", inside, class_="wide", tabindex="0", role="group", aria_label="Confusion of the classes")


def _doctor(report: Report) -> list[Html]:
    if not report.findings:
        return [tag("p", "The doctor watched the training and found nothing wrong.", class_="fine")]
    return [tag("ul", [_finding(finding) for finding in report.findings])]


def _finding(finding: Finding) -> Html:
    open_ = finding.recovered_at is None
    state = "holds" if open_ else f"recovered at epoch {finding.recovered_at}"
    head = [tag("strong", plain(finding.code).replace("_", " ")), f", since epoch {finding.epoch}, "]
    told = [*head, tag("span", state, class_="open" if open_ else "passed"), tag("br"), finding.message]
    helps = [tag("br"), "What to do: ", finding.fix] if open_ else []
    rows = [[plain(name).replace("_", " "), _number(value)] for name, value in (finding.evidence or {}).items()]
    seen = (
        details("The evidence", table("The latest numbers", ("what", "value"), rows, classes=("words",)))
        if rows
        else ""
    )
    return tag("li", told, helps, seen)


def _number(value: object) -> str:
    """A number in few digits; of a list, each."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_number, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _recipe(report: Report) -> list[Html]:
    def words(rows: Mapping[str, str], caption: str, titles: tuple[str, str]) -> Html:
        return table(caption, titles, [[name, tag("code", value)] for name, value in rows.items()], classes=("words",))

    pieces = [
        tag(
            "p", "This trains the model again. On the same machine, with the same versions, it gives the same numbers:"
        ),
        code(report.repeat),
        tag("h3", "The recipe"),
        code(report.recipe.partition("\n[recorded]")[0].strip()),
    ]
    if report.recorded:
        pieces.append(words(report.recorded, "Versions and hardware", ("what", "value")))
    if report.digests:
        pieces.append(words(report.digests, "SHA-256 of the run's files", ("file", "digest")))
    return pieces


SECTIONS: tuple[tuple[str, str, Callable[[Report], Piece]], ...] = (
    ("next", "What to do next", _next),
    ("result", "The result", result_section),
    ("mistakes", "Mistakes", _mistakes),
    ("surest", "The surest mistakes", _surest),
    ("curves", "How it was learned", curves_section),
    ("classes", "Each class", classes_section),
    ("calibration", "Can its probabilities be trusted?", calibration_section),
    ("coverage", "When it does not answer", coverage_section),
    ("data", "The pictures", data_section),
    ("doctor", "What the doctor saw", _doctor),
    ("steps", "The seven steps of a batch", steps_section),
    ("recipe", "How to repeat it", _recipe),
)
