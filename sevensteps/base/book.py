"""What chapter 4 of fastai's book uses beside the seven steps: small helpers, and answers for what is not here."""

from __future__ import annotations

import importlib
import operator
import pathlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn, overload

from ..errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


def first(x: Iterable[Any]) -> Any:
    """Return the first item of an iterable, such as the first batch of a loader.

    Args:
        x: Any iterable.

    Returns:
        The item, or None if there is none.
    """
    return next(iter(x), None)


class L(list[Any]):
    """A list with methods of fastai's, each of which returns an `L`; slices do, too.

    >>> L([[0.7, 0.5], [0.6, 0.9], [0.5, 0.95]])[1:].itemgot(1)
    [0.9, 0.95]
    """

    @overload  # type: ignore[override]
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice | Iterable[int]) -> L: ...
    def __getitem__(self, place: Any) -> Any:
        """Return an item; for a slice, a list of places or a list of True and False, an `L` of items."""
        if isinstance(place, slice):
            return L(super().__getitem__(place))
        if isinstance(place, (list, tuple)):
            is_mask = len(place) == len(self) and all(isinstance(one, bool) for one in place)
            places = [at for at, wanted in enumerate(place) if wanted] if is_mask else place
            return L(super(L, self).__getitem__(at) for at in places)
        return super().__getitem__(place)

    def __add__(self, other: Iterable[Any]) -> L:
        """Return these items and the others."""
        return L([*self, *other])

    def map(self, f: Callable[..., Any], *arguments: Any, **settings: Any) -> L:
        """Return `f(item)` for each item.

        Args:
            f: A function.
            arguments: What it takes after the item.
            settings: What it takes by name.
        """
        return L(f(item, *arguments, **settings) for item in self)

    def itemgot(self, *places: Any) -> L:
        """Return `item[place]` for each item.

        Args:
            places: An index or a key; with several, `item[places[0]][places[1]]` and so on.
        """
        items = self
        for place in places:
            items = items.map(operator.itemgetter(place))
        return items

    def filter(self, f: Callable[[Any], Any]) -> L:
        """Return the items for which a function is true.

        Args:
            f: The function.
        """
        return L(filter(f, self))

    def sorted(self, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> L:
        """Return the items in order.

        Args:
            key: What they are ordered by; themselves unless given.
            reverse: Whether the largest comes first.
        """
        return L(sorted(self, key=key, reverse=reverse))

    def zip(self) -> L:
        """Return the columns of rows."""
        return L(zip(*self, strict=True))


class Path(type(pathlib.Path())):  # type: ignore[misc]
    """A path that can list a folder, as in the book: `path.ls()`."""

    def ls(self) -> L:
        """Return what is in the folder, in the order of the names."""
        return L(sorted(self.iterdir()))


def tensor(x: Any, *more: Any, **settings: Any) -> Tensor:
    """Return a tensor, as `torch.tensor` does; pictures of PIL and several numbers are taken, too.

    Args:
        x: Numbers, an array or a picture.
        more: More numbers.
        settings: As `torch.tensor` takes them, such as `dtype`.
    """
    import numpy as np
    import torch

    value = (x, *more) if more else x
    if hasattr(value, "__array_interface__") and not isinstance(value, np.ndarray):  # a picture
        value = np.array(value)
    return torch.tensor(value, **settings)


class Missing:
    """A name of fastai that is not here: calling it, or asking it for something, says what to type instead."""

    def __init__(self, name: str, instead: str) -> None:
        self._name, self._instead = name, instead

    def __repr__(self) -> str:
        return f"{self._name} is part of fastai, not of sevensteps.\n{self._instead}"

    def __call__(self, *arguments: Any, **settings: Any) -> NoReturn:
        self._refuse()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):  # which notebooks look for
            raise AttributeError(name)
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UsageError(f"{self._name} is part of fastai, not of sevensteps.", hint=self._instead)


_PICTURES = (
    'path = Path("my-pictures") is a folder of yours. For pictures that come with the program: '
    "from sevensteps.by_hand import load_pictures; x, y, valid_x, valid_y = load_pictures()"
)
_LOADERS = 'dls = DataLoaders.from_images(load("my-pictures").hold_out(0.2), batch_size=64)'
_LEARNER = 'run = train("my-pictures", recipe="cnn"); or Learner(dls, model) with any nn.Module'
MISSING: dict[str, str] = {
    "untar_data": _PICTURES,
    "URLs": _PICTURES,
    "get_image_files": 'files = L(Path("my-pictures").rglob("*.png"))',
    "ImageDataLoaders": _LOADERS,
    "DataBlock": _LOADERS,
    "vision_learner": _LEARNER,
    "cnn_learner": _LEARNER,
    "resnet18": _LEARNER,
    "resnet34": _LEARNER,
    "gv": "It only draws the diagram of the seven steps. learn.xray() shows them with numbers.",
}


class Later:
    """A module that is imported when something of it is first used: importing pandas takes long, and few need it."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __repr__(self) -> str:
        return f"<module {self._module!r}, not imported yet>"

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(importlib.import_module(self._module), name)
        except ModuleNotFoundError as error:
            if name.startswith("_"):  # which notebooks look for
                raise AttributeError(name) from error
            raise UsageError(f"{self._module} is not installed.", hint=f"pip install {self._module}") from error
