"""The search of `Robust`: trials of several steps, each from the same beginning."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from . import _core
from .batches import Batches
from .checks import number
from .generators import Generators
from .ranks import Ranks
from .snapshot import Snapshot
from .trial import Gradient, LossFn, bare_step, own_gradients, score, set_rates


@dataclass(frozen=True)
class Trial:
    """A few steps at a rate, and where they led."""

    #: The highest rate of the trial, of the first parameter group.
    lr: float
    #: Optimiser steps.
    steps: int
    #: Mean training loss over them.
    train_loss: float
    #: Mean losses of the scoring batches afterwards, the same batches for all trials of one length.
    scores: list[float]

    @property
    def loss(self) -> float:
        """Mean over the scoring batches."""
        return sum(self.scores) / len(self.scores) if self.scores else math.nan

    @property
    def standard_error(self) -> float:
        """Of that mean."""
        n = len(self.scores)
        squares = sum((score - self.loss) ** 2 for score in self.scores)
        return math.sqrt(squares / (n * max(n - 1, 1))) if n else math.nan


class Search:
    """Carries out the requests of a search. Nobody outside sees the trials: no hook, no profiler, no loader twice."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loss_fn: LossFn,
        batches: Batches,
        ratios: list[float],
        ranks: Ranks,
        slots: dict[int, Snapshot],
        *,
        scoring_batches: int,
        before_step: Callable[[], object] | None,
        scaler: GradScaler | None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._loss_fn = loss_fn
        self._batches = batches
        self._ratios = ratios
        self._ranks = ranks
        self._slots = slots
        self._scoring_batches = scoring_batches
        self._before_step = before_step
        self._scaler = scaler
        self._generators = Generators()
        #: The slot that holds what the training is at present.
        self._present: int | None = None
        self.trials: list[Trial] = []
        #: Steps of the trial that the training goes on from.
        self.adopted = 0
        self._steps_of: dict[int, int] = {}

    def carry_out(self, request: dict[str, Any], core: _core.Scheduler, total_steps: int) -> str | None:
        """Does what is asked for, and tells the core."""
        kind = request["kind"]
        if kind == "branch":
            trial = self._branch(request)
            return core.branched(trial.steps, trial.train_loss, trial.scores)
        slot = request["slot"]
        if kind == "save":
            self._slots[slot] = Snapshot(self._model, self._optimizer)
            self._present = slot
        elif kind == "drop":
            del self._slots[slot]
        elif kind == "adopt":
            self._slots.pop(slot).put_back(self._model, self._optimizer)
            self._present = None
            self.adopted = self._steps_of[slot]
            core.set_steps(self.adopted, total_steps)
        else:
            raise RuntimeError(f"the core asks to {kind} in a search")
        return core.done()

    def _branch(self, request: dict[str, Any]) -> Trial:
        model, optimizer = self._model, self._optimizer
        if self._present is None:
            raise RuntimeError("the core asks for a branch before the beginning is saved")
        lr = number(request["lrs"][0])
        factors = _core.course(json.dumps(request["course"]))
        try:
            self._slots[request["from"]].put_back(model, optimizer)
            self._generators.put_back()
            with own_gradients(model, optimizer, clone=hasattr(model, "gradient_as_bucket_view")):
                train_losses = self._ranks.together(lambda: self._train(lr, factors))
            self._slots[request["into"]] = Snapshot(model, optimizer)
            scores = self._ranks.together(lambda: self._score(request.get("scores", 0)))
        finally:
            self._slots[self._present].put_back(model, optimizer)
            self._generators.put_back()
        means = self._ranks.mean([sum(train_losses) / len(train_losses), *scores])
        trial = Trial(lr, len(factors), means[0], means[1:])
        self._steps_of[request["into"]] = trial.steps
        self.trials.append(trial)
        return trial

    def _train(self, lr: float, factors: list[float]) -> list[float]:
        gradient = Gradient(self._optimizer, self._before_step, self._scaler)
        losses: list[Tensor] = []
        for k, factor in enumerate(factors):
            batch = self._batches.get(self._scoring_batches + k)
            loss, overflowed = gradient.compute(self._loss_fn, self._model, batch)
            losses.append(loss)
            if overflowed:
                gradient.scale = max(gradient.scale / 2.0, 1.0)
                continue
            set_rates(self._optimizer, [lr * factor * ratio for ratio in self._ratios])
            bare_step(self._optimizer)
        values: list[float] = torch.stack(losses).tolist()
        return values

    def _score(self, count: int) -> list[float]:
        losses = [score(self._loss_fn, self._model, self._batches.get(number)) for number in range(count)]
        values: list[float] = torch.stack(losses).tolist() if losses else []
        return values

    def close(self, *, rewind: bool) -> None:
        """Lets the batches go, and leaves the generators where a training goes on from, or (`rewind`) where they were."""
        self._batches.close(rewind=rewind)
