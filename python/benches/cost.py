"""What a scheduler costs: a step beside `CosineAnnealingLR.step`, and a probe beside the passes that it is made of.

    python benches/cost.py

Prints medians of ratios within one run; nothing depends on them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from autolr_torch import AutoLR, Robust

Batch = tuple[Tensor, Tensor]


def loss_fn(model: nn.Module, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def seconds(work: Callable[[], object], times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begin) / times


def ratios(a: Callable[[], object], b: Callable[[], object], times: int, rounds: int) -> tuple[float, float]:
    """Median of the ratios of a to b, measured in turns, and of the seconds of b."""
    pairs = [(seconds(a, times), seconds(b, times)) for _ in range(rounds)]
    return statistics.median(x / y for x, y in pairs), statistics.median(y for _, y in pairs)


def of_a_step() -> None:
    model = nn.Linear(4, 2)
    batches = [(torch.randn(8, 4), torch.randint(2, (8,)))] * 100
    optimizer, other = (torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(2))
    robust = Robust(optimizer, model, 1_000_000)
    robust.search(loss_fn, batches)
    paper = AutoLR(optimizer, model, every=1_000_000)
    cosine = CosineAnnealingLR(other, 1_000_000)
    other.step()
    loss = torch.tensor(1.0)
    for name, step in (
        ("Robust.step()", robust.step),
        ("Robust.step(loss)", lambda: robust.step(loss)),
        ("AutoLR.step()", paper.step),
    ):
        ratio, base = ratios(step, cosine.step, 2000, 21)
        print(f"{name}: {ratio:.2f} × CosineAnnealingLR.step(), which takes {1e6 * base:.1f} µs")


def of_a_probe() -> None:
    torch.set_num_threads(1)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(25088, 10)
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    batch = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
    scheduler = AutoLR(optimizer, model, factors=7)

    def passes() -> None:
        optimizer.zero_grad()
        loss_fn(model, batch).backward()
        with torch.no_grad():
            for _ in range(7):
                loss_fn(model, batch)

    def probe() -> None:
        scheduler.probe(loss_fn, batch)
        scheduler._core.resume(state)
        scheduler._probed = False

    passes()
    optimizer.step()
    state = scheduler._core.state()
    ratio, base = ratios(probe, passes, 1, 21)
    print(
        f"a probe of 7 candidates: {ratio:.2f} × eight forward passes and a backward pass, which take {1e3 * base:.0f} ms"
    )


if __name__ == "__main__":
    of_a_step()
    of_a_probe()
