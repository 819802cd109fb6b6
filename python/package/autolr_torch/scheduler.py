"""What all schedulers share: the settings, the state, the rates, and the loop that carries out what the core asks for."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from . import _core
from .checks import check_pair, ratios_of
from .ranks import Ranks
from .trial import rates_of, set_rates, unwrapped

#: Version of the format of `state_dict`.
_FORMAT = 1


class Scheduler(LRScheduler):
    """A learning rate set by one of autolr's methods. Use `Robust` or `AutoLR`."""

    def __init__(
        self,
        optimizer: Optimizer,
        model: nn.Module,
        settings: dict[str, Any],
        process_group: distributed.ProcessGroup | None = None,
    ) -> None:
        optimizer = unwrapped(optimizer)
        check_pair(model, optimizer)
        #: The rates of the parameter groups as multiples of the first group's.
        self._ratios = ratios_of(optimizer)
        self._settings = settings
        self._core = _core.Scheduler(json.dumps(settings))
        self._model = model
        self._ranks = Ranks(process_group)
        #: What was decided so far, in the core's words: a `decision` or a `change` each.
        self.records: list[dict[str, Any]] = []
        super().__init__(optimizer)

    def _initial_step(self) -> None:
        # The base class would call `step`, which counts.
        self._step_count = 1
        self._update_lr(0)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        rates = self._rates()
        groups = self.optimizer.param_groups
        if len(groups) != len(rates):
            raise RuntimeError(
                f"the optimizer has {len(groups)} parameter groups, but had {len(rates)} when the scheduler was made"
            )
        set_rates(self.optimizer, rates)
        self._last_lr: list[float | Tensor] = list(rates)

    def _rates(self) -> list[float]:
        """The rates in force, one a parameter group."""
        raise NotImplementedError

    def get_lr(self) -> list[float | Tensor]:
        """The rates in force, one a parameter group."""
        return list(self._rates())

    def _carry_out(self, request: dict[str, Any]) -> str | None:
        """Does what the core asks for, and tells it what came of it."""
        raise NotImplementedError

    def _go_on(self, answer: str | None) -> None:
        """Carries out requests until the training is to go on."""
        while answer is not None:
            turn = json.loads(answer)
            request = turn.pop("request")
            if turn:
                self.records.append(turn)
            if request["kind"] == "continue":
                return
            answer = self._carry_out(request)

    def state_dict(self) -> dict[str, Any]:
        """The state, for a checkpoint: the core's own as JSON text, and numbers.

        It loads with `torch.load(..., weights_only=True)`, and a training that goes on from it has the same rates, bit for
        bit.
        """
        return {
            "format": _FORMAT,
            "state": self._core.state(),
            "ratios": list(self._ratios),
            "last_epoch": self.last_epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a saved state. Load model and optimiser before.

        Raises:
            ValueError: the state is of another format, method, version or configuration, with the fields that differ;
                the scheduler is as before.
        """
        found = state_dict.get("format")
        if found != _FORMAT:
            raise ValueError(f"format = {found!r}: no state of this version of autolr_torch, which reads {_FORMAT}")
        missing = [key for key in self.state_dict() if key not in state_dict]
        if missing:
            raise ValueError(f"the state lacks {', '.join(missing)}")
        if len(state_dict["ratios"]) != len(self._ratios):
            raise ValueError(
                f"the state has {len(state_dict['ratios'])} parameter groups, the optimizer has {len(self._ratios)}"
            )
        self._load(state_dict)
        self._ratios = list(state_dict["ratios"])
        self._update_lr(state_dict["last_epoch"])

    def _load(self, state_dict: dict[str, Any]) -> None:
        self._core.resume(state_dict["state"])

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._settings.items() if key != "kind")
        return f"{type(self).__name__}({settings}; lr={rates_of(self.optimizer)})"
