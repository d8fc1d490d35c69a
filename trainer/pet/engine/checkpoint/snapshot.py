"""The state that a checkpoint holds, brought together at a step boundary and checked before a byte is written."""

from __future__ import annotations

import platform
from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import pet
from pet.engine.errors import NonFiniteWeights


class Scheduler(Protocol):
    """What a checkpoint needs of a scheduler; `iteration` is that of the next step, from 1."""

    iteration: int
    info: dict[str, Any]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `iteration` and `info`, and set the learning rates."""


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Scheduler,
             infinite: Collection[str] = ()) -> dict[str, Any]:  # fmt: skip
    """Pet's three parts of a checkpoint and the versions. Tensors are those that train: `on_host` or a copy of them is
    what may be written. Weights of the names `infinite` need not be finite.

    Raises NonFiniteWeights, and TypeError if a part holds what a `weights_only` load would refuse.
    """
    weights, kept = model_state(model), optimizer.state_dict()
    finite = {key: value for key, value in weights.items() if key not in infinite}
    require_finite({"model": finite, "optimizer": kept["state"]}, scheduler.iteration - 1)
    state = {
        "model": weights,
        "optimizer": kept,
        "scheduler": scheduler.state_dict(),
        "pet": {"version": pet.__version__, "torch": str(torch.__version__), "python": platform.python_version()},
    }
    for part in ("optimizer", "scheduler"):
        check_plain(state[part], part)
    return state


def model_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, under the names they have outside a data-parallel wrapper.

    Raises TypeError if a module keeps something else in its state, or tensors of a class that no load gives back.
    """
    if isinstance(model, DistributedDataParallel):
        model = model.module
    state = model.state_dict()
    for key, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"model: {key} is no tensor; extra state of a module is not saved")
    weights = {key: value.detach() for key, value in state.items()}
    for key, value in weights.items():
        check_plain(value, f"model: {key}")
    return weights


def infinite_buffers(model: nn.Module) -> set[str]:
    """The buffers that hold infinities: a mask of attention does by its nature."""
    return {name for name, buffer in model.named_buffers(remove_duplicate=False)
            if buffer.is_floating_point() and buffer.isinf().any()}  # fmt: skip


def on_host(state: dict[str, Any]) -> dict[str, Any]:
    """The same on the CPU, weights contiguous. Tensors that are so already are not copied."""
    weights = {key: value.cpu().contiguous() for key, value in state["model"].items()}
    return {**_on_cpu(state), "model": weights}


def require_finite(state: dict[str, Any], iteration: int) -> None:
    """Raise NonFiniteWeights if a tensor in a state of nested dictionaries and lists holds a NaN or an infinity.

    Reads each device once.
    """
    floats = dict(_floats(state))
    by_device: dict[torch.device, list[str]] = {}
    for name, value in floats.items():
        by_device.setdefault(value.device, []).append(name)
    bad = [name for names in by_device.values() for name in _non_finite({name: floats[name] for name in names})]
    if bad:
        raise NonFiniteWeights(iteration, bad, len(floats))


def _non_finite(floats: dict[str, torch.Tensor]) -> list[str]:
    # The largest magnitude of each: unlike a sum of squares it cannot overflow where all values are finite.
    largest = torch._foreach_norm(list(map(_with_norm, floats.values())), float("inf"))
    finite = torch.stack([value.isfinite() for value in largest]).tolist()
    return [name for name, good in zip(floats, finite, strict=True) if not good]


def _with_norm(value: torch.Tensor) -> torch.Tensor:
    """The same numbers in a type that has norms."""
    if value.is_complex():
        return torch.view_as_real(value.resolve_conj())
    return value.float() if value.element_size() == 1 else value


def _floats(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        if (value.is_floating_point() or value.is_complex()) and value.numel():
            yield name, value
    elif isinstance(value, (dict, list, tuple)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _floats(item, f"{name}.{key}" if name else str(key))


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
