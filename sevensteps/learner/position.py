"""The position of training, counted in batches: what it means for loaders whose batches have another size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..data.loaders import as_loader
from ..errors import TrainingError
from ..steps.state import State
from ..steps.stop import StopRule


@dataclass(frozen=True)
class Batching:
    """How a loader divides an epoch: the size of its batches and their number; None where it does not say."""

    size: int | None = None
    batches: int | None = None

    @classmethod
    def of(cls, loader: Iterable[Any], device: torch.device) -> Batching:
        """Return how a training loader divides an epoch.

        Args:
            loader: Any iterable of batches.
            device: Where training happens.
        """
        size = getattr(loader, "batch_size", None)
        return cls(size if type(size) is int else None, as_loader(loader, device).batches_per_epoch)

    def as_json(self) -> dict[str, int | None]:
        """Return it as a file holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, saved: Any) -> Batching | None:
        """Read what `as_json` wrote; None for a file without it.

        Raises:
            ValueError: It is damaged.
        """
        if saved is None:
            return None
        if set(saved) != {"size", "batches"} or any(n is not None and type(n) is not int for n in saved.values()):
            raise ValueError(f"its batches are {saved!r:.80}")
        return cls(**saved)


COUNTS = ("epoch", "position", "batch", "fit_epoch", "fit_position", "fit_batch", "stopped")


def recounted(
    counts: Mapping[str, Any], before: Batching | None, now: Batching, stop: StopRule | None
) -> dict[str, int]:
    """Return the counts of a state for batches of another size, at the same picture of the same epoch.

    Args:
        counts: Those of `COUNTS`, of the batches before.
        before: How the epoch was divided; None where a file does not say.
        now: How it is divided now.
        stop: The stop rule of the fit; None where a file does not hold it.

    Returns:
        The counts that change, by name.

    Raises:
        TrainingError: The new batches have no boundary there, or the stop rule counts batches.
    """
    if before is None or before == now:
        return {}
    changed = {"position": _moved(counts["position"], before, now)}
    if counts["stopped"] is not None or counts["batch"] <= counts["fit_batch"]:
        return changed
    if stop is not None and stop.batches is not None:
        raise _refusal("the stop rule of the fit counts batches", before, now)
    if now.batches is None:
        raise _refusal("the loader does not say how many batches an epoch has", before, now)
    changed["fit_position"] = _moved(counts["fit_position"], before, now)
    done = (counts["epoch"] - counts["fit_epoch"]) * now.batches + changed["position"] - changed["fit_position"]
    changed["batch"] = max(counts["batch"], done)
    return {**changed, "fit_batch": changed["batch"] - done}


def divide_anew(state: State, loaders: Sequence[Iterable[Any]], device: torch.device, stop: StopRule) -> None:
    """Change the counts of a state that goes on with another loader.

    Args:
        state: The state.
        loaders: The training loader until now, and from now on.
        device: Where training happens.
        stop: The stop rule of the fit.

    Raises:
        TrainingError: As `recounted`.
    """
    before, now = (Batching.of(loader, device) for loader in loaders)
    counts = {name: getattr(state, name) for name in COUNTS}
    for name, count in recounted(counts, before, now, stop).items():
        setattr(state, name, count)


def still_lost(lost: frozenset[str], given: Mapping[str, Any]) -> frozenset[str]:
    """Return the parts of a plan that a loaded file could not hold and that were not given since: none.

    Args:
        lost: "stop rule", "schedule", or both.
        given: What is given now, by these names; None for nothing.

    Raises:
        TrainingError: Says what to give.
    """
    names = sorted((name for name in lost if given[name] is None), reverse=True)
    if not names:
        return frozenset()
    asked = ", ".join(f"{name.split()[0]}=..." for name in names)
    raise TrainingError(
        f"The file that was loaded could not hold the {' and the '.join(names)} of the fit under way.",
        hint=f"Give what it lacks: learn.stream({asked}). Or begin another fit: learn.fit(5)",
    )


def _moved(position: int, before: Batching, now: Batching) -> int:
    """Return the number of new batches that hold the pictures of so many old ones.

    Raises:
        TrainingError: No number of them does.
    """
    if not position:
        return 0
    if position == before.batches and now.batches is not None:  # the last batch may have been smaller
        return now.batches
    if before.size is None or now.size is None or before.size == now.size or position * before.size % now.size:
        raise _refusal(f"{position} batches of an epoch are done, and the new ones have no boundary there", before, now)
    return position * before.size // now.size


def _refusal(why: str, before: Batching, now: Batching) -> TrainingError:
    """Return the error for loaders with which the fit cannot go on."""
    sizes = before.size is not None and now.size is not None and before.size != now.size
    was, are = (before.size, now.size) if sizes else (before.batches, now.batches)
    what = f"batches of {are} pictures, and were of {was}" if sizes else f"{are} batches an epoch, and had {was}"
    return TrainingError(
        f"The fit under way cannot go on: the loaders have {what}, and {why}.",
        hint=f"Use batch_size={before.size}, or let the fit end first." if sizes else "Let the fit end first.",
    )
