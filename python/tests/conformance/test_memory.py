"""A probe holds one copy of weights, optimiser state and gradients, whatever the number of candidates."""

from __future__ import annotations

import gc

import torch
from torch import Tensor, nn

from autolr_torch.probe import Probe


def held() -> int:
    """Bytes of all tensors that there are, each storage once."""
    storages = {}
    for item in gc.get_objects():
        if issubclass(type(item), Tensor) and item.layout == torch.strided:
            storage = item.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def test_one_copy_whatever_the_number_of_candidates() -> None:
    model = nn.Linear(500, 500)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batch = torch.randn(2, 500)
    model(batch).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    one = sum(parameter.nbytes for parameter in model.parameters())
    gc.collect()
    before = held()
    peaks = {}
    for candidates in (1, 3, 9):
        sizes: list[int] = []

        def loss_fn(model: nn.Module, batch: Tensor, sizes: list[int] = sizes) -> Tensor:
            if not torch.is_grad_enabled():
                sizes.append(held())
            return model(batch).square().mean()

        Probe(model, optimizer, loss_fn, batch, batch).losses([[0.01]] * candidates)
        assert len(sizes) == candidates
        peaks[candidates] = max(sizes) - before
    # Weights and the two moments once more; the gradient, and a copy of it. The rest is activations and counters.
    assert 5 * one <= peaks[1] <= 5 * one + 20_000
    assert peaks[3] - peaks[1] < 1000 and peaks[9] - peaks[1] < 1000
    gc.collect()
    assert held() - before < 1000
