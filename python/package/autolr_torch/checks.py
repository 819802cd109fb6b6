"""What is refused, before anything is changed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import LBFGS, Optimizer

from .snapshot import optimized, parameters
from .trial import rates_of


def check_pair(model: nn.Module, optimizer: Optimizer) -> None:
    """Refuses a model and an optimiser that cannot be probed.

    Raises:
        TypeError: it is no model, or no optimiser that steps along one gradient.
        ValueError: they share no parameter, or a parameter has no values yet.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: {type(model).__name__} is not a torch.nn.Module")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: {type(optimizer).__name__} is not a torch.optim.Optimizer")
    if isinstance(optimizer, LBFGS):
        raise TypeError(
            "LBFGS evaluates the loss several times a step and sets its own step size: there is no rate to probe"
        )
    for parameter in parameters(model, optimizer):
        if is_lazy(parameter):
            raise ValueError("the model has parameters without a shape: run one forward pass first")
        if parameter.is_meta:
            raise ValueError("the model has parameters on the meta device, without values")
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in own for parameter in optimized(optimizer)):
        raise ValueError("model and optimizer share no parameter: was the optimizer made for another model?")


def check_moment(optimizer: Optimizer) -> None:
    """Refuses to try anything at a moment at which it could not be undone.

    Raises:
        RuntimeError: a CUDA graph is being captured, or a schedule-free optimiser is in evaluation mode.
    """
    if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        raise RuntimeError("a CUDA graph is being captured: probe before or after it")
    if any(group.get("train_mode") is False for group in optimizer.param_groups):
        raise RuntimeError("the optimizer is in evaluation mode: call optimizer.train() first")


def check_count(name: str, value: object) -> int:
    """A whole number of at least 1.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} = {value!r}: must be a whole number")
    if value < 1:
        raise ValueError(f"{name} = {value}: must be at least 1")
    return value


def check_keys(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuses settings that there are not.

    Raises:
        TypeError: with the nearest one that there is.
    """
    known = list(known)
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f": did you mean {near[0]!r}?" if near else f" ({', '.join(known)})"
            raise TypeError(f"{what} has no setting {key!r}{hint}")


def ratios_of(optimizer: Optimizer) -> list[float]:
    """The rates of the parameter groups as multiples of the first group's.

    Raises:
        ValueError: a rate is not positive and finite.
    """
    rates = rates_of(optimizer)
    for index, rate in enumerate(rates):
        if not 0.0 < rate < float("inf"):
            raise ValueError(
                f"param_groups[{index}]['lr'] = {rate}: must be positive and finite; freeze with requires_grad"
            )
    return [rate / rates[0] for rate in rates]


def number(value: Any) -> float:
    """A number of an answer, in which what is not finite is a text."""
    return float(value)
