"""`sevensteps studio`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .flags import FIRST, PICTURES, Common


def studio(
    source: str | None = None,
    *,
    port: Annotated[int | None, Parameter(group=FIRST, show_default="8420, or the next free one")] = None,
    browser: Annotated[bool, Parameter(group=FIRST, negative="--no-browser", show_default=False)] = True,
    fix: Annotated[str, Parameter(group=PICTURES)] = "",
    yes: Annotated[bool, Parameter(group=PICTURES, negative=())] = False,
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
    fix
        A corrections file, which is applied to the pictures first; the Studio writes one into the folder of each run.
    yes
        Apply the corrections also if they change more than a fifth of the labels.
    """
    from ..studio.start import run_studio
    from .hints import program, quoted
    from .printed_json import print_json

    left = run_studio(
        source,
        port=port,
        browser=browser,
        fix=fix,
        yes=yes,
        say=lambda url: (
            print_json({"url": url}) if common.json else print(f"Studio: {url} (Ctrl-C ends it)", flush=True)
        ),
    )
    if left and not common.json:
        go_on = " or ".join(f"{program()} {verb} {quoted(left)}" for verb in ("studio", "resume"))
        print(f"The run is saved. To go on: {go_on}")
    return 0
