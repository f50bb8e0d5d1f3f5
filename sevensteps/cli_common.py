"""What every verb of the command line shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Flags of every verb."""

    json: Annotated[bool, Parameter(help="Print one JSON object on stdout, and nothing else there.")] = False
    debug: Annotated[bool, Parameter(help="Show the traceback of an error.")] = False
