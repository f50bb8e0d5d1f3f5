"""An exported page in a real browser: what it says, and the pixels and answers that it gives for files."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import browser
import numpy as np

_AT_ONCE = 500  # pictures that a page is asked for in one call
_WHILE = 30.0  # seconds that a page may take to check itself, or to answer

_ASK = """const [way, files, done] = arguments;
Promise.all(files.map(given => {
  const bytes = Uint8Array.from(atob(given), letter => letter.charCodeAt(0));
  return sevensteps[way](new Blob([bytes])).then(
    answer => (answer.data ? { ...answer, data: Array.from(answer.data) } : answer),
    error => ({ error: error.message, hint: error.hint }));
})).then(done);"""

_DROP = """const [way, name, given] = arguments, data = new DataTransfer();
data.items.add(new File([Uint8Array.from(atob(given), letter => letter.charCodeAt(0))], name));
const event = way === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
  : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
document.body.dispatchEvent(event);"""

_ASK_MANY = """const [given, size, done] = arguments;
const bytes = Uint8Array.from(atob(given), letter => letter.charCodeAt(0)), answers = [];
const start = performance.now();
for (let at = 0; at < bytes.length; at += size) {
  const { best, reason, distance, probabilities } = sevensteps.answerPixels(bytes.subarray(at, at + size));
  answers.push([best, reason, distance, ...probabilities]);
}
done([answers, performance.now() - start]);"""


def opened(there: Any, page: Path, width: str = "desktop", theme: str = "light") -> tuple[list[str], list[str]]:
    """Open a page and wait until it has checked itself; return its console messages and requests."""
    console, asked = browser.show(there, page, width, theme)
    settled(there)
    return console, asked


def settled(there: Any) -> str:
    """Wait until a page has checked itself or answered, and return its state."""
    until = time.monotonic() + _WHILE
    while (state := there.execute_script("return document.body.dataset.state")) in ("checking", "busy"):
        assert time.monotonic() < until, "the page does not answer"
        time.sleep(0.02)
    return str(state)


def given(there: Any, file: Path) -> tuple[str, dict[str, str]]:
    """Choose a file, as a person would; return the state of the page and its texts."""
    there.execute_script("document.body.dataset.state = 'busy'")
    there.find_element("id", "file").send_keys(str(file.resolve()))
    state = settled(there)
    names = ("status", "said", "why", "size", "check")
    return state, {
        name: there.execute_script("return document.getElementById(arguments[0]).textContent", name) for name in names
    }


def pixels_of(there: Any, *contents: bytes) -> list[np.ndarray | str]:
    """Return what the model sees of each file, (channels, height, width); or the reason why the page refuses it."""
    files = [base64.b64encode(content).decode() for content in contents]
    seen: list[np.ndarray | str] = []
    for got in there.execute_async_script(_ASK, "pixels", files):
        if "error" in got:
            seen.append(f"{got['error']} {got['hint']}")
            continue
        shape = got["height"], got["width"], got["channels"]
        seen.append(np.array(got["data"], np.uint8).reshape(shape).transpose(2, 0, 1))
    return seen


def answer_of(there: Any, content: bytes) -> dict[str, Any]:
    """Return the answer of a page to a file."""
    (answer,) = there.execute_async_script(_ASK, "answer", [base64.b64encode(content).decode()])
    return dict(answer)


def dropped(there: Any, file: Path, way: str) -> str:
    """Drop a file on a page, or paste it; return the state of the page."""
    there.execute_script("document.body.dataset.state = 'busy'")
    there.execute_script(_DROP, way, file.name, base64.b64encode(file.read_bytes()).decode())
    return settled(there)


def answers_of(there: Any, pixels: np.ndarray) -> tuple[np.ndarray, list[str | None], np.ndarray, float]:
    """Return a page's answers to pixels, (n, channels, height, width): probabilities, reasons, distances, seconds."""
    rows = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    there.set_script_timeout(600)
    answers, milliseconds = list[Any](), 0.0
    for start in range(0, len(rows), _AT_ONCE):  # the driver waits for two minutes, and the machine may be busy
        text = base64.b64encode(rows[start : start + _AT_ONCE].tobytes()).decode()
        some, taken = there.execute_async_script(_ASK_MANY, text, rows[0].size)
        answers, milliseconds = [*answers, *some], milliseconds + taken
    distances = np.array([np.nan if answer[2] is None else answer[2] for answer in answers])
    return (
        np.array([answer[3:] for answer in answers]),
        [answer[1] for answer in answers],
        distances,
        milliseconds / 1000,
    )
