"""What fully sharded training asks for beside plain training."""

from __future__ import annotations

from torch import nn


def reshard(model: nn.Module) -> None:
    """Lets go of gathered weights, which are stale once the shards were written (FSDP2).

    Without it, every trial would get the loss of the one before.
    """
    for module in model.modules():
        release = getattr(module, "reshard", None)
        if release is not None and hasattr(module, "set_requires_gradient_sync"):
            release()
