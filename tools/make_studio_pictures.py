"""Write the pictures of the Studio for README.md and docs/studio.md, and a short recording, from the real page.

    python tools/make_studio_pictures.py

It opens the Studio on the embedded pictures in a folder of its own, and walks through it in Debian's chromium.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from selenium.webdriver import ActionChains, Keys

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
from browser import browser  # type: ignore[import-not-found]  # noqa: E402
from in_studio import Page  # type: ignore[import-not-found]  # noqa: E402

from sevensteps.base import files  # noqa: E402
from sevensteps.studio.start import beside  # noqa: E402

IMAGES = ROOT / "docs" / "images"
WIDE, HIGH = 1280, 860
FRAME, LONG = 110, 1400  # milliseconds that a frame of the recording stands; and one that is to be read


def main() -> None:
    """Write all pictures again."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        studio: Any = beside(port=0)
        try:
            with browser(Path(folder) / "profile", sees_this_machine=True, more="hide-scrollbars") as there:
                size = {"width": WIDE, "height": HIGH, "deviceScaleFactor": 1, "mobile": False}
                there.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
                there.get(studio.url)
                walk(there, Page(studio.url))
        finally:
            studio.close()


def walk(there: Any, page: Page) -> None:
    """Go through the Studio as a person does, and keep what it shows."""
    until(there, "document.querySelectorAll('.offer canvas').length > 8")
    keep(there, "studio-start.png")
    page.do("open", source="pullover-dress")
    there.execute_script("location.hash = '#train'")
    until(there, "document.querySelectorAll('.batch .pic').length > 8")
    record(there, page)
    page.do("run")
    page.wait(lambda state: state["place"]["phase"] == "done" and state["verdict"])
    show(there, "verdict", "document.querySelectorAll('#cell canvas').length > 8")
    keep(there, "studio-verdict.png")
    show(there, "repair", "document.querySelectorAll('.examples canvas').length > 8")
    first = page.get("/suspects")["items"][0]
    page.send("POST", "/do/relabel", json.dumps({"changes": [{"id": first["id"], "now": first["likely"]}]}).encode())
    there.execute_script("location.hash = '#verdict'")
    until(there, "document.querySelector('.verdict')")
    show(there, "repair", "document.querySelectorAll('.examples canvas').length > 8")
    there.execute_script("document.querySelectorAll('.suspectgrid .pic')[1].click()")
    time.sleep(0.5)
    keep(there, "studio-repair.png")
    show(there, "try", "document.querySelectorAll('.tries canvas').length > 4")
    there.execute_script("document.querySelectorAll('.tries .pic')[1].click()")
    until(there, "document.querySelector('.duo canvas')")
    keep(there, "studio-try.png")


def record(there: Any, page: Page) -> None:
    """Write the recording: the seven stations of a batch, one after the other, then a training at full speed."""
    frames = [(picture_of(there), LONG)]
    for number in range(2, 8):
        ActionChains(there).send_keys(Keys.ARROW_RIGHT).perform()
        began = time.monotonic()
        while time.monotonic() - began < 0.9:
            frames.append((picture_of(there), FRAME))
        page.wait(lambda state: state["place"]["station"] == number)  # noqa: B023
        frames.append((picture_of(there), LONG))
        if number == 5:
            keep(there, "studio-train.png")
    there.execute_script("document.querySelector('.rail button').click()")  # the weights, while they are learned
    page.do("speed", value=60, unit="batches")
    page.do("run")
    began = time.monotonic()
    while time.monotonic() - began < 3.5:
        frames.append((picture_of(there), FRAME))
    page.do("pause")
    page.do("speed", value=0, unit="batches")
    frames.append((picture_of(there), 2 * LONG))
    small = [(frame.resize((800, 800 * HIGH // WIDE), Image.Resampling.LANCZOS), stay) for frame, stay in frames]
    changed = [small[0]]
    for frame, stay in small[1:]:  # of equal frames one, which stands longer
        before, stood = changed[-1]
        same = frame.tobytes() == before.tobytes()
        changed[-1:] = [(before, stood + stay)] if same else [changed[-1], (frame, stay)]
    content = io.BytesIO()
    pictures, stays = zip(*changed, strict=True)
    pictures[0].save(
        content, "WEBP", save_all=True, append_images=pictures[1:], duration=list(stays), loop=0, quality=55, method=6
    )
    files.write(IMAGES / "studio.webp", content.getvalue())


def show(there: Any, view: str, ready: str) -> None:
    """Open a view, and wait until it is drawn."""
    there.execute_script("location.hash = arguments[0]", view)
    until(there, ready)
    time.sleep(0.5)


def until(there: Any, condition: str) -> None:
    """Wait until a condition holds in the page."""
    end = time.monotonic() + 60
    while not there.execute_script(f"return Boolean({condition})"):
        if time.monotonic() > end:
            raise SystemExit(f"The page never came to: {condition}")
        time.sleep(0.05)


def picture_of(there: Any) -> Image.Image:
    """Return what the window shows."""
    shot = there.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    return Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB")


def keep(there: Any, name: str) -> None:
    """Write what the window shows as a PNG with few colors."""
    content = io.BytesIO()
    picture_of(there).quantize(256, kmeans=1).save(content, "PNG", optimize=True)
    files.write(IMAGES / name, content.getvalue())


if __name__ == "__main__":
    main()
