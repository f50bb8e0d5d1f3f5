"""What augmentations there are and how strong each is, presets of them, and what the labels of pictures allow.

Names only, and no torch: `augment` has the functions, `batches` uses them. The strengths are here and nowhere else,
fixed at what is usual for small pictures: who wants another passes a function to `DataLoaders.from_images`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import UsageError, nearest

LEAST_AREA, LEAST_RATIO = 0.5, 3 / 4  # of a crop: its share of the picture, and of its sides to each other


DEGREES = 10.0  # that a picture is turned by at most, each way


ZOOM = 0.1  # share that it is made larger or smaller by at most


SHIFT, MOST_SHIFTED = 14, 4  # it is moved by a pixel for each 14 of its shorter side, 4 at most, each way


LIGHT = 0.2  # share that brightness and contrast are raised or lowered by at most


HOLE = 1 / 3  # side of what cutout hides, as a share of the picture's shorter side


# In the order in which they are done; in a recipe their order does not matter.
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
    "clothes": ("flip", "shift"),
    "photos": ("flip", "crop", "brightness", "contrast"),
}


NONE, AUTO = "none", "auto"


CHOICES = (
    f"none, or any of {', '.join(NAMES)}, joined with +; or presets: "
    + ", ".join(f"{name} ({'+'.join(of)})" for name, of in PRESETS.items())
    + ". auto: the preset that suits the pictures, without mirror images where the classes' names speak against them."
)


MIRRORING = {"flip"}  # what training must not do where left and right matter, nor an answer


_ELSEWHERE = {  # what others call them
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
    """The names and presets that `augment` joins with `+`: each once, in the order in which they are done.

    A preset stands for its names. `auto` stays, and comes first.

    >>> in_order("cutout+digits+shift")
    ('rotate', 'scale', 'shift', 'cutout')

    Raises:
        UsageError: a name that there is not, or `none` beside another.
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
                f"augment is {augment!r}, and none goes with nothing else.",
                hint="{augment}",
                settings={"augment": "none"},
            )
        else:
            called = _ELSEWHERE.get(word.lower())
            hint = f"Here it is called {called}." if called else nearest(word, [NONE, AUTO, *PRESETS, *NAMES])
            raise UsageError(f"augment is {augment!r:.80}, and there is no {word!r:.40}.", hint=hint)
    return tuple(name for name in (AUTO, *NAMES) if name in chosen)


def settled(augment: str, classes: Sequence[str], shape: tuple[int, int, int]) -> str:
    """The same with presets and `auto` written out as names, in the order in which they are done; `none` for none.

    Raises:
        UsageError: as `in_order`.
    """
    names = in_order(augment)
    if AUTO in names:
        names = in_order("+".join([*names[1:], *suited(classes, shape)]) or NONE)
    return "+".join(names) or NONE


def suited(classes: Sequence[str], shape: tuple[int, int, int]) -> tuple[str, ...]:
    """What `auto` stands for: the preset that suits pictures of this shape, less what their classes' names forbid."""
    characters = _are_characters(classes)
    names = PRESETS["digits" if characters else "clothes" if shape[0] == 1 else "photos"]
    without = MIRRORING if against_mirrors(classes) else set()
    without = without | ({"shift"} if is_tiny(shape) else set())
    return tuple(name for name in names if name not in without)


def pixels_shifted(height: int, width: int) -> int:
    """By how many pixels `shift` moves pictures of this size at most: 2 of 28."""
    return min(max(min(height, width) // SHIFT, 1), MOST_SHIFTED)


def is_tiny(shape: tuple[int, int, int]) -> bool:
    """Whether one pixel is more of a picture than `shift` is to move it by: it costs more than it gives then."""
    return min(shape[1:]) < SHIFT


def against_mirrors(classes: Sequence[str]) -> str:
    """Why a mirror image of these classes may be of another class, or of none; empty where nothing says so."""
    if _are_characters(classes):
        return "the classes are characters or numbers"
    words = {name: _words(name) for name in classes}
    found = next((name for name in classes if words[name] & _SIDES), None)
    if found is None and any("l" in of_one for of_one in words.values()):
        # foot_L beside foot_R
        found = next((name for name in classes if "r" in words[name]), None)
    return f"{found} speaks of a side" if found else ""


def in_words(augment: str, settled: str, classes: Sequence[str], shape: tuple[int, int, int]) -> list[str]:
    """What `auto` came to for these pictures, in a line; none where it was not asked for."""
    if AUTO not in in_order(augment):
        return []
    why = against_mirrors(classes)
    line = f"augment = {augment}: {settled}" + (f"; not mirrored, since {why}" if why else "")
    moved = shape[0] == 1 or _are_characters(classes)  # as the preset has it
    if moved and is_tiny(shape) and "shift" not in settled.split("+"):
        line += f"; not shifted, since a pixel is more than a {SHIFT}th of a picture"
    return [line]


def _are_characters(classes: Sequence[str]) -> bool:
    """Whether all classes are single characters or numbers: 7, A, 12."""
    return bool(classes) and all(len(name) == 1 or name.isdecimal() for name in classes)


def _words(name: str) -> set[str]:
    """The words of a class's name, which may be written turn_left or TurnLeft.

    >>> sorted(_words("TurnLeft")), sorted(_words("foot_L"))
    (['left', 'turn'], ['foot', 'l'])
    """
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
