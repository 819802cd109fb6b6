"""`Robust` in the Trainer of Hugging Face transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..robust import Robust, RobustSettings


class _TrainersRobust(Robust):
    """The Trainer steps its scheduler without a loss, so the mixin leaves it here: summed over micro-batches, each of which
    has its share of the mean."""

    left: Tensor | None = None

    def step(self, loss: Tensor | float | None = None) -> None:
        left, self.left = self.left, None
        super().step(left if loss is None else loss)


class RobustMixin:
    """Put it before `Trainer`: the rate is found when the training begins, and set at each step.

    The arguments' own rate and schedule do not matter then. The search uses batches of `get_train_dataloader()` and
    `compute_loss`, and leaves nothing but the rate, so that the Trainer's count of steps is right. Whatever the Trainer
    reports to has the rate as `learning_rate`.

    Example:
        class MyTrainer(RobustMixin, Trainer):
            robust_settings = {"scale": 0.5}  # those of Robust; all have defaults
    """

    #: Settings of `Robust`.
    robust_settings: RobustSettings = {}

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """Makes the scheduler. Called by the Trainer."""
        trainer: Any = self
        if trainer.lr_scheduler is None:
            epochs = trainer.args.num_train_epochs
            steps = num_training_steps if trainer.args.max_steps > 0 else max(1, round(num_training_steps / epochs))
            trainer.lr_scheduler = _TrainersRobust(
                trainer.optimizer if optimizer is None else optimizer,
                trainer.model,
                num_training_steps,
                steps,
                **self.robust_settings,
            )
            trainer._created_lr_scheduler = True
        scheduler: LRScheduler = trainer.lr_scheduler
        return scheduler

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """Searches before the first step; then a step of the Trainer."""
        trainer: Any = self
        scheduler = trainer.lr_scheduler
        if not isinstance(scheduler, _TrainersRobust):
            raise TypeError(f"the Trainer has a {type(scheduler).__name__}: let it create its scheduler")
        if not scheduler.has_begun:
            model.train()
            self._search(model, scheduler)
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        scheduler.left = loss if scheduler.left is None else scheduler.left + loss
        return loss

    def _search(self, model: nn.Module, scheduler: Robust) -> None:
        trainer: Any = self

        def loss_fn(model: nn.Module, inputs: Any) -> Tensor:
            with trainer.compute_loss_context_manager():
                loss: Tensor = trainer.compute_loss(model, trainer._prepare_inputs(inputs))
            return loss.mean()

        def clip() -> None:
            if trainer.args.max_grad_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), trainer.args.max_grad_norm)

        scaler = getattr(trainer.accelerator, "scaler", None)
        scheduler.search(loss_fn, trainer.get_train_dataloader(), keep=False, before_step=clip, scaler=scaler)
