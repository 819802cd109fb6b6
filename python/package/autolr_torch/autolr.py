"""The paper's scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from torch import Tensor, distributed, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from . import _core
from .checks import check_keys, check_moment, number, ratios_of
from .probe import Probe
from .scheduler import Scheduler
from .trial import LossFn, rates_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AutoLRSettings(TypedDict, total=False):
    """Settings of `AutoLR`, as in the file format of autolr; all have defaults."""

    normalization: str
    sharpness: float
    non_finite: str
    every: int
    min_lr: float
    max_lr: float
    all_non_finite: str
    edge_probes: int
    base: dict[str, Any]
    group_probing: str


#: Set by the optimizer and the call of `step`.
_OTHERS = ("lr", "factors", "unit")


class AutoLR(Scheduler):
    """Scales the rate, decision by decision, by the weighted geometric mean of `factors`.

    A decision tries `factors × lr`, one optimiser step each from the present weights; the lower a candidate's loss, the
    more its factor counts. "Automated learning rate scheduling with in-training information", Algorithm 1.

    The initial rates are the optimizer's; parameter groups keep their ratios. Call `probe` before each `step`: it does
    something only where a decision is due, which is at every `every`-th call of `step` (an epoch or a batch, as you like).

    Args:
        factors: positive numbers, or an odd count N for N powers of two around 1.
        process_group: the ranks whose losses are averaged; by default all, where `torch.distributed` is initialised.
        settings: `every`, `min_lr`, `max_lr`, `base` (a schedule that is scaled, such as `{"kind": "cosine", "lr": 0.1,
            "t_max": 1000}`, counted in calls of `step`), `normalization`, `sharpness`, `non_finite`, `all_non_finite`, `edge_probes`,
            `group_probing`.

    Raises:
        TypeError, ValueError: a setting that there is not, or whose value cannot be.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> scheduler = AutoLR(optimizer, model, factors=[2.0, 1.0, 0.5])
        >>> batch = torch.ones(4, 2), torch.zeros(4, 1)
        >>> def loss_fn(model, batch): return torch.nn.functional.mse_loss(model(batch[0]), batch[1])
        >>> decision = scheduler.probe(loss_fn, batch)
        >>> scheduler.step()
        >>> scheduler.get_last_lr() == [decision["new_lr"]]
        True
    """

    def __init__(
        self,
        optimizer: Optimizer,
        model: nn.Module,
        factors: int | Sequence[float] = 5,
        *,
        process_group: distributed.ProcessGroup | None = None,
        **settings: Unpack[AutoLRSettings],
    ) -> None:
        known = [key for key in _core.keys("autolr") if key not in _OTHERS]
        check_keys("AutoLR", settings, [*known, "group_probing"])
        values: dict[str, Any] = {"kind": "autolr", "unit": "step", **settings}
        values["factors"] = f"factor_{factors}" if isinstance(factors, int) else [float(factor) for factor in factors]
        if "base" not in settings and isinstance(optimizer, Optimizer):
            values["lr"] = rates_of(optimizer)[0]
        if isinstance(optimizer, Optimizer) and len(optimizer.param_groups) > 1:
            values["groups"] = ratios_of(optimizer)
        self._probed = False
        self._probe: Probe | None = None
        super().__init__(optimizer, model, values, process_group)

    def _rates(self) -> list[float]:
        return self._core.lrs

    @property
    def is_due(self) -> bool:
        """Whether the next `step` needs a `probe` before it."""
        return self._core.is_due and not self._probed

    def probe(
        self,
        loss_fn: LossFn,
        batch: Any,
        *,
        scoring_batch: Any = None,
        before_step: Callable[[], object] | None = None,
        scaler: GradScaler | None = None,
    ) -> dict[str, Any] | None:
        """Takes the decision, if one is due; the training is afterwards as before, bit for bit. `step` applies it.

        It costs a forward and backward pass for the gradient, and a forward pass for each candidate.

        Args:
            loss_fn: `loss_fn(model, batch)` computes the mean loss, and nothing else.
            batch: gives the gradient.
            scoring_batch: gives the candidates' losses; the same batch unless given. Another one is the better judge.
            before_step: what your loop does between `backward` and `optimizer.step()`: clips the gradient, say.
            scaler: your `GradScaler`, if you use one.

        Returns:
            The decision, in the words of `autolr update`; None where none is due.

        Raises:
            TypeError, ValueError, RuntimeError: `loss_fn` gives no usable loss; scheduler and training are as before.
        """
        if not self.is_due:
            return None
        check_moment(self.optimizer)
        self._probe = Probe(
            self._model,
            self.optimizer,
            loss_fn,
            batch,
            batch if scoring_batch is None else scoring_batch,
            before_step=before_step,
            scaler=scaler,
        )
        before, records = self._core.state(), len(self.records)
        try:
            self._go_on(self._core.step())
            self._ranks.agree(self._core.lrs)
        except BaseException:
            self._core.resume(before)
            del self.records[records:]
            raise
        finally:
            self._probe = None
        self._probed = True
        decision: dict[str, Any] = self.records[-1]["decision"]
        return decision

    def _carry_out(self, request: dict[str, Any]) -> str | None:
        assert request["kind"] == "probe" and self._probe is not None
        probe, rows = self._probe, [[number(rate) for rate in row] for row in request["lrs"]]
        losses = self._ranks.mean(self._ranks.together(lambda: probe.losses(rows)))
        return self._core.losses(losses, (len(rows) + 1, 1))

    def step(self, loss: Tensor | float | None = None) -> None:
        """Ends a tick, and sets the rate of the next. `loss` is not needed, and taken for the sake of other schedulers.

        Raises:
            RuntimeError: a decision is due, and `probe` was not called.
        """
        if self.is_due:
            raise RuntimeError("a decision is due: call scheduler.probe(loss_fn, batch) before scheduler.step()")
        if not self._probed:
            self._core.step()
        self._probed = False
        self._step_count += 1
        self._update_lr()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "probed": self._probed}

    def _load(self, state_dict: dict[str, Any]) -> None:
        super()._load(state_dict)
        self._probed = state_dict["probed"]
