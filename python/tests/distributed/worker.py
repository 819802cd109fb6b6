"""What every rank of a distributed test does: `worker.py RANKS JOB`. Many checks in one start, since imports take longest."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from autolr_torch import AutoLR, Robust
from autolr_torch.testing import _Fingerprint

Batch = tuple[Tensor, Tensor]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def network(kind: str) -> nn.Module:
    torch.manual_seed(1)
    if kind == "plain":
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def data_parallel(kind: str) -> nn.Module:
    return DistributedDataParallel(network(kind), gradient_as_bucket_view=True)


def sharded(kind: str) -> nn.Module:
    model = network(kind)
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    fully_shard(model)
    assert isinstance(model, FSDPModule)
    return model


WRAPPERS: dict[str, Callable[[str], nn.Module]] = {"DDP": data_parallel, "FSDP2": sharded}
OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
}


def batches(count: int, seed: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    xs = torch.randn(count, 8, 6, generator=generator)
    return [(x, (x[:, 0] > 0).long() + (x[:, 1] > 1).long()) for x in xs]


def step(model: nn.Module, optimizer: Optimizer, batch: Batch) -> float:
    optimizer.zero_grad()
    loss = loss_fn(model, batch)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def same_everywhere(value: Any) -> None:
    everybodys: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everybodys, value)
    assert all(other == everybodys[0] for other in everybodys), everybodys


def weights(model: nn.Module) -> list[Any]:
    full = [getattr(p, "full_tensor", lambda p=p: p)() for p in model.parameters()]
    return [parameter.detach().tolist() for parameter in full]


def probes(wrapper: str, kind: str, optimizer_name: str, rank: int) -> None:
    """A probe leaves no trace on any rank, and all ranks decide the same from the same losses."""
    torch.manual_seed(100 + rank)
    model = WRAPPERS[wrapper](kind)
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    scheduler = AutoLR(optimizer, model, factors=3)
    for number, batch in enumerate(batches(4, seed=rank)):
        if number > 0:
            step(model, optimizer, batch)
        before = _Fingerprint(model, optimizer)
        decision = scheduler.probe(loss_fn, batch)
        changes = before.changes(_Fingerprint(model, optimizer))
        assert changes == [], (wrapper, kind, optimizer_name, number, changes)
        scheduler.step()
        same_everywhere((decision, scheduler.get_last_lr(), scheduler.state_dict()))
        assert decision is not None and len(set(decision["losses"])) == 3
    same_everywhere(weights(model))


def reference(wrapper: str, optimizer_name: str, rank: int, ranks: int) -> None:
    """The losses are those of one process with all batches at once."""
    model = WRAPPERS[wrapper]("plain")
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    alone = network("plain")
    its_optimizer = OPTIMIZERS[optimizer_name](alone.parameters())
    of_ranks = [batches(3, seed=other) for other in range(ranks)]
    scheduler = AutoLR(optimizer, model, factors=5)
    for number in range(3):
        parts = [of_rank[number] for of_rank in of_ranks]
        whole = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
        step(model, optimizer, parts[rank])
        step(alone, its_optimizer, whole)
        decision = scheduler.probe(loss_fn, parts[rank])
        assert decision is not None
        its_losses = alone_losses(alone, its_optimizer, whole, decision["candidates"])
        # Sums in another order, in float32.
        torch.testing.assert_close(torch.tensor(decision["losses"]), torch.tensor(its_losses), rtol=1e-5, atol=1e-6)
        scheduler.step()
        its_optimizer.param_groups[0]["lr"] = scheduler.get_last_lr()[0]


def alone_losses(model: nn.Module, optimizer: Optimizer, batch: Batch, rates: list[float]) -> list[float]:
    from autolr_torch.testing import plain_probe

    return plain_probe(model, optimizer, loss_fn, batch, [[rate] for rate in rates])


def searches(wrapper: str, rank: int) -> None:
    """All ranks find the same rate, keep the same steps, and go back together."""
    model = WRAPPERS[wrapper]("BatchNorm")
    optimizer = OPTIMIZERS["SGD"](model.parameters())
    scheduler = Robust(optimizer, model, 1000, 20)
    own = batches(60, seed=rank)
    done = scheduler.search(loss_fn, own)
    assert done > 0
    same_everywhere((done, scheduler.get_last_lr(), scheduler.records, scheduler.trials))
    same_everywhere(weights(model))
    for number in range(done, 80):
        loss = step(model, optimizer, own[number % 60])
        # One rank alone has a bad epoch: all of them go back.
        scheduler.step(float("nan") if rank == 1 and 40 <= number < 60 else loss)
        same_everywhere(scheduler.get_last_lr())
    assert scheduler.records[-1]["change"]["details"]["returns"] == 1
    same_everywhere(weights(model))


def not_finite(wrapper: str, rank: int) -> None:
    """A loss that is NaN on one rank is NaN on all."""
    model = WRAPPERS[wrapper]("plain")
    optimizer = OPTIMIZERS["SGD"](model.parameters())
    scheduler = AutoLR(optimizer, model, factors=3)
    calls = iter(range(10))

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        value = loss_fn(model, batch)
        return value * float("nan") if next(calls) == 2 and rank == 1 else value

    decision = scheduler.probe(loss, batches(1, seed=rank)[0])
    assert decision is not None and decision["losses"][1] == "nan"
    assert all(isinstance(decision["losses"][index], float) for index in (0, 2))
    same_everywhere(decision)


def failing(wrapper: str, rank: int) -> None:
    """One rank fails: all of them do, with its message, and are as before."""
    model = WRAPPERS[wrapper]("plain")
    optimizer = OPTIMIZERS["SGD"](model.parameters())
    scheduler = AutoLR(optimizer, model, factors=3)
    calls = iter(range(10))

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        value = loss_fn(model, batch)
        if next(calls) == 3 and rank == 1:
            raise ZeroDivisionError("out of range")
        return value

    before = _Fingerprint(model, optimizer)
    batch = batches(1, seed=rank)[0]
    try:
        scheduler.probe(loss, batch)
    except ZeroDivisionError:
        assert rank == 1
    except RuntimeError as error:
        assert rank != 1 and str(error) == "rank 1 failed: ZeroDivisionError: out of range"
    else:
        raise AssertionError("nobody noticed")
    assert before.changes(_Fingerprint(model, optimizer)) == []
    assert scheduler.probe(loss_fn, batch) is not None, "it goes on afterwards"
    same_everywhere(scheduler.state_dict())


def disagreeing(rank: int) -> None:
    """Ranks that were set up differently are noticed, before they train apart."""
    model = data_parallel("plain")
    optimizer = OPTIMIZERS["SGD"](model.parameters())
    scheduler = AutoLR(optimizer, model, factors=[2.0, 1.0, 0.5] if rank == 0 else [3.0, 1.0, 0.5])
    try:
        scheduler.probe(loss_fn, batches(1, seed=rank)[0])
    except RuntimeError as error:
        assert "the ranks disagree about the learning rate: rank 0 has [" in str(error)
    else:
        raise AssertionError("nobody noticed")


def within_a_collective(rank: int) -> None:
    """One rank fails where the others wait for it inside of the model: it says so, and its end ends all."""
    from autolr_torch import ranks as module

    module._LAST_WORDS = timedelta(seconds=2)
    model = data_parallel("BatchNorm")
    optimizer = OPTIMIZERS["SGD"](model.parameters())
    scheduler = AutoLR(optimizer, model, factors=3)
    calls = iter(range(10))

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        if next(calls) == 2 and rank == 1:
            raise ZeroDivisionError("before the model")
        return loss_fn(model, batch)

    scheduler.probe(loss, batches(1, seed=rank)[0])


def run(rank: int, ranks: int, job: str, file: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=ranks)
    try:
        if job == "within a collective":
            within_a_collective(rank)
        else:
            # Two ranks try both; with four it takes long enough with one.
            for optimizer in OPTIMIZERS if ranks == 2 else ["SGD"]:
                for kind in ("plain", "BatchNorm"):
                    probes(job, kind, optimizer, rank)
                reference(job, optimizer, rank, ranks)
            searches(job, rank)
            not_finite(job, rank)
            failing(job, rank)
            disagreeing(rank)
        if rank == 0:
            print("passed")
    finally:
        distributed.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        count = int(sys.argv[1])
        multiprocessing.spawn(run, (count, sys.argv[2], os.path.join(folder, "store")), nprocs=count)
