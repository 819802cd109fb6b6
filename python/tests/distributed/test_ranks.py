"""Data-parallel and sharded training over gloo, with two and four processes on the CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("worker.py")


def work(ranks: int, job: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(WORKER), str(ranks), job], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("wrapper", ["DDP", "FSDP2"])
def test_all_ranks_probe_and_decide_as_one(wrapper: str, ranks: int) -> None:
    done = work(ranks, wrapper)
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout


def test_a_rank_that_fails_inside_of_the_model_ends_all() -> None:
    done = work(2, "within a collective")
    assert done.returncode != 0 and "passed" not in done.stdout
    assert "ZeroDivisionError: before the model" in done.stderr
