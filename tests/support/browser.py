"""A real browser without a network, to test pages: its console, its requests, and the findings of axe-core.

Debian's packages chromium and chromium-driver; `.ci/run` installs them. Elsewhere a test without them is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

WIDTHS = {"phone": 360, "desktop": 1280}
THEMES = ("light", "dark")


@contextlib.contextmanager
def browser(profile: Path, *, sees_this_machine: bool = False, more: str = "") -> Iterator[Any]:
    """Start a headless Chromium that sends no request: names are not resolved, and the network is switched off.

    Or one that sends requests to this machine only. `more` are further flags, such as those of a camera.
    """
    program, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not (program and driver):
        missing = "Debian's chromium and chromium-driver are not here"
        if os.environ.get("CI"):
            pytest.fail(f"{missing}: .ci/run installs them.")
        pytest.skip(f"{missing}: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    flags = "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    flags += " disable-component-update disable-sync disable-dev-shm-usage force-device-scale-factor=1 "
    flags += more
    for flag in flags.split():
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={profile}")
    here = ", EXCLUDE 127.0.0.1, EXCLUDE localhost" * sees_this_machine
    options.add_argument(f"--host-resolver-rules=MAP * ~NOTFOUND{here}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    there = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        there.execute_cdp_cmd("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        if not sees_this_machine:
            there.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        yield there
    finally:
        there.quit()


def show(there: Any, page: Path, width: str = "desktop", theme: str = "light") -> tuple[list[str], list[str]]:
    """Open a page from disk; return its console messages, and the other addresses that it requested."""
    there.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    )
    size = {"width": WIDTHS[width], "height": 800, "deviceScaleFactor": 1, "mobile": width == "phone"}
    there.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    there.get_log("browser"), there.get_log("performance")  # discard earlier entries
    there.get(page.as_uri())
    events = [json.loads(entry["message"])["message"] for entry in there.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    beside = [address for address in asked if address != page.as_uri() and not address.startswith("data:")]
    return [entry["message"] for entry in there.get_log("browser")], beside


def violations(there: Any) -> list[str]:
    """Return the accessibility problems that axe-core finds on the shown page, one line each."""
    there.execute_script(resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
    found = there.execute_async_script(
        "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then(r => done(r.violations))"
    )
    return [f"{one['id']}: {one['help']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


def screenshot(there: Any, path: Path, *, whole: bool = False) -> Path:
    """Return a picture of the visible part, or of the whole page."""
    import base64

    how = {"captureBeyondViewport": whole}
    if whole:
        size = there.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        how["clip"] = {**{key: size[key] for key in ("x", "y", "width", "height")}, "scale": 1}
    path.write_bytes(base64.b64decode(there.execute_cdp_cmd("Page.captureScreenshot", how)["data"]))
    return path
