"""`sevensteps studio`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .flags import FIRST, Common


def studio(
    source: str | None = None,
    *,
    port: Annotated[int | None, Parameter(group=FIRST, show_default="8420, or the next free one")] = None,
    browser: Annotated[bool, Parameter(group=FIRST, negative="--no-browser", show_default=False)] = True,
    common: Common = Common(),
) -> int:
    """Open a page in the browser that shows the seven steps, one at a time, with your pictures.

    The page and its pictures stay on this machine. Ctrl-C saves the run and ends the Studio.

    Parameters
    ----------
    source
        Pictures as for train, or a run's folder or name, to begin with; otherwise the page asks.
    port
        The port of the page; 0 chooses a free one.
    browser
        Whether to open the page in the browser.
    """
    from ..studio.start import run_studio
    from .printed_json import print_json

    left = run_studio(
        source,
        port=port,
        browser=browser,
        say=lambda url: (
            print_json({"url": url}) if common.json else print(f"Studio: {url} (Ctrl-C ends it)", flush=True)
        ),
    )
    if left and not common.json:
        print(f"The run is saved. To go on: sevensteps studio {left}, or sevensteps resume {left}")
    return 0
