"""The processes of a distributed training: one mean, one decision, and one end if one of them fails."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


class Ranks:
    """All processes of `group`, the default one unless it is given; alone where nothing is distributed."""

    def __init__(self, group: distributed.ProcessGroup | None = None) -> None:
        self._group = group
        there = distributed.is_available() and distributed.is_initialized()
        self.size = distributed.get_world_size(group) if there else 1

    def together(self, work: Callable[[], T]) -> T:
        """Does `work` on every rank; an exception on one of them is raised on all, with its message.

        Raises:
            RuntimeError: another rank failed.
        """
        if self.size == 1:
            return work()
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        messages: list[str | None] = [None] * self.size
        own = None if failure is None else f"{type(failure).__name__}: {failure}"
        distributed.all_gather_object(messages, own, group=self._group)
        if failure is not None:
            raise failure
        for rank, message in enumerate(messages):
            if message is not None:
                raise RuntimeError(f"rank {rank} failed: {message}")
        return result

    def mean(self, values: list[float]) -> list[float]:
        """Means over the ranks, in float64 and in the order of the ranks, so that all have the same bits.

        What is not finite on one rank is not finite on all.
        """
        if self.size == 1:
            return values
        own = torch.tensor(values, dtype=torch.float64, device=self._device())
        gathered = [torch.empty_like(own) for _ in range(self.size)]
        distributed.all_gather(gathered, own, group=self._group)
        total = gathered[0].clone()
        for other in gathered[1:]:
            total += other
        means: list[float] = (total / self.size).tolist()
        return means

    def agree(self, rates: list[float]) -> None:
        """Checks that all ranks have the same rates, bit for bit.

        Raises:
            RuntimeError: they have not.
        """
        if self.size == 1:
            return
        all_rates: list[bytes] = [b""] * self.size
        distributed.all_gather_object(all_rates, struct.pack(f"{len(rates)}d", *rates), group=self._group)
        for rank, other in enumerate(all_rates):
            if other != all_rates[0]:
                first = struct.unpack(f"{len(all_rates[0]) // 8}d", all_rates[0])
                its = struct.unpack(f"{len(other) // 8}d", other)
                raise RuntimeError(
                    f"the ranks disagree about the learning rate: rank 0 has {first}, rank {rank} has {its}"
                )

    def _device(self) -> torch.device:
        if distributed.get_backend(self._group) == "nccl":
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")
