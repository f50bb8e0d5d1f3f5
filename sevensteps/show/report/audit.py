"""The report's section on the pictures: counts, copies, and what looks wrong in them."""

from __future__ import annotations

from collections.abc import Sequence

from ...base.words import counted
from ...records.audit import AuditResult
from ...records.report import Report
from ..pixels import colors_of, data_uri
from ..sentences import imbalance_in_words, reach_in_words, told_apart_in_words
from .html import Html, Piece, details, name_of, plain, table, tag

MOST = 24  # pictures of each kind that are shown


GROUPS, EACH = 8, 3  # of near-duplicates, and pictures of each that are shown


_LISTED, _NAMED = 20, 6  # groups of exact duplicates that are listed; pictures of each


def shown_in(found: AuditResult) -> list[str]:
    """Return the ids of the pictures that the section shows.

    Args:
        found: The audit.
    """
    near = [name for ids, _ in _near(found) for name in ids[:EACH]]
    return [*near, *(one.id for one in found.suspects[:MOST]), *(one.id for one in found.outliers[:MOST])]


def data_section(report: Report) -> list[Html]:
    """Return the elements of the section.

    Args:
        report: The report, which has an audit.
    """
    found = report.audit
    assert found is not None
    channels, height, width = found.shape
    splits = list(found.counts)
    rows = [[name_of(name), *(f"{found.counts[split][name]:,}" for split in splits)] for name in report.classes]
    rows.append(["all", *(f"{sum(found.counts[split].values()):,}" for split in splits)])
    origins = [f"{split} (from {origin})" if split != origin else split for split, origin in report.origins.items()]
    size = f": pictures of {width} by {height} pixels, {counted(channels, 'channel')}."
    pieces = [
        tag("p", name_of(report.source), size),
        table("Pictures of each class", ("class", *origins), rows),
        *([tag("p", f"{imbalance_in_words(found.imbalance)}.".capitalize())] if found.imbalance else []),
    ]
    for groups, what, fine in (
        (found.leaks, "groups of exact duplicates in two splits", "No exact duplicates in two splits."),
        (found.duplicates, "groups of exact duplicates within a split", "No exact duplicates within a split."),
        (found.conflicts, "groups of exact duplicates with different labels", ""),
    ):
        if not groups:
            pieces += [tag("p", fine)] if fine else []
            continue
        first = [tag("li", _names(report, group)) for group in groups[:_LISTED]]
        rest = f"; the first {len(first)}" if len(groups) > len(first) else ""
        words = tag("p", f"{len(groups):,} {what}.", class_=None if groups is found.duplicates else "doubt")
        pieces.append(Html(words + details(f"Which ones{rest}", tag("ul", first))))
    if found.told_apart is not None:
        told = f"Training and test pictures: {told_apart_in_words(found.told_apart)}."
        pieces.append(tag("p", told, class_="doubt" if found.told_apart.is_told else None))
    return pieces + _near_copies(report, found) + _suspects(report, found) + _outliers(report, found)


def _near(found: AuditResult) -> list[tuple[Sequence[str], float]]:
    """Return the groups of near-duplicates that are shown, those in two splits first."""
    return [*found.near_leaks, *found.near_duplicates][:GROUPS]


def _near_copies(report: Report, found: AuditResult) -> list[Html]:
    """Return the part on near-duplicates."""
    if why := found.not_looked_for.get("near-duplicates"):
        return [tag("p", f"Near-duplicates were not looked for: {why}.")]
    within, across = len(found.near_duplicates), len(found.near_leaks)
    reached = "" if found.near_reach is None else f" In this search, {reach_in_words(found.near_reach)}."
    if not within + across:
        return [tag("p", f"No near-duplicates (resized, recompressed, or shifted by a pixel).{reached}")]
    said = f"{counted(across, 'group')} of near-duplicates in two splits, {within:,} within a split"
    items = [
        tag(
            "li",
            [_drawn(report, name) for name in ids[:EACH]],
            tag("br"),
            f"similarity {score:.2f} ",
            _note(_names(report, ids)),
        )
        for ids, score in _near(found)
    ]
    words = f"{said}; a picture and its copy differ in size, compression, or by a pixel.{reached}"
    return [tag("p", words, class_="doubt" if across else None), tag("ul", items, class_="pictures")]


def _suspects(report: Report, found: AuditResult) -> list[Html]:
    """Return the part on suspicious labels."""
    if why := found.not_looked_for.get("suspects"):
        return [tag("p", f"Suspicious labels were not looked for: {why}.")]
    if not found.suspects:
        return [tag("p", "No suspicious labels, as far as a rough model can tell.")]
    items = [
        tag(
            "li", _drawn(report, one.id), tag("br"), name_of(one.label), ", looks like ",
            tag("span", name_of(one.likely), class_="answer"), tag("br"), _note(name_of(one.id)),
        )
        for one in found.suspects[:MOST]
    ]  # fmt: skip
    words = f"{counted(len(found.suspects), 'suspicious label')}, found by a rough model, which may be wrong"
    return [tag("p", f"{words}{_first(len(found.suspects))}:"), tag("ul", items, class_="pictures")]


def _outliers(report: Report, found: AuditResult) -> list[Html]:
    """Return the part on pictures unlike all others."""
    if why := found.not_looked_for.get("outliers"):
        return [tag("p", f"Outliers (pictures unlike all others) were not looked for: {why}.")]
    if not found.outliers:
        return [tag("p", "No outliers (pictures unlike all others).")]
    items = [
        tag("li", _drawn(report, one.id), tag("br"), name_of(one.label), tag("br"), _note(name_of(one.id)))
        for one in found.outliers[:MOST]
    ]
    words = counted(len(found.outliers), "picture is", "pictures are")
    return [tag("p", f"{words} unlike all others{_first(len(found.outliers))}:"), tag("ul", items, class_="pictures")]


def _drawn(report: Report, name: str) -> Piece:
    pixels = report.looked_at.get(name)
    return "" if pixels is None else tag("img", src=data_uri(colors_of(pixels)), alt=plain(name), loading="lazy")


def _names(report: Report, ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{', '.join(plain(report.with_splits.get(name, name)) for name in ids[:_NAMED])}{more}"


def _note(text: Piece) -> Html:
    return tag("span", text, class_="note")


def _first(count: int) -> str:
    return f"; the first {MOST}" if count > MOST else ""
