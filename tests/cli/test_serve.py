"""`sevensteps serve`, over real connections: the answers of `predict`, and one family of errors for everything else."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import Reply, Server, form, read, request, served
from typed import here, refused, sevensteps

import sevensteps as ss
from sevensteps.ship import file as model_file

ROOT = Path(__file__).parent.parent.parent
SAVED = ROOT / "tests/saved/4e1d92b/runs/linear"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with limits, the same as ONNX, and pictures."""
    base = tmp_path_factory.mktemp("serve")
    arrays, about = model_file.read(SAVED / "model.safetensors")
    about["abstain"] |= {"confidence": 0.8, "distance": 15.0}
    model_file.write(base / "run.safetensors", arrays, about)
    ss.export(base / "run.safetensors", out=base / "run.onnx")
    (base / "new").mkdir()
    for name, content in pictures().items():
        (base / "new" / name).write_bytes(content)
    return base


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with served("run.safetensors", cwd=folder) as server:
        yield server


def pictures() -> dict[str, bytes]:
    """Return picture files of many kinds, and two that are none."""
    draw = np.random.default_rng(3)
    small = draw.integers(0, 256, (12, 12), dtype=np.uint8)
    large = draw.integers(0, 256, (300, 500, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    images = {
        "small.png": (Image.fromarray(small), {}),
        "large.png": (Image.fromarray(large), {}),
        "turned.jpg": (Image.fromarray(large[:90, :60]), {"exif": turned.tobytes()}),
        "clear.png": (Image.fromarray(np.dstack([large, large[..., 0]])), {}),
        "palette.gif": (Image.fromarray(small).convert("P"), {}),
        "deep.png": (Image.fromarray(small.astype(np.uint16) * 200), {}),
        "ink.jpg": (Image.fromarray(np.dstack([large, large[..., 0]]), "CMYK"), {}),
        "odd.bmp": (Image.fromarray(large[:1, :77]), {}),
    }
    files = {}
    for name, (image, how) in images.items():
        saved = io.BytesIO()
        image.save(saved, {"jpg": "JPEG"}.get(name[-3:], name[-3:].upper()), **how)
        files[name] = saved.getvalue()
    return files | {"cut.png": files["large.png"][:5000], "noise.png": b"no picture"}


def test_answers_are_those_of_predict(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(here("predict", "run.safetensors", "new", "--json", cwd=folder, capsys=capsys).out)
    wanted = {Path(result.pop("file")).name: result for result in said["results"]}
    files = pictures()
    assert wanted.keys() == files.keys()
    assert {result.get("reason", "error") for result in wanted.values()} == {None, "not sure", "none of these", "error"}
    for name, content in files.items():
        reply = server.send("POST", "/predict", content)
        if "error" in wanted[name]:
            error = reply.json["error"]
            assert (reply.status, error["code"]) == (422, "data")
            assert error["message"] == wanted[name]["error"].replace(f"new/{name}", "The picture")
        else:
            assert reply.status == 200
            assert reply.body == json.dumps(wanted[name]).encode()
    body, kind = form(*files.items(), ("C:\\secret\\small.png", files["small.png"]))
    many = server.send("POST", "/predict-many", body, Content_Type=kind).json
    assert (len(many["results"]), many["failed"]) == (len(files) + 1, 2)
    assert [result["file"] for result in many["results"]] == [*files, "small.png"]
    for result in many["results"]:
        if "error" in result:
            assert result["hint"] == wanted[result["file"]]["hint"] != ""
        else:
            assert {key: value for key, value in result.items() if key != "file"} == wanted[result["file"]]


def test_an_onnx_file_has_its_own_answers_and_the_company_of_others_changes_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: content for name, content in pictures().items() if name not in ("cut.png", "noise.png")}
    typed = ("predict", "run.onnx", *(f"new/{name}" for name in files), "--json")
    said = json.loads(here(*typed, cwd=folder, capsys=capsys).out)
    wanted = {Path(result.pop("file")).name: json.dumps(result).encode() for result in said["results"]}
    with served("run.onnx", cwd=folder) as server, ThreadPoolExecutor(12) as threads:
        names = [*files] * 20
        replies = threads.map(lambda name: server.send("POST", "/predict", files[name]), names)
        assert all(reply.body == wanted[name] for name, reply in zip(names, replies, strict=True))
        server.stop(signal.SIGINT)
        assert server.code == 0


@pytest.mark.parametrize(
    ("status", "code", "method", "path", "body", "headers"),
    [
        (422, "data", "POST", "/predict", b"", {}),
        (415, "usage", "POST", "/predict", b"x", {"Content_Type": "multipart/form-data; boundary=edge"}),
        (415, "usage", "POST", "/predict", b"x", {"Content_Encoding": "gzip"}),
        (413, "too_large", "POST", "/predict", b"", {"Content_Length": "20000001"}),
        (400, "usage", "POST", "/predict-many", b"x", {"Content_Type": "image/png"}),
        (400, "usage", "POST", "/predict-many", b"x", {"Content_Type": "multipart/form-data; boundary=edge"}),
        (
            400,
            "usage",
            "POST",
            "/predict-many",
            b"--edge--\r\n",
            {"Content_Type": "multipart/form-data; boundary=edge"},
        ),
        (413, "too_large", "POST", "/predict-many", form(*[("a", b"b")] * 65)[0], {"Content_Type": form()[1]}),
        (404, "usage", "GET", "/predict/../../etc/passwd", b"", {}),
        (404, "usage", "POST", "/predict/", b"", {}),
        (404, "usage", "GET", "/%00", b"", {}),
        (405, "usage", "GET", "/predict", b"", {}),
        (405, "usage", "DELETE", "/predict", b"", {}),
        (400, "usage", "NONSENSE", "/predict", b"", {}),
        (431, "too_large", "POST", "/predict", b"", {"X_Long": "x" * 70_000}),
    ],
)
def test_what_is_wrong_is_said(
    server: Server, status: int, code: str, method: str, path: str, body: bytes, headers: dict[str, str]
) -> None:
    reply = server.send(method, path, body, **headers)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert set(reply.json) == {"error"}
    assert list(reply.json["error"]) == ["code", "message", "hint"]
    assert reply.json["error"]["message"]
    assert server.send("GET", "/v2/health/ready").status == 200


def test_a_field_of_text_is_not_taken_for_a_picture(server: Server) -> None:
    files, kind = form(("a.png", pictures()["small.png"]))

    def sent(*headers: str, content: bytes = pictures()["small.png"]) -> Reply:
        part = "\r\n".join(["--edge", *headers, "\r\n"]).encode() + content + b"\r\n"
        return server.send("POST", "/predict-many", part + files, Content_Type=kind)

    note = 'Content-Disposition: form-data; name="note"'
    for headers in ([note], [note, "Content-Type: text/plain"]):
        reply = sent(*headers, content=b"hello")
        assert (reply.status, reply.json["error"]["message"]) == (400, "The field 'note' of the form is not a file.")
        assert "curl -F picture=@a.png" in reply.json["error"]["hint"]
    for headers in ([note, "Content-Type: image/png"], [note + "; filename*=UTF-8''b.png"]):
        reply = sent(*headers)
        assert [result["file"] for result in reply.json["results"]] == ["picture 1", "a.png"]
        assert reply.json["failed"] == 0


def test_the_open_inference_protocol(server: Server) -> None:
    assert server.send("GET", "/v2/health/live").json == {"live": True}
    assert server.send("GET", "/v2").json["extensions"] == ["binary_tensor_data"]
    about = server.send("GET", "/v2/models/run").json
    assert about["inputs"] == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, 12, 12]}]
    assert [output["name"] for output in about["outputs"]] == ["probabilities", "answer", "distance"]
    assert server.send("GET", "/v2/models/run/versions/1/ready").json == {"name": "run", "ready": True}
    assert server.send("GET", "/v2/models/run/versions/2").status == 404
    assert isinstance(server.send("GET", "/v2/models/another").json["error"], str)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 12, 12), dtype=np.uint8)
    tensor = {"name": "pixels", "shape": [3, 1, 12, 12], "datatype": "UINT8"}
    asked = {"id": "7", "inputs": [{**tensor, "data": pixels.tolist()}]}
    said = server.send("POST", "/v2/models/run/infer", json.dumps(asked).encode()).json
    assert (said["model_name"], said["model_version"], said["id"]) == ("run", "1", "7")
    outputs = {output["name"]: output for output in said["outputs"]}
    assert outputs["probabilities"]["shape"] == [3, 2]
    for place in range(3):
        saved = io.BytesIO()
        Image.fromarray(pixels[place, 0]).save(saved, "PNG")
        answer = server.send("POST", "/predict", saved.getvalue()).json
        assert outputs["probabilities"]["data"][2 * place : 2 * place + 2] == [*answer["probabilities"].values()]
        assert outputs["answer"]["data"][place] == (answer["reason"] or answer["class"])
        assert outputs["distance"]["data"][place] == answer["distance"]
    binary = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": 432}}],
        "outputs": [{"name": "answer", "parameters": {"binary_data": True}}, {"name": "distance"}],
    }
    head = json.dumps(binary).encode()
    length = {"Inference_Header_Content_Length": str(len(head))}
    reply = server.send("POST", "/v2/models/run/versions/1/infer", head + pixels.tobytes(), **length)
    end = int(reply.headers["inference-header-content-length"])
    assert [output["name"] for output in json.loads(reply.body[:end])["outputs"]] == ["answer", "distance"]
    words = outputs["answer"]["data"]
    assert reply.body[end:] == b"".join(len(word).to_bytes(4, "little") + word.encode() for word in words)


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": []},
        {"inputs": [{"name": "pixels", "shape": [1, 1, 12, 12], "datatype": "FP32", "data": [0] * 144}]},
        {"inputs": [{"name": "x", "shape": [1, 1, 12, 12], "datatype": "UINT8", "data": [0] * 144}]},
        {"inputs": [{"name": "pixels", "shape": [1, 1, 12, 13], "datatype": "UINT8", "data": [0] * 156}]},
        {"inputs": [{"name": "pixels", "shape": [1, 1, 12, 12], "datatype": "UINT8", "data": [0] * 143}]},
        {"inputs": [{"name": "pixels", "shape": [1, 1, 12, 12], "datatype": "UINT8", "data": [256] * 144}]},
        {"inputs": [{"name": "pixels", "shape": [1, 1, 12, 12], "datatype": "UINT8", "data": [0.5] * 144}]},
        {"inputs": [{"name": "pixels", "shape": [1, 1, 12, 12], "datatype": "UINT8", "data": [[0], 1]}]},
        {"inputs": [{"name": "pixels", "shape": [1, 1, 12, 12], "datatype": "UINT8", "data": {"0": 0}}]},
        {"inputs": [{"name": "pixels", "shape": [True, 1, 12, 12], "datatype": "UINT8", "data": [0] * 144}]},
        {"inputs": [{"name": "pixels", "shape": [0, 1, 12, 12], "datatype": "UINT8", "data": []}]},
        {"inputs": [{"name": "pixels", "shape": [1 << 40, 1, 12, 12], "datatype": "UINT8", "data": []}]},
        {"outputs": [{"name": "logits"}]},
        {"outputs": [{"name": []}]},
        {"outputs": 3},
        {"id": 7},
    ],
)
def test_wrong_tensors_are_refused_in_the_words_of_the_protocol(server: Server, changed: dict[str, object]) -> None:
    right = {"inputs": [{"name": "pixels", "shape": [1, 1, 12, 12], "datatype": "UINT8", "data": [0] * 144}]}
    assert server.send("POST", "/v2/models/run/infer", json.dumps(right).encode()).status == 200
    reply = server.send("POST", "/v2/models/run/infer", json.dumps(right | changed).encode())
    assert (reply.status, list(reply.json)) == (400, ["error"])
    assert isinstance(reply.json["error"], str)


def test_nvidias_client_works_as_it_is(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    http = pytest.importorskip("tritonclient.http", reason="pip install 'tritonclient[http]'")
    client = http.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("run")
    assert client.get_model_metadata("run", "1")["name"] == "run"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 12, 12), dtype=np.uint8)
    given = http.InferInput("pixels", [5, 1, 12, 12], "UINT8")
    answers = []
    for binary in (True, False):
        given.set_data_from_numpy(pixels, binary_data=binary)
        wanted = [http.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "answer")]
        for outputs in (None, wanted):
            result = client.infer("run", [given], outputs=outputs, request_id="1")
            answers.append((result.as_numpy("probabilities").tolist(), [*map(_text, result.as_numpy("answer"))]))
    assert all(answer == answers[0] for answer in answers)
    with pytest.raises(Exception, match="no such model"):
        client.infer("another", [given])
    (program,) = re.findall(r"```py\n(.*?)```", (ROOT / "docs/serve.md").read_text("utf-8"), re.DOTALL)
    for there, here_ in {"8000": str(server.port), "28": "12", '"RUN"': '"run"'}.items():
        program = program.replace(there, here_)
    exec(compile(program, "docs/serve.md", "exec"), {})  # noqa: S102  our own page
    assert capsys.readouterr().out.startswith("[")


def _text(word: bytes | str) -> str:
    return word.decode() if isinstance(word, bytes) else word


def test_pages_load_nothing_and_say_what_there_is(server: Server) -> None:
    for path in ("/", "/docs"):
        page = server.send("GET", path)
        assert page.status == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert not re.search(rb"https?://|<link|src=\"|@import", page.body)
    assert b"POST /predict" in page.body
    openapi = server.send("GET", "/openapi.json").json
    assert {"/predict", "/predict-many", "/v2/models/{model}/infer", "/metrics"} <= openapi["paths"].keys()
    assert server.send("GET", "/redoc").status == 404


def test_head_is_get_without_the_body(server: Server) -> None:
    for path, status in (("/", 200), ("/v2/health/ready", 200), ("/openapi.json", 200), ("/predict", 405), ("/x", 404)):
        wanted = server.send("GET", path)
        assert wanted.status == status
        with server.connected() as connection:
            connection.sendall(request("HEAD", path, Connection="close"))
            head, _, body = b"".join(iter(lambda: connection.recv(1 << 16), b"")).partition(b"\r\n\r\n")
        first, *lines = head.decode().lower().split("\r\n")
        assert (int(first.split()[1]), body) == (status, b"")
        assert f"content-length: {len(wanted.body)}" in lines
        assert f"content-type: {wanted.headers['content-type']}" in lines
    count = _metric(server, 'sevensteps_requests_total{route="/v2/health/ready",status="200"}')
    with server.connected() as connection:
        connection.sendall(request("HEAD", "/v2/health/ready", Connection="close"))
        assert connection.recv(100)
    assert _metric(server, 'sevensteps_requests_total{route="/v2/health/ready",status="200"}') == count + 1


def test_large_requests_are_taken(server: Server) -> None:
    saved = io.BytesIO()
    Image.frombytes("RGB", (2000, 1500), np.random.default_rng(0).bytes(9_000_000)).save(saved, "PNG", compress_level=0)
    assert server.send("POST", "/predict", saved.getvalue()).status == 200
    body, kind = form(("a", saved.getvalue()), ("b", saved.getvalue()))
    assert server.send("POST", "/predict-many", body, Content_Type=kind).json["failed"] == 0


def test_metrics_count_answers(server: Server) -> None:
    before = _metric(server, 'sevensteps_requests_total{route="/predict",status="200"}')
    assert server.send("POST", "/predict", pictures()["small.png"]).status == 200
    assert _metric(server, 'sevensteps_requests_total{route="/predict",status="200"}') == before + 1
    assert _metric(server, "sevensteps_waiting_pictures") == 0
    assert _metric(server, "sevensteps_request_bytes") == 0


def _metric(server: Server, name: str) -> float:
    lines = server.send("GET", "/metrics").body.decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0)


def test_limits(folder: Path) -> None:
    limits = "--max-body 9000 --max-memory 12000 --max-pixels 10000 --max-pictures 2 --max-waiting 2 --deadline 0.6"
    content = pictures()
    with served("run.safetensors", *limits.split(), cwd=folder) as server:
        assert server.send("POST", "/predict", content["large.png"]).status == 413
        chunked = request("POST", "/predict", Content_Length="", Transfer_Encoding="chunked")
        assert _sent(server, chunked + b"2710\r\n" + bytes(10_000) + b"\r\n0\r\n\r\n").status == 413
        saved = io.BytesIO()
        Image.new("L", (200, 200)).save(saved, "PNG")
        wide = server.send("POST", "/predict", saved.getvalue())
        assert (wide.status, "10,000 pixels" in wide.json["error"]["message"]) == (422, True)
        body, kind = form(*[("a", content["small.png"])] * 3)
        assert server.send("POST", "/predict-many", body, Content_Type=kind).status == 413
        # One request holds most of the memory, and another finds it full.
        with server.connected() as slow:
            began = time.monotonic()
            slow.sendall(request("POST", "/predict", Content_Length="9000") + bytes(8000))
            while _metric(server, "sevensteps_request_bytes") < 8000:
                assert time.monotonic() - began < 5
            busy = server.send("POST", "/predict", bytes(8000))
            assert (busy.status, busy.headers["retry-after"]) == (503, "1")
            late = read(slow)
            assert (late.status, late.json["error"]["code"]) == (408, "too_slow")
            assert slow.recv(1) == b""
        # Neither headers that never end, nor a connection that says nothing, is kept.
        for drip in (b"POST /predict HTTP/1.1\r\nHost: x\r\n", b""):
            began = time.monotonic()
            with server.connected() as slow:
                slow.sendall(drip)
                assert (slow.recv(100)[:12], slow.recv(1000) and b"") == (b"HTTP/1.1 408" if drip else b"", b"")
            assert time.monotonic() - began < 3
        assert server.send("POST", "/predict", content["small.png"]).status == 200
        server.stop()
        assert {line["status"] for line in server.log if line["event"] == "request"} >= {200, 408, 413, 422, 503}


def _sent(server: Server, content: bytes) -> Reply:
    """Return the reply to bytes as they are."""
    with server.connected() as connection:
        connection.sendall(content)
        return read(connection)


def test_what_has_begun_to_come_is_answered_at_the_end(folder: Path) -> None:
    content = pictures()["small.png"]
    with served("run.safetensors", cwd=folder) as server, server.connected() as half, server.connected() as idle:
        wanted = server.send("POST", "/predict", content).body
        whole = request("POST", "/predict", content)
        half.sendall(whole[:-20])
        idle.sendall(whole)
        assert read(idle).body == wanted
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        half.sendall(whole[-20:])
        idle.sendall(whole)  # on a connection that is about to close
        for connection in (half, idle):
            reply = read(connection)
            assert (reply.body, reply.headers["connection"]) == (wanted, "close")
        server.process.wait(20)
        with pytest.raises(ConnectionRefusedError):
            server.connected()
        server.stop()
        assert server.code == 0
        assert [server.log[place]["event"] for place in (0, -1)] == ["started", "ended"]
        said = json.dumps(server.log)
        assert str(folder) not in said
        assert all(
            set(line) == {"time", "event", "method", "route", "status", "ms", "bytes", "pictures"}
            for line in server.log[1:-1]
        )


def test_what_cannot_be_served_is_said(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    refused(here("serve", "none", cwd=folder, capsys=capsys), 1, "no run or path 'none'")
    refused(here("serve", "none.onnx", cwd=folder, capsys=capsys), 1, "no file none.onnx")
    refused(
        here("serve", "run.safetensors", "--port", str(server.port), cwd=folder, capsys=capsys), 2, "in use", "--port"
    )
    refused(here("serve", "run.safetensors", "--port", "70000", cwd=folder, capsys=capsys), 2, "70000")
    refused(here("serve", "run.safetensors", "--host", "300.1.1.1", cwd=folder, capsys=capsys), 2, "300.1.1.1")
    refused(here("serve", "run.safetensors", "--deadline", "0", cwd=folder, capsys=capsys), 2, "--deadline")
    refused(here("serve", "run.safetensors", "--max-waiting", "2", cwd=folder, capsys=capsys), 2, "--max-pictures 2")
    refused(here("serve", "run.safetensors", "--max-memory", "2", cwd=folder, capsys=capsys), 2, "--max-body 2")
    without = {"PYTHONPATH": _without("fastapi", folder)}
    done = sevensteps("serve", "run.safetensors", cwd=folder, **without)
    refused(done, 1, "fastapi must be installed", "pip install 'sevensteps[serve]'")


def test_a_notebook_is_told_why_not(folder: Path) -> None:
    async def cell() -> None:
        ss.serve(folder / "run.safetensors", port=0)

    with pytest.raises(ss.SevenstepsError, match="inside an event loop"):
        asyncio.run(cell())


def _without(package: str, folder: Path) -> str:
    """Return a folder for the search path in which this package cannot be imported."""
    (folder / "without").mkdir(exist_ok=True)
    (folder / f"without/{package}.py").write_text(f"raise ModuleNotFoundError('none', name={package!r})\n")
    return os.pathsep.join([str(folder / "without"), os.environ["PYTHONPATH"]])
