"""Many files for `sevensteps predict`: patterns, lists from standard input, folders in order, and a countdown."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typed import here

import sevensteps as ss
from sevensteps.data.files.unlabeled import count_pictures, pictures_in
from sevensteps.show import countdown

NAMES = ("a.png", "b/1.png", "b/2.PNG", "b-2.png", "b.png", "c d.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on noise, and pictures whose names sort in an order of their own."""
    folder = tmp_path_factory.mktemp("many")
    random = np.random.default_rng(0)
    for name in ("x", "y"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(
                folder / f"photos/{name}/{number}.png"
            )
    ss.train(folder / "photos", recipe="linear", epochs=1, folds=1, out=folder / "m")
    for name in NAMES:
        (folder / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(folder / "new" / name, "PNG")
    (folder / "new/notes.txt").write_text("none")
    (folder / "new/.hidden").mkdir()
    Image.new("L", (8, 8)).save(folder / "new/.hidden/x.png")
    return folder


def files_in(output: str) -> list[str]:
    return [json.loads(line)["file"] for line in output.splitlines()]


def piped(content: bytes, *words: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    typed = [sys.executable, "-m", "sevensteps", "predict", "m", *words]
    return subprocess.run(typed, input=content, cwd=cwd, capture_output=True, timeout=120, check=False)


def test_a_folder_comes_in_the_order_of_all_its_paths(folder: Path, tmp_path: Path) -> None:
    wanted = sorted(folder / "new" / name for name in NAMES)
    assert [str(path) for path in pictures_in(folder / "new")] == sorted(map(str, wanted))
    assert count_pictures(folder / "new") == len(NAMES)
    deep = tmp_path
    for _ in range(300):
        deep /= "d"
        deep.mkdir()
    Image.new("L", (8, 8)).save(deep / "x.png")
    assert list(pictures_in(tmp_path)) == [deep / "x.png"]


def test_patterns_that_no_shell_has_expanded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here("predict", "m", "new/b*.png", "new/**/[12].*", "--jsonl", cwd=folder, capsys=capsys)
    assert done.code == 0, done.err
    assert files_in(done.out) == ["new/b-2.png", "new/b.png", "new/b/1.png", "new/b/2.PNG"]
    folders = here("predict", "m", "new/b?", "new/?", "--jsonl", cwd=folder, capsys=capsys)
    assert (folders.code, files_in(folders.out)[1:]) == (1, ["new/b/1.png", "new/b/2.PNG"])
    assert "new/b?: no file matches" in folders.out
    Image.new("L", (8, 8)).save(folder / "[x].png")
    done = here("predict", "m", "[x].png", "--jsonl", cwd=folder, capsys=capsys)
    assert (done.code, files_in(done.out)) == (0, ["[x].png"]), done


@pytest.mark.parametrize("end", [b"\r\n", b"\0"])
def test_a_list_of_paths_from_standard_input(folder: Path, end: bytes) -> None:
    if end == b"\r\n":
        content = b"new/c d.png\r\n\r\nnew/b\r\nmissing.png"
    else:
        content = end.join([b"new/c d.png", b"", b"new/b", b"missing.png"]) + end
    done = piped(content, "-", "new/a.png", "--jsonl", "--sort-into", f"sorted{len(end)}{end[0]}", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert files_in(done.stdout.decode()) == ["new/c d.png", "new/b/1.png", "new/b/2.PNG", "missing.png", "new/a.png"]
    assert "missing.png does not exist" in done.stdout.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_list_is_answered_while_it_is_written(folder: Path) -> None:
    typed = [sys.executable, "-m", "sevensteps", "predict", "m", "-", "--jsonl"]
    with subprocess.Popen(typed, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in ("new/a.png", "new/b.png"):
            process.stdin.write(f"{name}\n".encode())
            process.stdin.flush()
        assert files_in(process.stdout.readline().decode()) == ["new/a.png"]
        process.stdin.close()
        assert files_in(process.stdout.read().decode()) == ["new/b.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other commands")
@pytest.mark.parametrize(
    ("content", "files"),
    [
        ("yes new/a.png | tr -d '\\n'", ["-"]),
        ("cat /dev/zero", ["-"]),
        ("yes ''", ["-"]),
        ("echo new/b.png; yes x | tr -d '\\n'", ["new/b.png", "-"]),
        ("echo new/b.png; yes x | tr -d '\\n' | head -c 70000; echo; echo new/a.png", ["new/b.png", "-"]),
        ("yes '' | head -n 60000; echo new/a.png", ["new/a.png"]),
    ],
)
def test_what_is_not_a_list_of_paths_is_said_and_not_read_to_its_end(
    content: str, files: list[str], folder: Path
) -> None:
    command = f"({content}) | {sys.executable} -m sevensteps predict m - --jsonl"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, timeout=60, check=False)
    assert files_in(done.stdout.decode()) == files
    assert done.returncode == int("-" in files)
    if "-" in files:
        said = json.loads(done.stdout.splitlines()[-1])
        assert "no path ends within 65,536 bytes" in said["error"]
        assert said["hint"] == "Send one path per line."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other commands")
@pytest.mark.parametrize("form", ["", "--jsonl", "--csv"])
def test_a_reader_who_leaves_ends_the_work(form: str, folder: Path) -> None:
    command = f"yes new/a.png | ({sys.executable} -m sevensteps predict m - {form}; echo code $? >&2) | head -n 1"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, timeout=60, check=False)
    assert len(done.stdout.splitlines()) == 1
    # As for all commands (tests/cli/test_output.py), `head` has seen enough, and nothing has failed.
    assert done.stderr.decode().replace("yes: standard output: Broken pipe\n", "") == "code 0\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other commands")
def test_copies_are_made_whoever_reads_the_answers(folder: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m sevensteps predict m new --sort-into {tmp_path / 'copies'} | true"
    subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, timeout=60, check=True)
    copies = [path.name for path in (tmp_path / "copies").rglob("*") if path.is_file()]
    assert sorted(copies) == sorted(Path(name).name for name in NAMES)


def test_folders_that_a_list_names_do_not_contain_the_copies(folder: Path) -> None:
    before = {path for path in folder.rglob("*") if path.is_file()}
    done = piped(b"new/b\nnew\nnew/**/*.PNG\n", "-", "--jsonl", "--sort-into", "new/b/sorted", cwd=folder)
    assert done.returncode == 1
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == ["new/b", "new", "new/**/*.PNG"]
    for answer in answers:
        assert "--sort-into new/b/sorted would put copies among the pictures of" in answer["error"]
        assert answer["hint"] == "Name a folder outside of it."
    assert {path for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_a_picture_of_every_format_is_known_from_a_list(
    form: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    Image.new("L", (8, 8)).save(content, form)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.getvalue())))
    done = here("predict", "m", "-", "--jsonl", cwd=folder, capsys=capsys)
    assert (done.code, files_in(done.out)) == (0, ["-"]), done


def test_time_left_is_shown_in_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(countdown, "WAIT", 0.0)
    monkeypatch.setattr(countdown, "EVERY", 0.0)
    for is_terminal in (True, False):
        screen = io.StringIO()
        shown = countdown.Countdown(Console(file=screen, force_terminal=is_terminal), 3000)
        shown.advance()
        shown.hide()
        wanted = r"\r1 of 3,000 files, \d:\d\d left\x1b\[K\r\x1b\[K" if is_terminal else ""
        assert re.fullmatch(wanted, screen.getvalue())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
def test_a_countdown_stays_out_of_the_results(folder: Path, tmp_path: Path) -> None:
    import pty

    for number in range(600):
        os.link(folder / "new/a.png", tmp_path / f"{number}.png")
    ours, theirs = pty.openpty()
    lines = (
        "from sevensteps.show import countdown",
        "countdown.WAIT = countdown.EVERY = 0",
        "import sevensteps.__main__",
    )
    program = "; ".join([*lines, "sevensteps.__main__.main()"])
    command = [sys.executable, "-c", program, "predict", "m", str(tmp_path), "--jsonl"]
    with open(tmp_path / "out", "wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=theirs)
        os.close(theirs)
        said = b""
        while True:
            try:
                chunk = os.read(ours, 1 << 16)
            except OSError:
                break
            if not chunk:
                break
            said += chunk
        assert process.wait() == 0
    os.close(ours)
    assert b"of 600 files, 0:0" in said
    assert len(files_in((tmp_path / "out").read_text())) == 600
