"""Stores in S3: moto's server on this machine, behind a proxy that fails.

`moto[server]` and `s3fs` have many dependencies, so they may have an environment of their own: SEVENSTEPS_S3 names its
interpreter.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ranges import Web, web

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python() -> str:
    """Return an interpreter that has moto and s3fs."""
    python = os.environ.get("SEVENSTEPS_S3", sys.executable)
    if subprocess.run([python, "-c", "import moto.server, s3fs"], capture_output=True, check=False).returncode:
        pytest.skip("moto[server] and s3fs are not installed; SEVENSTEPS_S3 may name an interpreter that has them")
    return python


@pytest.fixture(scope="module")
def bucket(python: str) -> Iterator[int]:
    """Start moto's server, and return its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with subprocess.Popen(
        [python, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        for _ in range(600):
            with socket.socket() as reaching:
                if reaching.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
        server.terminate()


def of_program(python: str, there: Web, code: str, folder: Path, **s3: Any) -> Any:
    """Return what a program prints as JSON that has our packages and then those of the interpreter."""
    show = "import site; print(site.getsitepackages()[0])"
    packages = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    settings = {"endpoint_url": there.address("").rstrip("/"), **s3}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\nsys.path.append({packages!r})\nimport json\nimport sevensteps as ss\n{code}",
        ],
        cwd=folder,
        env={**os.environ, "FSSPEC_S3": json.dumps(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


PREPARE = """
import s3fs
from pathlib import Path
system = s3fs.S3FileSystem()
system.mkdir("bucket")
ss.prepare("pullover-dress", "s3://bucket/sets/x.store")
system.chmod("bucket/sets/x.store", "public-read")
ss.prepare("pullover-dress", "x.store")
print(json.dumps([system.cat("bucket/sets/x.store") == Path("x.store").read_bytes(), system.ls("bucket/sets")]))
"""
TRAIN = """
from pathlib import Path
def cut(event):
    if isinstance(event, ss.Batch) and (event.epoch, event.number) == (2, 3):
        raise KeyError

how = {"recipe": "linear", "epochs": 3, "checkpoint_every": "1 epoch"}
ss.train("x.store", **how, out="here")
try:
    ss.train("s3://bucket/sets/x.store", **how, out="there", observe=cut)
except KeyError:
    ss.resume("there", observe=lambda event: None)
same = [Path("here", name).read_bytes() == Path("there", name).read_bytes() for name in (
    "history.jsonl", "predictions.jsonl")]
print(json.dumps([same, ss.audit("s3://bucket/sets/x.store").result.as_json() == ss.audit("x.store").result.as_json()]))
"""
ANONYMOUS = """
import socket
asked = []
sys.addaudithook(lambda event, what: asked.append(what[1][0]) if event == "socket.connect" else None)
train = ss.load("s3://bucket/sets/x.store").train
for _ in train.blocks.batches(256):
    pass
print(json.dumps([len(train), sorted(set(asked))]))
"""


def test_a_run_from_s3_is_the_run_from_the_file_and_nothing_else_is_asked(
    python: str, bucket: int, tmp_path: Path
) -> None:
    keys = {"key": "an-id", "secret": "a-secret"}
    with web({}, behind=bucket) as there:
        assert of_program(python, there, PREPARE, tmp_path, **keys) == [True, ["bucket/sets/x.store"]]
    with web({}, behind=bucket, seed=1, busy=0.1, cut=0.1, reset=0.1, late=0.1) as there:
        assert of_program(python, there, TRAIN, tmp_path, **keys) == [[True, True], True]
    assert there.did["busy"] + there.did["cut"] + there.did["reset"] >= 3
    assert b"a-secret" not in (tmp_path / "there/recipe.toml").read_bytes()
    with web({}, behind=bucket) as there:
        found = of_program(python, there, ANONYMOUS, tmp_path, anon=True)
    assert found == [10800, ["127.0.0.1"]]
