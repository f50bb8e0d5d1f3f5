"""Who may ask the Studio: each rule, with a request that breaks it."""

from __future__ import annotations

import http.client
import socket
import time
from pathlib import Path

import pytest
from in_studio import Page

from sevensteps.studio.gate import PICTURE_BODY, SMALL_BODY

ROUTES = [
    ("GET", "/"),
    ("GET", "/state"),
    ("GET", "/events"),
    ("GET", "/xray"),
    ("GET", "/chain"),
    ("GET", "/pictures"),
    ("GET", "/app.js"),
    ("POST", "/do/step"),
    ("POST", "/gather?class=a&name=b"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("token", [None, "", "wrong", "é" * 43])
def test_no_route_answers_without_the_token(empty_page: Page, method: str, path: str, token: str | None) -> None:
    sent = token.encode().decode("latin-1") if token else token
    reply = empty_page.send(method, path, X_Sevensteps_Token=sent)
    assert (reply.status, reply.json["error"]["code"]) == (403, "token")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:{port}", ""])
def test_a_foreign_host_is_refused(empty_page: Page, host: str) -> None:
    reply = empty_page.send("GET", "/state", Host=host.format(port=empty_page.port))
    assert (reply.status, reply.json["error"]["code"]) == (421, "host")
    assert empty_page.token not in reply.content.decode()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
def test_a_change_from_a_foreign_origin_is_refused(page: Page, origin: str) -> None:
    reply = page.send("POST", "/do/batch", Origin=origin.format(port=page.port))
    assert (reply.status, reply.json["error"]["code"]) == (403, "origin")
    assert page.place["batch"] == 0


def test_a_change_needs_our_header_and_the_method_post(page: Page) -> None:
    assert page.send("POST", "/do/batch", X_Sevensteps=None).json["error"]["code"] == "header"
    assert page.send("GET", "/do/batch").status in (404, 405)
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert page.send(method, "/do/batch").status == 405
    assert page.place["batch"] == 0
    assert page.send("POST", "/do/batch", Origin=f"http://127.0.0.1:{page.port}").status == 200


def test_the_token_of_the_address_becomes_a_strict_cookie(empty_page: Page) -> None:
    first = empty_page.send("GET", f"/?token={empty_page.token}", X_Sevensteps_Token=None)
    cookie = first.headers["set-cookie"]
    assert first.status == 200
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert empty_page.token not in first.content.decode()
    named = cookie.partition(";")[0]
    assert empty_page.send("GET", "/state", X_Sevensteps_Token=None, Cookie=named).status == 200
    # The address with the token opens the page, and nothing else.
    assert empty_page.send("GET", f"/state?token={empty_page.token}", X_Sevensteps_Token=None).status == 403


@pytest.mark.parametrize(("method", "path"), [*ROUTES[:2], ("GET", "/nothing"), ("POST", "/do/fly")])
@pytest.mark.parametrize("is_known", [True, False])
def test_every_answer_carries_the_headers_that_protect_it(
    empty_page: Page, method: str, path: str, is_known: bool
) -> None:
    reply = empty_page.send(method, path, **({} if is_known else {"X_Sevensteps_Token": "x"}))
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in reply.headers
    assert "server" not in reply.headers


@pytest.mark.parametrize(
    "name", ["../start.py", "..%2fstart.py", "%2e%2e/start.py", "page/index.html", ".", "index.html%00", "a" * 5000]
)
def test_no_name_from_a_client_becomes_a_path(empty_page: Page, name: str) -> None:
    reply = empty_page.send("GET", f"/{name}")
    assert reply.status == 404
    assert b"import" not in reply.content


@pytest.mark.parametrize(("path", "limit"), [("/do/step", SMALL_BODY), ("/gather?class=a&name=b", PICTURE_BODY)])
def test_a_body_over_the_limit_is_refused_before_it_is_read(empty_page: Page, path: str, limit: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", empty_page.port, timeout=20)
    connection.putrequest("POST", path)
    for name, value in (("X-Sevensteps", "1"), ("X-Sevensteps-Token", empty_page.token)):
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(limit + 1))
    connection.endheaders()
    answer = connection.getresponse()  # not a byte of the body was sent
    assert answer.status == 413
    connection.close()


def test_a_body_that_grows_without_a_length_is_cut_off(empty_page: Page) -> None:
    with socket.create_connection(("127.0.0.1", empty_page.port), 20) as connection:
        head = (
            f"POST /do/step HTTP/1.1\r\nHost: 127.0.0.1:{empty_page.port}\r\nX-Sevensteps: 1\r\n"
            f"X-Sevensteps-Token: {empty_page.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        try:
            for _ in range(SMALL_BODY // 0x10000 + 2):
                connection.sendall(chunk)
        except OSError:
            pass  # it hung up already
        assert b"413" in connection.recv(4096).split(b"\r\n")[0]


def test_what_a_client_sends_comes_back_as_text_of_json_alone(page: Page) -> None:
    hostile = "<script>alert(1)</script>"
    reply = page.send("POST", "/do/open", b'{"source": "<script>alert(1)</script>"}')
    assert reply.headers["content-type"].startswith("application/json")
    assert hostile in reply.json["error"]["message"]


def test_more_pages_than_there_is_room_for_ask_in_turn(empty_page: Page) -> None:
    streams = []
    try:
        for _ in range(32):
            connection = http.client.HTTPConnection("127.0.0.1", empty_page.port, timeout=20)
            connection.request("GET", "/events", headers={"X-Sevensteps-Token": empty_page.token})
            streams.append((connection, connection.getresponse()))
        for _, stream in streams:
            assert stream.status == 200
            assert stream.readline().startswith(b"data: {")
        refused = empty_page.send("GET", "/events")
        assert (refused.status, refused.json["error"]["code"]) == (503, "streams")
        assert empty_page.state["place"]["phase"] == "empty"
    finally:
        for connection, stream in streams:
            stream.close()
            connection.close()
    end = time.monotonic() + 20
    while (reply := follow(empty_page)) != 200:  # pages that closed made room
        assert time.monotonic() < end, reply
        time.sleep(0.1)


def follow(page: Page) -> int:
    """Open a stream, and return its status."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
    connection.request("GET", "/events", headers={"X-Sevensteps-Token": page.token})
    status = connection.getresponse().status
    connection.close()
    return status


def test_only_this_machine_can_connect(empty_page: Page) -> None:
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        pytest.skip("this system does not list its sockets in /proc/net/tcp")
    port = f":{empty_page.port:04X}"
    addresses = [line.split()[1] for line in listening.read_text().splitlines() if port in line.split()[1]]
    assert set(addresses) == {f"0100007F{port}"}


@pytest.mark.parametrize("path", ["/do/step", "/gather?class=a&name=b", "/try", "/do/relabel"])
def test_a_client_that_hangs_up_in_the_middle_of_a_body_is_no_fault(
    empty_page: Page, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", empty_page.port), 20) as connection:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{empty_page.port}\r\nX-Sevensteps: 1\r\n"
            f"X-Sevensteps-Token: {empty_page.token}\r\nContent-Length: 1000\r\n\r\nabc"
        )
        connection.sendall(head.encode())
        time.sleep(0.2)
    time.sleep(0.2)
    assert empty_page.state["place"]["phase"] == "empty"
    assert [record for record in caplog.records if record.exc_info] == []
