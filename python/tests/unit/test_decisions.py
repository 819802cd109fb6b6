"""One set of decisions, states and records: those of `autolr update`, to the last character.

`AUTOLR_PROGRAM` names the program; `cargo xtask python` builds it.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autolr_torch import AutoLR, Robust, _core

PROGRAM = os.environ.get("AUTOLR_PROGRAM")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="AUTOLR_PROGRAM does not name the program autolr")

Batch = tuple[Tensor, Tensor]


class Pipe:
    """`autolr update`, with one method that goes from event to event."""

    def __init__(self, settings: dict[str, Any]) -> None:
        assert PROGRAM is not None
        self._child = subprocess.Popen([PROGRAM, "update"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer = self._ask({"method": settings})

    def _ask(self, line: dict[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(json.dumps(line) + "\n")
        self._child.stdin.flush()
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        return answer

    def tell(self, event: dict[str, Any], budget: dict[str, int] | None = None) -> dict[str, Any]:
        line = {"event": event, "state": self.answer["state"]}
        self.answer = self._ask(line if budget is None else {**line, "budget": budget})
        return self.answer

    def close(self) -> None:
        self._child.communicate()
        assert self._child.returncode == 0


def text(value: float) -> float | str:
    """A number as JSON has it."""
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


@pytest.fixture
def pipes() -> Iterator[list[Pipe]]:
    opened: list[Pipe] = []
    yield opened
    for pipe in opened:
        pipe.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"factors": "factor_5"},
        {"factors": [2.0, 1.0, 0.5], "every": 3, "min_lr": 1e-3, "max_lr": 2.0, "sharpness": 3.0},
        {"factors": "factor_7", "edge_probes": 2, "normalization": "rank"},
        {"factors": "factor_3", "groups": [1.0, 0.1], "group_probing": "in-turn"},
    ],
    ids=["plain", "bounds", "edge probes", "groups"],
)
def test_the_core_decides_as_the_program(settings: dict[str, Any], pipes: list[Pipe]) -> None:
    """Over random losses, some of them not finite: the same rates, states, requests and decisions."""
    settings = {"kind": "autolr", "lr": 0.1, "unit": "step", **settings}
    core = _core.Scheduler(json.dumps(settings))
    pipe = Pipe(settings)
    pipes.append(pipe)
    draws = random.Random(7)
    decisions = 0
    for _ in range(60):
        due = core.is_due
        turn, answer = core.step(), pipe.tell({"kind": "step"})
        assert due == (answer["request"]["kind"] == "probe")
        while True:
            own = {"request": {"kind": "continue"}} if turn is None else json.loads(turn)
            assert own == {key: answer[key] for key in ("request", "decision") if key in answer}
            assert core.lrs == answer["lrs"] and json.loads(core.state()) == answer["state"]
            if own["request"]["kind"] == "continue":
                break
            losses = [
                draws.choice([math.nan, math.inf]) if draws.random() < 0.1 else draws.gauss(1.0, 0.3)
                for _ in own["request"]["lrs"]
            ]
            cost = {"forwards": len(losses) + 1, "backwards": 1}
            turn = core.losses(losses, (cost["forwards"], cost["backwards"]))
            answer = pipe.tell({"kind": "losses", "losses": [text(loss) for loss in losses], "cost": cost})
            decisions += "decision" in answer
    assert decisions >= 20


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def test_a_training_with_autolr_decides_as_the_program(pipes: list[Pipe]) -> None:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = AutoLR(optimizer, model, factors=3, every=2)
    pipe = Pipe({"kind": "autolr", "lr": 0.1, "unit": "step", "factors": "factor_3", "every": 2})
    pipes.append(pipe)
    for _ in range(20):
        batch = torch.randn(8, 4), torch.randn(8, 1)
        optimizer.zero_grad()
        loss_fn(model, batch).backward()
        optimizer.step()
        decision = scheduler.probe(loss_fn, batch)
        scheduler.step()
        answer = pipe.tell({"kind": "step"})
        if decision is not None:
            answer = pipe.tell({"kind": "losses", "losses": decision["losses"], "cost": decision["cost"]})
            assert answer["decision"] == decision
        assert [optimizer.param_groups[0]["lr"]] == answer["lrs"]
        assert json.loads(scheduler.state_dict()["state"]) == answer["state"]


def test_a_training_with_robust_decides_as_the_program(pipes: list[Pipe]) -> None:
    """The same losses of trials and epochs lead to the same search, rates, returns and states."""
    total, epoch = 1200, 40
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [(x, x.prod(1, keepdim=True)) for x in torch.randn(60, 16, 4)]
    scheduler = Robust(optimizer, model, total, epoch)
    done = scheduler.search(loss_fn, batches)

    pipe = Pipe({"kind": "robust"})
    pipes.append(pipe)
    changes = []

    def tell(event: dict[str, Any], taken: int) -> dict[str, Any]:
        answer = pipe.tell(event, {"spent": 3 * taken, "limit": 3 * total})
        if "change" in answer:
            changes.append({"change": answer["change"]})
        return answer

    trials = iter(scheduler.trials)
    answer, taken = tell({"kind": "start", "steps": total, "steps_per_epoch": epoch}, 0), 0
    while (request := answer["request"])["kind"] != "continue":
        if request["kind"] == "branch":
            trial = next(trials)
            assert request["lrs"] == [trial.lr] and request["course"]["steps"] == trial.steps
            answer = tell(
                {
                    "kind": "branched",
                    "steps": trial.steps,
                    "train_loss": text(trial.train_loss),
                    "scores": [text(score) for score in trial.scores],
                },
                0,
            )
        else:
            taken = done if request["kind"] == "adopt" else taken
            answer = tell({"kind": "done"}, taken)
    assert next(trials, None) is None and taken == done
    assert scheduler.get_last_lr() == answer["lrs"]

    losses: list[float] = []
    for step in range(done, total):
        loss = 1.0 if 300 < step < 420 else 0.01
        losses.append(loss)
        scheduler.step(loss)
        answer = tell({"kind": "step"}, step + 1)
        if (step + 1) % epoch == 0:
            answer = tell({"kind": "epoch", "train_loss": sum(losses) / len(losses)}, step + 1)
            losses = []
            answer = tell({"kind": "done"}, step + 1)
        assert scheduler.get_last_lr() == answer["lrs"], step
        assert json.loads(scheduler.state_dict()["state"]) == answer["state"]
    assert scheduler.records == changes and len(changes) > 1
