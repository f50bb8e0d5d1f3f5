"""MLflow: a local database beside the run's folder, or the server that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from ..base import files
from ..records.events import Epoch, Event, Judged, Opening
from .figures import figures_of, parameters, scores_of

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
RUN = "mlflow.json"  # in the run's folder: which run of MLflow it is
LARGEST = 1 << 16  # bytes of that file
EXPERIMENT = "sevensteps"
STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
# MLflow sends figures about its use, and reads these when it is imported.
NOT_SENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
# Unless the user says something else: no lines about its tables, and a server that is gone is soon given up.
USUAL = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def load() -> tuple[Any, Any]:
    """Import MLflow's client and its entities, with its telemetry switched off.

    Raises:
        ImportError: MLflow is not installed.
    """
    os.environ.update(NOT_SENT)
    for name, value in USUAL.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient, entities

    return MlflowClient, entities


class Tracker:
    """Write the events of a run into MLflow.

    Args:
        folder: The run's folder.
        resumed: Whether the run goes on; then its run of MLflow goes on, too, if it is still there.
    """

    def __init__(self, folder: Path, resumed: bool) -> None:
        client, self.entities = load()
        self.folder, self.resumed = folder.absolute(), resumed
        self.server = os.environ.get("MLFLOW_TRACKING_URI", "")
        self.client = client(self.server or _address(self.folder.parent / DATABASE))
        self.run = ""
        self.epoch = self.logged = 0

    def observe(self, event: Event) -> None:
        """Write the settings, the figures of each epoch, and the scores."""
        match event:
            case Opening():
                self._begin(event)
            case Epoch():
                self.epoch = event.number
                if event.number > self.logged:  # not what a resumed run trains again, to the same figures
                    self._write(figures_of(event))
            case Judged():
                self._write(scores_of(event))

    def close(self, end: str) -> None:
        """Say how the run ended."""
        if self.run:
            self.client.set_terminated(self.run, STATUS[end])

    def _begin(self, opening: Opening) -> None:
        """Go on with the run of MLflow, or make one with the settings as its parameters."""
        if self.resumed and (run := self._saved_run()):
            history = self.client.get_metric_history(run, "train_loss")
            self.epoch = self.logged = max((figure.step for figure in history), default=0)
            self.client.update_run(run, status="RUNNING")
            self.run = run
            return
        self.run = self.client.create_run(self._experiment(), run_name=self.folder.name).info.run_id
        settings = [self.entities.Param(key, str(value)) for key, value in parameters(opening).items()]
        self.client.log_batch(self.run, params=settings)
        files.write(self.folder / RUN, json.dumps({"run_id": self.run}) + "\n")

    def _saved_run(self) -> str:
        """Return the run of MLflow that the run's folder names, if it is still there; else an empty text."""
        with contextlib.suppress(Exception):  # a file or a database that is gone, damaged or another one
            run = str(json.loads(files.content(self.folder / RUN, LARGEST))["run_id"])
            return run if self.client.get_run(run).info.lifecycle_stage == "active" else ""
        return ""

    def _experiment(self) -> str:
        """Return the id of the experiment, which is made if it is missing."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        if (found := self.client.get_experiment_by_name(name)) is not None:
            return str(found.experiment_id)
        # Without a place for artifacts, MLflow takes a folder in the current one.
        place = None if self.server else (self.folder.parent / ARTIFACTS).as_uri()
        return str(self.client.create_experiment(name, artifact_location=place))

    def _write(self, figures: dict[str, float]) -> None:
        """Write figures of the current epoch."""
        now = int(time.time() * 1000)
        metrics = [self.entities.Metric(name, value, now, self.epoch) for name, value in figures.items()]
        self.client.log_batch(self.run, metrics=metrics)


def _address(database: Path) -> str:
    """Return the address of a database, whatever characters are in the names of its folders.

    With the driver in it, MLflow does not make a folder with the escaped name.
    """
    from sqlalchemy import URL

    return str(URL.create("sqlite+pysqlite", database=database.as_posix()).render_as_string())
