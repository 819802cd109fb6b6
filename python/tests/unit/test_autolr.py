"""The paper's scheduler."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    LinearLR,
    LRScheduler,
    SequentialLR,
)

from autolr_torch import AutoLR

Batch = tuple[Tensor, Tensor]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def subject(lr: Any = 0.1) -> tuple[nn.Module, torch.optim.SGD, Batch]:
    model = nn.Linear(4, 1)
    return model, torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9), (torch.randn(8, 4), torch.randn(8, 1))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    optimizer.zero_grad()
    loss_fn(model, batch).backward()
    optimizer.step()


def test_the_four_lines() -> None:
    model, optimizer, batch = subject()
    scheduler = AutoLR(optimizer, model, factors=5)
    assert isinstance(scheduler, LRScheduler)
    rates = []
    for _ in range(5):
        step(model, optimizer, batch)
        decision = scheduler.probe(loss_fn, batch)
        scheduler.step()
        assert decision is not None
        assert scheduler.get_last_lr() == [decision["new_lr"]] == [optimizer.param_groups[0]["lr"]]
        assert decision["candidates"] == [decision["lr"] * factor for factor in (4.0, 2.0, 1.0, 0.5, 0.25)]
        rates.append(decision["new_lr"])
    assert len(set(rates)) == 5
    assert [record["decision"]["new_lr"] for record in scheduler.records] == rates


def test_a_decision_is_due_at_every_nth_step_and_cannot_be_passed_over() -> None:
    model, optimizer, batch = subject()
    scheduler = AutoLR(optimizer, model, every=3)
    calls = []

    def counted(model: nn.Module, batch: Batch) -> Tensor:
        calls.append(torch.is_grad_enabled())
        return loss_fn(model, batch)

    for tick in range(1, 7):
        due = tick % 3 == 0
        assert scheduler.is_due == due
        if due:
            before = scheduler.state_dict()
            with pytest.raises(RuntimeError, match="call scheduler.probe"):
                scheduler.step()
            assert scheduler.state_dict() == before
        assert (scheduler.probe(counted, batch) is not None) == due
        assert scheduler.probe(counted, batch) is None, "one decision a tick"
        scheduler.step()
    # Once for the gradient, then a forward pass for each of five candidates.
    assert calls == [True, *[False] * 5] * 2


def test_the_scoring_batch_scores() -> None:
    model, optimizer, batch = subject()
    scheduler = AutoLR(optimizer, model)
    seen: list[Any] = []

    def seeing(model: nn.Module, batch: Batch) -> Tensor:
        seen.append(batch)
        return loss_fn(model, batch)

    other = torch.randn(8, 4), torch.randn(8, 1)
    scheduler.probe(seeing, batch, scoring_batch=other)
    assert seen[0] is batch and all(item is other for item in seen[1:]) and len(seen) == 6


def test_a_tensor_rate_is_filled() -> None:
    rate = torch.tensor(0.1)
    model, _, batch = subject()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    scheduler = AutoLR(optimizer, model)
    scheduler.probe(loss_fn, batch)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-7)
    assert float(rate) != pytest.approx(0.1, rel=1e-7)


def test_groups_keep_their_ratios() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.01}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = AutoLR(optimizer, model)
    _, _, batch = subject()
    scheduler.probe(loss_fn, batch)
    scheduler.step()
    first, second = (group["lr"] for group in optimizer.param_groups)
    assert first != 0.1 and second == pytest.approx(0.1 * first, rel=1e-15)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    with pytest.raises(RuntimeError, match="3 parameter groups, but had 2"):
        scheduler._update_lr(0)


def test_groups_are_probed_in_turn_if_asked() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.01}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = AutoLR(optimizer, model, group_probing="in-turn")
    _, _, batch = subject()
    for group in (0, 1):
        before = [group["lr"] for group in optimizer.param_groups]
        scheduler.probe(loss_fn, batch)
        scheduler.step()
        changed = [a != b["lr"] for a, b in zip(before, optimizer.param_groups)]
        assert changed == [group == 0, group == 1]


def test_a_schedule_is_scaled() -> None:
    model, optimizer, batch = subject()
    base = {"kind": "cosine", "lr": 0.2, "t_max": 10}
    scheduler = AutoLR(optimizer, model, every=100, base=base)
    rates = scheduler.get_last_lr()
    for _ in range(10):
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    assert rates[0] == 0.2 and rates[5] == pytest.approx(0.1) and rates[10] == pytest.approx(0.0, abs=1e-15)


def test_the_clipped_gradient_is_probed() -> None:
    model, optimizer, batch = subject()
    clipped = AutoLR(optimizer, model)
    decision = clipped.probe(
        loss_fn, batch, before_step=lambda: nn.utils.clip_grad_norm_(model.parameters(), 1e-12, foreach=False)
    )
    assert decision is not None
    # Along a gradient of next to nothing all candidates stay where they are.
    assert max(decision["losses"]) - min(decision["losses"]) < 1e-9
    assert decision["losses"][0] == pytest.approx(float(loss_fn(model, batch).detach()), rel=1e-6)


def test_gradients_are_unscaled() -> None:
    model, optimizer, batch = subject()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    state = scaler.state_dict()
    plain = AutoLR(optimizer, model).probe(loss_fn, batch)
    scaled = AutoLR(optimizer, model).probe(loss_fn, batch, scaler=scaler)
    assert plain == scaled, "powers of two change no bit"
    assert scaler.state_dict() == state
    overflowing = torch.amp.GradScaler("cpu", init_scale=1e38)
    lost = AutoLR(optimizer, model).probe(lambda m, b: 1e4 * loss_fn(m, b), batch, scaler=overflowing)
    assert lost is not None and set(lost["losses"]) == {"nan"} and lost["verdict"] == "no-finite-loss"


def test_a_loss_that_is_not_finite_is_data() -> None:
    model, optimizer, batch = subject()
    scheduler = AutoLR(optimizer, model)
    calls = iter([1.0, 1.0, float("nan"), 1.0, 1.0, float("inf")])
    decision = scheduler.probe(lambda m, b: loss_fn(m, b) * next(calls), batch)
    assert decision is not None and decision["losses"][1] == "nan" and decision["losses"][4] == "inf"
    assert decision["weights"][1] == decision["weights"][4] == 0.0


def test_a_state_goes_on_bit_for_bit() -> None:
    model, optimizer, batch = subject()
    scheduler = AutoLR(optimizer, model, every=2, edge_probes=1)

    def train(steps: int) -> list[float]:
        rates = []
        for _ in range(steps):
            step(model, optimizer, batch)
            scheduler.probe(loss_fn, batch)
            scheduler.step()
            rates.append(scheduler.get_last_lr()[0])
        return rates

    train(3)
    step(model, optimizer, batch)
    scheduler.probe(loss_fn, batch)
    # Between a probe and its step is the hardest moment.
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict(), scheduler.state_dict()], file)
    scheduler.step()
    expected = [*scheduler.get_last_lr(), *train(5)]

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    model, optimizer, _ = subject()
    model.load_state_dict(saved[0])
    scheduler = AutoLR(optimizer, model, every=2, edge_probes=1)
    optimizer.load_state_dict(saved[1])
    scheduler.load_state_dict(saved[2])
    assert scheduler.last_epoch == 3
    scheduler.step()
    assert [*scheduler.get_last_lr(), *train(5)] == expected


def test_other_schedulers_hold_it() -> None:
    """They call `_update_lr` and the constructor's first step: neither may probe, or count."""
    model, optimizer, batch = subject()
    warm_up = LinearLR(optimizer, start_factor=0.1, total_iters=2)
    own = AutoLR(optimizer, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = SequentialLR(optimizer, [warm_up, own], milestones=[2])
        rates = []
        for _ in range(2):
            step(model, optimizer, batch)
            both.step()
            rates.append(optimizer.param_groups[0]["lr"])
    assert rates[1] == pytest.approx(own.get_last_lr()[0])
    decision = own.probe(loss_fn, batch)
    both.step()
    assert decision is not None and optimizer.param_groups[0]["lr"] == decision["new_lr"]
    assert ChainedScheduler([own], optimizer=optimizer).get_last_lr() == [decision["new_lr"]]


def test_a_failure_leaves_everything_as_before() -> None:
    model, optimizer, batch = subject()
    scheduler = AutoLR(optimizer, model)
    step(model, optimizer, batch)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    calls = iter(range(10))

    def failing(model: nn.Module, batch: Batch) -> Tensor:
        if next(calls) == 3:
            raise ZeroDivisionError("in the third trial")
        return loss_fn(model, batch)

    state = scheduler.state_dict()
    with pytest.raises(ZeroDivisionError, match="third trial"):
        scheduler.probe(failing, batch)
    assert scheduler.state_dict() == state and scheduler.records == []
    for parameter, value in zip(model.parameters(), before):
        assert torch.equal(parameter, value)
    assert scheduler.probe(loss_fn, batch) is not None
