"""Requests that ask `sevensteps serve` for more than they look like: clear refusals, bounded memory, and an end."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import chunk
from PIL import Image
from served import Server, form, read, request, served

from sevensteps.ship.predict import Model, load_model
from sevensteps.ship.serve.app import application
from sevensteps.ship.serve.classifier import Classifier
from sevensteps.ship.serve.limits import Limits
from sevensteps.ship.serve.log import Log
from sevensteps.ship.serve.refused import RequestError

SAVED = Path(__file__).parent.parent / "saved/4e1d92b/runs/linear/model.safetensors"
INFER = "/v2/models/model/infer"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served("model.safetensors", "--max-pixels", "90000", cwd=SAVED.parent) as server:
        yield server


def png(width: int, height: int, mode: str = "L") -> bytes:
    """Return a black picture."""
    content = io.BytesIO()
    Image.new(mode, (width, height)).save(content, "PNG")
    return content.getvalue()


def limit_memory(server: Server, more: int) -> None:
    """Let a running server have so many bytes more than it has."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    if not hasattr(resource, "prlimit"):
        pytest.skip("only Linux limits another process")
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[0])
    most = resource.RLIM_INFINITY if more < 0 else pages * resource.getpagesize() + more
    resource.prlimit(server.process.pid, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


@pytest.mark.parametrize(
    "data",
    [
        ["x" * 3_000_000, *[0] * 143],
        [[[["x" * 300_000, *[0.5] * 11]] * 12]],
        [0.5] * 144,
        [True] * 144,
        [1 << 70] * 144,
        [-1] * 144,
        [0] * 1_000_000,
        [[0] * 72, [0] * 71, [0]],
        "0" * 144,
        None,
    ],
    ids=lambda data: str(data)[:20],
)
def test_data_that_is_not_of_small_numbers_is_refused_in_little_memory(data: Any, server: Server) -> None:
    tensor = {"name": "pixels", "shape": [1, 1, 12, 12], "datatype": "UINT8", "data": data}
    limit_memory(server, 300_000_000)
    try:
        reply = server.send("POST", INFER, json.dumps({"inputs": [tensor]}).encode())
    finally:
        limit_memory(server, -1)
    assert reply.status == 400
    assert reply.json["error"].startswith("The data of the input must be")


def test_lists_of_lists_are_pixels_in_their_order(server: Server) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 12, 12), dtype=np.uint8)
    tensor = {"name": "pixels", "shape": [2, 1, 12, 12], "datatype": "UINT8"}
    wanted = None
    for data in (pixels.tolist(), pixels.reshape(2, -1).tolist(), pixels.reshape(-1).tolist()):
        reply = server.send("POST", INFER, json.dumps({"inputs": [{**tensor, "data": data}]}).encode())
        assert reply.status == 200
        wanted = wanted or reply.body
        assert reply.body == wanted


@pytest.mark.parametrize(
    ("path", "headers", "words"),
    [
        (INFER, {"Inference_Header_Content_Length": "9" * 5000}, "must be a number"),
        (INFER, {"Inference_Header_Content_Length": "٣"}, "must be a number"),
        ("/predict-many", {"Content_Type": f"multipart/form-data; boundary={'x' * 30_000}"}, "damaged"),
    ],
)
def test_headers_of_any_length_are_answered(server: Server, path: str, headers: dict[str, str], words: str) -> None:
    reply = server.send("POST", path, b"{}", **headers)
    assert reply.status == 400
    assert words in str(reply.json["error"])


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"\r\n--edgeX" * 2_000_000, 413),
        (b"\r\n--edge\rX" * 1_500_000, 413),
        (b"\r\n--edge" + b" \t" * 9_000_000, 400),
        (b"\r\n--edgeX" * 30, 200),
        (b"-\r\n--edg" * 1_000_000, 200),
        (bytes(9_000_000), 200),
    ],
    ids=["near", "nearer", "padding", "a few", "not quite", "none"],
)
def test_a_form_full_of_what_is_nearly_a_boundary_holds_up_nobody(content: bytes, status: int, server: Server) -> None:
    body, kind = form(("a.png", content))
    began = server.cpu() if sys.platform == "linux" else 0.0
    assert server.send("POST", "/predict-many", body, Content_Type=kind).status == status
    assert sys.platform != "linux" or server.cpu() - began < 1


def test_a_client_that_leaves_is_no_error_of_the_server() -> None:
    with served("model.safetensors", cwd=SAVED.parent) as server:
        _, kind = form()
        for path in ("/predict", "/predict-many", INFER):
            with server.connected() as connection:
                connection.sendall(request("POST", path, b"--edge", Content_Type=kind, Content_Length="1000"))
        assert server.send("GET", "/v2/health/live").status == 200
        server.stop()
        statuses = {line["route"]: line["status"] for line in server.log if line["event"] == "request"}
        assert [statuses[route] for route in ("/predict", "/predict-many", "/v2/models/{model}/infer")] == [499] * 3


def test_a_picture_that_does_not_fit_into_memory_is_refused_and_the_next_one_answered() -> None:
    with served("model.safetensors", cwd=SAVED.parent) as server:
        assert server.send("POST", "/predict", png(12, 12)).status == 200
        noise = io.BytesIO()
        Image.effect_noise((300, 300), 90).save(noise, "PNG")
        assert server.send("POST", "/predict", noise.getvalue()).status == 200  # and all threads have begun
        limit_memory(server, 10_000_000)
        reply = server.send("POST", "/predict", png(7000, 7000, "RGB"))
        assert (reply.status, reply.json["error"]["code"]) == (422, "data")
        assert "does not fit into the memory" in reply.json["error"]["message"]
        assert server.send("POST", "/predict", png(12, 12)).status == 200


def test_a_request_that_needs_too_much_memory_is_asked_to_come_again() -> None:
    model, is_full = load_model(SAVED), False

    def probabilities(pixels: np.ndarray) -> np.ndarray:
        if is_full:
            raise MemoryError
        return model.probabilities(pixels)

    log = Log(io.StringIO())
    app = application(dataclasses.replace(model, probabilities=probabilities), "model", Limits(), log)
    is_full = True
    many, kind = form(("a.png", png(12, 12)))
    tensor = {"name": "pixels", "shape": [1, 1, 12, 12], "datatype": "UINT8", "data": [0] * 144}
    for path, body, headers in (
        ("/predict", png(12, 12), {}),
        ("/predict-many", many, {"content-type": kind}),
        (INFER, json.dumps({"inputs": [tensor]}).encode(), {}),
    ):
        status, named, said = asyncio.run(asked(app, path, body, headers))
        assert (status, named[b"retry-after"]) == (503, b"1")
        assert b"too little memory" in said
    log.end()


async def asked(app: Any, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return the status, the headers and the body of an answer, without a connection."""
    messages = list[Any]()

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        messages.append(message)

    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    about = {"type": "http", "method": "POST", "path": path, "headers": named, "query_string": b"", "state": {}}
    await app(about, receive, send)
    start, *bodies = messages
    return start["status"], dict(start["headers"]), b"".join(message["body"] for message in bodies)


def test_the_size_that_counts_is_the_one_that_is_decoded(server: Server) -> None:
    """Of several headers, Pillow takes the last before the pixels."""
    large, small = png(3000, 3000), png(8, 8)
    twice = small[:33] + large[8:]
    with Image.open(io.BytesIO(twice)) as image:
        assert image.size == (3000, 3000)
    for content in (large, twice):
        reply = server.send("POST", "/predict", content)
        assert (reply.status, "more than 90,000 pixels" in reply.json["error"]["message"]) == (422, True)
    # In a text, it is no header.
    text = small[:33] + chunk(b"tEXt", b"Comment\0" + struct.pack(">I", 13) + b"IHDR") + small[33:]
    assert server.send("POST", "/predict", text).body == server.send("POST", "/predict", small).body


def test_a_form_of_many_large_pictures_is_refused() -> None:
    large = png(7000, 7000)
    assert len(large) < 100_000
    with served("model.safetensors", cwd=SAVED.parent) as server:
        body, kind = form(*[("a", large)] * 9)
        reply = server.send("POST", "/predict-many", body, Content_Type=kind)
        assert (reply.status, reply.json["error"]["code"]) == (413, "too_large")
        assert "more than 400,000,000 pixels in all" in reply.json["error"]["message"]
        body, kind = form(("a", large), *[("b", png(12, 12))] * 20)
        assert server.send("POST", "/predict-many", body, Content_Type=kind).json["failed"] == 0


def slow(seconds: float) -> Model:
    """Return a model that takes its time to read a picture."""
    model = load_model(SAVED)

    def read_slowly(picture: Any) -> np.ndarray:
        time.sleep(seconds)
        return np.zeros(model.shape, np.uint8)

    return dataclasses.replace(model, read=read_slowly)


def test_pixels_of_all_requests_are_bounded() -> None:
    classifier, large = Classifier(slow(0.01), Limits()), png(7000, 7000)

    async def together() -> list[Any]:
        pictures = [[large] * 4, [large] * 4, [large], [png(12, 12)] * 40]
        return await asyncio.gather(*map(classifier.answers, pictures), return_exceptions=True)

    for _ in range(2):  # when they are answered, there is room again
        results = asyncio.run(together())
        (refused,) = (result for result in results if isinstance(result, RequestError))
        assert (refused.status, refused.code) == (503, "busy")
        assert sorted(len(result) for result in results if result is not refused) in ([1, 4, 40], [4, 4, 40])
    classifier.stop()


def test_the_end_waits_only_for_what_has_begun() -> None:
    classifier = Classifier(slow(0.3), Limits())

    async def stopped() -> float:
        requests = [asyncio.create_task(classifier.answers([png(12, 12)])) for _ in range(20)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        classifier.stop()
        for each in requests:
            each.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        return time.monotonic() - began

    assert asyncio.run(stopped()) < 2


def test_a_request_for_another_protocol_is_answered_as_any_other() -> None:
    with served("model.safetensors", cwd=SAVED.parent) as server:
        for path, status in (("/chat", 404), ("/v2/health/live", 200)):
            with server.connected() as connection:
                key = {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Version": "13"}
                connection.sendall(request("GET", path, Upgrade="websocket", Connection="Upgrade", **key))
                assert read(connection).status == status
        with server.connected() as connection:  # as Java's client and `curl --http2` ask
            other = {"Connection": "Upgrade, HTTP2-Settings", "HTTP2_Settings": "AAMAAABkAAQ"}
            for name in ("Upgrade", "upgrade"):
                connection.sendall(request("POST", "/predict", png(12, 12), **other, **{name: "h2c"}))
                assert read(connection).status == 200
        server.stop()
        assert {line["event"] for line in server.log} == {"started", "request", "ended"}
