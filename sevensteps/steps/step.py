"""Step 5, step: move each parameter a little downhill, with an optimizer and a schedule for its learning rate.

`SGD` and `Muon` are written out here; any class of `torch.optim` that needs no closure works too. Schedules are in
`schedule.py`.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import optimizer as _optimizers

from ..base.fastai import INSTEAD, instead_of
from ..errors import UsageError, nearest
from .schedule import SCHEDULES as SCHEDULES
from .schedule import Schedule as Schedule
from .schedule import constant as constant
from .schedule import cosine as cosine
from .schedule import one_cycle as one_cycle


def _without_compiler(name: str) -> Any:
    """Return a method of PyTorch's optimizers without the guard whose first call imports a compiler (0.6 s)."""
    method = getattr(torch.optim.Optimizer, name)
    return getattr(method, "__wrapped__", method)


class _Optimizer(torch.optim.Optimizer):
    """The base of our optimizers: PyTorch's methods without the guards that they do not need."""

    add_param_group = _without_compiler("add_param_group")
    state_dict = _without_compiler("state_dict")
    load_state_dict = _without_compiler("load_state_dict")
    zero_grad = _without_compiler("zero_grad")


class SGD(_Optimizer):
    """Stochastic gradient descent: p = p - lr * gradient, with momentum, weight decay and Nesterov's look-ahead.

    With momentum the step is a velocity, v = momentum * v + gradient (Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013, in PyTorch's form). The numbers equal those of
    `torch.optim.SGD`.

    Args:
        params: The parameters, or groups of them, as PyTorch's optimizers take them.
        lr: The learning rate.
        momentum: The share of the velocity that stays from one batch to the next.
        weight_decay: This number times the parameter is added to its gradient.
        nesterov: Whether to look ahead: to use the gradient plus momentum times the new velocity.

    Raises:
        UsageError: A setting is negative, or Nesterov comes without momentum.
    """

    @instead_of(**INSTEAD["SGD"])
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
                raise UsageError(f"{name} is {value!r}; it must be 0 or more.", hint="Try lr=0.1, momentum=0.9.")
        if nesterov and not momentum:
            raise UsageError("nesterov needs momentum.", hint="Try momentum=0.9.")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient.

        Args:
            closure: Called first, if given, to calculate the loss and its gradient again.

        Returns:
            The loss that the closure returned, or None.
        """
        loss = _loss_of(closure)
        for group in self.param_groups:
            lr, momentum, weight_decay = group["lr"], group["momentum"], group["weight_decay"]
            for original in group["params"]:
                if original.grad is None:
                    continue
                # The same memory, not recorded by autograd, in a tenth of the time of no_grad().
                parameter, gradient = original.detach(), original.grad.detach()
                if weight_decay:
                    gradient = gradient.add(parameter, alpha=weight_decay)
                if momentum:
                    state = self.state[original]
                    if "momentum_buffer" in state:
                        velocity = state["momentum_buffer"].mul_(momentum).add_(gradient)
                    else:
                        velocity = state["momentum_buffer"] = gradient.clone()
                    gradient = gradient.add(velocity, alpha=momentum) if group["nesterov"] else velocity
                parameter.sub_(gradient, alpha=lr)
        return loss


class Muon(_Optimizer):
    """Orthogonalized momentum for the filters of convolutions, AdamW for all other parameters.

    A step moves a filter bank equally in every direction of its output, where the gradient alone would favor a few
    (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024). Steps are scaled to the size of
    AdamW's, so that one learning rate and one weight decay suit both (Liu et al., "Muon is scalable for LLM training",
    2025). PyTorch's own Muon takes only matrices.

    Args:
        params: The parameters, or groups of them, as PyTorch's optimizers take them.
        lr: The learning rate.
        momentum: The share of the average gradient that stays from one batch to the next, for filters.
        betas: The same for AdamW's averages of the gradient and of its square.
        eps: Added to AdamW's divisor.
        weight_decay: In each step, parameters shrink by the learning rate times this share.

    Raises:
        UsageError: A setting is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        shares = {"momentum": momentum, "betas[0]": betas[0], "betas[1]": betas[1]}
        for name, value in {"lr": lr, "weight_decay": weight_decay, "eps": eps, **shares}.items():
            given: Any = value
            least = isinstance(given, numbers.Real) and float(given) >= 0
            if not least or (name in shares and not float(given) < 1):
                limits = "at least 0 and less than 1" if name in shares else "0 or more"
                raise UsageError(f"{name} is {value!r}; it must be {limits}.", hint="Try lr=0.01, momentum=0.95.")
        settings = {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, settings)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient.

        Args:
            closure: Called first, if given, to calculate the loss and its gradient again.

        Returns:
            The loss that the closure returned, or None.
        """
        loss = _loss_of(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                move = _step_of_filters if parameter.ndim == 4 else _step_of_adamw
                move(parameter.detach(), parameter.grad.detach(), self.state[parameter], group)
        return loss


def _loss_of(closure: Callable[[], Any] | None) -> Any:
    """Call a closure, as PyTorch's optimizers do to calculate loss and gradient again; return its loss."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _step_of_filters(filters: Tensor, gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    """Move a filter bank by Nesterov's momentum, made orthogonal."""
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = torch.zeros_like(filters)
    average = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
    direction = orthogonal(gradient.lerp(average, group["momentum"]).flatten(1)).view(filters.shape)
    size = 0.2 * math.sqrt(max(filters.shape[0], filters[0].numel()))  # AdamW's steps have a root mean square of 0.2
    filters.mul_(1 - group["lr"] * group["weight_decay"]).sub_(direction, alpha=group["lr"] * size)


def _step_of_adamw(parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    """Move a parameter as AdamW does (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019)."""
    if not state:
        state |= {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
    state["step"] += 1
    beta, beta_of_squares = group["betas"]
    average = state["exp_avg"].lerp_(gradient, 1 - beta)
    squares = state["exp_avg_sq"].mul_(beta_of_squares).addcmul_(gradient, gradient, value=1 - beta_of_squares)
    spread = (squares.sqrt() / math.sqrt(1 - beta_of_squares ** state["step"])).add_(group["eps"])
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.addcdiv_(average, spread, value=-group["lr"] / (1 - beta ** state["step"]))


def orthogonal(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Bring all singular values of a matrix near 1: between 0.7 and 1.2, except for tiny ones.

    A Newton-Schulz iteration of fifth order with Jordan's coefficients needs only products of matrices.

    Args:
        matrix: Any matrix.

    Returns:
        A new matrix with the same singular directions.
    """
    x = matrix.t() if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        squared = x @ x.t()
        x = torch.addmm(x, torch.addmm(squared, squared, squared, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.t() if matrix.shape[0] > matrix.shape[1] else x


def optimizer_named(name: str) -> Callable[..., torch.optim.Optimizer]:
    """Return an optimizer by its name.

    Args:
        name: "SGD" or "Muon" for our own, otherwise a class of `torch.optim`.

    Returns:
        The class, to be called with parameters and `lr`.

    Raises:
        UsageError: No such optimizer exists, or it needs something that training does not provide.
    """
    if name in OURS:
        return OURS[name]
    optimizer = getattr(torch.optim, name, None)
    if optimizer is not None and name in UNFIT:
        raise UsageError(f"{name} cannot be used here: it {UNFIT[name]}.", hint="Use SGD or AdamW.")
    if not (isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer)):
        raise UsageError(f"There is no optimizer named {name!r}.", hint=nearest(name, OPTIMIZERS))
    return optimizer


OURS: dict[str, Callable[..., torch.optim.Optimizer]] = {"SGD": SGD, "Muon": Muon}


UNFIT = {
    "Optimizer": "is abstract",
    "LBFGS": "needs a closure",
    "SparseAdam": "needs sparse gradients",
    "Muon": "needs parameters that are all matrices",
}


OPTIMIZERS = ("SGD", "Muon", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam")


def plain(optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
    """Return step 5: the optimizer's step as it is.

    For our SGD it leaves out the record that PyTorch keeps for its profiler, which takes as long as the step itself.
    Hooks on a step are still called.

    Args:
        optimizer: Any optimizer.

    Returns:
        A function without arguments.
    """
    if type(optimizer) is not SGD or "step" in vars(optimizer):  # PyTorch's schedulers put their own step there
        return optimizer.step
    bare = functools.partial(getattr(SGD.step, "__wrapped__", SGD.step), optimizer)
    hooks = (
        optimizer._optimizer_step_pre_hooks,
        optimizer._optimizer_step_post_hooks,
        _optimizers._global_optimizer_pre_hooks,
        _optimizers._global_optimizer_post_hooks,
    )
    return lambda: optimizer.step() if any(hooks) or "step" in vars(optimizer) else bare()


def clipped(optimizer: torch.optim.Optimizer, model: nn.Module, clip: float) -> Callable[[], Any]:
    """Return step 5 with gradient clipping: the gradient of all parameters together is shortened first.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013).

    Args:
        optimizer: Any optimizer.
        model: The model that it trains.
        clip: The largest norm that the gradient may have.

    Returns:
        A function without arguments.

    Raises:
        UsageError: `clip` is not positive.
    """
    if not clip > 0:
        raise UsageError(f"clip is {clip}; it must be more than 0.", hint="Try clip=1, or leave it out.")
    parameters = list(model.parameters())

    def step() -> None:
        nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()

    return step
