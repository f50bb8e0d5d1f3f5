"""The pages of the server in a real browser: a picture gets its answer, and nothing comes from elsewhere."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from browser import THEMES, browser, violations
from PIL import Image
from served import served

SAVED = Path(__file__).parent.parent / "saved/4e1d92b"

# The lines in which the browser shows each route.
LINES = """
const lines = [];
for (const code of document.querySelectorAll("td code")) {
  const range = document.createRange(), walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  let top = null;
  for (let node = walker.nextNode(); node; node = walker.nextNode())
    for (let at = 0; at < node.length; at++) {
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const rect = range.getBoundingClientRect();
      if (node.data[at] !== " " && rect.top !== top) { lines.push(""); top = rect.top; }
      lines[lines.length - 1] += node.data[at];
    }
}
return lines;
"""


def console(there: Any) -> list[str]:
    """Return what the console has, but for the icon that browsers ask every server for."""
    return [entry["message"] for entry in there.get_log("browser") if "favicon.ico" not in entry["message"]]


@pytest.mark.slow
def test_a_picture_that_is_chosen_gets_its_answer(tmp_path: Path) -> None:
    Image.new("L", (40, 30), 90).save(tmp_path / "picture.png")
    (tmp_path / "none.png").write_bytes(b"none")
    with (
        served(str(SAVED / "runs/linear/model.safetensors"), cwd=tmp_path) as server,
        browser(tmp_path / "profile", sees_this_machine=True) as there,
    ):
        wanted = server.send("POST", "/predict", (tmp_path / "picture.png").read_bytes()).json
        url = f"http://127.0.0.1:{server.port}/"
        there.get(url)
        for file, words in (
            ("picture.png", f"{wanted['class']} ({wanted['probability']:.1%})"),
            ("none.png", "not a picture in a known format"),
        ):
            there.find_element("css selector", "input").send_keys(str(tmp_path / file))
            shown = _until(there, words)
            assert words in shown
        # The browser, too, says which answers were no success; it has nothing to say of the policy.
        assert all("/predict" in message for message in console(there)), console(there)
        for theme in THEMES:
            features = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
            there.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
            for page in ("", "docs"):
                there.get(url + page)
                assert violations(there) == []
        size = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        there.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        there.get(url + "docs")
        assert there.execute_script("return document.documentElement.scrollWidth") <= 360
        lines = "|".join(there.execute_script(LINES))
        assert "POST" in lines
        assert not re.search(r"\w\|[a-z{]", lines), lines
        events = [json.loads(entry["message"])["message"] for entry in there.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        assert [
            address for address in asked if not address.startswith((url, f"blob:{url}", "chrome://", "data:"))
        ] == []


def _until(there: Any, words: str) -> str:
    """Return the text of the answer once it has these words, or after some seconds."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    def text(_: Any) -> str:
        return str(there.find_element("css selector", "#answer").text)

    with contextlib.suppress(TimeoutException):
        WebDriverWait(there, 20).until(lambda _: words in text(_))
    return text(None)
