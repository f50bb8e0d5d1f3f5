"""Many small picture files are decoded by several processes: the same pixels, the same errors, and never a hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sevensteps as ss
from sevensteps.data.files import in_parallel, in_processes
from sevensteps.errors import DataError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

COUNT = 400
SCRIPT = """
import sys
print("begins", flush=True)
from sevensteps.data.files import in_parallel, in_processes
in_parallel.LONG = 1.0
in_processes.WORTH_IT = in_processes.QUICK = 0.0
in_processes.cores = lambda: 2
import sevensteps as ss
print(len(ss.load(sys.argv[1]).train), flush=True)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small JPEG files of two classes, in color."""
    folder = tmp_path_factory.mktemp("small")
    random = np.random.default_rng(0)
    for name in ("cat", "dög"):
        (folder / name).mkdir()
        for number in range(COUNT // 2):
            pixels = random.integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
    return folder


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Processes also for few files and on one core; nothing comes from the cache."""
    monkeypatch.setattr(in_parallel, "LONG", 1.0)
    monkeypatch.setattr(in_processes, "WORTH_IT", 0.0)
    monkeypatch.setattr(in_processes, "QUICK", 0.0)
    monkeypatch.setattr(in_processes, "cores", lambda: 2)
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))


def workers_of(process: int) -> list[int]:
    """The numbers of the processes that another one has started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def pixels_of(source: Path, **how: object) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    splits = ss.load(source, **how)  # type: ignore[arg-type]
    return splits.train.ids, np.array(splits.train.pixels), tuple(map(str, splits.bad_files))


def test_the_pixels_are_the_same(photos: Path, always: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **more: started.append(args) or popen(*args, **more))
    together = pixels_of(photos)
    assert len(started) == 2
    monkeypatch.setattr(in_processes, "WORTH_IT", 1e9)
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "other"))
    alone = pixels_of(photos)
    assert len(started) == 2
    assert together[0] == alone[0]
    assert together[1].tobytes() == alone[1].tobytes()
    assert workers_of(os.getpid()) == []


def test_bad_files_are_reported_as_in_one_process(photos: Path, always: None, tmp_path: Path) -> None:
    bad = photos / "dög" / "zz-cut.jpg"
    bad.write_bytes((photos / "cat" / "1.jpg").read_bytes()[:300])
    empty = photos / "cat" / "150.png"
    empty.write_bytes(b"")
    try:
        together = pixels_of(photos, bad_files="skip")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(in_processes, "WORTH_IT", 1e9)
            patch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "other"))
            alone = pixels_of(photos, bad_files="skip")
        assert together[2] == alone[2]
        assert len(alone[2]) == 2
        assert together[0] == alone[0]
        assert together[1].tobytes() == alone[1].tobytes()
    finally:
        bad.unlink()
        empty.unlink()


def test_a_script_without_a_main_guard_runs_once(photos: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    running = run_script(script, photos, tmp_path)
    said, _ = running.communicate(timeout=120)
    assert (running.returncode, said.split()) == (0, ["begins", str(COUNT)])


def run_script(script: Path, photos: Path, tmp_path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "SEVENSTEPS_CACHE": str(tmp_path / "cache")}
    return subprocess.Popen(
        [sys.executable, str(script), str(photos)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=tmp_path,
    )


SLOWLY = SCRIPT.replace(
    "import sevensteps as ss\n",
    """
import time
import sevensteps as ss
inside = in_processes._Worker.next
def slowly(worker):
    print(worker._process.pid, flush=True)
    time.sleep(1)
    return inside(worker)
in_processes._Worker.next = slowly
in_processes._AT_ONCE = 4
in_processes._WAITING = 1
""",
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_is_an_error(photos: Path, tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(SLOWLY)
    asking = run_script(script, photos, tmp_path)
    assert asking.stdout is not None
    assert asking.stdout.readline() == "begins\n"
    worker = int(asking.stdout.readline())
    os.kill(worker, number)
    _, said = asking.communicate(timeout=60)
    assert asking.returncode == 1
    assert f"{photos}: a process that decodes pictures was ended by signal {int(number)}, at " in said
    assert not Path(f"/proc/{worker}").exists()


def decoding_slowly(photos: Path, folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a script that decodes, and return it with its processes, which have begun."""
    script = folder / "script.py"
    script.write_text(SLOWLY)
    asking = run_script(script, photos, folder)
    assert asking.stdout is not None
    asking.stdout.readline()
    asking.stdout.readline()
    return asking, workers_of(asking.pid)


def test_ctrl_c_ends_all_of_them(photos: Path, tmp_path: Path) -> None:
    asking, workers = decoding_slowly(photos, tmp_path)
    assert len(workers) == 2
    asking.send_signal(signal.SIGINT)
    _, said = asking.communicate(timeout=60)
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert [worker for worker in workers if Path(f"/proc/{worker}").exists()] == []


def test_they_end_with_the_process_that_asks(photos: Path, tmp_path: Path) -> None:
    asking, workers = decoding_slowly(photos, tmp_path)
    asking.kill()
    asking.communicate(timeout=60)
    until = time.monotonic() + 30
    while alive := [worker for worker in workers if is_alive(worker)]:
        assert time.monotonic() < until, alive
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    """Whether a process runs; one that ended but that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_few_files_start_none(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEVENSTEPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **more: pytest.fail("a process was started"))
    assert len(ss.load(photos).train) == COUNT


def test_the_error_can_be_caught() -> None:
    files = [(f"missing-{number}.png", f"missing-{number}.png") for number in range(200)]
    into = in_processes.Pixels((1, 8, 8), "squash", None)
    results = list(in_processes.decoded_in_processes(files, into, Path("here")))
    assert len(results) == 200
    messages = [result.message for result in results if isinstance(result, DataError)]
    assert messages == [f"missing-{number}.png does not exist." for number in range(200)]


def test_a_process_that_prints_something_else_is_an_error_and_no_hang(
    photos: Path, always: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text("print('hello')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(DataError, match="gave an answer that cannot be read"):
        ss.load(photos)
    assert workers_of(os.getpid()) == []
