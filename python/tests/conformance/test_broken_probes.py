"""`testing.check` notices every way of breaking a probe that we know of. A check that cannot fail checks nothing."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autolr_torch.generators import Generators
from autolr_torch.probe import Probe
from autolr_torch.snapshot import Snapshot
from autolr_torch.testing import ProbeFault, check, plain_probe
from autolr_torch.trial import bare_step, own_gradients, score, set_rates

Rates = Sequence[Sequence[float]]


class Net(nn.Module):
    """Everything that leaves traces: running statistics, dropout, and a draw from Python's generator."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) * (1.0 + 0.01 * random.random())


def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def losses(
    model: nn.Module,
    optimizer: Optimizer,
    batch: Any,
    rates: Rates,
    *,
    between: Callable[[], object],
    step: Callable[[], object] | None = None,
) -> list[float]:
    """A gradient, then for each row what `between` does, a step and the loss."""
    loss_fn(model, batch).backward()
    found = []
    for row in rates:
        between()
        set_rates(optimizer, row)
        (step or (lambda: bare_step(optimizer)))()
        found.append(float(score(loss_fn, model, batch)))
    return found


@contextmanager
def kept(model: nn.Module, optimizer: Optimizer) -> Any:
    """What a right probe does, for the broken ones that break one part of it: gives what goes between two trials."""
    snapshot, generators = Snapshot(model, optimizer), Generators()

    def between() -> None:
        gradients = [parameter.grad for parameter in model.parameters()]
        snapshot.put_back(model, optimizer)
        generators.put_back()
        for parameter, gradient in zip(model.parameters(), gradients):
            parameter.grad = gradient

    with own_gradients(model, optimizer):
        yield between
    snapshot.put_back(model, optimizer)
    generators.put_back()


def weights_left(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    with kept(model, optimizer) as between:
        found = losses(model, optimizer, batch, rates, between=between)
        left = [parameter.detach().clone() for parameter in model.parameters()]
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), left):
            parameter.copy_(value)
    return found


def weights_unstepped(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    """Adds what was subtracted: rounding stays."""
    with kept(model, optimizer) as between:
        found = losses(model, optimizer, batch, rates, between=between)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3).sub_(0.3)
    return found


def buffers_left(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    with kept(model, optimizer) as between:
        found = losses(model, optimizer, batch, rates, between=between)
        left = [buffer.clone() for buffer in model.buffers()]
    for buffer, value in zip(model.buffers(), left):
        buffer.copy_(value)
    return found


def lazy_state_left(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    with kept(model, optimizer) as between:
        found = losses(model, optimizer, batch, rates, between=between)
        left = {parameter: optimizer.state[parameter] for parameter in model.parameters()}
    for parameter, state in left.items():
        if parameter not in optimizer.state:
            optimizer.state[parameter] = state
    return found


def state_reloaded(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    """`load_state_dict` makes new tensors."""
    saved = copy.deepcopy(optimizer.state_dict())
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    optimizer.load_state_dict(saved)
    return found


def state_aliased(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    """`state_dict` holds the tensors themselves, so that what is put back is what is there."""
    saved = model.state_dict()
    with kept(model, optimizer) as between:
        found = losses(model, optimizer, batch, rates, between=between)
        left = {key: value.clone() for key, value in saved.items()}
    model.load_state_dict(left)
    return found


def counters_left(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    with kept(model, optimizer) as between:
        found = losses(model, optimizer, batch, rates, between=between)
    for state in optimizer.state.values():
        state["step"] += 1
    return found


def rate_left(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    set_rates(optimizer, rates[0])
    return found


def rate_replaced(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    for group in optimizer.param_groups:
        group["lr"] = group["lr"].clone() if isinstance(group["lr"], Tensor) else torch.tensor(group["lr"])
    return found


def key_left(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    optimizer.param_groups[0]["probed"] = True
    return found


def generator_left(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    torch.rand(1)
    return found


def python_generator_left(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    random.random()
    return found


def other_dropout(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    """Each candidate draws its own numbers."""
    snapshot, generators = Snapshot(model, optimizer), Generators()
    with own_gradients(model, optimizer):
        found = losses(model, optimizer, batch, rates, between=lambda: snapshot.put_back(model, optimizer))
        snapshot.put_back(model, optimizer)
    generators.put_back()
    return found


def chained(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    """Each candidate begins where the one before ended."""
    with kept(model, optimizer):
        generators = Generators()
        return losses(model, optimizer, batch, rates, between=generators.put_back)


def stale_weights(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    """Each candidate gets the loss of the one before, as sharded weights that were gathered before do."""
    found = plain_probe(model, optimizer, loss_fn, batch, [*rates, rates[0]])
    return [found[-1], *found[:-2]] if len(rates) > 1 else found[:1]


def hooks_called(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    with kept(model, optimizer) as between:
        return losses(model, optimizer, batch, rates, between=between, step=optimizer.step)


def gradient_dropped(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    optimizer.zero_grad()
    return found


def gradient_added(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    generators, snapshot = Generators(), Snapshot(model, optimizer)
    loss_fn(model, batch).backward()
    snapshot.put_back(model, optimizer)
    generators.put_back()
    return found


def mode_left(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    model.eval()
    return found


def scored_in_evaluation(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        model.train(torch.is_grad_enabled())
        try:
            return loss_fn(model, batch)
        finally:
            model.train()

    return Probe(model, optimizer, loss, batch, batch).losses(rates)


def hidden_counter(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
    """What no fingerprint sees, but the training feels: here a wrapped `step` that grows with its calls."""
    found = plain_probe(model, optimizer, loss_fn, batch, rates)
    scale = model.layers[3].__dict__.setdefault("hidden", [1.0])
    scale[0] *= 1.5
    if not model.layers[3]._forward_hooks:
        model.layers[3].register_forward_hook(scaled)
    return found


def scaled(module: nn.Module, _: Any, output: Tensor) -> Tensor:
    return output * module.hidden[0]


BROKEN: list[tuple[Callable[..., list[float]], str]] = [
    (weights_left, "weights"),
    (weights_unstepped, "weights"),
    (buffers_left, "buffers"),
    (lazy_state_left, "state"),
    (state_reloaded, "state"),
    (state_aliased, "weights"),
    (counters_left, "state"),
    (rate_left, "settings"),
    (rate_replaced, "settings"),
    (key_left, "settings"),
    (generator_left, "generators"),
    (python_generator_left, "generators"),
    (other_dropout, "candidates"),
    (chained, "candidates"),
    (stale_weights, "candidates"),
    (hooks_called, "hooks"),
    (gradient_dropped, "gradients"),
    (gradient_added, "gradients"),
    (mode_left, "modes"),
    (scored_in_evaluation, "step"),
    (hidden_counter, "training"),
]


def subject(*, trained: bool = True) -> tuple[nn.Module, Optimizer, tuple[Tensor, Tensor]]:
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    batch = torch.randn(6, 4), torch.randint(3, (6,))
    if trained:
        loss_fn(model, batch).backward()
        optimizer.step()
    return model, optimizer, batch


@pytest.mark.parametrize(("probe", "kind"), BROKEN, ids=[probe.__name__ for probe, _ in BROKEN])
def test_a_broken_probe_is_noticed(probe: Callable[..., list[float]], kind: str) -> None:
    model, optimizer, batch = subject(trained=probe is not lazy_state_left)
    with pytest.raises(ProbeFault) as fault:
        check(model, optimizer, loss_fn, batch, probe=probe)
    assert kind in {finding.kind for finding in fault.value.findings}, fault.value


def test_the_parts_that_are_not_broken_are_right() -> None:
    """What the broken probes are made of passes, so that each is noticed for what it breaks."""

    def right(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
        with kept(model, optimizer) as between:
            return losses(model, optimizer, batch, rates, between=between)

    check(*subject()[:2], loss_fn, subject()[2], probe=right)


def test_a_gradient_that_the_step_rewrites_is_noticed() -> None:
    """Nesterov's momentum over several tensors at once writes into the gradients."""

    def rewritten(model: nn.Module, optimizer: Optimizer, _: Any, batch: Any, rates: Rates) -> list[float]:
        with kept(model, optimizer) as between:
            return losses(model, optimizer, batch, rates, between=between)

    model, _, batch = subject(trained=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, foreach=True)
    loss_fn(model, batch).backward()
    optimizer.step()
    with pytest.raises(ProbeFault) as fault:
        check(model, optimizer, loss_fn, batch, probe=rewritten)
    assert {finding.kind for finding in fault.value.findings} == {"candidates"}
    check(model, optimizer, loss_fn, batch)
