"""`sevensteps verify`."""

from __future__ import annotations

from .flags import Common, Own
from .printed_json import print_json


def verify(thing: str, *, rerun: bool = False, model: Own = None, common: Common = Common()) -> int:
    """Check a run, a model or a store against its checksums; exit with 1 if anything differs.

    A model.onnx also answers the pictures beside it again.

    Parameters
    ----------
    thing
        A run's folder, its name under runs/, a model.safetensors, a model.onnx, or a store, here or at an address.
    rerun
        Train the run again from its recipe, and compare byte for byte.
    """
    from ..jobs.verify import verify as verify_job
    from ..show import terminal
    from ..show.training import training

    console, error = terminal.consoles(quiet_stdout=common.json)
    with training(error, error) as observe:
        verified = verify_job(thing, rerun=rerun, model=model, observe=observe)
    code = 0 if verified.passed else 1
    if common.json:
        print_json(verified.as_json())
        return code
    terminal.print_table(
        console, ("what", "", "seen"), [(c.name, "ok" if c.passed else "WRONG", c.line) for c in verified]
    )
    return code
