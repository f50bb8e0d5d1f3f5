"""Try to make `sevensteps serve` slow, wrong, large or rude: how fast it answers, and what it does when it cannot.

Speed is measured in turns with a server that reads the same bodies and returns one JSON; the server has one core, and
the client another. What is wrong is a failure; what is slower than its goal is listed as missed.
"""

from __future__ import annotations

import io
import json
import os
import random
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sevensteps.data.sources.load import load as load_pictures
from sevensteps.ship.predict import load_model

from . import children
from .http_fuzz import generated, mutated_bodies
from .http_load import Exchange, load
from .served import ours, pin_client, plain

CONNECTIONS = 64


@dataclass(frozen=True)
class Size:
    """How much is tried."""

    turns: int
    requests: int  # in a turn
    whole: int  # requests of 64 clients
    growth: int  # requests, after which memory is compared
    seconds: float  # of overload, and of half load
    slow: int  # sockets
    ends: int  # SIGTERMs
    bodies: int  # mutated
    cases: int  # of schemathesis


QUICK = Size(1, 600, 2000, 3000, 2, 40, 2, 150, 0)
FULL = Size(5, 5000, 100_000, 200_000, 10, 200, 20, 2000, 5000)


def serve(place: Path, full: bool) -> dict[str, Any]:
    """Try everything.

    Args:
        place: A folder for a run.
        full: Whether to try as much as the figures ask for.
    """
    return _tried((_speed, _half, _many, _overload, _slow, _ends, _bodies, _generated), place, full)


def pace(place: Path, full: bool) -> dict[str, Any]:
    """Measure only requests a second, delays at half of them, and right answers under overload: on an idle machine.

    Args:
        place: A folder for a run.
        full: Whether to measure for as long as the figures ask for.
    """
    return _tried((_speed, _half, _overload), place, full)


def _tried(parts: Sequence[Callable[..., None]], place: Path, full: bool) -> dict[str, Any]:
    """Try some parts, each with a server of its own."""
    size = FULL if full else QUICK
    run = place / "served"
    children.typed("train", "pullover-dress", "--epochs", "2", "--out", str(run))
    exchanges = _exchanges(run)
    pin_client()
    found: dict[str, Any] = {"load average": round(os.getloadavg()[0], 1), "failures": [], "missed": []}
    for part in parts:
        part(run, exchanges, size, found)
        print(f"  {json.dumps({key: value for key, value in found.items() if key != 'said'})}", file=sys.stderr)
    return found if full else {key: value for key, value in found.items() if key != "missed"}


def _exchanges(run: Path) -> list[Exchange]:
    """Return requests of test pictures, with the answers that `predict` gives."""
    test = load_pictures("pullover-dress").test
    assert test is not None
    model, exchanges = load_model(run), list[Exchange]()
    for pixels in test.pixels[:: len(test.pixels) // 200, 0]:
        saved = io.BytesIO()
        Image.fromarray(pixels).save(saved, "PNG")
        answer = model.answer(saved.getvalue()).as_json()
        del answer["file"]
        exchanges.append((_post("/predict", saved.getvalue()), json.dumps(answer).encode()))
    return exchanges


def _post(path: str, body: bytes) -> bytes:
    """Return a request."""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _goal(found: dict[str, Any], name: str, value: float, goal: float, *, most: bool = False) -> None:
    """Note a figure, and whether it misses its goal."""
    found[name] = round(value, 3 if value < 10 else 0)
    if value > goal if most else value < goal:
        found["missed"].append(f"{name}: {value:.3g}, goal {'at most' if most else 'at least'} {goal:g}")


def _speed(run: Path, exchanges: list[Exchange], size: Size, found: dict[str, Any]) -> None:
    """Compare requests a second, and seconds of CPU, with the plain server in turns."""
    answer = exchanges[0][1]
    same = [(request, answer.replace(b": ", b":").replace(b", ", b",")) for request, _ in exchanges]
    with ours(run) as server, plain(answer) as peer:
        rates, ratios, cpus = list[float](), list[float](), list[float]()
        for served, asked in ((server, exchanges), (peer, same)):
            load(served.port, asked, CONNECTIONS, count=300)
        for _ in range(size.turns):
            cpu, rate = list[float](), list[float]()
            for served, asked in ((server, exchanges), (peer, same)):
                before = served.cpu()
                counts = load(served.port, asked, CONNECTIONS, count=size.requests)
                found["failures"] += counts.wrong[:5]
                cpu.append((served.cpu() - before) / size.requests)
                rate.append(counts.rate)
            rates.append(rate[0])
            ratios.append(cpu[1] / cpu[0])
            cpus.append(1e6 * cpu[0])
    found["best requests/s"] = round(max(rates))
    found["microseconds of CPU for a request"] = round(statistics.median(cpus))
    _goal(found, "requests/s", statistics.median(rates), 1000)
    _goal(found, "speed against a plain POST, by CPU", statistics.median(ratios), 0.6)


def _half(run: Path, exchanges: list[Exchange], size: Size, found: dict[str, Any]) -> None:
    """Measure delays at half of the rate that was measured."""
    with ours(run) as server:
        load(server.port, exchanges, CONNECTIONS, count=300)
        rate = found["requests/s"] / 2
        counts = load(server.port, exchanges, CONNECTIONS, seconds=size.seconds, rate=rate)
    found["failures"] += counts.wrong[:5]
    found["ms at half load, median"] = round(counts.delay(0.5), 2)
    _goal(found, "ms at half load, 99 %", counts.delay(0.99), 20, most=True)


def _many(run: Path, exchanges: list[Exchange], size: Size, found: dict[str, Any]) -> None:
    """Send many requests from 64 clients, and compare memory at the end with that after the first."""
    with ours(run) as server:
        load(server.port, exchanges, CONNECTIONS, count=max(500, size.growth // 20))
        before = server.memory()
        counts = load(server.port, exchanges, CONNECTIONS, count=size.whole)
        if counts.right != size.whole:
            found["failures"] += [f"{size.whole - counts.right} of {size.whole} requests", *counts.wrong[:5]]
        found["right answers to 64 clients"] = counts.right
        rest = load(server.port, exchanges, CONNECTIONS, count=size.growth - size.whole)
        found["failures"] += rest.wrong[:5]
        _goal(found, f"MB of growth in {size.growth} requests", server.memory() - before, 5, most=True)


def _overload(run: Path, exchanges: list[Exchange], size: Size, found: dict[str, Any]) -> None:
    """Compare the right answers a second to ten times as many clients with those to 64, in turns."""
    shares: dict[bool, list[float]] = {True: [], False: []}
    by_cpu: dict[bool, list[float]] = {True: [], False: []}
    busy = 0
    with ours(run) as server:
        load(server.port, exchanges, CONNECTIONS, count=300)
        for _ in range(max(1, size.turns // 2)):
            before = server.cpu()
            peak = load(server.port, exchanges, CONNECTIONS, seconds=size.seconds)
            each = (server.cpu() - before) / peak.right
            for polite, ratios in shares.items():
                before = server.cpu()
                counts = load(server.port, exchanges, 10 * CONNECTIONS, seconds=size.seconds, polite=polite)
                ratios.append(counts.rate / peak.rate)
                time.sleep(1.5)  # until the server has seen that these have gone
                by_cpu[polite].append(each / ((server.cpu() - before) / counts.right))
                busy += counts.busy
                found["failures"] += [*peak.wrong[:5], *counts.wrong[:5]]
    found["503 at overload"] = busy
    for polite, ratios in shares.items():
        who = "clients that wait" if polite else "clients that do not wait"
        _goal(found, f"share of the peak at 10 times the {who}", statistics.median(ratios), 0.9)
        found[f"the same by CPU, {who}"] = round(statistics.median(by_cpu[polite]), 3)


def _slow(run: Path, exchanges: list[Exchange], size: Size, found: dict[str, Any]) -> None:
    """Open connections that send little or read nothing, and measure when the last of them is closed."""
    request, wanted = exchanges[0]
    kinds: list[tuple[bytes, Callable[[int], bytes]]] = [
        (b"", lambda _: b""),
        (b"", lambda at: request[at : at + 1]),
        (request[:-40], lambda at: request[-40:][at : at + 1]),
        (b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * 200, lambda _: b""),  # and never reads
        (b"\r\n", lambda _: b"\r\n"),
    ]
    with ours(run) as server:
        began = time.monotonic()
        waiting = list[tuple[socket.socket, Callable[[int], bytes], bool]]()
        for number in range(size.slow):
            first, more = kinds[number % len(kinds)]
            connection = socket.create_connection(("127.0.0.1", server.port), 20)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            _try_to_send(connection, first)
            waiting.append((connection, more, len(first) > 2000))
        at, answered = 0, 0
        while waiting and time.monotonic() - began < 30:
            counts = load(server.port, exchanges, 1, count=5)
            answered += counts.right
            found["failures"] += counts.wrong[:5]
            time.sleep(0.25)
            waiting = [
                (connection, more, never_reads)
                for connection, more, never_reads in waiting
                if not _is_closed(connection, never_reads) and (_try_to_send(connection, more(at)) or True)
            ]
            at += 1
        _goal(found, f"seconds until {size.slow} slow sockets are closed", time.monotonic() - began, 10, most=True)
        if waiting or not answered:
            found["failures"].append(f"{len(waiting)} slow sockets stay open")
    assert wanted


def _try_to_send(connection: socket.socket, content: bytes) -> bool:
    """Send what the system takes."""
    try:
        connection.send(content)
    except OSError:
        return False
    return True


def _is_closed(connection: socket.socket, never_reads: bool) -> bool:
    """Return whether the server has closed a connection, without reading from one that never reads."""
    try:
        if never_reads:  # the reset shows as an error
            return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0 or connection.send(b"\r") < 0
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _ends(run: Path, exchanges: list[Exchange], size: Size, found: dict[str, Any]) -> None:
    """Send SIGTERM under load, and look for requests that were sent and not answered."""
    lost, answered = list[str](), 0
    for number in range(size.ends):
        with ours(run) as server:
            results: list[tuple[int, str]] = []
            clients = [
                threading.Thread(target=_until_told_to_close, args=(server.port, exchanges[each::32], results))
                for each in range(32)
            ]
            for client in clients:
                client.start()
            time.sleep(random.Random(number).uniform(0.2, 0.8))
            code = server.end()
            for client in clients:
                client.join(30)
        answered += sum(count for count, _ in results)
        lost += [f"end {number}: {failure}" for _, failure in results if failure]
        lost += [f"end {number}: exit code {code}"] if code else []
        lost += [f"end {number}: {32 - len(results)} clients hang"] if len(results) < 32 else []
    found[f"answers around {size.ends} SIGTERMs"] = answered
    found["failures"] += lost


def _until_told_to_close(port: int, exchanges: list[Exchange], results: list[tuple[int, str]]) -> None:
    """Send one request after the other until an answer says that the connection ends."""
    count = 0
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            while True:
                request, wanted = exchanges[count % len(exchanges)]
                connection.sendall(request)
                content = b""
                while not content.endswith(wanted):
                    more = connection.recv(1 << 16)
                    if not more:
                        raise EOFError(f"no answer to request {count}: {content[:60]!r}")
                    content += more
                count += 1
                if b"connection: close" in content:
                    break
        results.append((count, ""))
    except (OSError, EOFError) as error:
        results.append((count, f"{type(error).__name__}: {error}"))


def _bodies(run: Path, exchanges: list[Exchange], size: Size, found: dict[str, Any]) -> None:
    """Send mutated bodies."""
    with ours(run) as server:
        load(server.port, exchanges, 1, count=20)
        before = server.memory()
        counts, failures, slowest = mutated_bodies(server.port, size.bodies, "served")
        found["mutated bodies"] = counts
        found["failures"] += failures
        _goal(found, "seconds for the slowest mutated body", slowest, 1, most=True)
        _goal(found, "MB of growth by mutated bodies", server.memory() - before, 200, most=True)


def _generated(run: Path, exchanges: list[Exchange], size: Size, found: dict[str, Any]) -> None:
    """Let schemathesis generate requests from the OpenAPI document."""
    if not size.cases:
        return
    with ours(run) as server:
        cases, failures = generated(server.port, size.cases)
        found["cases of schemathesis"] = cases
        found["failures"] += failures
