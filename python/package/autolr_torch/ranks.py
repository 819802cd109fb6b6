"""The processes of a distributed training: one mean, one decision, and one end if one of them fails."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")

#: How long a rank that failed waits for the others to hear of it. They may be stuck in a collective operation of the
#: model that this rank has left; then its process has to end for them to notice.
_LAST_WORDS = timedelta(seconds=20)


class Ranks:
    """All processes of `group`, the default one unless it is given; alone where nothing is distributed.

    They talk over gloo, beside whatever the training uses. All of them have to make one at the same time.
    """

    def __init__(self, group: distributed.ProcessGroup | None = None) -> None:
        there = distributed.is_available() and distributed.is_initialized()
        self.size = distributed.get_world_size(group) if there else 1
        self._group: distributed.ProcessGroup | None = None
        if self.size > 1:
            ranks = None if group is None else distributed.get_process_group_ranks(group)
            self._group = distributed.new_group(ranks, backend="gloo", use_local_synchronization=ranks is not None)

    def together(self, work: Callable[[], T]) -> T:
        """Does `work` on every rank; an exception on one of them is raised on all, with its message.

        Raises:
            RuntimeError: another rank failed.
        """
        if self.size == 1:
            return work()
        try:
            result = work()
        except Exception as error:
            try:
                self._gather_text(f"{type(error).__name__}: {error}", _LAST_WORDS)
            except RuntimeError as unheard:
                error.add_note(f"(the other ranks did not hear of it: {unheard})") if hasattr(
                    error, "add_note"
                ) else None
            raise
        for rank, message in enumerate(self._gather_text("")):
            if message:
                raise RuntimeError(f"rank {rank} failed: {message}")
        return result

    def mean(self, values: list[float]) -> list[float]:
        """Means over the ranks, in float64 and in the order of the ranks, so that all have the same bits.

        What is not finite on one rank is not finite on all.
        """
        if self.size == 1:
            return values
        first, *others = self._gather(torch.tensor(values, dtype=torch.float64))
        for other in others:
            first += other
        means: list[float] = (first / self.size).tolist()
        return means

    def agree(self, rates: list[float]) -> None:
        """Checks that all ranks have the same rates, bit for bit.

        Raises:
            RuntimeError: they have not, on all ranks.
        """
        if self.size == 1:
            return
        everybodys = [rates_of.tolist() for rates_of in self._gather(torch.tensor(rates, dtype=torch.float64))]
        for rank, other in enumerate(everybodys):
            if struct.pack(f"{len(other)}d", *other) != struct.pack(f"{len(rates)}d", *everybodys[0]):
                raise RuntimeError(
                    f"the ranks disagree about the learning rate: rank 0 has {everybodys[0]}, rank {rank} has {other}"
                )

    def _gather(self, own: Tensor, timeout: timedelta | None = None) -> list[Tensor]:
        """A tensor of every rank, all of one shape."""
        gathered = [torch.empty_like(own) for _ in range(self.size)]
        work = distributed.all_gather(gathered, own, group=self._group, async_op=True)
        if work is not None:
            work.wait() if timeout is None else work.wait(timeout)
        return gathered

    def _gather_text(self, own: str, timeout: timedelta | None = None) -> list[str]:
        """A text of every rank; a single number each, where nobody has anything to say."""
        text = own.encode()
        lengths = [int(length) for length in self._gather(torch.tensor([len(text)]), timeout)]
        if not any(lengths):
            return [""] * self.size
        padded = torch.frombuffer(bytearray(text.ljust(max(lengths))), dtype=torch.uint8)
        texts = self._gather(padded, timeout)
        return [bytes(other[:length].tolist()).decode() for other, length in zip(texts, lengths)]
