"""Answer `pickle` in words: nothing here is pickled, since a pickle can run any code when it is read."""

from __future__ import annotations

import copy
from typing import Any, NoReturn, TypeVar

from ..errors import UsageError

Own = TypeVar("Own", bound="NotPickled")


class NotPickled:
    """Can be copied, and refuses to be pickled."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Say how to save it instead."""
        raise UsageError(
            f"A {type(self).__name__} cannot be pickled: a pickle can run any code when it is read.",
            hint='Save training with learn.save("half"), or the model with learn.export("model.safetensors"). '
            "Another process can load that file.",
        )

    def __copy__(self: Own) -> Own:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __deepcopy__(self: Own, memo: dict[int, Any]) -> Own:
        other = memo[id(self)] = object.__new__(type(self))
        vars(other).update(copy.deepcopy(vars(self), memo))
        return other
