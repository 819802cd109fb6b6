"""A rate for those who only want a number."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from .robust import Robust, RobustSettings
from .search import Trial
from .trial import LossFn, rates_of, set_rates, unwrapped

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Found:
    """What a search found."""

    #: The highest rate of a schedule that warms up and then falls to zero over the training.
    lr: float
    #: The same for the rates whose trials were within two standard errors of the best; none where no loss was finite.
    interval: tuple[float, float] | None
    #: All trials, in their order.
    trials: list[Trial]
    #: `search`, or why `lr` is a guess.
    reason: str

    def figure(self) -> Any:
        """Losses over rates, a curve for each length of trials: a matplotlib figure.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from matplotlib.figure import Figure  # type: ignore[import-not-found,unused-ignore]

        figure = Figure()
        axes = figure.subplots()
        finite = [trial for trial in self.trials if math.isfinite(trial.loss)]
        for steps in sorted({trial.steps for trial in finite}):
            curve = sorted((trial for trial in finite if trial.steps == steps), key=lambda trial: trial.lr)
            axes.errorbar(
                [trial.lr for trial in curve],
                [trial.loss for trial in curve],
                [trial.standard_error for trial in curve],
                marker="o",
                label=f"{steps} steps",
            )
        if self.interval is not None:
            axes.axvspan(*self.interval, alpha=0.2, label="found")
        if finite:
            # Losses far above the initial one would flatten the rest.
            axes.set_ylim(top=1.5 * abs(finite[0].loss))
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss after the trial")
        axes.legend()
        return figure


def find(
    model: nn.Module,
    optimizer: Optimizer,
    loss_fn: LossFn,
    loader: Iterable[Any],
    total_steps: int = 1000,
    *,
    before_step: Callable[[], object] | None = None,
    scaler: GradScaler | None = None,
    **settings: Unpack[RobustSettings],
) -> Found:
    """Finds a rate and leaves everything else as it was: model, optimizer (its rate too), random generators.

    Args:
        loss_fn: `loss_fn(model, batch)` computes the mean loss, and nothing else.
        total_steps: how long you will train. A longer training gets longer trials.

    Raises:
        TypeError, ValueError, RuntimeError: as `Robust` and `Robust.search`.
    """
    settings["guard"] = False
    optimizer = unwrapped(optimizer)
    original_step = optimizer.__dict__.get("step")
    initial = [group.get("initial_lr") for group in optimizer.param_groups]
    scheduler = Robust(optimizer, model, total_steps, **settings)
    rates = rates_of(optimizer)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.search(loss_fn, loader, keep=False, before_step=before_step, scaler=scaler)
    finally:
        set_rates(optimizer, rates)
        for group, first in zip(optimizer.param_groups, initial):
            if first is None:
                del group["initial_lr"]
        _unwrap_step(optimizer, original_step)
    change = scheduler.records[0]["change"]
    tied = _tied(scheduler.trials)
    scale = settings.get("scale", 0.5)
    interval = None if tied is None else (scale * tied[0], scale * tied[1])
    return Found(float(change["new_lr"]), interval, scheduler.trials, change["details"]["reason"])


def _unwrap_step(optimizer: Optimizer, original: Any) -> None:
    # A scheduler wraps it, for a warning.
    if original is None:
        optimizer.__dict__.pop("step", None)


def _tied(trials: list[Trial]) -> tuple[float, float] | None:
    """Lowest and highest rate of the longest trials within two standard errors, batch by batch, of the best."""
    longest = max((trial.steps for trial in trials), default=0)
    finite = [trial for trial in trials if trial.steps == longest and math.isfinite(trial.loss)]
    if not finite:
        return None
    best = min(finite, key=lambda trial: trial.loss)
    rates = []
    for trial in finite:
        apart = Trial(trial.lr, 0, math.nan, [a - b for a, b in zip(trial.scores, best.scores)])
        if apart.loss <= 2.0 * apart.standard_error:
            rates.append(trial.lr)
    return min(rates), max(rates)
