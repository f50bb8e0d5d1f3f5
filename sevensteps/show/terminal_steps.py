"""Print the seven steps of a batch, and one picture from its pixels to its gradient, for `xray`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from ..records.steps import Chain, XRay, largest_moves
from .blocks import Block, has_colors, map_block, picture_block
from .labels import label_of
from .pixels import as_picture, weight_maps
from .terminal import printable

SIDE = 28  # side length, in pixels, of a picture that is shown large


SMALL = 14  # side length, in pixels, of pictures in a row


GAP = "  "


def print_xray(out: Console, seen: XRay, classes: Sequence[str]) -> None:
    """Each step in words, and under it what it works on: weights, pictures, gradient, and numbers that moved."""
    parameters, gradients = seen[1].values["parameters"], seen[4].values["gradients"]
    for step in seen.steps:
        out.print(Text(printable(str(step)), style="bold"))
        if step.number == 1:
            _print_maps(out, parameters, seen, *_what_weights_say(seen, classes))
        elif step.number == 2:
            _print_batch(out, step.values, classes)
        elif step.number == 4:
            _print_maps(
                out,
                gradients,
                seen,
                "a step lowers + weights and raises - weights",
                "a step lowers blue weights and raises red ones",
            )
        elif step.number == 5:
            for name, was, slope, now in largest_moves(parameters, gradients, step.values["parameters"]):
                _line(out, f"{name}: {was:.6g}, with the gradient {slope:.4g}, becomes {now:.6g}")


def _what_weights_say(seen: XRay, classes: Sequence[str]) -> tuple[str, str]:
    """What the signs of the weights that see the pixels mean, in plain characters and in colors."""
    picture = None if seen[2].values.get("of_features") else as_picture(seen[2].values["x"][0])
    found = None if picture is None else weight_maps(seen[1].values["parameters"], picture.shape)
    if found is None or len(seen[1].values["parameters"]) > 2:  # further layers: a map is a unit's, and no class's
        return "+ raises what the unit gives, - lowers it", "blue raises what the unit gives, red lowers it"
    if len(found[1]) == 1 and len(classes) == 2:
        which = "{} is evidence for {}, {} for {}"
        return which.format("+", classes[1], "-", classes[0]), which.format("blue", classes[1], "red", classes[0])
    names = ", ".join(classes) or "each score"
    which = "{} is evidence for the class, {} against it: {}"
    return which.format("+", "-", names), which.format("blue", "red", names)


def print_chain(out: Console, chain: Chain) -> None:
    """One picture through steps 2 to 4, with every number that can be added up by hand."""
    name = label_of(chain.label, chain.classes)
    picture = None if chain.of_features else as_picture(chain.pixels)
    out.print(Text(printable(f"picture {chain.number} of {chain.size}: {name}"), style="bold"))
    if picture is not None:
        _print(out, [picture_block(out, picture, SIDE)])
    elif chain.of_features:
        _line(out, f"{chain.pixels.size:,} features from a frozen network; what follows is learned")
    for layer, value in chain.layers:
        shape = "x".join(map(str, value.shape)) or "1"
        _line(out, f"{layer:<14} {shape:<10} {value.min():.4g} to {value.max():.4g}, mean {value.mean():.4g}")
    at = int(chain.scores.argmax())
    if chain.contributions is not None:
        if chain.of_features:
            _head(out, "times weights", f"each feature times its weight; the strongest: {_strongest(chain, at)}")
        else:
            colors, characters = "blue raises the score, red lowers it", "# and + raise the score, = and - lower it"
            signs = colors if has_colors(out) else characters
            _head(out, "times weights", f"each pixel times its weight: {signs}")
            _print_signed(out, chain.contributions[at])
        bias = 0.0 if chain.bias is None else float(chain.bias[at])
        total = float(chain.contributions[at].sum(dtype=float))
        _line(out, f"they add up to {total:.4f}, and with the bias {bias:.4f} to {total + bias:.4f}")
    one = len(chain.scores) == 1
    names = chain.classes[1:] if one else chain.classes
    for place, score in enumerate(chain.scores.tolist()):
        whose = names[place] if place < len(names) else f"score {place + 1}"
        share = chain.probabilities
        after = "" if share is None else f", after the {chain.activation} {float(share[place + one]):.4f}"
        _head(out, "score", f"{whose}: {score:.4f}{after}; the slope of the loss there is {chain.slopes[place]:.4f}")
    _head(out, "loss", f"{chain.loss_name} = {chain.loss:.4f} for this picture")
    found = None if picture is None else weight_maps(chain.gradients, picture.shape, most=len(chain.scores))
    if found is not None:
        name, maps = found
        place = int(np.abs(chain.slopes).argmax()) if len(maps) == len(chain.scores) else 0
        _head(out, "gradient", f"the gradient of {name} for this picture alone; a step goes the other way")
        _print(out, [map_block(out, maps[place], SIDE)])
    norms = {name: float(np.linalg.norm(gradient.astype(float))) for name, gradient in chain.gradients.items()}
    for name, norm in norms.items():
        _line(out, f"{name}: norm {norm:.4g}")
    input_name = "feature" if chain.of_features else "pixel"
    change = f"the loss changes by up to {np.abs(chain.on_pixels).max():.4g}"
    _head(out, f"{input_name}s", f"{change} if a {input_name} rises by 1")
    if not chain.of_features:
        _print_signed(out, chain.on_pixels)


def _strongest(chain: Chain, at: int) -> str:
    """The three features that change a score most, counted from 1."""
    assert chain.contributions is not None
    added = chain.contributions[at].ravel()
    places = np.abs(added).argsort(kind="stable")[::-1][:3]
    return ", ".join(f"feature {place + 1} {added[place]:+.3g}" for place in places.tolist())


def _head(out: Console, name: str, line: str) -> None:
    out.print(Text(f"{name:<14}", style="bold").append(printable(line), style="not bold"))


def _line(out: Console, line: str) -> None:
    out.print(Text(printable(f"{GAP}{line}")))


def _print_maps(out: Console, parameters: Mapping[str, Any], seen: XRay, plain: str, colored: str) -> None:
    """The weights that see the pixels, as many as fit side by side, on one scale; then each tensor in numbers."""
    picture = None if seen[2].values.get("of_features") else as_picture(seen[2].values["x"][0])
    found = None if picture is None else weight_maps(parameters, picture.shape)
    if found is not None:
        name, maps = found
        fitting = max(_width(out) // ((SIDE if has_colors(out) else 2 * SIDE) + len(GAP)), 1)
        most = float(np.abs(maps).max(initial=0.0))
        _print(out, [map_block(out, one, SIDE, most) for one in maps[:fitting]])
        _line(out, f"{name}: {colored if has_colors(out) else plain}; the strongest is {most:.3g}")
    for name, one in parameters.items():
        numbers = one.astype(float)
        shape = "x".join(map(str, one.shape))
        _line(out, f"{name:<12} {shape:<10} mean {numbers.mean():.3g}, spread {numbers.std():.3g}")


def _print_batch(out: Console, values: Mapping[str, Any], classes: Sequence[str]) -> None:
    """The first pictures of the batch, each with its place, its label, and what the model says."""
    wide = SMALL if has_colors(out) else 2 * SMALL
    fitting = max(_width(out) // (wide + len(GAP)), 1)
    shares, blocks = values.get("probabilities"), []
    for at in range(min(fitting, len(values["x"]))):
        picture = None if values.get("of_features") else as_picture(values["x"][at])
        if picture is None:
            return
        told = [f"{at + 1} {label_of(values['targets'][at], classes)}"]
        if shares is not None:
            best = int(shares[at].argmax())
            told.append(f"{shares[at][best]:.0%} {label_of(best, classes)}")
        under = [Text(printable(line)[:wide]) for line in told]
        blocks.append([*picture_block(out, picture, SMALL), *under])
    _print(out, blocks)


def _print_signed(out: Console, numbers: np.ndarray) -> None:
    picture = as_picture(numbers)
    if picture is not None:
        _print(out, [map_block(out, picture.sum(0), SIDE)])


def _print(out: Console, blocks: Sequence[Block]) -> None:
    """Blocks of lines side by side."""
    height = max(map(len, blocks), default=0)
    widths = [max(len(line) for line in block) for block in blocks]
    for row in range(height):
        line = Text()
        for block, width in zip(blocks, widths, strict=True):
            part = block[row].copy() if row < len(block) else Text()
            part.pad_right(width - len(part))
            line.append(GAP).append_text(part)
        line.rstrip()
        out.print(line)


def _width(out: Console) -> int:
    return out.width - len(GAP)
