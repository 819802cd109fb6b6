"""What cannot work is refused by an exception of the fitting type, before anything is changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autolr_torch import AutoLR, Robust, _core
from autolr_torch.testing import _Fingerprint, check

Batch = tuple[Tensor, Tensor]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def subject() -> tuple[nn.Module, torch.optim.SGD, Batch]:
    model = nn.Linear(4, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1), (torch.randn(8, 4), torch.randn(8, 1))


def lazy() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.LazyLinear(1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def meta() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(4, 1, device="meta")
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def strangers() -> tuple[nn.Module, torch.optim.Optimizer]:
    return nn.Linear(4, 1), torch.optim.SGD(nn.Linear(4, 1).parameters(), lr=0.1)


def lbfgs() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(4, 1)
    return model, torch.optim.LBFGS(model.parameters())


def zero_rate() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(4, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.0)


@pytest.mark.parametrize(
    ("pair", "error", "text"),
    [
        (lazy, ValueError, "without a shape"),
        (meta, ValueError, "meta device"),
        (strangers, ValueError, "share no parameter"),
        (lbfgs, TypeError, "LBFGS"),
        (zero_rate, ValueError, r"param_groups\[0\]\['lr'\] = 0.0"),
        (lambda: (nn.Linear(1, 1), "SGD"), TypeError, "str is not a torch.optim.Optimizer"),
        (lambda: ("net", subject()[1]), TypeError, "str is not a torch.nn.Module"),
    ],
)
@pytest.mark.parametrize("make", [lambda o, m: AutoLR(o, m), lambda o, m: Robust(o, m, 100)], ids=["AutoLR", "Robust"])
def test_a_pair_that_cannot_be_probed(
    make: Callable[[Any, Any], object], pair: Callable[[], Any], error: type[Exception], text: str
) -> None:
    model, optimizer = pair()
    with pytest.raises(error, match=text):
        make(optimizer, model)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"sharpnes": 1.0}, TypeError, "AutoLR has no setting 'sharpnes': did you mean 'sharpness'"),
        ({"lr": 0.1}, TypeError, "no setting 'lr'"),
        ({"sharpness": -1.0}, ValueError, "sharpness = -1: must be finite and not negative"),
        ({"factors": []}, ValueError, "at least one factor"),
        ({"factors": 4}, ValueError, "factor_4"),
        ({"factors": [2.0, -1.0]}, ValueError, r"factors\[1\] = -1"),
        ({"min_lr": 1.0, "max_lr": 0.5}, ValueError, "min_lr = 1: exceeds max_lr = 0.5"),
        ({"normalization": "zscore"}, ValueError, "normalization"),
        ({"base": {"kind": "cosin", "lr": 0.1}}, ValueError, "cosin"),
        ({"every": 0}, ValueError, "every = 0"),
    ],
)
def test_a_setting_that_cannot_be(settings: dict[str, Any], error: type[Exception], text: str) -> None:
    model, optimizer, _ = subject()
    group = dict(optimizer.param_groups[0])
    with pytest.raises(error, match=text):
        AutoLR(optimizer, model, **settings)
    assert optimizer.param_groups[0] == group and "step" not in vars(optimizer), "the optimizer is as it was"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"total_steps": 0}, ValueError, "total_steps = 0: must be at least 1"),
        ({"total_steps": 10.0}, TypeError, "total_steps = 10.0: must be a whole number"),
        ({"total_steps": True}, TypeError, "total_steps = True"),
        ({"total_steps": 9, "steps_per_epoch": -1}, ValueError, "steps_per_epoch = -1"),
        ({"total_steps": 9, "warmup": 0.1}, TypeError, "did you mean 'warm_up'"),
        ({"total_steps": 9, "scale": 2.0}, ValueError, "scale = 2: must be above 0, up to 1"),
        ({"total_steps": 9, "rounds": 3}, ValueError, "rounds = 3: must be 0, 1 or 2"),
    ],
)
def test_an_argument_of_robust_that_cannot_be(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    model, optimizer, _ = subject()
    with pytest.raises(error, match=text):
        Robust(optimizer, model, **arguments)


def calls_backward(model: nn.Module, batch: Batch) -> Tensor:
    loss = loss_fn(model, batch)
    loss.backward()
    return loss


def needs_a_graph(model: nn.Module, batch: Batch) -> Tensor:
    loss = loss_fn(model, batch)
    (gradient,) = torch.autograd.grad(loss, model.weight, create_graph=True)
    return loss + gradient.square().sum()


CLOSURES: list[tuple[Callable[..., Any], type[Exception], str]] = [
    (lambda m, b: 0.5, TypeError, "float, not a tensor"),
    (lambda m, b: m(b[0]), ValueError, r"shape \(8, 1\), not a single number"),
    (lambda m, b: torch.tensor(3), TypeError, "int64"),
    (lambda m, b: torch.tensor(1j), TypeError, "complex"),
    (lambda m, b: b[0].mean(), ValueError, "does not depend on the model"),
    (lambda m, b: (b[0].clone().requires_grad_()).mean(), ValueError, "does not depend on any parameter"),
    (calls_backward, RuntimeError, "calls backward"),
    (needs_a_graph, RuntimeError, "calls backward or needs a graph"),
]


@pytest.mark.parametrize(("closure", "error", "text"), CLOSURES, ids=range(len(CLOSURES)))
@pytest.mark.parametrize("how", ["probe", "search"])
def test_a_closure_that_gives_no_loss(closure: Callable[..., Any], error: type[Exception], text: str, how: str) -> None:
    model, optimizer, batch = subject()
    scheduler = AutoLR(optimizer, model) if how == "probe" else Robust(optimizer, model, 1000)
    before, state = _Fingerprint(model, optimizer), scheduler.state_dict()
    with pytest.raises(error, match=text):
        if isinstance(scheduler, AutoLR):
            scheduler.probe(closure, batch)
        else:
            scheduler.search(closure, [batch] * 200)
    assert before.changes(_Fingerprint(model, optimizer)) == []
    assert scheduler.state_dict() == state


def test_a_loader_without_batches() -> None:
    model, optimizer, batch = subject()
    scheduler = Robust(optimizer, model, 1000)
    with pytest.raises(ValueError, match="the loader is empty after 0 batches"):
        scheduler.search(loss_fn, [])
    with pytest.raises(ValueError, match="the loader is empty after 2 batches"):
        scheduler.search(loss_fn, iter([batch] * 2))
    assert scheduler.search(loss_fn, [batch] * 3) > 0, "it can be tried again"


def test_what_comes_at_the_wrong_moment() -> None:
    model, optimizer, batch = subject()
    scheduler = Robust(optimizer, model, 1000)
    with pytest.raises(RuntimeError, match=r"call scheduler\.search\(loss_fn, loader\) before the first step"):
        scheduler.step()
    with pytest.raises(RuntimeError, match="before the first epoch"):
        scheduler.end_epoch()
    scheduler.search(loss_fn, [batch] * 100)
    with pytest.raises(RuntimeError, match="comes once"):
        scheduler.search(loss_fn, [batch] * 100)
    optimizer.param_groups[0]["train_mode"] = False
    with pytest.raises(RuntimeError, match=r"optimizer\.train\(\)"):
        AutoLR(optimizer, model).probe(loss_fn, batch)


def test_a_cuda_graph_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer, batch = subject()
    scheduler = AutoLR(optimizer, model)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="CUDA graph"):
        scheduler.probe(loss_fn, batch)


def changed(saved: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(saved), **changes}


def test_states_that_are_not_of_this_scheduler() -> None:
    model, optimizer, batch = subject()
    scheduler = AutoLR(optimizer, model)
    other = AutoLR(optimizer, model, factors=3, sharpness=2.0)
    scheduler.probe(loss_fn, batch)
    state = scheduler.state_dict()
    inner = json.loads(state["state"])
    missing = {key: value for key, value in state.items() if key != "last_epoch"}
    for wrong, text in [
        (other.state_dict(), "(?s)factors.*sharpness"),
        (changed(state, format=0), "format = 0"),
        ({}, "format = None"),
        (missing, "the state lacks last_epoch"),
        (changed(state, ratios=[1.0, 2.0]), "2 parameter groups, the optimizer has 1"),
        (changed(state, state=json.dumps({**inner, "version": 99})), "99"),
        (changed(state, state=json.dumps({**inner, "kind": "robust"})), "robust"),
        (changed(state, state=json.dumps({**inner, "tick": "x"})), "tick"),
        (changed(state, state="no JSON"), "expected"),
        (Robust(optimizer, model, 100).state_dict(), "the state lacks probed"),
    ]:
        with pytest.raises(ValueError, match=text):
            scheduler.load_state_dict(wrong)
        assert scheduler.state_dict() == state
    robust = Robust(optimizer, model, 100)
    with pytest.raises(ValueError, match="total_steps: 200 in the state, 100 here"):
        robust.load_state_dict(Robust(optimizer, model, 200).state_dict())
    with pytest.raises(ValueError, match="scale"):
        robust.load_state_dict(Robust(optimizer, model, 100, scale=0.25).state_dict())


def test_the_border_itself() -> None:
    with pytest.raises(ValueError, match="no method is called nothing"):
        _core.keys("nothing")
    with pytest.raises(ValueError, match="kind"):
        _core.Scheduler("{}")
    with pytest.raises(ValueError):
        _core.course("{")
    core = _core.Scheduler('{"kind": "robust"}')
    with pytest.raises(RuntimeError, match="`done` answers nothing"):
        core.done()
    with pytest.raises((ValueError, OverflowError)):
        core.start(-1, 1)
    core.start(1000, 100)
    core.done()
    with pytest.raises(RuntimeError, match="scores of a branch"):
        core.branched(1, 1.0, [])
    paper = _core.Scheduler('{"kind": "autolr", "lr": 0.1, "factors": [2, 1], "unit": "step"}')
    paper.step()
    with pytest.raises(RuntimeError, match="`step` came before the answer to `probe`"):
        paper.step()
    with pytest.raises(ValueError, match="2"):
        paper.losses([1.0])


def test_check_refuses_what_cannot_be_probed() -> None:
    model, optimizer = lbfgs()
    with pytest.raises(TypeError, match="LBFGS"):
        check(model, optimizer, loss_fn, subject()[2])
