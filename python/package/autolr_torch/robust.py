"""No rate to set: a search, then a decay."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor, distributed, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from . import _core
from .batches import Batches
from .checks import check_count, check_keys, check_moment, number
from .generators import Generators
from .scheduler import Scheduler
from .search import Search, Trial
from .snapshot import Snapshot
from .trial import LossFn, rates_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RobustSettings(TypedDict, total=False):
    """Settings of `Robust`, as in the file format of autolr; all have defaults."""

    lr: float
    search: float
    rounds: int
    scoring_batches: int
    tie: float
    trend: bool
    scale: float
    warm_up: float
    guard: bool


#: Losses that are kept apart before they are added up.
_APART = 1024


class Robust(Scheduler):
    """Finds the rate before the first step, trains on from the best trial, and lets the rate fall to zero.

    The optimizer's own rate does not matter, but for the ratios of its parameter groups. docs/ROBUST.md of autolr explains
    the method, and says what it is worth.

    Args:
        total_steps: optimiser steps of the whole training; those that `search` keeps are among them.
        steps_per_epoch: where an epoch ends, for the guard; else call `end_epoch`.
        process_group: the ranks whose losses are averaged; by default all, where `torch.distributed` is initialised.
        settings: `scale`, `warm_up`, `guard`, `search`, `rounds`, `scoring_batches`, `tie`, `trend`, `lr` (of a training
            that is too short for a search).

    The guard keeps a copy of weights and optimiser state after each epoch. An epoch that loses half of what was reached is
    undone, and the rate halved. It judges the losses that `step` is given: without them there is no guard.

    Raises:
        TypeError, ValueError: a setting that there is not, or whose value cannot be.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        model: nn.Module,
        total_steps: int,
        steps_per_epoch: int | None = None,
        *,
        process_group: distributed.ProcessGroup | None = None,
        **settings: Unpack[RobustSettings],
    ) -> None:
        check_keys("Robust", settings, [key for key in _core.keys("robust") if key != "adopt"])
        self._total_steps = check_count("total_steps", total_steps)
        self._steps_per_epoch = None if steps_per_epoch is None else check_count("steps_per_epoch", steps_per_epoch)
        self._started = False
        self._taken = 0
        self._in_epoch = 0
        self._losses: list[Tensor | float] = []
        self._loss_sum = 0.0
        self._loss_count = 0
        self._slots: dict[int, Snapshot] = {}
        self._search: Search | None = None
        #: The trials of the search, in their order.
        self.trials: list[Trial] = []
        super().__init__(optimizer, model, {"kind": "robust", **settings}, process_group)

    @property
    def has_begun(self) -> bool:
        """Whether the search is over, and steps can be taken."""
        return self._started

    def _rates(self) -> list[float]:
        if not self._started:
            return rates_of(self.optimizer)
        lr = self._core.lrs[0]
        return [lr * ratio for ratio in self._ratios]

    def search(
        self,
        loss_fn: LossFn,
        loader: Iterable[Any],
        *,
        keep: bool = True,
        before_step: Callable[[], object] | None = None,
        scaler: GradScaler | None = None,
    ) -> int:
        """Finds the rate, before the first step.

        Trials train on the loader's batches and are scored on others of it; it is iterated once, or again where it ends.
        The batches of the longest trial, and `scoring_batches` more, are kept until the search is over.

        Args:
            loss_fn: `loss_fn(model, batch)` computes the mean loss, and nothing else. Autocast belongs inside of it.
            loader: whatever gives batches.
            keep: whether the training goes on from the end of the best trial. If not, nothing remains but the rate.
            before_step: what your loop does between `backward` and `optimizer.step()`: clips the gradient, say.
            scaler: your `GradScaler`, if you use one; it is not changed.

        Returns:
            The steps that are done already: those of the best trial, or 0.

        Raises:
            RuntimeError: it was called before, or `loss_fn` cannot be used.
            TypeError, ValueError: `loss_fn` or `loader` give what cannot be used. In all cases the training is as before.
        """
        if self._started:
            raise RuntimeError("search() comes once, before the first step")
        check_moment(self.optimizer)
        generators = Generators()
        settings = {**self._settings, "adopt": keep}
        core = self._core
        self._core = _core.Scheduler(json.dumps(settings))
        self._search = Search(
            self._model, self.optimizer, loss_fn, Batches(loader), self._ratios, self._ranks, self._slots,
            scoring_batches=self._settings.get("scoring_batches", 16), before_step=before_step, scaler=scaler,
        )  # fmt: skip
        done = 0
        try:
            epoch = self._steps_per_epoch or length_of(loader) or self._total_steps
            self._core.set_steps(0, self._total_steps)
            self._go_on(self._core.start(self._total_steps, epoch))
            self._ranks.agree(self._core.lrs)
            done = self._search.adopted
        except BaseException:
            # Trials put back what they changed.
            generators.put_back()
            self._core = core
            self._slots.clear()
            self.records.clear()
            raise
        finally:
            self.trials, search, self._search = self._search.trials, self._search, None
            search.close(rewind=not done)
        self._settings, self._started = settings, True
        self._taken = done
        self._in_epoch = done % (self._steps_per_epoch or self._total_steps)
        found = self.records[0]["change"]["details"]
        if found["reason"] != "search":
            warnings.warn(f"{found['reason']}: the learning rate {self._core.lrs[0]} is a guess", stacklevel=2)
        self._update_lr()
        return done

    def _carry_out(self, request: dict[str, Any]) -> str | None:
        if self._search is not None:
            if request["kind"] == "adopt":
                # From here on the training is another.
                self._ranks.agree([number(self.records[-1]["change"]["new_lr"])])
            return self._search.carry_out(request, self._core, self._total_steps)
        slot = request["slot"]
        if request["kind"] == "save":
            self._slots[slot] = Snapshot(self._model, self.optimizer)
        elif request["kind"] == "restore":
            keep = request["optimizer"] == "present"
            self._slots[slot].put_back(self._model, self.optimizer, keep_optimizer=keep)
        else:
            raise RuntimeError(f"the core asks to {request['kind']} outside of a search")
        return self._core.done()

    def step(self, loss: Tensor | float | None = None) -> None:
        """Counts an optimiser step, and sets the rate of the next.

        Args:
            loss: the mean loss of the step's batch, for the guard. On a GPU it is not read before the epoch ends, so that
                no step waits for the device.

        Raises:
            RuntimeError: `search` was not called.
        """
        if not self._started:
            raise RuntimeError("call scheduler.search(loss_fn, loader) before the first step")
        self._taken += 1
        self._in_epoch += 1
        self._step_count += 1
        if loss is not None:
            if isinstance(loss, Tensor):
                # Elsewhere than on the CPU, reading it would wait for the device.
                loss = loss.item() if loss.is_cpu else loss.detach()
            self._losses.append(loss)
            if len(self._losses) >= _APART:
                self._add_up()
        self._core.set_steps(self._taken, self._total_steps)
        self._core.step()
        if self._in_epoch == self._steps_per_epoch:
            self.end_epoch()
            self.last_epoch += 1
        else:
            self._update_lr()

    def _add_up(self) -> None:
        tensors = [loss for loss in self._losses if isinstance(loss, Tensor)]
        total = float(torch.stack(tensors).double().sum()) if tensors else 0.0
        self._loss_sum += total + sum(loss for loss in self._losses if not isinstance(loss, Tensor))
        self._loss_count += len(self._losses)
        self._losses.clear()

    def end_epoch(self, validation_loss: Tensor | float | None = None) -> None:
        """Ends an epoch: the guard judges it, by the lower of mean training loss and validation loss, and may undo it.

        Called by `step` where `steps_per_epoch` is given. Without a loss since the last epoch it does nothing.

        Raises:
            RuntimeError: `search` was not called.
        """
        if not self._started:
            raise RuntimeError("call scheduler.search(loss_fn, loader) before the first epoch")
        self._in_epoch = 0
        self._add_up()
        count, self._loss_count = self._loss_count, 0
        mean, self._loss_sum = self._loss_sum / max(count, 1), 0.0
        if count and self._settings.get("guard", True):
            check_moment(self.optimizer)
            losses = [mean] if validation_loss is None else [mean, float(validation_loss)]
            losses = self._ranks.mean(losses)
            self._go_on(self._core.epoch(*losses))
            self._ranks.agree(self._core.lrs)
        self._update_lr(self.last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """As any scheduler's; with the guard, also the copy that it goes back to, as tensors (as large as the model's and
        the optimiser's states together). With `guard=False` there are none."""
        self._add_up()
        return {
            **super().state_dict(),
            "keep": self._settings.get("adopt", True),
            "started": self._started,
            "taken": self._taken,
            "total_steps": self._total_steps,
            "in_epoch": self._in_epoch,
            "loss_sum": self._loss_sum,
            "loss_count": self._loss_count,
            "copies": {slot: snapshot.export() for slot, snapshot in self._slots.items()},
        }

    def _load(self, state_dict: dict[str, Any]) -> None:
        if state_dict["total_steps"] != self._total_steps:
            raise ValueError(f"total_steps: {state_dict['total_steps']} in the state, {self._total_steps} here")
        settings = {**self._settings, "adopt": state_dict["keep"]}
        core = _core.Scheduler(json.dumps(settings))
        core.resume(state_dict["state"])
        copies = {slot: Snapshot.of_export(stored) for slot, stored in state_dict["copies"].items()}
        self._core, self._settings, self._slots = core, settings, copies
        self._started, self._taken, self._in_epoch = (state_dict[key] for key in ("started", "taken", "in_epoch"))
        self._losses, self._loss_sum, self._loss_count = [], state_dict["loss_sum"], state_dict["loss_count"]


def length_of(loader: Iterable[Any]) -> int | None:
    """Batches of a loader, where it knows."""
    try:
        return len(loader)  # type: ignore[arg-type]
    except TypeError:
        return None
