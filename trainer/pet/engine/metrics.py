"""Numbers of a step, kept on the device until the log window ends and then read once.

`write_metrics` only remembers tensors. `flush_metrics` stacks what the window holds, brings all ranks' numbers together
in one collective, copies the result to the host once, and puts every step's value into the storage: medians over steps
are exact, and the first number that is not finite is known by step and name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist

from pet.engine.distributed import get_world_size, peer_errors
from pet.engine.events import EventStorage

# Over ranks the slowest counts for these; the rest is averaged, as Pet does.
MAX_OVER_RANKS = frozenset({"data_time", "best_acc1"})

Layout = tuple[tuple[str, ...], tuple[str, ...]]  # names on the device, names on the host


class NonFiniteLoss(ArithmeticError):
    """A loss became NaN or infinite; `iteration` and `term` say where it began."""

    def __init__(self, iteration: int, term: str, value: float) -> None:
        super().__init__(
            f"loss {term!r} is {value} at iteration {iteration}: lower SOLVER.OPTIMIZER.BASE_LR, lengthen "
            "the warm-up or switch on SOLVER.OPTIMIZER.CLIP_GRADIENTS"
        )
        self.iteration = iteration
        self.term = term


@dataclass(frozen=True)
class StepMetrics:
    """One step's numbers: `values` has shape [len(device_names)] on the device, `host` is known already."""

    iteration: int
    device_names: tuple[str, ...]
    values: torch.Tensor | None
    host: Mapping[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, those on the device first."""
        return (*self.device_names, *self.host)

    @property
    def layout(self) -> Layout:
        """What is equal for steps that can be read together."""
        return self.device_names, tuple(self.host)


def write_metrics(metrics: Mapping[str, torch.Tensor | float], storage: EventStorage) -> None:
    """Remember this step's numbers without reading the device.

    `metrics` holds scalar tensors of one device and dtype, or plain numbers; every rank must give the same names.
    Values appear in the storage when the window ends. Names that contain "loss" are checked for being finite.
    """
    names = tuple(name for name, value in metrics.items() if isinstance(value, torch.Tensor))
    values = None
    if names:
        with torch.no_grad():
            # One operation for all terms; detaching each of them would cost one per term.
            values = torch.stack([metrics[name] for name in names])  # type: ignore[misc]
    host = {name: float(value) for name, value in metrics.items() if not isinstance(value, torch.Tensor)}
    storage.pending.append(StepMetrics(storage.iter, names, values, host))


def flush_metrics(storage: EventStorage, *, guard: bool = True) -> None:
    """Read what the window holds into the storage. Collective over the ranks; no window, no cost.

    Raises NonFiniteLoss on every rank if `guard` is set and a loss of any rank is not finite.
    """
    window, storage.pending = storage.pending, []
    groups: dict[Layout, list[StepMetrics]] = {}
    for step in window:
        groups.setdefault(step.layout, []).append(step)
    rows = {layout: _read(steps) for layout, steps in groups.items()}
    broken: list[NonFiniteLoss] = []
    for step in window:  # in the order of steps, whichever names they have
        for name, value in zip(step.names, next(rows[step.layout]), strict=True):
            if "loss" in name and not math.isfinite(value):
                broken.append(NonFiniteLoss(step.iteration, name, value))
            storage.put_scalar(name, value)
    storage.nonfinite += len(broken)
    if broken and guard:
        raise broken[0]


def _read(steps: list[StepMetrics]) -> Iterator[list[float]]:
    """One row per step: device values then host values, reduced over the ranks."""
    device = torch.stack([step.values for step in steps if step.values is not None]) if steps[0].device_names else None
    host = [list(step.host.values()) for step in steps]
    if get_world_size() == 1:
        rows = device.tolist() if device is not None else [[] for _ in steps]
        yield from (row + extra for row, extra in zip(rows, host, strict=True))
        return
    names = steps[0].names
    matrix = _join(device, host)
    gathered = matrix.new_empty((get_world_size() * len(steps), len(names)))
    with peer_errors():
        dist.all_gather_into_tensor(gathered, matrix)
    by_rank = gathered.view(get_world_size(), len(steps), len(names))
    mean, largest = by_rank.mean(dim=0), by_rank.amax(dim=0)
    slowest = torch.tensor([name in MAX_OVER_RANKS for name in names], device=matrix.device)
    yield from torch.where(slowest, largest, mean).tolist()


def _join(device: torch.Tensor | None, host: list[list[float]]) -> torch.Tensor:
    """The window as one matrix [steps, names] on the device of the group's collectives."""
    where = device.device if device is not None else _collective_device()
    numbers = torch.tensor(host, dtype=torch.float32).to(where, non_blocking=True)
    return numbers if device is None else torch.cat([device.float(), numbers], dim=1)


def _collective_device() -> torch.device:
    return torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
