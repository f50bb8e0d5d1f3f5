"""Step 5, step: move each parameter a little downhill. Optimizers, and schedules for the learning rate.

`SGD` is written out here; any class of `torch.optim` that needs no closure serves too. A schedule is a pure function
of how far training is, `(batch, total) -> factor of the learning rate`, and has no state of its own.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import optimizer as _optimizers

from ..errors import UsageError, nearest
from ..foreign import instead_of

Schedule = Callable[[int, int | None], float]


def _without_compiler(name: str) -> Any:
    """A method of PyTorch's optimizers without the guard that imports a compiler when it is first called (0.6 s)."""
    method = getattr(torch.optim.Optimizer, name)
    return getattr(method, "__wrapped__", method)


class SGD(torch.optim.Optimizer):
    """Stochastic gradient descent: p = p - lr * gradient, with momentum, weight decay and Nesterov's look-ahead.

    With momentum the step is a velocity, v = momentum * v + gradient (Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013, in PyTorch's form). Weight decay adds weight_decay * p to
    the gradient. The numbers are those of `torch.optim.SGD`.

    Raises:
        UsageError: a negative setting, or Nesterov without momentum.
    """

    add_param_group = _without_compiler("add_param_group")
    state_dict = _without_compiler("state_dict")
    load_state_dict = _without_compiler("load_state_dict")
    zero_grad = _without_compiler("zero_grad")

    @instead_of(mom="Call it momentum.", wd="Call it weight_decay.")
    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        for name, value in {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}.items():
            given: Any = value
            if not isinstance(given, numbers.Real) or not float(given) >= 0:
                raise UsageError(f"{name} is {value!r}, and must be 0 or more.", hint="Try lr=0.1, momentum=0.9.")
        if nesterov and not momentum:
            raise UsageError("nesterov needs momentum.", hint="Try momentum=0.9.")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; a closure is called before, and what it gives is given back."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, momentum, weight_decay = group["lr"], group["momentum"], group["weight_decay"]
            for known in group["params"]:
                if known.grad is None:
                    continue
                # The same memory without a record for autograd, at a tenth of what no_grad() takes.
                parameter, gradient = known.detach(), known.grad.detach()
                if weight_decay:
                    gradient = gradient.add(parameter, alpha=weight_decay)
                if momentum:
                    state = self.state[known]
                    if "momentum_buffer" in state:
                        velocity = state["momentum_buffer"].mul_(momentum).add_(gradient)
                    else:
                        velocity = state["momentum_buffer"] = gradient.clone()
                    gradient = gradient.add(velocity, alpha=momentum) if group["nesterov"] else velocity
                parameter.sub_(gradient, alpha=lr)
        return loss


def optimizer_named(name: str) -> Callable[..., torch.optim.Optimizer]:
    """`SGD`, or the class of `torch.optim` with this name.

    Raises:
        UsageError: there is none, or it needs what training here does not give.
    """
    if name == "SGD":
        return SGD
    found = getattr(torch.optim, name, None)
    if found is not None and name in UNFIT:
        raise UsageError(f"{name} does not fit here: it {UNFIT[name]}.", hint="Use SGD or AdamW.")
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise UsageError(f"There is no optimizer {name!r} for this.", hint=nearest(name, OPTIMIZERS))
    return found


UNFIT = {
    "Optimizer": "is abstract",
    "LBFGS": "needs a closure",
    "SparseAdam": "needs sparse gradients",
    "Muon": "needs parameters that are all matrices",
}
OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam")


def plain(optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    """A step of the optimizer; of ours without the record that PyTorch keeps for its profiler, which takes as long.

    Hooks on a step are called all the same.
    """
    if type(optimizer) is not SGD or "step" in vars(optimizer):  # a scheduler of PyTorch's puts its own there
        return optimizer.step
    bare = functools.partial(getattr(SGD.step, "__wrapped__", SGD.step), optimizer)
    hooks = (
        optimizer._optimizer_step_pre_hooks,
        optimizer._optimizer_step_post_hooks,
        _optimizers._global_optimizer_pre_hooks,
        _optimizers._global_optimizer_post_hooks,
    )
    return lambda: optimizer.step() if any(hooks) else bare()


def clipped(optimizer: torch.optim.Optimizer, model: nn.Module, clip: float) -> Callable[[], Any]:
    """A step that first shortens the gradient, all parameters together, to a norm of at most `clip`.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013).

    Raises:
        UsageError: a norm that is not positive.
    """
    if not clip > 0:
        raise UsageError(f"clip is {clip}, and must be more than 0.", hint="Try clip=1, or leave it out.")
    parameters = list(model.parameters())

    def step() -> None:
        nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()

    return step


def constant(batch: int, total: int | None) -> float:
    """The learning rate as it is, all the way."""
    return 1.0


def one_cycle(div: float = 25.0, div_final: float = 1e5, pct_start: float = 0.25) -> Schedule:
    """Up from 1/div to 1 in the first `pct_start` of the batches, then down to 1/div_final, both as half a cosine.

    Smith and Topin, "Super-convergence" (2017); the shape and the defaults are fastai's `fit_one_cycle`.

    Raises:
        UsageError: divisors that are not positive, or a share that is not between 0 and 1.
    """
    if not (div > 0 and div_final > 0 and 0 <= pct_start <= 1):
        raise UsageError(
            f"one_cycle cannot have div={div}, div_final={div_final}, pct_start={pct_start}.",
            hint="Divisors are positive, and pct_start is between 0 and 1.",
        )

    def factor(batch: int, total: int | None) -> float:
        done = batch / max(_known(total) - 1, 1)
        if done < pct_start or pct_start == 1:
            return _half_cosine(1 / div, 1.0, done / pct_start)
        return _half_cosine(1.0, 1 / div_final, (done - pct_start) / (1 - pct_start))

    return factor


def cosine(batch: int, total: int | None) -> float:
    """From the full learning rate at the first batch down to zero after the last, as half a cosine.

    Loshchilov and Hutter, "SGDR" (2017), without restarts.
    """
    return _half_cosine(1.0, 0.0, batch / _known(total))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "one_cycle": one_cycle(), "cosine": cosine}


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


def _known(total: int | None) -> int:
    if total is None:
        raise UsageError(
            "This schedule needs to know when training will end.",
            hint="Give a number of epochs or batches, or use the constant schedule.",
        )
    return max(total, 1)
