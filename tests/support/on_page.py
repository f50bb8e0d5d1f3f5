"""What a person does on the Studio's page in a real browser: waits, clicks, presses keys, drops files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from browser import violations

CAMERA = "use-fake-device-for-media-stream use-fake-ui-for-media-stream"


def until(there: Any, script: str, *given: Any, seconds: float = 150.0) -> Any:
    """Wait until a script returns something true, and return that."""
    end = time.monotonic() + seconds
    while not (value := there.execute_script(script, *given)):
        assert time.monotonic() < end, (script, there.execute_script("return document.body.innerText"))
        time.sleep(0.05)
    return value


def says(there: Any, text: str, seconds: float = 150.0) -> str:
    """Wait until the page says something; return all that it says."""
    shown = "const all = document.querySelector('main')?.innerText; return all?.includes(arguments[0]) && all"
    return str(until(there, shown, text, seconds=seconds))


def click(there: Any, label: str) -> None:
    """Click the button or link with this text, once it can be clicked."""
    until(
        there,
        "const one = [...document.querySelectorAll('main button, main a')].find("
        "each => each.textContent.trim().startsWith(arguments[0]) && !each.disabled);"
        "one?.click(); return Boolean(one)",
        label,
    )


def press(there: Any, key: str) -> None:
    """Press a key, wherever the focus is."""
    from selenium.webdriver import ActionChains

    ActionChains(there).send_keys(key).perform()


def reach(there: Any, label: str, *, back: bool = False) -> None:
    """Go to a button or link by Tab, or back to it by Shift and Tab, and press Enter."""
    from selenium.webdriver import ActionChains, Keys

    for _ in range(60):
        keys = ActionChains(there)
        (
            keys.key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT) if back else keys.send_keys(Keys.TAB)
        ).perform()
        said = "const at = document.activeElement; return at.ariaLabel ?? at.textContent.trim()"
        if there.execute_script(said).startswith(label):
            assert there.execute_script("return document.activeElement.matches(':focus-visible')")
            press(there, Keys.ENTER)
            return
    raise AssertionError(f"no way to {label} by keys")


def view(there: Any, name: str, wanted: str) -> str:
    """Open a view by its tab, wait for what it says, and check that axe finds nothing."""
    there.execute_script("document.querySelector(`#tabs a[href$='#${arguments[0]}']`).click()", name)
    said = says(there, wanted)
    found = violations(there)
    assert not found, found
    return said


def drop(there: Any, *paths: Path) -> None:
    """Drop files and folders onto the page, as from a file manager."""
    until(there, "return Boolean(document.querySelector('.drop'))")
    about = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        there.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 450, "data": about})


def complaints(there: Any) -> list[str]:
    """Return the errors of the console, but for the icon that browsers ask every server for."""
    logged = [entry for entry in there.get_log("browser") if entry["level"] == "SEVERE"]
    return [entry["message"] for entry in logged if "favicon.ico" not in entry["message"]]
