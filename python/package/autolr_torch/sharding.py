"""What fully sharded training asks for beside plain training."""

from __future__ import annotations

from torch import nn


def reshard(model: nn.Module) -> None:
    """Lets go of gathered weights (FSDP2).

    They are stale once the shards were written: every trial would get the loss of the one before. And as long as they are
    there, they are the model's parameters, instead of those that the optimiser steps.
    """
    for module in model.modules():
        release = getattr(module, "reshard", None)
        if release is not None and hasattr(module, "set_requires_gradient_sync"):
            release()
