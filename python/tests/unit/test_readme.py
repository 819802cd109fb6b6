"""What README.md shows does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_lines_of_the_readme_train() -> None:
    training, loss_fn, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    x = torch.randn(400, 6)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    names: dict[str, Any] = {
        "torch": torch,
        "model": model,
        "optimizer": torch.optim.AdamW(model.parameters()),
        "loader": DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=10, shuffle=True),
        "total": 1000,
    }
    exec(loss_fn + training, names)
    assert names["step"] == 1000 and names["scheduler"].get_last_lr() == [0.0]
    assert float(names["loss"].detach()) < 0.1  # 0.69 at first
