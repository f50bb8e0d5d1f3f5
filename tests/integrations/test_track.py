"""`--track`: TensorBoard and MLflow get every epoch once and the judgement; one that fails ends nothing."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typed import here, refused

import sevensteps as ss
from sevensteps.records import Note

WATCH = """
import json, os, sys
REACHING = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
sent = open("sent.jsonl", "w", buffering=1)  # to the end of the program, when a tracker may still have to tell

def watch(event, arguments):
    if event in REACHING:
        address = arguments[:1] if event.startswith("socket.get") else arguments[1]
        print(json.dumps(address), file=sent)
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError("The tests are offline.")

sys.addaudithook(watch)
"""


def in_tensorboard(run: Path) -> tuple[dict[str, list[tuple[int, float]]], EventAccumulator]:
    """What TensorBoard reads from the folder of a run: the steps and values of each figure."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    names = events.Tags()["scalars"]
    return {name: [(scalar.step, scalar.value) for scalar in events.Scalars(name)] for name in names}, events


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text("utf-8").splitlines()]


def watched(**settings: str) -> dict[str, str]:
    """Variables for a program that watches what it sends, in place of the tests' own watcher, which would be first."""
    # MLflow's telemetry is off where these are set, so they would hide that we do not switch it off.
    hidden = ("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if Path(path).name != "offline"]
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **settings}


def sent_in(folder: Path) -> list[Any]:
    """The addresses that a watched program tried to reach."""
    return [json.loads(line) for line in (folder / "sent.jsonl").read_text("utf-8").splitlines()]


class PowerCutError(Exception):
    """Ends a training at once, after what was saved last."""


def test_tensorboard_has_every_epoch_once_also_after_a_power_cut(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def cut(event: object) -> None:
        if isinstance(event, ss.Batch) and event.epoch == 4:
            raise PowerCutError

    how = {"recipe": "linear", "epochs": 4, "checkpoint_every": "2 epochs"}
    with pytest.raises(PowerCutError):
        ss.train("pullover-dress", **how, out=run, track="tensorboard", observe=cut)
    assert [step for step, _ in in_tensorboard(run)[0]["train_loss"]] == [1, 2, 3]
    ss.resume(run, observe=lambda event: None)
    ss.resume(run, epochs=1, observe=lambda event: None)
    figures, events = in_tensorboard(run)
    rows, judgement = rows_of(run), json.loads((run / "judgement.json").read_text("utf-8"))
    for name in ("train_loss", "valid_loss", "lr"):
        assert figures[name] == [(row["number"], pytest.approx(row[name])) for row in rows]
    assert figures["accuracy"] == [(row["number"], pytest.approx(row["metrics"]["accuracy"])) for row in rows]
    for key, name in (("accuracy", "test_accuracy"), ("low", "test_accuracy_low"), ("high", "test_accuracy_high")):
        assert figures[name][-1] == (5, pytest.approx(judgement["test"][key]))
    (parameters,) = events.PluginTagToContent("hparams").keys() & {"_hparams_/session_start_info"}
    content = events.PluginTagToContent("hparams")[parameters]
    assert b"batch_size" in content
    assert b"pullover-dress" in content
    untracked = ss.train("pullover-dress", **how, out=tmp_path / "other", observe=lambda event: None)
    assert untracked.folder is not None
    ss.resume(untracked, epochs=1, observe=lambda event: None)
    assert (run / "model.safetensors").read_bytes() == (tmp_path / "other/model.safetensors").read_bytes()


def test_a_tracker_that_fails_is_left_out_with_one_warning(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/tensorboard").write_text("in the way")
    notes: list[str] = []

    def note(event: object) -> None:
        notes.extend([event.line] if isinstance(event, Note) else [])

    run = ss.train(
        "pullover-dress", recipe="linear", epochs=2, out=tmp_path / "run", force=True, track="tensorboard", observe=note
    )
    assert run.test is not None
    assert [line for line in notes if "tensorboard failed" in line] == [line for line in notes if "failed" in line]
    assert sum("tensorboard failed; training continues without it" in line for line in notes) == 1


def test_a_tracker_that_fails_is_closed_and_its_password_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils import tensorboard

    calls: list[str] = []

    class Failing(tensorboard.SummaryWriter):
        """A server that refuses figures, and names its address."""

        def add_scalar(self, *given: Any, **more: Any) -> None:
            calls.append("add_scalar")
            raise ConnectionError("no answer from https://me:se/cr:et@tracker.example/api?x=1 and a@b.example")

        def close(self) -> None:
            calls.append("close")
            super().close()

    monkeypatch.setattr(tensorboard, "SummaryWriter", Failing)
    notes: list[str] = []

    def note(event: object) -> None:
        notes.extend([event.line] if isinstance(event, Note) and "failed" in event.line else [])

    ss.train("pullover-dress", recipe="linear", epochs=2, out=tmp_path / "run", track="tensorboard", observe=note)
    assert calls == ["add_scalar", "close"]
    (line,) = notes
    assert line.endswith("ConnectionError: no answer from https://***@tracker.example/api?x=1 and a@b.example")


def test_what_is_missing_is_said_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ss.SevenstepsError, match=r"(?s)needs a saved run.*save=True"):
        ss.train("pullover-dress", track="tensorboard")
    for package, name in (("torch.utils.tensorboard", "tensorboard"), ("mlflow", "mlflow")):
        monkeypatch.setitem(sys.modules, package, None)
        done = here("train", "--track", name, "--out", "run", cwd=tmp_path, capsys=capsys)
        refused(done, 1, f"track = {name} needs the package {name}", f"pip install 'sevensteps[{name}]'")
    refused(here("train", "--track", "wandb", cwd=tmp_path, capsys=capsys), 2, "wandb", "tensorboard", "mlflow")
    assert list(tmp_path.iterdir()) == []


def test_mlflow_is_told_to_send_nothing_before_it_is_imported(tmp_path: Path) -> None:
    """A package of this name stands in for MLflow, and looks when it is imported."""
    (tmp_path / "mlflow.py").write_text(
        "import os; raise ImportError(os.environ['MLFLOW_DISABLE_TELEMETRY'] + os.environ['DO_NOT_TRACK'])"
    )
    code = "import sevensteps as ss; ss.train('pullover-dress', track='mlflow', out='run')"
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    settings = {**os.environ, "PYTHONPATH": paths, "MLFLOW_DISABLE_TELEMETRY": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=settings, capture_output=True, text=True, check=False
    )
    assert "needs the package mlflow (truetrue)" in done.stderr


def test_tensorboard_sends_nothing(tmp_path: Path) -> None:
    code = WATCH + (
        "import sevensteps as ss\n"
        "ss.train('pullover-dress', recipe='linear', epochs=1, out='run', track='tensorboard')\n"
        "print('tensorboard' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=watched(), capture_output=True, text=True, check=True
    )
    assert (done.stdout.splitlines()[-1], sent_in(tmp_path)) == ("True", [])


@pytest.fixture(scope="module")
def mlflow_python() -> str:
    """An interpreter that has MLflow: it is large, so it may have an environment of its own."""
    python = os.environ.get("SEVENSTEPS_MLFLOW", sys.executable)
    done = subprocess.run([python, "-c", "import mlflow"], check=False)
    if done.returncode:
        pytest.skip("MLflow is not installed; SEVENSTEPS_MLFLOW may name an interpreter that has it")
    return python


def with_mlflow(python: str, code: str, folder: Path, **settings: str) -> Any:
    """What a program prints as JSON that has our packages, then those of the interpreter, and watches connections."""
    show = "import site; print(site.getsitepackages()[0])"
    packages = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    program = f"{WATCH}\nsys.path.append({packages!r})\nimport json\nimport sevensteps as ss\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=watched(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "INFO" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


TRAIN = """
class PowerCutError(Exception): pass

def cut(event):
    if isinstance(event, ss.Batch) and event.epoch == 4:
        raise PowerCutError

try:
    ss.train("pullover-dress", recipe="linear", epochs=4, checkpoint_every="2 epochs", out="runs/run", track="mlflow",
             observe=cut)
except PowerCutError:
    pass
ss.resume("runs/run", observe=lambda event: None)
"""
READ = """
from mlflow import MlflowClient
client = MlflowClient("sqlite:///runs/mlflow.db")
(run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
steps = {name: [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
         for name in run.data.metrics}
import time; time.sleep(float(os.environ.get("WAIT", 0)))
print(json.dumps([run.info.status, run.data.params, steps, sorted(os.listdir())]))
"""


@pytest.mark.slow
def test_mlflow_has_every_epoch_once_in_a_local_database_and_sends_nothing(mlflow_python: str, tmp_path: Path) -> None:
    status, parameters, steps, left = with_mlflow(mlflow_python, TRAIN + READ, tmp_path)
    run = tmp_path / "runs/run"
    rows, judgement = rows_of(run), json.loads((run / "judgement.json").read_text("utf-8"))
    assert (status, sent_in(tmp_path), left) == ("FINISHED", [], ["runs", "sent.jsonl"])
    assert (parameters["source"], parameters["epochs"], parameters["classes"]) == (
        "pullover-dress",
        "4",
        "Pullover, Dress",
    )
    assert steps["valid_loss"] == [[row["number"], pytest.approx(row["valid_loss"])] for row in rows]
    assert steps["test_accuracy"] == [[4, judgement["test"]["accuracy"]]]
    assert steps["test_accuracy_low"] == [[4, judgement["test"]["low"]]]


@pytest.mark.slow
def test_mlflows_database_is_beside_the_run_whatever_the_folder_is_called(mlflow_python: str, tmp_path: Path) -> None:
    folder = tmp_path / "50%25 of a?b#c" / "runs"
    code = f"""
ss.train("pullover-dress", recipe="linear", epochs=1, out={str(folder / "run")!r}, track="mlflow")
print("{{}}")
"""
    with_mlflow(mlflow_python, code, tmp_path)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["50%25 of a?b#c", "sent.jsonl"]


@pytest.fixture
def server(mlflow_python: str, tmp_path: Path) -> Iterator[str]:
    """MLflow's own server, on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = f"sqlite:///{tmp_path}/server.db"
    process = subprocess.Popen(
        [mlflow_python, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port), "--workers", "1"],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.3)
        yield url
    finally:
        os.killpg(process.pid, 9)
        process.wait()


@pytest.mark.slow
def test_mlflows_server_gets_the_run_and_nobody_else(mlflow_python: str, server: str, tmp_path: Path) -> None:
    with_mlflow(mlflow_python, TRAIN + "print('{}')", tmp_path, MLFLOW_TRACKING_URI=server)
    port = int(server.rsplit(":", 1)[1])
    assert {tuple(address) for address in sent_in(tmp_path) if len(address) == 2} == {("127.0.0.1", port)}
    assert {tuple(address) for address in sent_in(tmp_path) if len(address) != 2} <= {("127.0.0.1",)}
    query = json.dumps({"experiment_ids": [str(number) for number in range(3)]}).encode()
    asked = urllib.request.Request(
        f"{server}/api/2.0/mlflow/runs/search", query, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        (run,) = json.load(answer)["runs"]
    judgement = json.loads((tmp_path / "runs/run/judgement.json").read_text("utf-8"))
    figures = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert run["info"]["status"] == "FINISHED"
    assert figures["test_accuracy"] == judgement["test"]["accuracy"]
    assert figures["train_loss"] == pytest.approx(rows_of(tmp_path / "runs/run")[-1]["train_loss"])
    assert not (tmp_path / "runs/mlflow.db").exists()


@pytest.mark.slow
def test_a_server_that_is_gone_ends_no_training(mlflow_python: str, tmp_path: Path) -> None:
    code = """
notes = []
run = ss.train("pullover-dress", recipe="linear", epochs=2, out="run", track="mlflow",
               observe=lambda event: notes.append(getattr(event, "line", "")))
print(json.dumps([run.test.accuracy > 0.9, [note for note in notes if "mlflow" in note]]))
"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    learned, notes = with_mlflow(mlflow_python, code, tmp_path, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    assert learned
    assert len(notes) == 1
    assert notes[0].startswith("! mlflow failed; training continues without it: MlflowException")
    assert time.monotonic() - began < 90
