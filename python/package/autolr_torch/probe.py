"""Losses of candidate rates, from weights that are afterwards as before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from .generators import Generators
from .snapshot import Snapshot, optimized
from .trial import Gradient, LossFn, bare_step, own_gradients, score, set_rates


class Probe:
    """One step at each candidate's rates along one gradient, and the loss that follows.

    All candidates draw the same random numbers. It holds one copy of weights, optimiser state and gradients, whatever the
    number of candidates.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loss_fn: LossFn,
        batch: Any,
        scoring_batch: Any,
        *,
        before_step: Callable[[], object] | None = None,
        scaler: GradScaler | None = None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._loss_fn = loss_fn
        self._batches = batch, scoring_batch
        self._gradient = Gradient(optimizer, before_step, scaler)

    def losses(self, rates: Sequence[Sequence[float]]) -> list[float]:
        """The losses in float64, one for each row of `rates` (shape `[candidates, groups]`).

        What is not finite is data: also the losses of all candidates, where a scaled gradient overflowed.
        """
        model, optimizer = self._model, self._optimizer
        batch, scoring_batch = self._batches
        # Buckets of data-parallel training are gradients too, and are written again.
        shared = hasattr(model, "gradient_as_bucket_view")
        generators = Generators()
        snapshot = Snapshot(model, optimizer)
        losses: list[Tensor] = []
        try:
            with own_gradients(model, optimizer, clone=shared):
                try:
                    _, overflowed = self._gradient.compute(self._loss_fn, model, batch)
                    if overflowed:
                        return [float("nan")] * len(rates)
                    gradients = [p.grad for p in optimized(optimizer) if p.grad is not None]
                    copies = [gradient.detach().clone() for gradient in gradients]
                    for row in rates:
                        snapshot.put_back(model, optimizer)
                        generators.put_back()
                        set_rates(optimizer, row)
                        bare_step(optimizer)
                        losses.append(score(self._loss_fn, model, scoring_batch))
                        with torch.no_grad():
                            # Some steps write into them: Nesterov's momentum does, over several tensors at once.
                            for gradient, copy in zip(gradients, copies):
                                gradient.copy_(copy)
                finally:
                    snapshot.put_back(model, optimizer)
        finally:
            generators.put_back()
        values: list[float] = torch.stack(losses).tolist()
        return values
