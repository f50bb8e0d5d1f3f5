"""`sevensteps serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from ..ship.serve.limits import Limits
from .flags import FIRST, Common, Own
from .printed_json import print_json

if TYPE_CHECKING:
    from ..jobs.serve import Serving

LIMITS = Group("Limits", sort_key=2)


_DEFAULT = Limits()


def serve(
    run: Path,
    *,
    host: Annotated[str, Parameter(group=FIRST)] = "127.0.0.1",
    port: Annotated[int, Parameter(group=FIRST)] = 8000,
    model: Annotated[Own, Parameter(group=FIRST)] = None,
    max_body: Annotated[int, Parameter(group=LIMITS)] = _DEFAULT.body,
    max_pixels: Annotated[int, Parameter(group=LIMITS)] = _DEFAULT.pixels,
    max_pictures: Annotated[int, Parameter(group=LIMITS)] = _DEFAULT.pictures,
    max_waiting: Annotated[int, Parameter(group=LIMITS)] = _DEFAULT.waiting,
    max_memory: Annotated[int, Parameter(group=LIMITS)] = _DEFAULT.memory,
    deadline: Annotated[float, Parameter(group=LIMITS)] = _DEFAULT.deadline,
    common: Common = Common(),
) -> int:
    """Classify pictures that are sent over HTTP, until Ctrl-C.

    POST a picture to /predict, or open the address in a browser. The log on stderr has one line of JSON per request.

    Parameters
    ----------
    run
        A run's folder, its name under runs/, a model.safetensors, or a model.onnx.
    host
        The address to listen on. The default serves this machine only; 0.0.0.0 serves the network, too.
    port
        The port to listen on; 0 chooses a free one.
    max_body
        The largest request, in bytes.
    max_pixels
        The largest picture, in pixels.
    max_pictures
        The largest number of pictures in a request.
    max_waiting
        The largest number of pictures that wait for their answers; more requests get status 503.
    max_memory
        The largest size of all requests together, in bytes; more requests get status 503.
    deadline
        The time in which a request must arrive, in seconds.
    """
    from ..jobs.serve import serve as serve_job

    limits = Limits(
        body=max_body,
        pixels=max_pixels,
        pictures=max_pictures,
        waiting=max_waiting,
        memory=max_memory,
        deadline=deadline,
    )

    def begun(serving: Serving) -> None:
        if common.json:
            print_json(serving.as_json())
        else:
            print(f"{serving.model}: {serving.url} (Ctrl-C ends it)", flush=True)

    serve_job(run, host, port, limits, network=model, begun=begun)
    return 0
