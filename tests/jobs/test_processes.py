"""`--processes N` and torchrun: the same files whoever computes, and no hang when a process dies."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from torch import nn
from typed import finished, here, refused, sevensteps, start

import sevensteps as ss
from sevensteps.errors import UsageError

SMALL = ["--width=4", "--batch-size=96", "--hold-out=0.2", "--seed=3", "--shards=4", "--folds=1"]
PLAIN = ["--epochs=2", "--batch-size=64", "--shards=2", "--folds=1"]
CNN = ["train", "some.npz", "--recipe", "cnn", *SMALL]
LINEAR = ["train", "some.npz", "--recipe", "linear", *PLAIN]
SAME = {"checkpoint.safetensors", "history.jsonl", "judgement.json", "model.safetensors", "predictions.jsonl"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 600 pictures, `some.npz`."""
    folder = tmp_path_factory.mktemp("processes")
    some = ss.load("pullover-dress").train.take(np.arange(600))
    np.savez(folder / "some.npz", allow_pickle=False, x=some.pixels[:, 0], y=some.labels)  # noqa: TID251
    return folder


def files_of(run: Path) -> dict[str, bytes]:
    """Return what is the same for any number of processes."""
    return {name: (run / name).read_bytes() for name in SAME}


def test_two_processes_write_the_bytes_of_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = here(*LINEAR, "--out", "one", cwd=folder, capsys=capsys)
    two = here(*LINEAR, "--out", "two", "--processes", "2", cwd=folder, capsys=capsys)
    assert (one.code, two.code) == (0, 0), two.err
    assert files_of(folder / "one") == files_of(folder / "two")
    one_recipe, two_recipe = ((folder / name / "recipe.toml").read_text() for name in ("one", "two"))
    assert "processes =" not in one_recipe
    assert two_recipe.replace("processes = 2\n", "") == one_recipe
    assert here("verify", "two", cwd=folder, capsys=capsys).code == 0


def test_more_processes_than_parts_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here(*LINEAR, "--out", "three", "--processes", "3", cwd=folder, capsys=capsys)
    refused(done, 2, "3 processes", "shards is 2", "--shards 3")
    assert not (folder / "three").exists()
    done = here(*LINEAR, "--out", "three", "--processes", "0", cwd=folder, capsys=capsys)
    refused(done, 2, "processes is 0")


def test_a_network_that_other_processes_cannot_import_is_refused(folder: Path) -> None:
    def small(shape: Sequence[int], classes: int) -> nn.Module:
        raise AssertionError("it is refused before")

    for own in (small, lambda shape, classes: nn.Flatten(), functools.partial(small, (1, 28, 28))):
        with pytest.raises(UsageError, match="cannot import") as raised:
            ss.train(str(folder / "some.npz"), model=own, shards=2, out=str(folder / "own"), processes=2)
        assert "nets.py" in raised.value.hint
    assert not (folder / "own").exists()


def test_a_script_with_a_process_group_of_its_own_is_refused(folder: Path) -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(UsageError, match="init_process_group") as raised:
            ss.train(str(folder / "some.npz"), recipe="linear", shards=2, out=str(folder / "group"), processes=2)
    finally:
        dist.destroy_process_group()
    assert "destroy_process_group" in raised.value.hint
    assert not (folder / "group").exists()


def test_a_process_whose_leader_has_died_ends_before_it_looks_for_it(tmp_path: Path) -> None:
    with socket.socket() as nobody:  # who would answer; without the pipe, it would be waited for
        nobody.bind(("127.0.0.1", 0))
        nobody.listen()
        place = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        place |= {"MASTER_PORT": str(nobody.getsockname()[1]), "SEVENSTEPS_LEADER": "stdin"}
        with start("train", cwd=tmp_path, how={"stdin": subprocess.PIPE}, **place) as process:
            done = finished(process)  # which closes the pipe, as the end of a leader does
    assert done.code == 1
    assert done.err.startswith("sevensteps: The process that leads this training has ended.")
    assert "sevensteps resume RUN" in done.err


@pytest.mark.slow
def test_any_number_of_processes_writes_the_same_bytes(folder: Path) -> None:
    for number in (1, 2, 3, 4):
        more = ["--epochs", "2", "--out", f"cnn-{number}", "--processes", str(number)]
        done = sevensteps(*CNN, *more, cwd=folder)
        assert done.code == 0, done.err
    assert all(files_of(folder / f"cnn-{number}") == files_of(folder / "cnn-1") for number in (2, 3, 4))


WAYS = {
    "folds": ["some.npz", "--recipe=linear", "--folds=3", "--epochs=1", "--shards=2"],
    "folds of networks": ["some.npz", "--recipe=cnn", "--width=2", "--folds=3", "--epochs=1", "--batch-size=64"],
    "features": [
        "some.npz",
        "--features=efficientnet-lite0",
        "--folds=1",
        "--epochs=2",
        "--batch-size=64",
        "--shards=2",
    ],
    "relu": ["some.npz", "--recipe=relu", *PLAIN],
    "bf16": ["some.npz", "--recipe=cnn", "--precision=bf16", "--width=4", *PLAIN],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_train_writes_the_same_bytes(way: str, folder: Path) -> None:
    for number in (1, 2):
        out = f"{way.replace(' ', '-')}-{number}"
        done = sevensteps("train", *WAYS[way], "--out", out, "--processes", str(number), cwd=folder)
        if way == "bf16" and "AVX512_BF16" in done.err:
            pytest.skip("This processor does not compute with bfloat16")
        assert done.code == 0, done.err
    one, two = (files_of(folder / f"{way.replace(' ', '-')}-{number}") for number in (1, 2))
    assert one == two


@pytest.mark.slow
def test_several_seeds_write_the_same_bytes(folder: Path) -> None:
    for number in (1, 2):
        more = ["--seeds", "2", "--out", f"seeds-{number}", "--processes", str(number)]
        done = sevensteps(*LINEAR, *more, cwd=folder)
        assert done.code == 0, done.err
    one, two = (
        [files_of(file.parent) for file in sorted(folder.glob(f"seeds-{number}*/**/model.safetensors"))]
        for number in (1, 2)
    )
    assert len(one) == 2
    assert one == two


def torchrun(processes: int, *words: str) -> list[str]:
    """Return the command that lets torchrun start several processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    return [*launcher, "-m", "sevensteps", *words]


@pytest.mark.slow
def test_torchrun_resumes_with_another_number(folder: Path, whole: dict[str, bytes]) -> None:
    command = torchrun(3, *CNN, "--epochs", "60", "--checkpoint-every", "1 epochs", "--out", "launched")
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        while not (folder / "launched/checkpoint.safetensors").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode
    assert "recvValue failed" not in err
    command = torchrun(2, "resume", "launched")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert files_of(folder / "launched") == whole


@pytest.mark.slow
def test_torchrun_writes_the_same_bytes_and_prints_once(folder: Path) -> None:
    alone = sevensteps(*LINEAR, "--out", "alone", cwd=folder)
    done = subprocess.run(torchrun(2, *LINEAR, "--out", "run"), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert files_of(folder / "run") == files_of(folder / "alone")
    assert done.stdout.count("initialize") == alone.out.count("initialize") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc names the children")
def test_torchrun_with_a_mistyped_source_ends_soon(folder: Path) -> None:
    command = torchrun(2, "train", "none.npz")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    assert "none.npz" in done.stderr
    assert "SIGALRM" not in done.stderr


LONG = ["--epochs", "60", "--processes", "3", "--checkpoint-every", "1 epochs"]


def training(folder: Path, run: str) -> subprocess.Popen[str]:
    """Start a long run in three processes, and wait until it has saved."""
    process = start(*CNN, *LONG, "--out", run, cwd=folder, how={"start_new_session": True})
    while not (folder / run / "checkpoint.safetensors").exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    time.sleep(1)
    return process


def followers(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that a run has started."""
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, bytes]:
    """Return the files of the long run, without an interruption."""
    done = sevensteps(*CNN, "--epochs", "60", "--out", "whole", "--checkpoint-every", "1 epochs", cwd=folder)
    assert done.code == 0, done.err
    return files_of(folder / "whole")


ENDS = {
    signal.SIGKILL: (1, "Process 2 of 3 was ended by SIGKILL."),
    signal.SIGSTOP: (1, "Process 2 of 3 has not answered for 20 seconds: it was stopped, or its network failed."),
    signal.SIGTERM: (128 + signal.SIGTERM, ""),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc names the children")
@pytest.mark.parametrize("how", ENDS)
def test_a_lost_process_ends_all_and_the_run_goes_on(
    how: signal.Signals, folder: Path, whole: dict[str, bytes]
) -> None:
    run, (code, said) = how.name, ENDS[how]
    with training(folder, run) as process:
        others = followers(process)
        os.kill(others[0], how)
        began = time.monotonic()
        done = finished(process)
    assert time.monotonic() - began < (15 if how is signal.SIGTERM else 30)
    assert not [one for one in others if Path(f"/proc/{one}").exists()]
    assert done.code == code
    lines = done.err.splitlines()
    assert not said or lines[0] == f"sevensteps: {said}"
    assert f"sevensteps resume {run}" in done.err
    resumed = sevensteps("resume", run, "--processes", "2", cwd=folder)
    assert resumed.code == 0, resumed.err
    assert files_of(folder / run) == whole


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc names the children")
def test_the_others_end_where_the_first_is_stopped(folder: Path, whole: dict[str, bytes]) -> None:
    with training(folder, "first") as process:
        others, began = followers(process), time.monotonic()
        process.send_signal(signal.SIGSTOP)
        while any(Path(f"/proc/{one}/stat").read_text().rpartition(") ")[2][0] != "Z" for one in others):
            assert time.monotonic() - began < 30
            time.sleep(0.1)
        process.send_signal(signal.SIGCONT)
        done = finished(process)
    assert done.code == 1
    assert "sevensteps resume first" in done.err
    assert sevensteps("resume", "first", cwd=folder).code == 0
    assert files_of(folder / "first") == whole


@pytest.mark.slow
def test_ctrl_c_saves_the_run(folder: Path) -> None:
    with start(*CNN, "--epochs", "500", "--out", "stopped", "--processes", "2", cwd=folder) as process:
        while not (folder / "stopped/recipe.toml").exists():
            time.sleep(0.05)
        time.sleep(8)
        process.send_signal(signal.SIGINT)
        done = finished(process)
    assert done.code == 130
    assert "sevensteps resume stopped" in done.err
    assert (folder / "stopped/checkpoint.safetensors").exists()


@pytest.mark.slow
def test_a_process_that_cannot_begin_ends_all_with_its_error(folder: Path) -> None:
    (folder / "nets.py").write_text(
        "import os\nfrom torch import nn\n\n"
        "def small(shape, classes):\n"
        "    if os.environ.get('RANK'):\n        raise ValueError('not here')\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1))\n"
    )
    how = ["--model", "nets:small", "--shards", "2", "--epochs", "1", "--processes", "2", "--out", "own", "--json"]
    done = sevensteps("train", "some.npz", *how, cwd=folder)
    assert done.code == 1
    assert "not here" in json.loads(done.out)["error"]["message"]
