"""Suggest corrections of a source from its audit."""

from __future__ import annotations

from ...data.corrections import Correction
from ...data.images import Splits
from ...records.audit import AuditResult


def suggested(splits: Splits, found: AuditResult) -> list[Correction]:
    """Propose a correction for each copy and each label that looks wrong.

    Of exact and near-copies one is kept: a test picture rather than a validation picture, that rather than a training
    picture, and otherwise the first. If copies have different classes, the row says so, because a label is wrong or
    they are not copies. A picture whose label looks wrong gets the class that it looks like, unless it is left out.

    Args:
        splits: The pictures of the source.
        found: Its audit.

    Returns:
        The corrections, the most certain first, so that whoever stops reading has seen those that matter.
    """
    classes: dict[str, str] = {}
    rank: dict[str, int] = {}
    for place, images in enumerate(splits.present().values()):
        of_split = {name: images.classes[label] for name, label in zip(images.ids, images.labels.tolist(), strict=True)}
        classes |= of_split
        rank |= dict.fromkeys(of_split, -place)
    exact = {group[0]: group for group in map(list, [*found.duplicates, *found.leaks])}
    groups: list[tuple[list[str], float]] = []
    for group, score in [*found.near_duplicates, *found.near_leaks]:  # the first of exact copies represents them all
        groups.append(([name for first in group for name in exact.get(first, [first])], score))
    near = {name for group, _ in groups for name in group}
    groups += [(group, 1.0) for first, group in exact.items() if first not in near]
    same = {name: first for first, group in exact.items() for name in group}
    rows: list[tuple[float, Correction]] = []
    for group, score in groups:
        keep = min(group, key=rank.__getitem__)  # of equal ranks, the first
        for name in group:
            if name == keep:
                continue
            is_same = name in same and same[name] == same.get(keep)
            why = f"same pixels as {keep}" if is_same else f"nearly the same as {keep} (score {min(score, 0.99):.2f})"
            if rank[name] != rank[keep]:
                why += ", which is of another split"
            if classes[name] != classes[keep]:
                why += f"; that is of class {classes[keep]}: which of the two is right?"
            rows.append((score, Correction(name, "", classes[name], why)))
    left_out = {row.picture for _, row in rows}
    for one in found.suspects:
        if one.id not in left_out:
            why = f"a rough model says {one.likely} (score {one.score:.2f}); it may be wrong"
            rows.append((one.score, Correction(one.id, one.likely, one.label, why)))
    order = {name: place for place, name in enumerate(classes)}
    return [row for _, row in sorted(rows, key=lambda scored: (-scored[0], order[scored[1].picture]))]
