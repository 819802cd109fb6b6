"""Copies of a training's state, put back in place."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .sharding import reshard


class _Copy:
    """A tensor's copy, and the tensor, as long as somebody else holds it."""

    def __init__(self, tensor: Tensor) -> None:
        self.values = tensor.detach().clone()
        self._tensor: weakref.ref[Tensor] | None = weakref.ref(tensor)

    @classmethod
    def of_values(cls, values: Tensor) -> _Copy:
        loaded = cls.__new__(cls)
        loaded.values, loaded._tensor = values, None
        return loaded

    def put_back(self, present: object) -> Tensor:
        """Writes the values into the tensor itself; else into the one that took its place; else into a new one."""
        tensor = self._tensor() if self._tensor is not None else None
        if tensor is None and isinstance(present, Tensor):
            if present.shape == self.values.shape and present.dtype == self.values.dtype:
                tensor = present
        if tensor is None:
            return self.values.clone()
        tensor.copy_(self.values)
        return tensor


def _save(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _Copy(value)
    if isinstance(value, dict):
        return {key: _save(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_save(entry) for entry in value)
    return copy.deepcopy(value)


def _put_back(saved: Any, present: Any) -> Any:
    if isinstance(saved, _Copy):
        return saved.put_back(present)
    if isinstance(saved, dict):
        # The same dictionary, if it is one: others may hold it.
        target = present if isinstance(present, dict) else {}
        values = {key: _put_back(entry, target.get(key)) for key, entry in saved.items()}
        target.clear()
        target.update(values)
        return target
    if isinstance(saved, (list, tuple)):
        old = present if isinstance(present, (list, tuple)) and len(present) == len(saved) else [None] * len(saved)
        return type(saved)(_put_back(entry, before) for entry, before in zip(saved, old))
    return copy.deepcopy(saved)


def _export(saved: Any) -> Any:
    if isinstance(saved, _Copy):
        return saved.values
    if isinstance(saved, dict):
        return {key: _export(entry) for key, entry in saved.items()}
    if isinstance(saved, (list, tuple)):
        return type(saved)(_export(entry) for entry in saved)
    return saved


def _import(stored: Any) -> Any:
    if isinstance(stored, Tensor):
        return _Copy.of_values(stored.clone())
    if isinstance(stored, dict):
        return {key: _import(entry) for key, entry in stored.items()}
    if isinstance(stored, (list, tuple)):
        return type(stored)(_import(entry) for entry in stored)
    return stored


def parameters(model: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    """All parameters of both, each once."""
    all_parameters: Iterator[Tensor] = chain(model.parameters(), optimized(optimizer))
    return list({id(parameter): parameter for parameter in all_parameters}.values())


def optimized(optimizer: Optimizer) -> Iterator[Tensor]:
    """The optimiser's parameters, in its order."""
    for group in optimizer.param_groups:
        yield from group["params"]


def _state_of(optimizer: Optimizer) -> dict[Any, Any]:
    return optimizer.state


class Snapshot:
    """One copy of parameters, buffers and all that the optimiser keeps: its state, and the settings of its groups.

    A copy is put back in place, tensor by tensor: whoever holds a tensor of the training, such as a captured graph or
    another wrapper, still holds the right one. State and buffers that came later are removed again.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        reshard(model)
        self._parameters = [_Copy(parameter) for parameter in parameters(model, optimizer)]
        self._buffers = [
            {name: _save(buffer) for name, buffer in module._buffers.items()} for module in model.modules()
        ]
        self._state: list[Any] = [
            _save(optimizer.state[parameter]) if parameter in optimizer.state else None
            for parameter in optimized(optimizer)
        ]
        # What some optimisers keep beside the parameters' own.
        self._shared = {key: _save(value) for key, value in _state_of(optimizer).items() if not isinstance(key, Tensor)}
        self._groups = [
            {key: _save(value) for key, value in group.items() if key != "params"} for group in optimizer.param_groups
        ]

    @torch.no_grad()
    def put_back(self, model: nn.Module, optimizer: Optimizer, *, keep_optimizer: bool = False) -> None:
        """Makes model and optimiser what they were; with `keep_optimizer`, the model alone."""
        reshard(model)
        for saved, parameter in zip(self._parameters, parameters(model, optimizer), strict=True):
            saved.put_back(parameter)
        for buffers, module in zip(self._buffers, model.modules(), strict=True):
            _put_back(buffers, module._buffers)
        if not keep_optimizer:
            for state, parameter in zip(self._state, optimized(optimizer), strict=True):
                if state is None:
                    optimizer.state.pop(parameter, None)
                else:
                    optimizer.state[parameter] = _put_back(state, optimizer.state.get(parameter))
            states = _state_of(optimizer)
            for key in [key for key in states if not isinstance(key, Tensor) and key not in self._shared]:
                del states[key]
            for key, value in self._shared.items():
                states[key] = _put_back(value, states.get(key))
            for settings, group in zip(self._groups, optimizer.param_groups, strict=True):
                values = _put_back(settings, {key: value for key, value in group.items() if key != "params"})
                for key in [key for key in group if key != "params" and key not in values]:
                    del group[key]
                group.update(values)

    def export(self) -> dict[str, Any]:
        """The copy as tensors, numbers, lists and dictionaries, for a checkpoint."""
        return {
            "parameters": _export(self._parameters),
            "buffers": _export(self._buffers),
            "state": _export(self._state),
            "shared": _export(self._shared),
            "groups": _export(self._groups),
        }

    @classmethod
    def of_export(cls, stored: dict[str, Any]) -> Snapshot:
        """The copy that `export` gave."""
        loaded = cls.__new__(cls)
        loaded._parameters = _import(stored["parameters"])
        loaded._buffers = _import(stored["buffers"])
        loaded._state = _import(stored["state"])
        loaded._shared = _import(stored["shared"])
        loaded._groups = _import(stored["groups"])
        return loaded
