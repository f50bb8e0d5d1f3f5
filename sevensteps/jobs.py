"""Jobs: what each verb of the command line does, one function each, returning a record.

A job tells whoever `observe`s it what is going on, in plain records; the command line draws them, `--json` does not.
"""

from __future__ import annotations

import contextlib
import copy
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import files, runs
from .data.images import Images, Splits
from .errors import DataError, RunError
from .recipe import Recipe
from .records import Baselines, Batch, Epoch, Finding, Note, Opening, Ready, Score, XRay

if TYPE_CHECKING:
    from .data.audit import Audit
    from .judge.predictions import Predictions
    from .learner import Learner
    from .ship.predict import Answer


Event = Opening | Baselines | Ready | Note | Batch | Epoch | Finding
Observe = Callable[[Event], None]


@dataclass(frozen=True)
class Run:
    """A finished (or interrupted) run: its scores, how it went, and the learner itself."""

    folder: Path | None
    recipe: Recipe
    learn: Learner
    test: Score | None
    valid: Score | None
    baselines: Mapping[str, Score]
    epochs: int
    kept_epoch: int
    seconds: Mapping[str, float]
    stopped_because: str
    gradient: str
    findings: Sequence[Finding]
    interrupted: int = 0  # the signal, 0 for a run that ended by itself

    def as_json(self) -> dict[str, Any]:
        """The keys that `train --json` promises."""
        return {
            "run": str(self.folder) if self.folder else None,
            "recipe": self.recipe.name,
            **self.judgement(),
            "seconds": dict(self.seconds),
        }

    def judgement(self) -> dict[str, Any]:
        """How the run did: what is saved with it, and is the same for the same run."""
        return {
            "test": self.test and self.test.as_json(),
            "valid": self.valid and self.valid.as_json(),
            "baselines": {name: score.as_json() for name, score in self.baselines.items()},
            "epochs": self.epochs,
            "kept_epoch": self.kept_epoch,
            "stopped_because": self.stopped_because,
            "gradient": self.gradient,
            "model": {"name": self.recipe.model, "parameters": self.learn.parameter_count},
            "findings": [finding.as_json() for finding in self.findings],
            "validated_on_test": self.recipe.validate_on == "test",
        }


def train(
    source: str | Path | None = None,
    recipe: str | Path | Recipe | None = None,
    *,
    out: str | Path | None = None,
    save: bool = False,
    force: bool = False,
    plots: bool = False,
    observe: Observe = lambda event: None,
    **settings: Any,
) -> Run:
    """Train a classifier as the recipe says, and judge it: what `sevensteps train` does.

    Settings given by name take the place of the recipe's. Nothing is written unless `out` names a folder, or `save`
    asks for the next free one under `runs/`.

    Raises:
        DataError, RecipeError: pictures or settings that cannot be used.
        RunError, FileError: the folder is in the way or cannot be written.
        TrainingError: the loss became infinite or not a number; recipe and history are saved before.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe or "linear")
    recipe = recipe.replace(**settings, **({"source": str(source)} if source else {}))
    seconds: dict[str, float] = {}
    with _timed(seconds, "data"):
        splits = open_source(recipe, observe)
        splits = recipe.held_out(splits)
    with _timed(seconds, "import"):
        recipe = recipe.settled(splits)  # first, so that settings that do not go together are answered at once
        import torch

        from .interrupts import interrupts_between_batches
        from .judge.baselines import BASELINES
        from .judge.doctor import Doctor
        from .judge.predictions import predict_split
    with _threads(torch, recipe.threads):
        learn = recipe.learner(splits)
        first_batch = learn.xray()  # before the folder is made, which an earlier run may have to make way for
        folder = runs.new_folder(recipe, Path(out) if out else None, force=force) if out or save else None
        if folder:
            runs.save_recipe(folder, recipe, recorded(splits, recipe))
        observe(
            Opening(
                recipe.source,
                recipe.name,
                {name: images.counts for name, images in vars(splits).items() if isinstance(images, Images)},
                splits.train.shape,
                recipe.epochs,
            )
        )
        judged_on = splits.test or splits.valid
        with _timed(seconds, "judge"):
            baselines = {name: f(splits.train, judged_on) for name, f in BASELINES.items()} if judged_on else {}
        observe(Baselines(baselines))
        observe(Ready(first_batch, recipe.epochs, learn.batches_per_epoch or 0))
        doctor, best = Doctor(learn), _Best(recipe.keep == "best")
        signal_number = 0
        with interrupts_between_batches(signal.SIGTERM) as interrupted:
            with _timed(seconds, "train"), contextlib.closing(learn):
                for event in learn.stream():
                    observe(event)
                    learn.recorder.observe(event)
                    best.observe(event, learn)
                    if finding := doctor.observe(event):
                        observe(finding)
                    if signal_number := interrupted():
                        learn.state.stopped = f"it was interrupted {_place(learn)}"
                        break
            # An interrupt from here on is noted and no more: judging takes a moment, and then the run is whole.
            if folder:
                runs.save_history(folder, learn.state.history)
            learn.check_finite()
            kept_epoch = best.restore(learn)
            if folder:
                learn.export(folder / runs.MODEL)
            tables: dict[str, Predictions] = {}
            with _timed(seconds, "judge"):
                if not signal_number:
                    tables = {
                        split: predict_split(learn, images, split)
                        for split, images in (("test", splits.test), ("valid", splits.valid))
                        if images is not None
                    }
            run = Run(
                folder,
                recipe,
                learn,
                tables["test"].score if "test" in tables else None,
                tables["valid"].score if "valid" in tables else None,
                baselines,
                learn.state.epoch,
                kept_epoch,
                {name: round(value, 4) for name, value in seconds.items()},
                learn.stopped_because or "",
                learn.gradient,
                tuple(doctor.findings),
                signal_number,
            )
            if folder:
                runs.save_judgement(folder, run.judgement())
            if folder and tables:
                files.write(folder / runs.PREDICTIONS, "".join(table.to_jsonl() for table in tables.values()))
        if folder and plots and tables:
            save_plots(folder, run, tables["test" if splits.test else "valid"], judged_on)
    return run


def save_plots(folder: Path, run: Run, table: Any, images: Any) -> None:
    """Draw the run's figures into its folder: curves, weights, results, mistakes, confusion.

    Raises:
        FileError: they cannot be written.
    """
    from .show import figures

    drawn = {
        "curves": run.learn.recorder.plot_metrics(),
        "results": figures.results(
            images.pixels[:16] / 255, table.labels[:16].tolist(), table.probabilities[:16], table.classes
        ),
        "mistakes": figures.worst_mistakes(images.pixels, table.labels, table.probabilities, table.classes),
        "confusion": figures.confusion(table.labels, table.predicted, table.classes),
    }
    if run.recipe.model == "linear":
        weight = next(tensor.numpy() for tensor in run.learn.model.state_dict().values() if tensor.ndim == 2)
        drawn["weights"] = figures.weights(weight, images.shape, table.classes)
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.png")


def xray(run: Path, *, start: bool = False) -> tuple[runs.SavedRun, XRay]:
    """The seven steps of one batch of a saved run: the batch that would come next, or the first with `start`.

    Raises:
        RunError: no such run, or one without a model.
        DataError: its pictures cannot be found any more.
    """
    saved = runs.open_run(run)
    splits = open_source(saved.recipe, lambda event: None)
    learn = saved.recipe.learner(splits)
    if not start:
        from .saving import load_learner

        try:
            learn.model.load_state_dict(load_learner(saved.model_file).model.state_dict())
        except RuntimeError as error:
            raise RunError(
                f"The model of {saved.folder} does not fit the pictures that {saved.recipe.source} has now.",
                hint="Train again, or bring back the pictures that it was trained on.",
            ) from error
        learn.state.epoch = learn.state.fit_epoch = saved.epoch
        learn.state.stopped = str(saved.judgement.get("stopped_because") or "") or None
    return saved, learn.xray()


def data(
    source: str | Path, classes: Sequence[str] = (), observe: Observe = lambda event: None
) -> tuple[Splits, Audit]:
    """What a source holds: counts, sizes, exact duplicates and leaks.

    Raises:
        DataError: no such source, or pictures that cannot be used.
    """
    from .data.audit import audit
    from .data.sources import load

    splits = load(source, classes or None, say=lambda line: observe(Note(line)))
    return splits, audit(splits)


def predict(model: Path, pictures: Sequence[Path]) -> Iterator[Answer]:
    """What a saved model says of each picture file.

    Raises:
        RunError: no such run or file.
        ModelError: no model in the run, or a damaged one.
    """
    from .ship.predict import load_model

    return load_model(model if model.is_file() else runs.find(model)).predict(pictures)


def open_source(recipe: Recipe, observe: Observe) -> Splits:
    """The pictures that a recipe names.

    Raises:
        DataError: no such source, or pictures that cannot be used.
    """
    from .data.sources import load

    splits = load(recipe.source, recipe.classes or None, say=lambda line: observe(Note(line)))
    for name, images in (("test", splits.test), ("valid", splits.valid)):
        if images is not None and not len(images):
            raise DataError(
                f"{recipe.source}: the {name} split has no pictures.",
                hint="Remove its files, and training pictures are held out in their place.",
            )
    if splits.test is None and recipe.validate_on == "test":
        raise DataError(f"{recipe.source} has no test pictures to validate on.", hint="Set validate_on = valid.")
    if splits.test is None:
        train, test = splits.train.split(0.2, recipe.seed)
        if not len(test):
            raise DataError(
                f"{recipe.source} has no test pictures, and too few to hold any out: one of each class.",
                hint="Add pictures: four of each class or more.",
            )
        splits = Splits(train, test, splits.valid, splits.source)
    return splits


def recorded(splits: Splits, recipe: Recipe) -> dict[str, Any]:
    """What a run was made with: compared and reported on repeating it, and never a setting."""
    import platform

    import numpy as np
    import torch

    from . import __version__

    return {
        "sevensteps": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": recipe.threads,
        "data": {"train": splits.train.fingerprint, **({"test": splits.test.fingerprint} if splits.test else {})},
    }


class _Best:
    """The parameters of the epoch with the best validation loss, where they are wanted."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._loss = float("inf")
        self._epoch = 0
        self._parameters: dict[str, Any] | None = None

    def observe(self, event: Batch | Epoch, learn: Learner) -> None:
        """Keep a copy of the parameters if this epoch is the best so far."""
        if self._wanted and isinstance(event, Epoch) and event.valid_loss is not None and event.valid_loss < self._loss:
            self._loss, self._epoch = event.valid_loss, event.number
            self._parameters = copy.deepcopy(learn.model.state_dict())

    def restore(self, learn: Learner) -> int:
        """Put the best parameters back, and say of which epoch the parameters now are."""
        if self._parameters is None:
            return learn.state.epoch
        learn.model.load_state_dict(self._parameters)
        return self._epoch


def _place(learn: Learner) -> str:
    """How far training is, in words."""
    epoch, position = learn.state.epoch, learn.state.position
    return f"in epoch {epoch + 1}, after batch {position}" if position else f"after epoch {epoch}"


@contextlib.contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began


@contextlib.contextmanager
def _threads(torch: Any, number: int) -> Iterator[None]:
    """Compute with this many threads, and with as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
