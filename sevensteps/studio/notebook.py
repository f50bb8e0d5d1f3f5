"""`ss.open_studio`: the Studio beside a notebook or a script, for pictures, a saved run, or a learner of your own."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import UsageError
from .start import Opened, beside, opened

if TYPE_CHECKING:
    from ..learner.learner import Learner
    from .trainer import Trainer

HEIGHT = 860  # pixels of the frame


class Shown(Opened):
    """A Studio that a notebook shows in a frame; elsewhere it has an address."""

    def _repr_html_(self) -> str:
        """Return the page in a frame, or a link to it where the notebook's own address is not known."""
        address = html.escape(self.url)
        if not self.door.frame_of:
            return f'<a href="{address}" target="_blank">Open the Studio</a>'
        return (
            f'<iframe src="{html.escape(self.door.frame_url)}" width="100%" height="{HEIGHT}" style="border: 0" '
            'title="Studio" allow="camera; clipboard-write"></iframe>'
            f'<p><a href="{address}" target="_blank">In a page of its own</a></p>'
        )


def open_studio(
    learn: Learner | str | Path | None = None, *, port: int | None = None, origin: str | None = None
) -> Shown:
    """Show the seven steps on a page, one at a time: in the notebook's frame, or at the address in `url`.

    A learner is trained by the page's buttons, on a thread of its own: do not train it elsewhere meanwhile. It is not
    saved; what it has learned is in the learner.

        studio = ss.open_studio(learn)
        studio.close()

    Args:
        learn: A learner whose loaders were made from pictures, the name or path of pictures, or a saved run; the page
            asks unless given.
        port: The port of the page; the first that is free from 8420 unless given.
        origin: The address of the notebook that may show the frame, such as "http://localhost:8888"; found by itself
            in Jupyter.

    Returns:
        The Studio; a notebook shows it as a frame.

    Raises:
        UsageError: The port cannot be used, the origin is not an address, or the learner has no pictures.
    """
    found = _origins(origin) if origin is not None else _of_jupyter()
    if learn is None or isinstance(learn, (str, Path)):
        name = None if learn is None else str(learn)
        return beside(name, port=port, frame_of=found, kind=Shown)
    from .beginning import of_learner

    run = of_learner(learn)

    def first(trainer: Trainer) -> None:
        opened(trainer, None, framed=bool(found))
        trainer.take(run)

    return beside(port=port, frame_of=found, kind=Shown, first=first)


def _origins(origin: str) -> str:
    """Return the origins under which a notebook's server is reached, as a policy names them.

    Raises:
        UsageError: It is not the address of a page.
    """
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.netloc.isascii() or ";" in origin:
        raise UsageError(f"{origin!r:.80} is not the address of a notebook.", hint="origin='http://localhost:8888'")
    names = {parts.hostname, *({"localhost", "127.0.0.1"} if parts.hostname in ("localhost", "127.0.0.1") else ())}
    port = f":{parts.port}" if parts.port else ""
    return " ".join(f"{parts.scheme}://{name}{port}" for name in sorted(names))


def _of_jupyter() -> str:
    """Return the origins of the Jupyter server that has started this kernel; "" for none."""
    parent = os.environ.get("JPY_PARENT_PID", "")
    if not parent.isdecimal():
        return ""
    try:
        from jupyter_core.paths import jupyter_runtime_dir

        about: Any = json.loads((Path(jupyter_runtime_dir()) / f"jpserver-{parent}.json").read_text("utf-8"))
        return _origins(str(about["url"]))
    except (ImportError, OSError, ValueError, KeyError, TypeError, UsageError):
        return ""
