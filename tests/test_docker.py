"""The Dockerfile, without Docker: its steps run in an environment of their own, and what they start answers."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from served import read, request

import sevensteps as ss

ROOT = Path(__file__).parent.parent
SAVED = ROOT / "tests/saved/4e1d92b"
LINES = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if line and line[0] != "#"]
STEPS = [tuple(line.split(" ", 1)) for line in LINES]
IGNORED = (ROOT / ".dockerignore").read_text("utf-8").split()


def copied(sources: list[str], target: Path) -> None:
    """Do what COPY does, with the files that .dockerignore lets pass."""
    for source in sources:
        assert f"!{source}" in IGNORED, f"COPY {source}: .dockerignore leaves it out"
        if (ROOT / source).is_dir():  # of which COPY takes the content
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / source, target / source)


def test_it_installs_what_the_extra_asks_for_and_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (installed,) = (line for step, line in STEPS if step == "RUN" and "-c constraints.txt" in line)
    names = set(installed.split("constraints.txt ")[1].split())
    wanted = {requirement.split(">")[0] for requirement in project["optional-dependencies"]["serve"]}
    assert wanted <= names
    assert "torch" not in names
    assert names - wanted <= {requirement.split(">")[0] for requirement in project["dependencies"]}
    assert fnmatch(dict(STEPS)["FROM"], "python:3.1[0-9]-slim")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the steps are for a shell")
def test_its_steps_build_a_server_that_answers(tmp_path: Path) -> None:
    home, work = tmp_path / "env", tmp_path
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    around = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    around["PATH"] = os.pathsep.join([str(home / "bin"), around["PATH"]])
    start: dict[str, list[str]] = {}
    for step, rest in STEPS:
        match step:
            case "WORKDIR":
                work = tmp_path / rest.strip("/")
                work.mkdir()
            case "COPY":
                *sources, target = rest.split()
                (work / target).mkdir(exist_ok=True)
                copied(sources, work / target)
            case "RUN":
                done = subprocess.run(
                    rest, shell=True, cwd=work, env=around, capture_output=True, text=True, check=False
                )
                if "Could not find a version" in done.stderr or "Connection" in done.stderr:
                    pytest.skip("packages cannot be installed here")
                assert done.returncode == 0, done.stderr
            case "ENTRYPOINT" | "CMD":
                start[step] = json.loads(rest)
            case _:
                assert step in ("FROM", "USER", "EXPOSE", "HEALTHCHECK"), step
    ss.export(SAVED / "runs/linear/model.safetensors", out=tmp_path / "model.onnx")
    words = [*start["ENTRYPOINT"], *start["CMD"]]
    typed = [str(tmp_path / "model.onnx") if word == "/model.onnx" else word for word in words]
    assert typed != words
    typed[typed.index("0.0.0.0")] = "127.0.0.1"
    shutil.rmtree(work)  # what is installed needs nothing of it
    command = [str(home / "bin" / typed[0]), *typed[1:], "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, env=around, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            assert _answer(url, "/predict", (SAVED / "noise.png").read_bytes()).keys() >= {"class", "distance"}
            (health,) = (rest.split(" ", 1)[1] for step, rest in STEPS if step == "HEALTHCHECK")
            check = " ".join(map(shlex.quote, json.loads(health))).replace("http://127.0.0.1:8000", url)
            subprocess.run(check, shell=True, env=around, check=True)
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
        finally:
            server.kill()


def _answer(url: str, path: str, body: bytes) -> dict[str, object]:
    """Return the answer to a body."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(request("POST", path, body))
        answer: dict[str, object] = read(connection).json
    return answer
