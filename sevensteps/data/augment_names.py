"""The names and strengths of augmentations, presets of them, and which of them the names of classes rule out.

Only names, and no torch: the functions are in `augment`, and `batches` uses them. The strengths are only here, at
values that are usual for small pictures. For another strength pass a function to `DataLoaders.from_images`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import UsageError, nearest

LEAST_AREA, LEAST_RATIO = 0.5, 3 / 4  # the smallest crop: its share of the picture, and the ratio of its sides

DEGREES = 10.0  # the largest rotation, in either direction

ZOOM = 0.1  # the largest zoom, in or out, as a share

# The largest move in each direction: one pixel for each 14 of the shorter side, but at most 4.
SHIFT, MOST_SHIFTED = 14, 4

LIGHT = 0.2  # the largest change of brightness and of contrast, up or down, as a share

HOLE = 1 / 3  # the side of cutout's square, as a share of the picture's shorter side

# In the order in which they are applied; their order in a recipe does not matter.
NAMES = {
    "flip": "mirrored left to right, half of the pictures",
    "flip_vertical": "upside down, half of the pictures",
    "crop": f"a part of {LEAST_AREA:.0%} of the area or more, made as large as the whole",
    "rotate": f"turned by up to {DEGREES:.0f} degrees",
    "scale": f"up to {ZOOM:.0%} larger or smaller",
    "shift": f"moved by up to a {SHIFT}th of the shorter side, 1 to {MOST_SHIFTED} pixels",
    "brightness": f"up to {LIGHT:.0%} brighter or darker",
    "contrast": f"up to {LIGHT:.0%} more or less contrast",
    "cutout": "a black square, a third of the side, somewhere",
    "mixup": "each mixed with another, and so are their labels",
}


PRESETS = {
    "digits": ("rotate", "scale", "shift"),
    "clothes": ("flip",),
    "photos": ("flip", "crop", "brightness", "contrast"),
}


NONE, AUTO = "none", "auto"


CHOICES = (
    f"none, or any of {', '.join(NAMES)}, joined with +; or presets: "
    + ", ".join(f"{name} ({'+'.join(of)})" for name, of in PRESETS.items())
    + ". auto: the preset that suits the pictures, without mirror images if the names of the classes rule them out."
)


MIRRORING = {"flip"}  # what neither training nor predicting may do if left and right matter


_ELSEWHERE = {  # their names in other libraries
    "hflip": "flip", "fliplr": "flip", "flip_lr": "flip", "horizontal_flip": "flip", "mirror": "flip",
    "vflip": "flip_vertical", "flip_vert": "flip_vertical", "flipud": "flip_vertical", "vertical_flip": "flip_vertical",
    "random_resized_crop": "crop", "randomresizedcrop": "crop", "rotation": "rotate", "zoom": "scale",
    "translate": "shift", "lighting": "brightness+contrast", "color_jitter": "brightness+contrast",
    "colorjitter": "brightness+contrast", "random_erasing": "cutout", "randomerasing": "cutout", "erasing": "cutout",
    "affine": "rotate+scale+shift",
}  # fmt: skip


_SIDES = {"left", "right", "leftward", "rightward", "leftwards", "rightwards", "clockwise", "counterclockwise",
          "anticlockwise", "links", "rechts", "gauche", "droite", "izquierda", "derecha"}  # fmt: skip


def in_order(augment: str) -> tuple[str, ...]:
    """Return the names in a setting, each once, in the order in which they are applied.

    Args:
        augment: Names and presets, joined with `+`.

    Returns:
        The names, with presets replaced by theirs; "auto" stays and comes first. Empty for "none".

    Raises:
        UsageError: A name is not valid, or "none" comes with another.

    >>> in_order("cutout+digits+shift")
    ('rotate', 'scale', 'shift', 'cutout')
    """
    words = [word.strip() for word in augment.split("+")]
    chosen: set[str] = set()
    for word in words:
        if word in PRESETS:
            chosen |= set(PRESETS[word])
        elif word in NAMES or word == AUTO or (word == NONE and len(words) == 1):
            chosen.add(word)
        elif word == NONE:
            raise UsageError(
                f"augment is {augment!r}, but none cannot be combined with others.",
                hint="{augment}",
                settings={"augment": "none"},
            )
        else:
            own_name = _ELSEWHERE.get(word.lower())
            hint = f"Here it is called {own_name}." if own_name else nearest(word, [NONE, AUTO, *PRESETS, *NAMES])
            raise UsageError(f"augment is {augment!r:.80}, but there is no {word!r:.40}.", hint=hint)
    return tuple(name for name in (AUTO, *NAMES) if name in chosen)


def settled(augment: str, classes: Sequence[str], shape: tuple[int, int, int]) -> str:
    """Replace presets and `auto` in a setting by names.

    Args:
        augment: Names and presets, joined with `+`.
        classes: The names of the classes.
        shape: Channels, height and width of the pictures.

    Returns:
        Names joined with `+`, in the order in which they are applied, or "none".

    Raises:
        UsageError: A name is not valid, or "none" comes with another.
    """
    names = in_order(augment)
    if AUTO in names:
        names = in_order("+".join([*names[1:], *suited(classes, shape)]) or NONE)
    return "+".join(names) or NONE


def suited(classes: Sequence[str], shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Return what `auto` stands for: the preset that suits the pictures, without what their classes rule out.

    Args:
        classes: The names of the classes.
        shape: Channels, height and width of the pictures.

    Returns:
        Names of augmentations.
    """
    characters = _are_characters(classes)
    names = PRESETS["digits" if characters else "clothes" if shape[0] == 1 else "photos"]
    if against_mirrors(classes):
        names = tuple(name for name in names if name not in MIRRORING) or ("shift",)
    return tuple(name for name in names if name != "shift" or not is_tiny(shape))


def pixels_shifted(height: int, width: int) -> int:
    """Return by how many pixels `shift` moves pictures of this size at most: 2 for 28 x 28.

    Args:
        height: The height in pixels.
        width: The width in pixels.
    """
    return min(max(min(height, width) // SHIFT, 1), MOST_SHIFTED)


def is_tiny(shape: tuple[int, int, int]) -> bool:
    """Return whether pictures are so small that moving them by one pixel does more harm than good.

    Args:
        shape: Channels, height and width of the pictures.
    """
    return min(shape[1:]) < SHIFT


def against_mirrors(classes: Sequence[str]) -> str:
    """Return why a mirror image may belong to another class, or to none.

    Args:
        classes: The names of the classes.

    Returns:
        The reason in words, or "" if mirror images are fine.
    """
    if _are_characters(classes):
        return "the classes are characters or numbers"
    words = {name: _words(name) for name in classes}
    sided = next((name for name in classes if words[name] & _SIDES), None)
    if sided is None and any("l" in words_of_class for words_of_class in words.values()):
        # foot_L and foot_R
        sided = next((name for name in classes if "r" in words[name]), None)
    return f"{sided} names a side" if sided else ""


def in_words(augment: str, settled: str, classes: Sequence[str], shape: tuple[int, int, int]) -> list[str]:
    """Return what `auto` stands for in words.

    Args:
        augment: The setting.
        settled: The same without presets and `auto`.
        classes: The names of the classes.
        shape: Channels, height and width of the pictures.

    Returns:
        One line, or none if the setting does not contain `auto`.
    """
    if AUTO not in in_order(augment):
        return []
    why = against_mirrors(classes)
    line = f"augment = {augment}: {settled}" + (f"; not mirrored, because {why}" if why else "")
    moved = shape[0] == 1 or _are_characters(classes)  # as the preset has it
    if moved and is_tiny(shape) and "shift" not in settled.split("+"):
        line += f"; not shifted, because one pixel is more than a {SHIFT}th of a picture"
    return [line]


def _are_characters(classes: Sequence[str]) -> bool:
    """Whether all classes are single characters or numbers: 7, A, 12."""
    return bool(classes) and all(len(name) == 1 or name.isdecimal() for name in classes)


def _words(name: str) -> set[str]:
    """Return the words of a class's name, which may be written turn_left or TurnLeft.
    >>> sorted(_words("TurnLeft")), sorted(_words("foot_L"))
    (['left', 'turn'], ['foot', 'l'])
    """
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
