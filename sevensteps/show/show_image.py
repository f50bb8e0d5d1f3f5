"""Show one picture on pyplot's axes, as the book does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def show_image(
    im: Any,
    ax: Axes | None = None,
    figsize: tuple[float | int, float | int] | None = None,
    title: str | None = None,
    ctx: Axes | None = None,
    **settings: Any,
) -> Axes:
    """Show a picture without axes around it.

    Args:
        im: A picture of PIL, or a tensor or array of shape (h, w), (channels, h, w) or (h, w, channels).
        ax: The axes to draw on; those of a new figure unless given.
        figsize: The size of a new figure, in inches.
        title: What stands above.
        ctx: Another name for `ax`.
        settings: What `imshow` takes, such as `cmap`.

    Returns:
        The axes.

    Raises:
        UsageError: `im` is not a picture.
    """
    from matplotlib import pyplot

    numbers = np.asarray(im.detach().cpu() if hasattr(im, "detach") else im)
    if numbers.ndim == 3 and numbers.shape[0] in (1, 3, 4):  # as torch has it
        numbers = numbers.transpose(1, 2, 0)
    if numbers.ndim == 3 and numbers.shape[2] == 1:
        numbers = numbers[..., 0]
    is_picture = numbers.ndim == 2 or (numbers.ndim == 3 and numbers.shape[2] in (3, 4))
    if not is_picture or numbers.dtype.kind not in "buif":
        shape = "x".join(map(str, numbers.shape)) or "a single value"
        raise UsageError(
            f"show_image() needs one picture, but this is {shape}.",
            hint="Give (height, width) or (channels, height, width): show_image(x[0].view(28, 28))",
        )
    axes = ax or ctx or pyplot.subplots(figsize=figsize)[1]
    axes.imshow(numbers, **settings)
    axes.set_axis_off()
    if title is not None:
        axes.set_title(title)
    return axes
