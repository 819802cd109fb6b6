"""Whether a probe leaves no trace in a model of your own, and whether its losses are right.

`check` takes any probing function, so that it can be seen to notice a broken one.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from .checks import check_pair
from .generators import Generators
from .probe import Probe
from .trial import LossFn, rates_of

#: `probe(model, optimizer, loss_fn, batch, rates)` gives the loss after one step at each row of `rates`.
ProbeFn = Callable[[Any, Optimizer, LossFn, Any, Sequence[Sequence[float]]], list[float]]


@dataclass(frozen=True)
class Finding:
    """Something that a probe left behind or got wrong."""

    #: `weights`, `buffers`, `state`, `settings`, `gradients`, `modes`, `generators`, `hooks`, `repeat`, `candidates`,
    #: `step` or `training`.
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class ProbeFault(AssertionError):
    """What `check` found."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n".join(map(str, findings)))
        self.findings = findings


def plain_probe(
    model: nn.Module, optimizer: Optimizer, loss_fn: LossFn, batch: Any, rates: Sequence[Sequence[float]]
) -> list[float]:
    """The probe of this package."""
    return Probe(model, optimizer, loss_fn, batch, batch).losses(rates)


def check(
    model: nn.Module, optimizer: Optimizer, loss_fn: LossFn, batch: Any, *, probe: ProbeFn = plain_probe, steps: int = 2
) -> None:
    """Probes a model at several rates, and compares everything that there is before and after, bit for bit.

    Also: candidates have the same losses together, alone and in another order; a trial at the present rates has the loss
    that follows a real step; and a training goes on with a probe as it does without, over `steps` steps. The last two need
    a model that `copy.deepcopy` can copy, and are made on copies. Computation has to be deterministic.

    Raises:
        ProbeFault: with all that was found. What a broken probe did to the model stays.
        TypeError, ValueError: this pair cannot be probed.
    """
    check_pair(model, optimizer)
    generators = Generators()
    findings: list[Finding] = []
    try:
        findings += _trace(model, optimizer, loss_fn, batch, probe, generators)
        findings += _losses(model, optimizer, loss_fn, batch, probe, generators)
        findings += _step(model, optimizer, loss_fn, batch, probe, generators)
        findings += _training(model, optimizer, loss_fn, batch, probe, generators, steps)
    finally:
        generators.put_back()
    if findings:
        raise ProbeFault(findings)


def _candidates(optimizer: Optimizer) -> list[list[float]]:
    present = rates_of(optimizer)
    return [[factor * rate for rate in present] for factor in (2.0, 1.0, 0.5)]


def _trace(
    model: nn.Module, optimizer: Optimizer, loss_fn: LossFn, batch: Any, probe: ProbeFn, generators: Generators
) -> list[Finding]:
    seen: list[str] = []
    handles = [
        register_optimizer_step_pre_hook(lambda *_: seen.append("a global hook before steps")),
        register_optimizer_step_post_hook(lambda *_: seen.append("a global hook after steps")),
        optimizer.register_step_pre_hook(lambda *_: seen.append("a hook before steps")),
        optimizer.register_step_post_hook(lambda *_: seen.append("a hook after steps")),
    ]
    generators.put_back()
    before = _Fingerprint(model, optimizer)
    try:
        probe(model, optimizer, loss_fn, batch, _candidates(optimizer))
    finally:
        for handle in handles:
            handle.remove()
    findings = before.changes(_Fingerprint(model, optimizer))
    findings += [Finding("hooks", f"{who} saw a trial") for who in sorted(set(seen))]
    return findings


def _losses(
    model: nn.Module, optimizer: Optimizer, loss_fn: LossFn, batch: Any, probe: ProbeFn, generators: Generators
) -> list[Finding]:
    rows = _candidates(optimizer)

    def losses(rates: list[list[float]]) -> list[float]:
        generators.put_back()
        return probe(model, optimizer, loss_fn, batch, rates)

    together = losses(rows)
    findings = []
    if not _same(losses(rows), together):
        findings.append(Finding("repeat", "a second probe has other losses"))
    if not _same(losses(rows[::-1])[::-1], together):
        findings.append(Finding("candidates", "in another order they have other losses"))
    if not _same([losses([row])[0] for row in rows], together):
        findings.append(Finding("candidates", "each alone has another loss"))
    return findings


def _step(
    model: nn.Module, optimizer: Optimizer, loss_fn: LossFn, batch: Any, probe: ProbeFn, generators: Generators
) -> list[Finding]:
    generators.put_back()
    tried = probe(model, optimizer, loss_fn, batch, [rates_of(optimizer)])
    twin, its_optimizer = copy.deepcopy((model, optimizer))
    generators.put_back()
    _real_step(twin, its_optimizer, loss_fn, batch)
    generators.put_back()
    with torch.no_grad():
        real = [float(loss_fn(twin, batch).double())]
    if _same(tried, real):
        return []
    return [Finding("step", f"a trial at the present rates has the loss {tried[0]!r}, the real step {real[0]!r}")]


def _training(
    model: nn.Module,
    optimizer: Optimizer,
    loss_fn: LossFn,
    batch: Any,
    probe: ProbeFn,
    generators: Generators,
    steps: int,
) -> list[Finding]:
    twins = [copy.deepcopy((model, optimizer)) for _ in range(2)]
    ends = []
    for index, (twin, its_optimizer) in enumerate(twins):
        generators.put_back()
        if index == 0:
            probe(twin, its_optimizer, loss_fn, batch, _candidates(its_optimizer))
        for _ in range(steps):
            _real_step(twin, its_optimizer, loss_fn, batch)
        ends.append(_Fingerprint(twin, its_optimizer))
    changes = ends[0].changes(ends[1], identity=False)
    return [Finding("training", f"after a probe it goes on otherwise ({change})") for change in changes[:1]]


def _real_step(model: nn.Module, optimizer: Optimizer, loss_fn: LossFn, batch: Any) -> None:
    optimizer.zero_grad()
    loss_fn(model, batch).backward()  # type: ignore[no-untyped-call]
    # The copy's own: a scheduler's wrapper around `step` is copied along, and steps the original.
    type(optimizer).step(optimizer)


def _same(a: Sequence[float], b: Sequence[float]) -> bool:
    return [float(x).hex() for x in a] == [float(x).hex() for x in b]


class _Fingerprint:
    """All that a training is, as values to compare and as objects to recognise."""

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._entries: dict[tuple[str, str], tuple[int | None, Any]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            self._add("weights", name, parameter)
            self._add("gradients", name, parameter.grad)
        for path, module in model.named_modules():
            for name, buffer in module._buffers.items():
                self._add("buffers", f"{path}.{name}".lstrip("."), buffer)
            self._add("modes", path, module.training)
        for g, group in enumerate(optimizer.param_groups):
            for key, value in group.items():
                if key != "params":
                    self._add("settings", f"param_groups[{g}][{key!r}]", value)
            for p, parameter in enumerate(group["params"]):
                self._add("weights", f"param_groups[{g}]['params'][{p}]", parameter)
                if parameter in optimizer.state:
                    self._add("state", f"of parameter {p} of group {g}", dict(optimizer.state[parameter]))
        self._add("generators", "PyTorch's", torch.get_rng_state(), is_object=False)
        if torch.cuda.is_available():
            for device, state in enumerate(torch.cuda.get_rng_state_all()):
                self._add("generators", f"that of CUDA device {device}", state, is_object=False)
        self._add("generators", "Python's", random.getstate(), is_object=False)
        if "numpy" in sys.modules:
            self._add("generators", "NumPy's", repr(sys.modules["numpy"].random.get_state()), is_object=False)

    def _add(self, kind: str, name: str, value: Any, *, is_object: bool = True) -> None:
        if isinstance(value, dict):
            self._entries[kind, f"the keys {name}"] = None, sorted(map(str, value))
            for key, entry in value.items():
                self._add(kind, f"{key!r} {name}", entry)
        elif isinstance(value, Tensor):
            self._entries[kind, name] = id(value) if is_object else None, _bits(value)
        else:
            self._entries[kind, name] = None, copy.deepcopy(value)

    def changes(self, later: _Fingerprint, *, identity: bool = True) -> list[Finding]:
        findings = []
        for key in [*self._entries, *(key for key in later._entries if key not in self._entries)]:
            kind, name = key
            if key not in later._entries:
                findings.append(Finding(kind, f"{name} is gone"))
            elif key not in self._entries:
                findings.append(Finding(kind, f"{name} is new"))
            else:
                (object_before, before), (object_after, after) = self._entries[key], later._entries[key]
                if not _equal(before, after):
                    findings.append(Finding(kind, f"{name} has another value"))
                elif identity and object_before != object_after:
                    findings.append(Finding(kind, f"{name} is another tensor with the same values"))
        return findings


def _bits(tensor: Tensor) -> list[Any]:
    """Shape, type and bytes, so that NaN equals itself and −0 does not equal 0."""
    tensor = tensor.detach()
    local = getattr(tensor, "to_local", None)
    if local is not None:
        tensor = local()
    if tensor.is_sparse:
        tensor = tensor.coalesce()
        return [tuple(tensor.shape), *_bits(tensor.indices()), *_bits(tensor.values())]
    values = tensor.resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format).reshape(-1)
    return [tuple(tensor.shape), tensor.dtype, values.view(torch.uint8)]


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a.hex() == b.hex()
    return bool(a == b)
