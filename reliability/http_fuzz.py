"""Hostile requests: real ones, mutated, and those that schemathesis generates in an environment of its own."""

from __future__ import annotations

import http.client
import io
import itertools
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from platformdirs import user_cache_path

from .fuzz import mutated, restructured

SCHEMATHESIS = "schemathesis==4.32.5"


KIND = "multipart/form-data; boundary=edge"


# What no answer may show: a path of the server, or where in its code something went wrong.
INSIDE = re.compile(rb"Traceback|\.py\b|site-packages|/(?:home|usr|tmp|root|work|opt|proc)/|object at 0x")


def mutated_bodies(port: int, count: int, name: str) -> tuple[dict[str, int], list[str], float]:
    """Send mutated pictures, forms and tensors.

    Args:
        port: The server's.
        count: How many bodies.
        name: Of the model.

    Returns:
        How many got each status; the failures; and the seconds of the slowest.
    """
    random, statuses, failures, slowest = Random(0), Counter[str](), list[str](), 0.0
    files, tensors = _files(), _tensors()
    forms = [_form([one, other]) for one, other in itertools.pairwise(files)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for number in range(count):
        match number % 4:
            case 0 | 1:
                path, kind, body = "/predict", "image/png", mutated(random, random.choice(files), files)
            case 2:
                path, kind, body = "/predict-many", KIND, mutated(random, random.choice(forms), forms)
            case _:
                path, kind = f"/v2/models/{name}/infer", "application/json"
                body = json.dumps(restructured(random, random.choice(tensors))).encode()
        began = time.monotonic()
        try:
            connection.request("POST", path, body, {"Content-Type": kind})
            response = connection.getresponse()
            status, content = response.status, response.read()
            json.loads(content)
        except (OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"body {number}: {type(error).__name__}: {error}")
            connection.close()
            continue
        slowest = max(slowest, time.monotonic() - began)
        statuses[str(status)] += 1
        if status >= 500 or INSIDE.search(content):
            failures.append(f"body {number}: {status} {content[:200]!r}")
        if status != 200 and "error" not in json.loads(content):
            failures.append(f"body {number}: {status} without an error")
    return dict(sorted(statuses.items())), failures, slowest


def _files() -> list[bytes]:
    """Return small pictures in all formats."""
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    images = [Image.fromarray(pixels), Image.fromarray(pixels[..., 0]), Image.fromarray(pixels).convert("P")]
    files = []
    for image in images:
        for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
            saved = io.BytesIO()
            (image.convert("RGB") if form in ("JPEG", "PPM") else image).save(saved, form)
            files.append(saved.getvalue())
    return files


def _form(files: list[bytes]) -> bytes:
    """Return a form with files."""
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n' + content + b"\r\n"
        for content in files
    ]
    return b"".join([*parts, b"--edge--\r\n"])


def _tensors() -> list[dict[str, object]]:
    """Return requests of the Open Inference Protocol."""
    pixels = np.random.default_rng(0).integers(0, 256, 784).tolist()
    tensor = {"name": "pixels", "shape": [1, 1, 28, 28], "datatype": "UINT8", "data": pixels}
    outputs = [{"name": "answer", "parameters": {"binary_data": False}}, {"name": "distance"}]
    return [{"inputs": [tensor]}, {"id": "1", "inputs": [tensor], "outputs": outputs, "parameters": {"x": 1}}]


def generated(port: int, cases: int) -> tuple[int, list[str]]:
    """Let schemathesis generate requests from the server's OpenAPI document.

    Args:
        port: The server's.
        cases: How many at least.

    Returns:
        How many there were, and what it found.
    """
    program = _schemathesis()
    url = f"http://127.0.0.1:{port}"
    sent, failures, seed = 0, list[str](), 0
    while sent < cases and not failures:
        seed += 1
        done = subprocess.run(
            [
                str(program), "run", f"{url}/openapi.json", "--url", url, "--checks", "not_a_server_error",
                "--max-examples", "400", "--phases", "coverage,fuzzing", "--seed", str(seed),
                "--suppress-health-check", "all", "--no-color",
            ],
            cwd=program.parent.parent,  # where it leaves a folder of its own
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        count = re.search(r"(\d[\d,]*) generated", done.stdout)
        if done.returncode or count is None:
            failures.append(done.stdout[-1500:] + done.stderr[-300:])
            break
        sent += int(count[1].replace(",", ""))
    return sent, failures


def _schemathesis() -> Path:
    """Return the program, in an environment that is created when first needed."""
    home = user_cache_path("sevensteps") / f"reliability-{SCHEMATHESIS}"
    program = home / ("Scripts/schemathesis.exe" if sys.platform == "win32" else "bin/schemathesis")
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(program.parent / "python"), "-m", "pip", "install", "-q", SCHEMATHESIS], check=True)
    return program
