"""A rate for those who only want a number."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from autolr_torch import find
from autolr_torch.testing import _Fingerprint

Batch = tuple[Tensor, Tensor]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


@pytest.mark.parametrize("rate", [0.1, "tensor"])
def test_a_rate_is_found_and_nothing_else_changes(rate: float | str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 1))
    lr = torch.tensor(0.1) if rate == "tensor" else 0.1
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    batches = [(x, x.sum(1, keepdim=True)) for x in torch.randn(60, 16, 4)]
    before, attributes = _Fingerprint(model, optimizer), dict(vars(optimizer))
    found = find(model, optimizer, loss_fn, batches)
    assert before.changes(_Fingerprint(model, optimizer)) == []
    assert vars(optimizer).keys() == attributes.keys()
    assert found.reason == "search" and found.interval is not None
    low, high = found.interval
    assert 0.0 < low <= high and low <= found.lr <= high
    assert 1e-4 < found.lr < 1.0
    assert len(found.trials) >= 9
    for trial in found.trials:
        mean = sum(trial.scores) / len(trial.scores)
        assert trial.loss == mean
        variance = sum((score - mean) ** 2 for score in trial.scores) / (len(trial.scores) - 1)
        assert math.isclose(trial.standard_error, math.sqrt(variance / len(trial.scores)), rel_tol=1e-12)


def test_the_figure_shows_each_length_of_trials() -> None:
    pytest.importorskip("matplotlib")
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [(x, x.sum(1, keepdim=True)) for x in torch.randn(60, 16, 4)]
    found = find(model, optimizer, loss_fn, batches, total_steps=2000)
    axes = found.figure().axes[0]
    assert axes.get_xscale() == "log"
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [label for label in labels if label.endswith("steps")] == [
        f"{steps} steps" for steps in sorted({trial.steps for trial in found.trials})
    ]
