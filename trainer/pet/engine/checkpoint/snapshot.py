"""The state that a checkpoint holds, brought together at a step boundary and checked before a byte is written."""

from __future__ import annotations

import platform
from collections import OrderedDict
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import pet


class NonFiniteWeights(ArithmeticError):
    """Weights are NaN or infinite: such a state is never saved."""


class Scheduler(Protocol):
    """What a checkpoint needs of a scheduler; `iteration` is that of the next step, from 1."""

    iteration: int
    info: dict[str, Any]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `iteration` and `info`, and set the learning rates."""


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Scheduler) -> dict[str, Any]:
    """Pet's three parts of a checkpoint and the versions, on the CPU. Tensors that are there already are not copied.

    Raises NonFiniteWeights, and TypeError if a part holds what a `weights_only` load would refuse.
    """
    state = {
        "model": model_state(model),
        "optimizer": _on_cpu(optimizer.state_dict()),
        "scheduler": scheduler.state_dict(),
        "pet": {"version": pet.__version__, "torch": str(torch.__version__), "python": platform.python_version()},
    }
    for part in ("optimizer", "scheduler"):
        check_plain(state[part], part)
    return state


def model_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers on the CPU, contiguous, under the names they have outside a data-parallel wrapper.

    Raises NonFiniteWeights, and TypeError if a module keeps something else in its state.
    """
    if isinstance(model, DistributedDataParallel):
        model = model.module
    state = model.state_dict()
    for key, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"model: {key} is no tensor; extra state of a module is not saved")
    bad = non_finite(state)
    if bad:
        raise NonFiniteWeights(
            f"{len(bad)} of {len(state)} weights are not finite, among them {', '.join(bad[:3])}: "
            "nothing is saved. Lower SOLVER.OPTIMIZER.BASE_LR or switch on "
            "SOLVER.OPTIMIZER.CLIP_GRADIENTS"
        )
    return {key: value.detach().cpu().contiguous() for key, value in state.items()}


def non_finite(state: dict[str, torch.Tensor]) -> list[str]:
    """The names of the tensors that hold a NaN or an infinity. One read of the device."""
    floats = {key: value for key, value in state.items() if value.is_floating_point() and value.numel()}
    if not floats:
        return []
    # The largest magnitude of each: unlike a sum of squares it cannot overflow where all values are finite.
    largest = torch._foreach_norm(list(floats.values()), float("inf"))
    finite = torch.stack([value.isfinite() for value in largest]).tolist()
    return [key for key, good in zip(floats, finite, strict=True) if not good]


def size_of(state: Any) -> int:
    """What the tensors of nested dictionaries and lists take in a file, in bytes."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, (dict, list, tuple)):
        return sum(map(size_of, state.values() if isinstance(state, dict) else state))
    return 0


def check_plain(value: Any, where: str) -> None:
    """Raise TypeError, naming the place, unless a `weights_only` load gives `value` back: tensors, numbers, texts
    and None, and lists, tuples and dictionaries of such."""
    if type(value) in _CONTAINERS:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if type(key) not in (str, int):
                raise TypeError(f"{where}: the key {key!r} is neither a text nor a number")
            check_plain(item, f"{where}[{key!r}]")
    elif type(value) not in _LEAVES:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise TypeError(f"{where} is a {kind}, which no checkpoint holds: make it a tensor or plain numbers and texts")


_CONTAINERS = (dict, OrderedDict, list, tuple)
_LEAVES = (torch.Tensor, nn.Parameter, int, float, bool, str, type(None))


def _on_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on_cpu(item) for item in value)
    return value
