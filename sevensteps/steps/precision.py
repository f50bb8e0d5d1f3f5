"""Precision: the numbers that a network computes with, 32 bits or bfloat16's 16.

Under bfloat16, products and convolutions of steps 2 and 4 round to 8 significant bits; parameters, losses, gradients
and step 5 keep 32 (Micikevicius et al., "Mixed precision training", 2018; Kalamkar et al., "A study of BFLOAT16 for
deep learning training", 2019).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import UsageError

PRECISIONS = ("f32", "bf16")


def checked_precision(precision: str, device: torch.device) -> str:
    """Return the precision, if this machine computes with it.

    Args:
        precision: "f32" or "bf16".
        device: Where to compute.

    Raises:
        UsageError: It is another word, or the device would emulate it, which is slower than 32 bits.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision is {precision!r:.80}.", hint="Use 'f32' or 'bf16'.")
    if precision == "bf16" and unit_of(device) is None:
        what = "This CPU has neither AVX512_BF16 nor AMX" if device.type == "cpu" else f"{device.type} has no bf16 here"
        raise UsageError(
            f"{what}: bf16 would be emulated, which takes many times as long as f32.", hint="Use precision='f32'."
        )
    return precision


def unit_of(device: torch.device) -> str | None:
    """Return the part of a device that computes with bfloat16; None if it has none.

    Args:
        device: The device.
    """
    if device.type == "cpu":
        units = {"amx": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported"}
        return next((name for name, has in units.items() if getattr(torch.cpu, has, bool)()), None)
    if device.type == "cuda":
        return "cuda" if torch.cuda.is_bf16_supported(including_emulation=False) else None
    return None


def rounded(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return a context in which a network computes with this precision.

    Args:
        precision: "f32" or "bf16".
        device: Where the network is.
    """
    if precision == "f32":
        return contextlib.nullcontext()
    # Each weight is used once, so a cache of rounded weights would save nothing, and threads would share it.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def predicting(predict: Callable[[Tensor], Tensor], precision: str) -> Callable[[Tensor], Tensor]:
    """Return step 2 with this precision; its predictions have 32 bits.

    Args:
        predict: Step 2 with 32 bits.
        precision: "f32" or "bf16".
    """
    if precision == "f32":
        return predict

    def predicted(x: Tensor) -> Tensor:
        with rounded(precision, x.device):
            return predict(x).float()

    return predicted
