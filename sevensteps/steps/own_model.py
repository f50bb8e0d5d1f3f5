"""Step 1 for a network of the user's own: call the function that makes it, and check that it can be trained.

The function takes the shape of the pictures, (channels, height, width), and the number of scores that the network must
return for each: 1 for two classes, otherwise one for each class.
"""

from __future__ import annotations

import math
import random
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..base.own_code import function_named, given_name
from ..base.seeds import INITIALIZE, one_thread_draws, seed_of
from ..errors import ModelError, SevenstepsError
from .predict import TORCHS, Normalize, Shape, outputs, predict

CELLS = 4  # a side of the pictures that such a network answers


SCORES = 4  # of each of two pictures, at most, that a file keeps to recognize the code


TOLERANCE = 1e-4  # of the largest of these scores: far more than another processor's rounding


class OwnModel(nn.Module):
    """A network that code of the user's made; a file keeps its tensors, and of the code only the name.

    Args:
        network: The network.
        name: The function that made it, `package.module:function`.
        shape: Channels, height and width of the pictures that it takes.
        outputs: The number of scores that it returns.
        answers: A few scores by which its code is recognized, see `_answers`.
    """

    def __init__(
        self, network: nn.Module, name: str, shape: Shape, outputs: int, answers: tuple[float, ...] = ()
    ) -> None:
        super().__init__()
        self.network, self.name, self.shape, self.outputs, self.answers = network, name, shape, outputs, answers

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch scores"]:
        """Return the scores of the network.

        Raises:
            ModelError: Its code raised an error that is not about shapes.
        """
        try:
            scores: Tensor = self.network(x)
        except (SevenstepsError, *TORCHS):  # `predict` says what does not fit
            raise
        except Exception as error:  # whatever the code does
            raise _raised(f"The network of {self.name}", error, "Correct its forward().") from error
        return scores


def has_own_code(model: nn.Module) -> bool:
    """Return whether a network that code of the user's made is part of a model.

    Args:
        model: The model.
    """
    return any(isinstance(layer, OwnModel) for layer in model.modules())


def own_model(name: str, shape: Shape, classes: int, normalize: Normalize | None, seed: int) -> nn.Sequential:
    """Make a network of the user's own for pictures of a shape.

    Args:
        name: The function, which must have been given for this call: see `base.own_code.given`.
        shape: Channels, height and width of the pictures.
        classes: The number of classes.
        normalize: A first layer, if pixels are to be normalized.
        seed: Decides what the function draws.

    Returns:
        The network, behind the normalization.

    Raises:
        ModelError, ShapeError: As `made_by`.
    """
    own = made_by(name, shape, outputs(classes), seed)
    return nn.Sequential(*([] if normalize is None else [normalize]), own)


def made_by(name: str, shape: Shape, outputs: int, seed: int = 0) -> OwnModel:
    """Call the function that makes a network, and check the network on two pictures.

    Random numbers of PyTorch, NumPy and Python that the function draws come from the seed; their generators are left as
    they were.

    Args:
        name: The function.
        shape: Its first argument.
        outputs: Its second argument.
        seed: Decides what it draws.

    Returns:
        The network.

    Raises:
        ModelError: The function was not given, raises an error, or returns something that cannot be trained.
        ShapeError: The network cannot take the pictures.
    """
    function = function_named(name)
    mixed = seed_of(seed, INITIALIZE)
    python, numpy = random.getstate(), np.random.get_state()
    with one_thread_draws(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(mixed)
        random.seed(mixed)
        np.random.seed(mixed & 0xFFFFFFFF)
        try:
            network = function(shape, outputs)
        except Exception as error:  # whatever the code does
            hint = "It is called with (channels, height, width) and the number of scores, and returns an nn.Module."
            raise _raised(f"{name}({shape}, {outputs})", error, hint) from error
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
        if isinstance(network, type) or not isinstance(network, nn.Module):
            raise ModelError(
                f"{name}({shape}, {outputs}) returned {network!r:.80}, but must return an nn.Module.",
                hint="return nn.Sequential(...), or an instance of your class.",
            )
        own = OwnModel(network, name, shape, outputs)
        _check(own)
        own.answers = _answers(own)
    return own


def _answers(own: OwnModel) -> tuple[float, ...]:
    """Return what the code of a network computes, as a few scores: the same however the network is trained.

    Every layer gets fixed numbers in place of its own, and the network answers two pictures of noise in evaluation
    mode. Afterwards it is as it was. At most `SCORES` scores of each picture are returned, to six digits; none if
    they are not finite, the same for both pictures, or cannot be computed.
    """
    random = np.random.default_rng(0)
    tensors = {name: tensor for name, tensor in own.state_dict().items() if tensor.is_floating_point()}
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    parameters = {name for name, _ in own.named_parameters(remove_duplicate=False)}
    try:
        with torch.no_grad():
            for name, tensor in tensors.items():
                numbers = random.random(tensor.shape, dtype=np.float32)
                if name in parameters:  # spread so that scores neither vanish nor explode after many layers
                    spread = math.sqrt(6 / max(1, tensor[0].numel())) if tensor.ndim > 1 else 1.0
                    numbers = (2 * numbers - 1) * np.float32(spread)
                else:  # such as a variance, which must be positive
                    numbers = numbers + np.float32(0.5)
                tensor.copy_(torch.from_numpy(np.asarray(numbers)))
            # Noise, and more of it in some places, or else averages over a picture would hide most of the code.
            coarse = torch.from_numpy(random.random((2, own.shape[0], CELLS, CELLS), dtype=np.float32))
            fine = torch.from_numpy(random.random((2, *own.shape), dtype=np.float32))
            pictures = 8 * nn.functional.interpolate(coarse, size=own.shape[1:]) * (fine - 0.25)
            scores = own.eval()(pictures)
            found = scores[:, :SCORES].flatten().tolist()
    except (SevenstepsError, *TORCHS):  # of numbers that it was not made for
        return ()
    finally:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(before[name])
        own.train()
    one, other = tuple(found[: len(found) // 2]), tuple(found[len(found) // 2 :])
    if not all(map(math.isfinite, found)) or _are_close(one, other):
        return ()
    return tuple(float(f"{score:.6g}") for score in found)


def refuse_other_code(model: nn.Module, description: Any, where: str) -> None:
    """Raise if a network in a model is made by other code than the one that was saved.

    A file of before this check does not say what the code computes: then a typed name is compared alone, without its
    module, which may have moved.

    Args:
        model: The model that was built with the code that was given for this call.
        description: The saved one, as `ship.architecture.describe` gives it.
        where: The file or folder, for the error.

    Raises:
        ModelError: The code computes something else.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, OwnModel)]
    for layer, saved in zip(layers, _own_in(description), strict=False):
        name, given, answers = saved["name"], given_name(), saved.get("answers")
        if not answers and name.partition(":")[2] == given.partition(":")[2]:
            continue
        if answers and _are_close(answers, layer.answers):
            continue
        if name != given:
            other = ", which computes something else" if answers else ""
            raise ModelError(
                f"{where} was trained with {name}, and {given} was given{other}.",
                hint=f"Add --model {name}, or pass that function in Python.",
            )
        raise ModelError(
            f"{where} was trained with {name}, whose code computes something else now.",
            hint="Restore the code. Numbers that it draws when it makes the network belong in register_buffer().",
        )


def _own_in(description: Any) -> Iterator[Mapping[str, Any]]:
    """Yield each network of the user's own in a description, in the order of the model's layers."""
    if not isinstance(description, dict):
        return
    if description.get("layer") == OwnModel.__name__:
        yield description
    for layer in description.get("layers", []):
        yield from _own_in(layer)
    for _, layer in description.get("named", []):
        yield from _own_in(layer)


def _are_close(saved: Sequence[float], here: tuple[float, ...]) -> bool:
    """Return whether these are the same scores, but for the rounding of another processor."""
    largest = TOLERANCE * max(map(abs, saved))
    return len(saved) == len(here) and all(abs(a - b) <= largest for a, b in zip(saved, here, strict=True))


def _raised(what: str, error: Exception, hint: str) -> ModelError:
    """Return the error for an error of the user's code, with the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return ModelError(f"{what} raised {type(error).__name__}: {error!s:.200}{where}", hint=hint)


def _check(own: OwnModel) -> None:
    """Let a network answer two grey pictures, twice, in evaluation mode: lazy layers find their sizes, too.

    Raises:
        ModelError: It has other scores than wanted, other ones the second time, or state that a file cannot hold.
        ShapeError: It cannot take the pictures.
    """
    with torch.no_grad():
        x = torch.full((2, *own.shape), 0.5)
        first, second = predict(own.eval(), x), predict(own, x)
    own.train()
    if tuple(first.shape) != (2, own.outputs):
        meaning = "for two classes, the score of the second" if own.outputs == 1 else "a score for each class"
        raise ModelError(
            f"{own.name} returns scores of shape {tuple(first.shape)} for 2 pictures, but must return "
            f"{(2, own.outputs)}: {meaning}.",
            hint="The second argument of the function is the number of scores for each picture.",
        )
    if not torch.equal(first, second) and bool(torch.isfinite(first).all()):
        raise ModelError(
            f"{own.name} gives other scores for the same pictures the second time, in evaluation mode.",
            hint="Draw only while training: nn.Dropout(0.5), or F.dropout(x, 0.5, self.training).",
        )
    others = [key for key, value in own.state_dict().items() if not isinstance(value, Tensor)]
    if others:
        raise ModelError(
            f"{own.name}: {others[0].removeprefix('network.')} is state that is not a tensor.",
            hint="Keep it in a buffer: self.register_buffer(name, tensor).",
        )
