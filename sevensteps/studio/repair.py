"""Repair labels: pictures whose labels look wrong, and the corrections that a person makes on the page.

Files stay as they are. Corrections are rows of a file as `--fix` reads it, kept beside the run that they are made for.
Those of a notebook's learner, which has no folder, are kept until the Studio is closed; the page gives them as a file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.responses import Response

from ..base import files
from ..data import corrections
from ..data.store.store import StoredImages
from ..errors import DataError, RunError, SevenstepsError, UsageError
from ..runs.folder import EDITS
from ..runs.recorded import tested_on
from ..trust.audit.audit import audited, known
from .asked import LARGEST_SHOWN, LARGEST_SIDE, Asked, Open, get, number, opened, post, thumbnails
from .edits import Edits, edits_of, listed, now_of, section_of, wanted_in

if TYPE_CHECKING:
    from starlette.routing import Route

    from ..data.images import Images, Splits
    from ..records.audit import AuditResult
    from .session import Session
    from .trainer import Trainer

PAGE = 60  # pictures of a page of suspects

EXAMPLES = 6  # pictures of each class beside a suspect, to compare it with


@dataclass(frozen=True, eq=False)
class Shelf:
    """The pictures of a source, and where each is by its id."""

    source: Splits
    places: Mapping[str, tuple[str, int]]  # the split and the row

    @classmethod
    def of(cls, source: Splits) -> Shelf:
        """Return the shelf of a source.

        Args:
            source: The pictures.
        """
        present = source.present().items()
        return cls(source, {name: (split, row) for split, images in present for row, name in enumerate(images.ids)})

    def find(self, names: Iterable[str]) -> list[tuple[str, int]]:
        """Return the split and the row of each picture.

        Args:
            names: Their ids.

        Raises:
            UsageError: There is no such picture.
        """
        found = []
        for name in names:
            if name not in self.places:
                raise UsageError(f"There is no picture {name!r:.80}.", hint="Reload the page.")
            found.append(self.places[name])
        return found

    def label(self, place: tuple[str, int]) -> str:
        """Return the class of a picture as the source has it.

        Args:
            place: Its split and row.
        """
        split, row = place
        return self.source.classes[int(self.source.present()[split].labels[row])]

    def pixels(self, places: Sequence[tuple[str, int]], largest: int = LARGEST_SIDE) -> np.ndarray | None:
        """Return pictures for a list, None for none.

        Args:
            places: The split and row of each.
            largest: The longest side of what is sent.
        """
        if not places:
            return None
        present = self.source.present()
        return thumbnails(np.stack([np.asarray(present[split].pixels[row]) for split, row in places]), largest)


def suspects(found: AuditResult, shelf: Shelf, edits: Edits, page: int, size: int = PAGE) -> dict[str, Any]:
    """Return a page of the pictures whose labels look wrong, the likeliest first.

    Args:
        found: The audit of the source.
        shelf: The pictures.
        edits: The corrections so far.
        page: From 0.
        size: Pictures of a page.
    """
    some = found.suspects[page * size : (page + 1) * size]
    places = shelf.find(suspect.id for suspect in some)
    return {
        "status": "ready",
        "why_not": found.not_looked_for.get("suspects", ""),
        "near": len(found.near_duplicates) + len(found.near_leaks),
        "near_shared": len(found.near_leaks),
        "count": len(found.suspects),
        "left": sum(suspect.id not in edits.rows for suspect in found.suspects),
        "page": page,
        "pages": -(-len(found.suspects) // size),
        "size": size,
        "items": [
            {
                "id": suspect.id,
                "split": split,
                "row": row,
                "label": suspect.label,
                "likely": suspect.likely,
                "score": suspect.score,
                "now": now_of(edits.rows.get(suspect.id)),
            }
            for suspect, (split, row) in zip(some, places, strict=True)
        ],
        "pictures": shelf.pixels(places),
    }


def examples(images: Images, doubted: Iterable[str] = (), count: int = EXAMPLES) -> list[dict[str, Any]]:
    """Return some pictures of each class, to compare a suspect with.

    Args:
        images: The training pictures.
        doubted: The ids of pictures whose labels look wrong: they are not shown.
        count: Pictures of each class.
    """
    doubted = set(doubted)
    shown = []
    for label, name in enumerate(images.classes):
        rows: list[int] = []
        for row in np.flatnonzero(images.labels == label).tolist():
            if len(rows) == count:
                break
            if images.ids[row] not in doubted:
                rows.append(row)
        pixels = thumbnails(images.pixels[np.array(rows)]) if rows else None
        shown.append({"name": name, "pictures": pixels})
    return shown


def uncorrected(now: Open) -> Splits:
    """Return the pictures with the labels that their source gives them; of a learner, as it has them.

    Args:
        now: What the Studio has open.

    Raises:
        DataError: There are no pictures, or they are in a store, which cannot be corrected.
    """
    raw = now.splits if now.is_learner else now.raw
    if raw is None or (raw.corrected is not None and now.recipe is not None):
        from ..runs.pictures import as_it_is

        if now.recipe is None:
            raise DataError("There are no pictures yet.", hint="Choose pictures first.")
        raw = as_it_is(now.recipe, lambda event: None, fix="")
    if isinstance(raw.train, StoredImages):
        raise DataError(
            "These pictures are in a store, which cannot be corrected.",
            hint="Open the pictures from which it was prepared.",
        )
    return raw


class Desk:
    """The corrections of the open run, and the audit that suggests them.

    Args:
        session: The state that the page shows.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.RLock()
        self._folder: Path | None = None
        self._is_learner = False
        self._splits: Splits | None = None
        self._shelf: Shelf
        self._edits = Edits()
        self._tested: set[str] = set()
        self._audited: tuple[Splits | None, AuditResult | None] = (None, None)

    def look(self) -> tuple[Shelf, Edits]:
        """Return the source's pictures, and the corrections for the open run.

        Raises:
            DataError: There are no pictures that can be corrected; or a file of corrections is damaged.
        """
        now = opened(self._session)
        with self._lock:
            is_new = now.splits is None or now.splits is not self._splits
            if is_new:
                source = uncorrected(now)
                if self._splits is None or source is not self._shelf.source:
                    self._shelf = Shelf.of(source)
                self._splits = now.splits
            if now.folder != self._folder or (is_new and now.folder is None):
                self._edits = edits_of(now.folder, now.recipe.fix if now.recipe else "")
                self._tested = tested_on(now.splits, now.recipe) if now.splits and now.recipe else set()
                self._folder, self._is_learner = now.folder, now.is_learner
                self.tell()
            return self._shelf, self._edits

    def audit(self, source: Splits) -> AuditResult | None:
        """Return the audit of the source; None while it is computed, which takes seconds.

        Args:
            source: The pictures.
        """
        with self._lock:
            if self._audited[0] is not source:
                self._audited = source, known(source)
                if self._audited[1] is None:
                    threading.Thread(target=self._audit, args=(source,), daemon=True).start()
            return self._audited[1]

    def _audit(self, source: Splits) -> None:
        found = audited(source)
        with self._lock:
            if self._audited[0] is source:
                self._audited = source, found

    def change(self, changes: Any) -> dict[str, Any]:
        """Correct pictures, and save the corrections beside the run.

        Args:
            changes: A list of objects with `id` and `now`: the new class, "" to leave the picture out.

        Raises:
            UsageError: There is no such picture or class.
            RunError: There is no run.
            FileError: The corrections cannot be saved; nothing is changed then.
        """
        shelf, edits = self.look()
        wanted = wanted_in(changes, shelf.source.classes)
        labels = dict(zip(wanted, map(shelf.label, shelf.find(wanted)), strict=True))
        with self._lock:
            edits.change(wanted, labels)
            try:
                self._keep()
            except SevenstepsError:
                edits.undo()
                raise
            return {**self.tell(), **listed(edits)}

    def undo(self) -> dict[str, Any]:
        """Take the last change back; the answer names its pictures."""
        _, edits = self.look()
        with self._lock:
            undone = edits.undo()
            if undone:
                self._keep()
            return {**self.tell(), **listed(edits), "undone": undone}

    def _keep(self) -> None:
        """Save the corrections beside the run; a learner has no folder, and its corrections stay here."""
        if not self._is_learner:
            self.save()

    def save(self) -> Path:
        """Save the corrections beside the run.

        Raises:
            RunError: There is no run.
            FileError: They cannot be written.
        """
        if self._is_learner:
            raise RunError(
                "The Studio cannot train this learner again: it was made in your notebook.",
                hint="Save the corrections as a file, and load the pictures with it: ss.load(SOURCE, fix=FILE).",
            )
        if self._folder is None:
            raise RunError("There is no run yet whose labels could be corrected.", hint="Train first.")
        path = self._folder / EDITS
        files.write(path, self._edits.as_csv())
        return path

    def train_again(self) -> str:
        """Begin a run like the open one that sees the corrections.

        Returns:
            The name of the run that it is to be compared with.

        Raises:
            UsageError: Nothing was changed.
            DataError: The corrections leave nothing of a class or a split.
        """
        shelf, edits = self.look()
        if not edits.unseen:
            raise UsageError("No label was changed since this run was trained.", hint="Change a label first.")
        with self._lock:
            path = self.save().resolve()
        try:
            splits = corrections.corrected(shelf.source, corrections.read(path))
        except DataError as error:
            raise DataError(error.message.replace(str(path), "Your corrections"), hint=error.hint) from error
        return self._session.trainer.post(lambda trainer: _again(trainer, str(path), splits)).result()

    def tell(self) -> dict[str, Any]:
        """Show how many corrections the run has not seen."""
        section = section_of(self._edits, self._tested)
        self._session.put("edits", section)
        return section


def _again(trainer: Trainer, fix: str, splits: Splits) -> str:
    """Train the open run again with other labels, at full speed; return the name of the run before."""
    before = trainer.need_run()
    folder = before.work.folder
    trainer.begin(before.chosen.replace(fix=fix), parent=folder.name if folder else "", source=splits, base=before.base)
    trainer.set_speed(0.0, "batches")
    trainer.walk("run")
    return folder.name if folder else ""


def routes(session: Session) -> list[Route]:
    """Return the routes of Repair.

    Args:
        session: The state that the page shows.
    """
    desk = Desk(session)

    def page_of_suspects(asked: Asked) -> dict[str, Any]:
        shelf, edits = desk.look()
        found = desk.audit(shelf.source)
        if found is None:
            return {"status": "looking"}
        return {**suspects(found, shelf, edits, number(asked, "page")), **listed(edits)}

    def some_examples(asked: Asked) -> dict[str, Any]:
        source = desk.look()[0].source
        found = desk.audit(source)
        doubted = [suspect.id for suspect in found.suspects] if found else []
        return {"classes": examples(source.train, doubted)}

    def one_picture(asked: Asked) -> dict[str, Any]:
        (shelf, edits), name = desk.look(), str(asked.get("id", ""))
        place = shelf.find([name])[0]
        now = now_of(edits.rows.get(name))
        pixels = shelf.pixels([place], LARGEST_SHOWN)
        return {"id": name, "split": place[0], "label": shelf.label(place), "now": now, "pictures": pixels}

    def table(asked: Asked) -> Response:
        headers = {"Content-Disposition": 'attachment; filename="corrections.csv"'}
        return Response(desk.look()[1].as_csv(), media_type="text/csv; charset=utf-8", headers=headers)

    return [
        get("/suspects", page_of_suspects),
        get("/suspects/examples", some_examples),
        get("/suspects/picture", one_picture),
        get("/corrections.csv", table),
        post("/do/relabel", lambda asked: desk.change(asked.get("changes"))),
        post("/do/undo", lambda asked: desk.undo()),
        post("/do/train-again", lambda asked: {"parent": desk.train_again()}),
    ]
