"""The callback in a real Trainer of Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

pl = pytest.importorskip("pytorch_lightning")
from autolr_torch.integrations.lightning import RobustCallback  # noqa: E402


class Module(pl.LightningModule):  # type: ignore[misc]
    def __init__(self, schedulers: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
        self.schedulers = schedulers
        self.rates: list[float] = []
        self.steps_by_hooks = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def training_step(self, batch: Any, _: int) -> Tensor:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        loss = loss_fn(self, batch)
        self.log("loss", loss)
        return loss

    def on_before_optimizer_step(self, _: Any) -> None:
        self.steps_by_hooks += 1

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        if self.schedulers:
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]
        return optimizer


def loss_fn(module: Any, batch: Any) -> Tensor:
    return nn.functional.cross_entropy(module(batch[0]), batch[1])


class Metrics(pl.loggers.logger.DummyLogger):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        if "autolr/lr" in metrics:
            self.metrics.append((step, metrics))


def trainer(folder: Path, callback: Any, **settings: Any) -> Any:
    settings = {"max_epochs": 5, "enable_checkpointing": False, "logger": False, **settings}
    return pl.Trainer(
        default_root_dir=folder,
        callbacks=[callback],
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def loader() -> DataLoader[Any]:
    x = torch.randn(2000, 6)
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=10, shuffle=True)


def test_a_fit_searches_and_ends_at_zero(tmp_path: Path) -> None:
    callback, module, logger = RobustCallback(loss_fn), Module(), Metrics()
    fit = trainer(tmp_path, callback, logger=logger)
    fit.fit(module, loader())
    assert fit.global_step == 1000 == len(module.rates) == module.steps_by_hooks
    assert callback.scheduler is not None and callback.scheduler.get_last_lr() == [0.0]
    peak = callback.scheduler.records[0]["change"]["new_lr"]
    assert max(module.rates) <= peak and all(rate > 0.0 for rate in module.rates)
    assert logger.metrics[0] == (0, {"autolr/lr": peak})
    with torch.no_grad():
        assert float(loss_fn(module.eval(), loader().dataset[:])) < 0.3  # 0.69 at first; other data


def test_accumulation_and_clipping(tmp_path: Path) -> None:
    callback, module = RobustCallback(loss_fn), Module()
    fit = trainer(tmp_path, callback, accumulate_grad_batches=4, gradient_clip_val=1e-9)
    fit.fit(module, loader())
    assert fit.global_step == 250 and callback.scheduler is not None
    assert callback.scheduler.get_last_lr() == [0.0]
    # Along clipped gradients no trial went anywhere.
    losses = [trial.loss for trial in callback.scheduler.trials]
    assert max(losses) - min(losses) < 1e-5


def test_a_checkpoint_goes_on(tmp_path: Path) -> None:
    module, callback = Module(), RobustCallback(loss_fn)
    first = trainer(tmp_path, callback, max_epochs=5, limit_train_batches=100, enable_checkpointing=True)
    first.fit_loop.max_epochs = 5
    first.should_stop = False

    class Stop(pl.Callback):  # type: ignore[misc]
        def on_train_epoch_end(self, trainer: Any, _: Any) -> None:
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "second.ckpt")

    first.callbacks.append(Stop())
    first.fit(module, loader())
    expected = module.rates[200:]
    again, its_callback = Module(), RobustCallback(loss_fn)
    second = trainer(tmp_path, its_callback, max_epochs=5, limit_train_batches=100, enable_checkpointing=True)
    second.fit(again, loader(), ckpt_path=tmp_path / "second.ckpt", weights_only=False)
    assert len(again.rates) == 300 and again.rates[:100] == expected[:100]
    assert its_callback.scheduler is not None and its_callback.scheduler.trials == []


@pytest.mark.parametrize(
    ("module", "settings", "text"),
    [(Module(schedulers=True), {}, "has a learning-rate scheduler"), (Module(), {"max_epochs": -1}, "has no end")],
)
def test_what_cannot_work_is_refused(tmp_path: Path, module: Any, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        trainer(tmp_path, RobustCallback(loss_fn), **settings).fit(module, loader())
