"""The batches of a search: each is drawn from the loader once, and kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .generators import Generators, generators_of


class Batches:
    """Batches of a loader by their numbers, from 0.

    The loader draws from generators in a state of its own, so that it makes no difference to a trial whether a batch was
    there already. Where the loader ends, it is iterated again.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self._loader = loader
        self._others = generators_of(loader)
        self._begun = Generators(self._others)
        self._drawn = self._begun
        self._iterator: Iterator[Any] | None = None
        self._kept: list[Any] = []

    def get(self, number: int) -> Any:
        """A batch.

        Raises:
            ValueError: the loader has none left, and none on being iterated again.
        """
        while len(self._kept) <= number:
            outside = Generators()
            self._drawn.put_back()
            try:
                self._kept.append(self._next())
            finally:
                self._drawn = Generators(self._others)
                outside.put_back()
        return self._kept[number]

    def _next(self) -> Any:
        for _ in range(2):
            if self._iterator is None:
                self._iterator = iter(self._loader)
            for batch in self._iterator:
                return batch
            self._iterator = None
        raise ValueError(f"the loader is empty after {len(self._kept)} batches, and a search needs more")

    def close(self, *, rewind: bool) -> None:
        """Lets the batches go. Leaves the generators where the loader left them, or (`rewind`) where they were."""
        self._iterator = None
        self._kept.clear()
        (self._begun if rewind else self._drawn).put_back()
