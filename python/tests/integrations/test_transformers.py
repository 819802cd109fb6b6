"""The mixin in a real Trainer of transformers, and Accelerate without an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from autolr_torch import AutoLR, Robust


def loss_fn(model: nn.Module, batch: Any) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


class Net(nn.Module):
    """Takes and gives what the Trainer expects."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.layers(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def examples() -> list[dict[str, Tensor]]:
    xs = torch.randn(2000, 6, generator=torch.Generator().manual_seed(2))
    return [{"x": x, "labels": (x[0] > 0).long()} for x in xs]


def make(folder: Path, **settings: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    from autolr_torch.integrations.transformers import RobustMixin

    class Trainer(RobustMixin, transformers.Trainer):  # type: ignore[misc, name-defined]
        rates: list[float]

        def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
            loss = super().training_step(*args, **kwargs)
            self.rates.append(self.optimizer.param_groups[0]["lr"])
            return loss

    values = {"num_train_epochs": 5, "per_device_train_batch_size": 10, "save_strategy": "no", **settings}
    arguments = transformers.TrainingArguments(
        str(folder), use_cpu=True, report_to=[], disable_tqdm=True, logging_steps=100, **values
    )
    trainer = Trainer(Net(), arguments, train_dataset=examples())
    trainer.rates = []
    return trainer


def test_a_trainer_searches_and_ends_at_zero(tmp_path: Path) -> None:
    trainer = make(tmp_path)
    trainer.train()
    scheduler = trainer.lr_scheduler
    assert trainer.state.global_step == 1000 and scheduler.get_last_lr() == [0.0, 0.0]
    peak = scheduler.records[0]["change"]["new_lr"]
    assert scheduler.records[0]["change"]["details"]["reason"] == "search"
    assert 0.0 < max(trainer.rates) <= peak and len(trainer.rates) == 1000
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert logged[-1]["loss"] < 0.2 and logged[3]["learning_rate"] in trainer.rates


def test_accumulation_and_clipping(tmp_path: Path) -> None:
    trainer = make(tmp_path, gradient_accumulation_steps=4, max_grad_norm=1e-9, optim="sgd")
    trainer.train()
    assert trainer.state.global_step == 250 and trainer.lr_scheduler.get_last_lr() == [0.0, 0.0]
    assert len(trainer.rates) == 1000
    # Along clipped gradients no trial went anywhere.
    losses = [trial.loss for trial in trainer.lr_scheduler.trials]
    assert max(losses) - min(losses) < 1e-5


def test_a_checkpoint_goes_on(tmp_path: Path) -> None:
    settings = {"save_strategy": "steps", "save_steps": 300}
    trainer = make(tmp_path, **settings)
    trainer.train()
    again = make(tmp_path, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-300"))
    assert again.rates == trainer.rates[300:]
    assert again.lr_scheduler.trials == []


def test_another_scheduler_is_refused(tmp_path: Path) -> None:
    trainer = make(tmp_path)
    trainer.create_optimizer()
    trainer.lr_scheduler = torch.optim.lr_scheduler.StepLR(trainer.optimizer, 1)
    with pytest.raises(TypeError, match="the Trainer has a StepLR"):
        trainer.train()


@pytest.mark.parametrize("kind", ["Robust", "AutoLR"])
def test_accelerate_needs_no_adapter(kind: str) -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    x = torch.randn(2000, 6)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=10, shuffle=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    steps = 0
    scheduler: Any
    if kind == "Robust":
        scheduler = Robust(optimizer, model, 1000, len(loader))
        steps = scheduler.search(loss_fn, loader)
        assert steps > 0
    else:
        scheduler = AutoLR(optimizer, model, every=50)
    losses = []
    while steps < 1000:
        for batch in loader:
            loss = loss_fn(model, batch)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            scheduler.probe(loss_fn, batch) if kind == "AutoLR" else None
            scheduler.step(loss)
            losses.append(float(loss.detach()))
            steps += 1
            if steps == 1000:
                break
    assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
    if kind == "Robust":
        assert scheduler.get_last_lr() == [0.0] and sum(losses[-50:]) / 50 < 0.1
    else:
        assert len(scheduler.records) == 20
