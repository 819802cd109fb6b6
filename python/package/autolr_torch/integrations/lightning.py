"""`Robust` as a callback of Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from torch import Tensor

from ..robust import Robust, RobustSettings
from ..trial import LossFn

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RobustCallback(pl.Callback):
    """Finds the rate when a fit begins, and sets it at each step.

    For modules with one optimizer, automatic optimisation and no scheduler of their own. The search leaves nothing but the
    rate, so that Lightning's count of steps is right. The rate is logged as `autolr/lr` to the trainer's loggers, at each
    decision.

    Args:
        loss_fn: `loss_fn(module, batch)` computes the mean loss of a batch on the module's device, without logging.
        settings: those of `Robust`.

    Example:
        trainer = pl.Trainer(max_epochs=10, callbacks=[RobustCallback(loss_fn)])
    """

    def __init__(self, loss_fn: LossFn, **settings: Unpack[RobustSettings]) -> None:
        self._loss_fn = loss_fn
        self._settings = settings
        self._saved: dict[str, Any] | None = None
        self._losses: list[Tensor] = []
        self._steps = 0
        self._decisions = 0
        #: Once a fit has begun.
        self.scheduler: Robust | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Searches, or goes on from a checkpoint.

        Raises:
            ValueError: the module has several optimizers, optimises by hand or has a scheduler, or the training no end.
        """
        if len(trainer.optimizers) != 1 or not pl_module.automatic_optimization:
            raise ValueError("RobustCallback takes a module with one optimizer and automatic optimisation")
        if trainer.lr_scheduler_configs:
            raise ValueError(
                "the module has a learning-rate scheduler: let configure_optimizers return the optimizer alone"
            )
        total = trainer.estimated_stepping_batches
        if total == float("inf"):
            raise ValueError("the training has no end: give the Trainer max_epochs or max_steps")
        batches = trainer.num_training_batches
        per_step = trainer.accumulate_grad_batches
        steps_per_epoch = None if batches == float("inf") else -(-int(batches) // per_step)
        assert trainer.model is not None
        scheduler = Robust(trainer.optimizers[0], trainer.model, int(total), steps_per_epoch, **self._settings)
        self.scheduler, self._steps = scheduler, trainer.global_step
        if self._saved is not None:
            scheduler.load_state_dict(self._saved)
            self._saved = None
            return

        def loss_fn(model: Any, batch: Any) -> Tensor:
            batch = trainer.strategy.batch_to_device(batch)
            with trainer.precision_plugin.forward_context():
                return self._loss_fn(model, batch)

        def clip() -> None:
            trainer.strategy.precision_plugin.clip_gradients(
                trainer.optimizers[0],
                trainer.gradient_clip_val or 0.0,
                trainer.gradient_clip_algorithm or "norm",  # type: ignore[arg-type]
            )

        assert trainer.train_dataloader is not None
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        scheduler.search(loss_fn, trainer.train_dataloader, keep=False, before_step=clip, scaler=scaler)
        self._log(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts an optimizer step, if one was taken."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            self._losses.append(loss.detach())
        if self.scheduler is None or trainer.global_step == self._steps:
            return
        self._steps = trainer.global_step
        self.scheduler.step(sum(self._losses[1:], self._losses[0]) / len(self._losses) if self._losses else None)
        self._losses.clear()
        self._log(trainer)

    def _log(self, trainer: pl.Trainer) -> None:
        assert self.scheduler is not None
        if len(self.scheduler.records) > self._decisions:
            self._decisions = len(self.scheduler.records)
            lr = float(self.scheduler.records[-1]["change"]["new_lr"])
            for logger in trainer.loggers:
                logger.log_metrics({"autolr/lr": lr}, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._saved = state_dict or None
