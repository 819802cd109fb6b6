"""A probe leaves no trace: every optimiser of torch.optim, in every kind of network that is likely to show one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autolr_torch import AutoLR
from autolr_torch.testing import check


class Tied(nn.Module):
    """An embedding that is also the output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 5)
        self.output = nn.Linear(5, 6)
        self.output.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.embedding(x.sum(-1).abs().long() % 6))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))


def compiled() -> nn.Module:
    return torch.compile(plain(), backend="eager")


def loss_fn(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def autocast_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return loss_fn(model, batch)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Tensor]]] = {
    "plain": (plain, loss_fn),
    "BatchNorm": (batch_norm, loss_fn),
    "dropout": (dropout, loss_fn),
    "tied": (Tied, loss_fn),
    "bf16 autocast": (plain, autocast_loss),
    "compiled": (compiled, loss_fn),
}

#: Every optimiser that PyTorch has, so that a new one is noticed; LBFGS and SparseAdam have tests of their own.
OPTIMIZERS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind)
    and issubclass(kind, Optimizer)
    and kind is not Optimizer
    and name not in ("LBFGS", "SparseAdam")
)

#: Further settings, beside the defaults.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "foreach": True, "weight_decay": 0.1},
        {"momentum": 0.9, "fused": True},
        {"momentum": 0.9, "maximize": True, "foreach": True},
    ],
    "Adam": [{"amsgrad": True}, {"foreach": True, "weight_decay": 0.1}, {"fused": True}, {"lr": "tensor"}],
    "AdamW": [{"amsgrad": True, "foreach": True}, {"fused": True}],
    "RMSprop": [{"momentum": 0.5, "centered": True, "foreach": True}],
    "Adagrad": [{"foreach": True, "lr_decay": 0.1}, {"fused": True}],
}


def make(name: str, model: nn.Module, settings: dict[str, Any]) -> Optimizer:
    parameters = list(model.parameters())
    if name == "Muon":
        # It takes matrices only; the others stay as they are.
        parameters = [parameter for parameter in parameters if parameter.ndim == 2]
    settings = dict(settings)
    lr: Any = 0.01
    if settings.get("lr") == "tensor":
        lr = torch.tensor(0.01)
    settings.pop("lr", None)
    return getattr(torch.optim, name)(parameters, lr=lr, **settings)


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(6, 4), torch.randint(3, (6,))


def train(model: nn.Module, optimizer: Optimizer, loss: Callable[..., Tensor], steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model, batch()).backward()
        optimizer.step()


def cases() -> list[Any]:
    found = []
    for name in OPTIMIZERS:
        for network in NETWORKS:
            found.append(pytest.param(name, network, {}, id=f"{name}-{network}"))
        for settings in SETTINGS.get(name, []):
            text = ",".join(f"{key}={value}" for key, value in settings.items())
            found.append(pytest.param(name, "plain", settings, id=f"{name}-{text}"))
            found.append(pytest.param(name, "BatchNorm", settings, id=f"{name}-{text}-BatchNorm"))
    return found


@pytest.mark.parametrize("steps", [0, 3], ids=["fresh", "trained"])
@pytest.mark.parametrize(("name", "network", "settings"), cases())
def test_a_probe_leaves_no_trace(name: str, network: str, settings: dict[str, Any], steps: int) -> None:
    build, loss = NETWORKS[network]
    model = build()
    optimizer = make(name, model, settings)
    train(model, optimizer, loss, steps)
    check(model, optimizer, loss, batch())


def test_a_probe_by_a_scheduler_leaves_no_trace_but_its_decision() -> None:
    """The same through `AutoLR.probe`, with all that a scheduler hangs on an optimiser."""
    model = batch_norm()
    optimizer = make("AdamW", model, {})
    scheduler = AutoLR(optimizer, model, factors=3)
    train(model, optimizer, loss_fn, 2)
    x = batch()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    assert scheduler.probe(loss_fn, x) is not None
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert torch.equal(torch.get_rng_state(), generator)
    assert optimizer.param_groups[0]["lr"] == 0.01
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == scheduler.get_last_lr()[0] != 0.01


def test_sparse_gradients() -> None:
    model = nn.Embedding(6, 3, sparse=True)
    optimizer = torch.optim.SparseAdam(model.parameters(), lr=0.01)
    x = torch.randint(6, (5,))

    def loss(model: nn.Module, x: Tensor) -> Tensor:
        return model(x).square().mean()

    check(model, optimizer, loss, x)
    loss(model, x).backward()
    optimizer.step()
    check(model, optimizer, loss, x)


def test_complex_parameters() -> None:
    model = nn.Linear(3, 2, dtype=torch.complex64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    check(model, optimizer, lambda model, x: model(x).abs().square().mean(), torch.randn(4, 3, dtype=torch.complex64))


def test_mixed_types_frozen_parameters_and_groups() -> None:
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 3, dtype=torch.float64), "c": nn.Linear(4, 4)})
    model["c"].requires_grad_(False)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        hidden = model["c"](model["a"](batch[0])).double()
        return nn.functional.cross_entropy(model["b"](hidden), batch[1])

    groups = [
        {"params": model["a"].parameters(), "lr": 0.1},
        {"params": model["b"].parameters(), "momentum": 0.5},
        {"params": model["c"].parameters()},
    ]
    check(model, torch.optim.SGD(groups, lr=0.01, weight_decay=0.1), loss, batch())


def test_a_buffer_that_is_nan_and_one_that_forward_replaces() -> None:
    class Replaces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4)
            self.linear = nn.Linear(4, 3)
            self.norm.running_mean.fill_(float("nan"))
            self.register_buffer("count", torch.zeros(()), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            self.count = self.count + 1
            if "late" not in self._buffers:
                self.register_buffer("late", torch.ones(1))
            return self.linear(self.norm(x))

    model = Replaces()
    check(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn, batch())
    assert "late" not in model._buffers


def test_the_optimizers_are_those_of_the_readme() -> None:
    known = "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax Muon NAdam RAdam RMSprop Rprop SGD".split()
    assert set(known) - {"Muon"} <= set(OPTIMIZERS) and "LBFGS" not in OPTIMIZERS
    if torch.__version__.startswith("2.11."):
        assert OPTIMIZERS == sorted(known)
