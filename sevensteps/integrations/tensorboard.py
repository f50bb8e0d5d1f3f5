"""TensorBoard: event files in the folder `tensorboard` of the run; `tensorboard --logdir runs` shows all runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..records.events import Epoch, Event, Judged, Opening, Ready
from .figures import figures_of, parameters, scores_of

FOLDER = "tensorboard"


def load() -> tuple[Any, Any]:
    """Import the writer of event files, and what makes settings of a run its hyperparameters.

    Raises:
        ImportError: TensorBoard is not installed.
    """
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    return SummaryWriter, hparams


class Tracker:
    """Write the events of a run for TensorBoard.

    Args:
        folder: The run's folder.
        resumed: Whether the run goes on. What was written of epochs that are trained again is then hidden; of a run
            that begins, everything that lies there is.
    """

    def __init__(self, folder: Path, resumed: bool) -> None:
        self.writer_class, self.hyperparameters = load()
        self.folder, self.resumed = folder / FOLDER, resumed
        self.opening: Opening | None = None
        self.writer: Any = None
        self.epoch = 0

    def observe(self, event: Event) -> None:
        """Write the settings, the figures of each epoch, and the scores."""
        match event:
            case Opening():
                self.opening = event
            case Ready():
                self.epoch = event.epochs_done
                purge = event.epochs_done + 1 if self.resumed else 0
                self.writer = self.writer_class(str(self.folder), purge_step=purge)
                if self.opening is not None and not self.resumed:
                    for part in self.hyperparameters(parameters(self.opening), {"test_accuracy": 0.0}):
                        self.writer.file_writer.add_summary(part)
            case Epoch():
                self.epoch = event.number
                self._write(figures_of(event))
            case Judged():
                self._write(scores_of(event))

    def _write(self, figures: dict[str, float]) -> None:
        """Write figures of the current epoch, so that they are there whatever happens next."""
        for name, value in figures.items():
            self.writer.add_scalar(name, value, self.epoch)
        self.writer.flush()

    def close(self, end: str) -> None:
        """Close the file."""
        if self.writer is not None:
            self.writer.close()
