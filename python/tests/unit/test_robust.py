"""The search, the decay and the guard."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, TensorDataset

from autolr_torch import Robust
from autolr_torch.testing import _Fingerprint

Batch = tuple[Tensor, Tensor]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def data(examples: int = 1600) -> TensorDataset:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(examples, 6, generator=generator)
    return TensorDataset(x, (x[:, 0] * x[:, 1] > 0).long())


def subject() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def loader(**settings: Any) -> DataLoader[Any]:
    return DataLoader(data(), batch_size=20, shuffle=True, **settings)


class Once:
    """A loader that counts how often it is iterated and how many batches it gave."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches, self.iterated, self.given = batches, 0, 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        self.iterated += 1
        for batch in self.batches:
            self.given += 1
            yield batch


def train(model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Robust, steps: int) -> list[float]:
    """Steps over batches that follow from the number of the step alone, and the rates in force."""
    rates = []
    dataset = data()
    for _ in range(steps):
        first = 20 * (scheduler.last_epoch % 40)
        loss = loss_fn(model, dataset[first : first + 20])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step(loss)
        rates.append(scheduler.get_last_lr()[0])
    return rates


def test_the_four_lines_end_at_zero_after_total_steps() -> None:
    model, optimizer = subject()
    scheduler = Robust(optimizer, model, 1200, 40)
    assert isinstance(scheduler, LRScheduler)
    done = scheduler.search(loss_fn, loader())
    assert 0 < done < 40
    found = scheduler.records[0]["change"]
    assert found["details"]["adopted_steps"] == done
    rates = train(model, optimizer, scheduler, 1200 - done)
    peak = scheduler.records[-1]["change"]["new_lr"]
    assert rates[-1] == 0.0 and all(rate > 0.0 for rate in rates[:-1])
    assert max(rates) <= found["new_lr"] and rates[-2] == pytest.approx(peak / (1200 - done))
    assert optimizer.param_groups[0]["lr"] == 0.0
    with torch.no_grad():
        assert float(loss_fn(model.eval(), data()[:])) < 0.25  # 0.69 at first


def test_what_search_keeps_is_a_training_of_its_own() -> None:
    """The kept steps are those of the best trial: the same training by hand ends at the same weights."""
    model, optimizer = subject()
    batches = list(loader())
    scheduler = Robust(optimizer, model, 1200, 40)
    generator = torch.get_rng_state()
    done = scheduler.search(loss_fn, batches)
    best = max(
        (
            trial
            for trial in scheduler.trials
            if trial.steps == done and trial.lr == 2.0 * scheduler.records[0]["change"]["new_lr"]
        ),
        key=lambda trial: trial.steps,
    )
    by_hand, its_optimizer = subject()
    torch.set_rng_state(generator)
    warm_up = done // 8
    losses = []
    for k in range(done):
        factor = (k + 1) / (warm_up + 1) if k < warm_up else 1 - (k - warm_up) / (done - warm_up)
        its_optimizer.param_groups[0]["lr"] = best.lr * factor
        its_optimizer.zero_grad()
        loss = loss_fn(by_hand, batches[16 + k])
        loss.backward()
        its_optimizer.step()
        losses.append(float(loss.detach()))
    for name, value in model.state_dict().items():
        assert torch.equal(value, by_hand.state_dict()[name]), name
    assert best.train_loss == pytest.approx(sum(losses) / done)
    momentum = [state["momentum_buffer"] for state in optimizer.state.values()]
    assert all(map(torch.equal, momentum, [state["momentum_buffer"] for state in its_optimizer.state.values()]))


def test_without_keep_nothing_remains_but_the_rate() -> None:
    model, optimizer = subject()
    train_loader = loader(generator=torch.Generator().manual_seed(9))
    state = train_loader.generator.get_state()
    scheduler = Robust(optimizer, model, 1200, guard=False)
    before = _Fingerprint(model, optimizer)
    assert scheduler.search(loss_fn, train_loader, keep=False) == 0
    changes = before.changes(_Fingerprint(model, optimizer))
    assert [str(change) for change in changes] == ["settings: param_groups[0]['lr'] has another value"]
    assert torch.equal(train_loader.generator.get_state(), state)
    assert scheduler._slots == {}


def test_no_hook_sees_a_trial_and_the_loader_is_iterated_once() -> None:
    model, optimizer = subject()
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    batches = Once(list(loader()) * 3)
    scheduler = Robust(optimizer, model, 1200, 40)
    done = scheduler.search(loss_fn, batches)
    assert seen == [] and batches.iterated == 1
    assert batches.given == 16 + done
    longest = max(trial.steps for trial in scheduler.trials)
    assert longest == done and all(len(trial.scores) in (4, 16) for trial in scheduler.trials)


def test_a_short_loader_is_iterated_again() -> None:
    model, optimizer = subject()
    batches = Once(list(loader())[:10])
    done = Robust(optimizer, model, 1200, 40).search(loss_fn, batches)
    assert batches.iterated == -(-(16 + done) // 10)


def test_trials_do_not_depend_on_when_a_batch_was_drawn() -> None:
    """Augmentation and dropout draw from the same generator; a loader that draws ahead must give the same trials."""

    class Augmenting(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            x, y = super().__getitem__(index)
            return x + 0.1 * torch.randn(6) + 0.1 * random.random(), y

    def trials(drawn_ahead: bool) -> Any:
        model, optimizer = subject()
        random.seed(1)
        batches: Any = DataLoader(Augmenting(*data().tensors), batch_size=20, shuffle=True)
        if drawn_ahead:
            state = torch.get_rng_state()
            batches = list(batches)
            torch.set_rng_state(state)
        scheduler = Robust(optimizer, model, 1200, 40)
        scheduler.search(loss_fn, batches)
        return scheduler.trials

    assert trials(False) == trials(True)


def test_the_next_pass_over_the_loader_has_another_order() -> None:
    """Or the batches of the kept steps would come again at once."""
    model, optimizer = subject()
    batches = loader()
    seen: list[Tensor] = []

    def seeing(model: nn.Module, batch: Batch) -> Tensor:
        seen.append(batch[0])
        return loss_fn(model, batch)

    Robust(optimizer, model, 1200, 40).search(seeing, batches)
    assert not any(torch.equal(next(iter(batches))[0], x) for x in seen)


@pytest.mark.parametrize("steps", [25, 40, 63])
def test_a_state_goes_on_bit_for_bit(steps: int) -> None:
    def begin() -> tuple[nn.Module, torch.optim.Optimizer, Robust]:
        model, optimizer = subject()
        return model, optimizer, Robust(optimizer, model, 1200, 40)

    model, optimizer, scheduler = begin()
    done = scheduler.search(loss_fn, loader())
    train(model, optimizer, scheduler, steps)
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict(), scheduler.state_dict(), torch.get_rng_state()], file)
    # So far off that the guard goes back, to the copy that the state has to hold.
    spoil = lambda: [parameter.data.mul_(100.0) for parameter in model.parameters()]  # noqa: E731
    spoil()
    expected = train(model, optimizer, scheduler, 1200 - done - steps)
    assert "loss" in str(scheduler.records[1])

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    model, optimizer, scheduler = begin()
    model.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    scheduler.load_state_dict(saved[2])
    torch.set_rng_state(saved[3])
    spoil()
    assert train(model, optimizer, scheduler, 1200 - done - steps) == expected
    assert all(map(torch.equal, model.parameters(), weights))


def test_the_guard_undoes_an_epoch_and_the_rate_still_ends_at_zero() -> None:
    model, optimizer = subject()
    scheduler = Robust(optimizer, model, 1200, 40)
    done = scheduler.search(loss_fn, loader())
    train(model, optimizer, scheduler, 80 - done)
    good = [parameter.detach().clone() for parameter in model.parameters()]
    velocity = [state["momentum_buffer"].clone() for state in optimizer.state.values()]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    peak = scheduler.records[-1]["change"]["new_lr"]
    rates = train(model, optimizer, scheduler, 40)
    change = scheduler.records[-1]["change"]
    assert change["details"] == {"reason": "an epoch lost half of what was reached", "loss": "nan", "returns": 1}
    assert (change["lr"], change["new_lr"]) == (peak, peak / 2)
    assert all(map(torch.equal, model.parameters(), good))
    assert all(map(torch.equal, [state["momentum_buffer"] for state in optimizer.state.values()], velocity))
    rates = train(model, optimizer, scheduler, 1080)
    assert rates[-1] == 0.0 and rates[-2] > 0.0


def test_a_search_that_fills_the_first_epoch() -> None:
    model, optimizer = subject()
    scheduler = Robust(optimizer, model, 1200, 10)
    assert scheduler.search(loss_fn, loader()) == 10
    epochs = []
    scheduler.end_epoch = lambda *_: epochs.append(scheduler._taken) or setattr(scheduler, "_in_epoch", 0)  # type: ignore
    train(model, optimizer, scheduler, 30)
    assert epochs == [20, 30, 40]


@pytest.mark.parametrize("how", ["without losses", "guard=False"])
def test_without_losses_or_guard_nothing_is_undone(how: str) -> None:
    model, optimizer = subject()
    scheduler = Robust(optimizer, model, 1200, 40, guard=how != "guard=False")
    scheduler.search(loss_fn, loader())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("nan"))
    for _ in range(100):
        scheduler.step(float("nan") if how == "guard=False" else None)
    assert len(scheduler.records) == 1
    assert all(bool(parameter.isnan().all()) for parameter in model.parameters())
    if how == "guard=False":
        assert scheduler.state_dict()["copies"] == {}


def test_epochs_end_by_hand_with_a_validation_loss() -> None:
    model, optimizer = subject()
    scheduler = Robust(optimizer, model, 1200)
    scheduler.search(loss_fn, loader())
    train(model, optimizer, scheduler, 30)
    scheduler.end_epoch(validation_loss=torch.tensor(0.5))
    assert len(scheduler.records) == 1
    train(model, optimizer, scheduler, 30)
    scheduler.end_epoch(validation_loss=float("nan"))
    assert scheduler.records[1]["change"]["details"]["loss"] == "nan"


def test_gradients_are_clipped_and_scaled_as_in_the_loop() -> None:
    model, optimizer = subject()
    norms = []

    def clip() -> None:
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.01)))

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    before = scaler.state_dict()
    scheduler = Robust(optimizer, model, 1200, 40)
    scheduler.search(loss_fn, loader(), before_step=clip, scaler=scaler)
    assert len(norms) == sum(trial.steps for trial in scheduler.trials)
    assert max(norms[:5]) < 10.0, "the clip sees unscaled gradients"
    assert scaler.state_dict() == before


def test_a_failure_in_the_search_leaves_everything_as_before() -> None:
    model, optimizer = subject()
    train_loader = loader(generator=torch.Generator().manual_seed(9))
    state = train_loader.generator.get_state()
    scheduler = Robust(optimizer, model, 1200, 40)
    before, saved = _Fingerprint(model, optimizer), scheduler.state_dict()
    calls = iter(range(1000))

    def failing(model: nn.Module, batch: Batch) -> Tensor:
        if next(calls) == 50:
            raise ZeroDivisionError("in a trial")
        return loss_fn(model, batch)

    with pytest.raises(ZeroDivisionError):
        scheduler.search(failing, train_loader)
    assert before.changes(_Fingerprint(model, optimizer)) == []
    assert scheduler.state_dict() == saved and torch.equal(train_loader.generator.get_state(), state)
    again = scheduler.search(loss_fn, train_loader)
    other_model, other_optimizer = subject()
    other = Robust(other_optimizer, other_model, 1200, 40)
    assert other.search(loss_fn, loader(generator=torch.Generator().manual_seed(9))) == again
    assert other.trials == scheduler.trials


def test_a_training_too_short_for_a_search_says_so() -> None:
    model, optimizer = subject()
    scheduler = Robust(optimizer, model, 20, lr=0.3)
    with pytest.warns(UserWarning, match="too short for a search"):
        assert scheduler.search(loss_fn, loader()) == 0
    assert scheduler.get_last_lr() == [pytest.approx(0.15)]
    assert max(train(model, optimizer, scheduler, 20)) <= 0.3


def test_groups_keep_their_ratios() -> None:
    model, _ = subject()
    groups = [{"params": model[0].parameters(), "lr": 1.0}, {"params": model[4].parameters(), "lr": 0.25}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = Robust(optimizer, model, 1200, 40)
    scheduler.search(loss_fn, loader())
    first, second = scheduler.get_last_lr()
    assert second == 0.25 * first == optimizer.param_groups[1]["lr"]


def test_memory_does_not_grow_with_the_trials() -> None:
    """Three copies during the search, one for the guard afterwards."""
    model, optimizer = subject()
    sizes = set()
    scheduler = Robust(optimizer, model, 1200, 40)

    def counting(model: nn.Module, batch: Batch) -> Tensor:
        sizes.add(len(scheduler._slots))
        return loss_fn(model, batch)

    scheduler.search(counting, loader())
    assert max(sizes) == 3 and len(scheduler._slots) == 1


def test_a_warning_is_no_error_elsewhere() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, optimizer = subject()
        scheduler = Robust(optimizer, model, 1200, 40)
        scheduler.search(loss_fn, loader())
        train(model, optimizer, scheduler, 50)
