"""A judged run as the pages show it: its predictions on the split that counts, their pictures, and its figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.folds import whole
from ..errors import RunError
from ..records.calibration import Calibration
from ..records.scores import OUT_OF_FOLD, Against, Coverage, Score, Scores
from ..runs.checkpoint import JUDGEMENT
from ..runs.saved import Saved
from .asked import Open, thumbnails

if TYPE_CHECKING:
    from ..data.images import Images, Splits
    from ..runs.run import Run
    from ..trust.predictions import Predictions

JUDGED_ON = ("test", OUT_OF_FOLD, "valid")  # the first that is there is the result


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Every figure of a judged run on the split that counts."""

    score: Score
    scores: Scores
    calibration: Calibration
    coverage: Coverage | None
    baselines: Mapping[str, Score]
    against: Against | None


@dataclass(frozen=True, eq=False)
class Result:
    """A judged run, its predictions on the split that counts, and the pictures of that split where they are here."""

    saved: Saved | None  # None: a learner's, which is not saved
    table: Predictions
    images: Images | None
    run: Run | None = None  # of what is not saved
    name: str = "your learner"  # of the run

    def need_saved(self) -> Saved:
        """Return the run in its folder, or raise a `RunError` where its judgement was not saved."""
        if self.saved is None:
            raise RunError("This result is not saved.", hint="Train a run to its end to compare or take it.")
        return self.saved

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each picture among the pictures, by its id."""
        return {} if self.images is None else {name: place for place, name in enumerate(self.images.ids)}

    @cached_property
    def shares(self) -> np.ndarray:
        """The probability of each answer."""
        shares: np.ndarray = self.table.probabilities[np.arange(len(self.table)), self.table.predicted]
        return shares

    @cached_property
    def figures(self) -> Figures:
        """Every figure of the run on that split."""
        if self.saved is not None:
            from ..jobs.judge import judge

            found = judge(self.saved.folder, self.table.split)
            return Figures(
                score=found.score,
                scores=found.scores,
                calibration=found.calibration,
                coverage=found.coverage,
                baselines=found.baselines,
                against=found.against,
            )
        from ..trust.calibration import calibration
        from ..trust.scores import score_table

        run, table = self.run, self.table
        assert run is not None  # what is not saved is judged in memory
        return Figures(
            score=table.score,
            scores=score_table(table),
            calibration=run.calibration or calibration(table.split, 1.0, table.probabilities, table.labels),
            coverage=run.coverage,
            baselines=run.baselines,
            against=run.against,
        )

    def shown(self, rows: Sequence[int]) -> dict[str, Any]:
        """Return pictures of the table as the page shows them in a list.

        Args:
            rows: Rows of the table.
        """
        table, answers = self.table, self.table.predicted
        ids = [table.ids[row] for row in rows]
        there = [self.places[name] for name in ids if name in self.places]
        pixels = None
        if self.images is not None and len(there) == len(ids) and ids:
            pixels = thumbnails(self.images.pixels[np.array(there)])
        return {
            "ids": ids,
            "labels": [int(table.labels[row]) for row in rows],
            "answers": [int(answers[row]) for row in rows],
            "shares": [float(self.shares[row]) for row in rows],
            "pictures": pixels,
        }


def result_of(folder: Path | None, splits: Splits | None) -> Result:
    """Return a judged run from its folder.

    Args:
        folder: The run's folder.
        splits: Its pictures, where they are at hand.

    Raises:
        RunError: There is no run, or it has not been judged.
    """
    if folder is None:
        raise RunError("Nothing has been trained yet.", hint="Choose pictures, then train.")
    saved = Saved.open(folder)
    tables, _ = saved.tables()
    split = next((name for name in JUDGED_ON if name in tables), None)
    if split is None:
        raise RunError("This run has not been judged yet.", hint="Train to the end, or press Judge it now.")
    return Result(saved, tables[split], _images(splits, split), name=saved.folder.resolve().name)


def result_of_learner(run: Run, splits: Splits | None) -> Result:
    """Return what was judged of a learner, which has no folder.

    Args:
        run: The judged run.
        splits: Its pictures.

    Raises:
        RunError: There were no pictures to judge it on.
    """
    split = next((name for name in JUDGED_ON if name in run.tables), None)
    if split is None:
        raise RunError("There are no pictures to judge this learner on.", hint="Give it test or validation pictures.")
    return Result(None, run.tables[split], _images(splits, split), run)


def _images(splits: Splits | None, split: str) -> Images | None:
    """Return the pictures of a split by the name that predictions have for it."""
    if splits is None:
        return None
    return whole(splits) if split == OUT_OF_FOLD else splits.present().get(split)


def result_now(now: Open) -> Result:
    """Return the result of what is open: from the run's folder; from memory for a learner, and before the run's end.

    Args:
        now: What the Studio has open.

    Raises:
        RunError: There is no run, or it has not been judged.
    """
    if now.judged is not None and (now.folder is None or not (now.folder / JUDGEMENT).is_file()):
        result = result_of_learner(now.judged, now.splits)
        return dataclasses.replace(result, name=now.name or result.name)
    return result_of(now.folder, now.splits)


class Results:
    """The results of runs, each read once until it is judged again."""

    def __init__(self) -> None:
        self._kept: tuple[Any, Result] | None = None  # of one run: a table of a large set is not small

    def of(self, now: Open) -> Result:
        """Return the result of the open run.

        Args:
            now: What the Studio has open.

        Raises:
            RunError: As `result_of`.
        """
        if now.folder is None:
            return result_now(now)
        judgement = now.folder / JUDGEMENT
        key = (now.folder, judgement.stat().st_mtime_ns, id(now.splits)) if judgement.is_file() else None
        if self._kept is None or key is None or self._kept[0] != key:
            self._kept = key, result_now(now)
        return self._kept[1]
