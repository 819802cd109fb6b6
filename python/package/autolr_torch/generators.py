"""The states of all random generators that a training draws from."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from typing import Any

import torch


class Generators:
    """The states of PyTorch's generators (CPU and each CUDA device), Python's and NumPy's, and of any others given."""

    def __init__(self, others: Iterable[torch.Generator] = ()) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if _uses_cuda() else None
        self._python = random.getstate()
        numpy: Any = sys.modules.get("numpy")
        self._numpy = None if numpy is None else numpy.random.get_state()
        self._others = [(generator, generator.get_state()) for generator in others]

    def put_back(self) -> None:
        """Sets every generator to the state that it had."""
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)
        random.setstate(self._python)
        if self._numpy is not None:
            sys.modules["numpy"].random.set_state(self._numpy)
        for generator, state in self._others:
            generator.set_state(state)


def _uses_cuda() -> bool:
    used: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return used


def generators_of(loader: object) -> list[torch.Generator]:
    """The generators that a data loader has of its own."""
    found: list[torch.Generator] = []
    for holder in (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
        generator = getattr(holder, "generator", None)
        if isinstance(generator, torch.Generator) and all(generator is not other for other in found):
            found.append(generator)
    return found
