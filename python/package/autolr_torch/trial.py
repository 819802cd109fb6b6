"""Single trials: a loss, a gradient, an optimiser step that nobody else notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from .snapshot import optimized, parameters

#: `loss_fn(model, batch)` gives the mean loss of a batch, a tensor of one number.
LossFn = Callable[[Any, Any], Tensor]


def rates_of(optimizer: Optimizer) -> list[float]:
    """The rates of the parameter groups."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def unwrapped(optimizer: Optimizer) -> Optimizer:
    """The optimiser that an optimiser wraps, as Accelerate's does; else itself."""
    inner = getattr(optimizer, "optimizer", None)
    return unwrapped(inner) if isinstance(inner, Optimizer) else optimizer


def set_rates(optimizer: Optimizer, rates: Sequence[float]) -> None:
    """Sets the rates of the parameter groups; where a rate is a tensor, it is filled."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def bare_step(optimizer: Optimizer) -> None:
    """A step without hooks, profiler and whatever was wrapped around the object's own `step`."""
    step: Any = type(optimizer).step
    if getattr(step, "hooked", False):
        step = step.__wrapped__
    step(optimizer)


def loss_of(loss_fn: LossFn, model: nn.Module, batch: Any) -> Tensor:
    """The loss of a batch.

    Raises:
        TypeError: it is no real tensor.
        ValueError: it is not a single number.
    """
    loss = loss_fn(model, batch)
    if not isinstance(loss, Tensor):
        raise TypeError(f"loss_fn gave {type(loss).__name__}, not a tensor")
    if loss.numel() != 1:
        raise ValueError(f"loss_fn gave a tensor of shape {tuple(loss.shape)}, not a single number: take its mean")
    if not loss.is_floating_point():
        raise TypeError(f"loss_fn gave {loss.dtype}, not a floating-point number")
    return loss.reshape(())


@torch.no_grad()
def score(loss_fn: LossFn, model: nn.Module, batch: Any) -> Tensor:
    """The loss of a batch in float64, without a graph.

    Raises:
        RuntimeError: `loss_fn` needs a graph, or calls `backward`.
    """
    try:
        return loss_of(loss_fn, model, batch).double()
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise RuntimeError(
            "loss_fn calls backward or needs a graph; it has to compute the loss alone, also under torch.no_grad()"
        ) from error


@contextmanager
def own_gradients(model: nn.Module, optimizer: Optimizer, *, clone: bool = False) -> Iterator[None]:
    """Takes the gradients aside, and puts them back; with `clone`, also what was written into them meanwhile."""
    kept = [(parameter, parameter.grad) for parameter in parameters(model, optimizer)]
    values = [gradient.detach().clone() if clone and gradient is not None else None for _, gradient in kept]
    try:
        for parameter, _ in kept:
            parameter.grad = None
        yield
    finally:
        for (parameter, gradient), value in zip(kept, values):
            parameter.grad = gradient
            if gradient is not None and value is not None:
                with torch.no_grad():
                    gradient.copy_(value)


class Gradient:
    """The gradient of one batch: what it takes to have it, and what came of it.

    `scale` is what the loss is multiplied by before `backward`, as a `GradScaler` does it; the gradient is divided by it
    again before `before_step` (which clips it, say) sees it.
    """

    def __init__(
        self, optimizer: Optimizer, before_step: Callable[[], object] | None = None, scaler: GradScaler | None = None
    ) -> None:
        self._optimizer = optimizer
        self._before_step = before_step
        self.scale = float(scaler.get_scale()) if scaler is not None and scaler.is_enabled() else 1.0

    def compute(self, loss_fn: LossFn, model: nn.Module, batch: Any) -> tuple[Tensor, bool]:
        """Leaves the gradient in `.grad`. Gives the loss in float64, and whether a scaled gradient overflowed.

        Raises:
            RuntimeError: `loss_fn` calls `backward`.
            ValueError: the loss does not depend on the optimiser's parameters.
        """
        for parameter in parameters(model, self._optimizer):
            parameter.grad = None
        loss = loss_of(loss_fn, model, batch)
        if any(parameter.grad is not None for parameter in optimized(self._optimizer)):
            raise RuntimeError("loss_fn calls backward; it has to compute the loss alone")
        if not loss.requires_grad:
            raise ValueError("the loss does not depend on the model's parameters")
        (loss * self.scale if self.scale != 1.0 else loss).backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in optimized(self._optimizer) if p.grad is not None]
        if not gradients:
            raise ValueError("the loss does not depend on any parameter of the optimizer")
        overflowed = self.scale != 1.0 and self._unscale(gradients)
        if self._before_step is not None and not overflowed:
            self._before_step()
        return loss.detach().double(), overflowed

    def _unscale(self, gradients: list[Tensor]) -> bool:
        for gradient in gradients:
            gradient.div_(self.scale)
        values = [gradient._values() if gradient.is_sparse else gradient for gradient in gradients]
        return not all(bool(torch.isfinite(value).all()) for value in values)
