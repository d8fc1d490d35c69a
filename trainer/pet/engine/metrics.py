"""Numbers of a step, kept on the device until the log window ends and then read once.

`write_metrics` only remembers tensors. `flush_metrics` brings what the window holds together over the ranks in one
collective, copies the result to the host once, and puts every step's value into the storage: medians over steps are
exact, and the first number that is not finite is known by step and name.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain, islice

import torch
import torch.distributed as dist

from pet.engine.distributed import get_world_size, peer_errors
from pet.engine.errors import GradientOverflow, NonFiniteLoss
from pet.engine.events import EventStorage, Pending

# Over ranks the slowest counts for these; the rest is averaged, as Pet does.
MAX_OVER_RANKS = frozenset({"data_time", "best_acc1"})
# Checked like every loss, and put into no history: what is left to guard where TRAIN.METRICS_ON is off.
UNLOGGED_LOSS = "total_loss (not logged)"
# How many steps in a row, up to this one, were left out because float16 gradients overflowed. That is how a scale is
# found, and no error, nor are the losses of such a step; so many in a row are one.
OVERFLOWS = "amp_overflows"
MOST_OVERFLOWS = 50


def write_metrics(metrics: Mapping[str, torch.Tensor | float], storage: EventStorage, share: float = 1.0) -> None:
    """Remember this step's numbers without reading the device.

    `metrics` holds scalar tensors of one device, or plain numbers; every rank must give the same names.
    Values appear in the storage when the window ends. Names that contain "loss" are checked for being finite.
    With a `share` below 1 they belong to one batch of several: what appears is the mean over the step's samples.
    """
    if not metrics:
        return
    try:
        # One operation for all terms, and one that lets go of their graph: detaching each would cost one per term.
        values = torch.stack(tuple(metrics.values())).detach()  # type: ignore[arg-type]
    except TypeError:
        numbers = {name: float(value) for name, value in metrics.items() if not isinstance(value, torch.Tensor)}
        if not numbers:
            raise
        write_host_metrics(numbers, storage, share)
        write_metrics({name: value for name, value in metrics.items() if name not in numbers}, storage, share)
        return
    table = storage.pending.on_device[tuple(metrics), share]
    table.iterations.append(storage.iter)
    table.values.append(values)


def write_host_metrics(metrics: dict[str, float], storage: EventStorage, share: float = 1.0) -> None:
    """The same for numbers that the host knows already: there are some in each step."""
    table = storage.pending.on_host[tuple(metrics), share]
    table.iterations.append(storage.iter)
    table.values.extend(metrics.values())


def flush_metrics(storage: EventStorage, *, guard: bool = True) -> None:
    """Read what the window holds into the storage. Collective over the ranks; no window, no cost.

    Raises on every rank NonFiniteLoss if `guard` is set and a loss of any rank is not finite, and GradientOverflow
    where too many steps in a row were left out.
    """
    pending, storage.pending = storage.pending, Pending()
    numbers = _read(pending)
    for name, steps in numbers.items():
        if name != UNLOGGED_LOSS:
            storage.put_window(name, [value for _, value in sorted(steps.items())])
    broken = _broken(numbers, storage)
    if broken and guard:
        raise broken[0]


def _broken(numbers: dict[str, dict[int, float]], storage: EventStorage) -> list[NonFiniteLoss]:
    """The losses that are not finite and ought to be; counts all that are not, and steps left out."""
    left_out = numbers.get(OVERFLOWS, {})
    # True of nearly all windows, and much faster than to look at each number.
    if not any(left_out.values()) and math.isfinite(sum(chain.from_iterable(map(dict.values, numbers.values())))):
        return []
    broken: list[NonFiniteLoss] = []
    for iteration in sorted(set().union(*numbers.values())):
        overflows = int(left_out.get(iteration, 0))
        storage.overflows += overflows > 0
        if overflows >= MOST_OVERFLOWS:
            raise GradientOverflow(iteration - overflows + 1, overflows)
        losses = [NonFiniteLoss(iteration, name, steps[iteration]) for name, steps in numbers.items()
                  if "loss" in name and not math.isfinite(steps.get(iteration, 0.0))]  # fmt: skip
        storage.nonfinite += len(losses)
        if not overflows:
            broken += losses
    return broken


def _read(pending: Pending) -> dict[str, dict[int, float]]:
    """Each number by name and step, reduced over the ranks; of a step's batches it is the mean over their samples."""
    numbers: dict[str, dict[int, float]] = defaultdict(dict)
    for tables, values in zip((pending.on_device, pending.on_host), _reduced(pending), strict=True):
        for (names, share), table in tables.items():
            rows = list(islice(values, len(names) * len(table.iterations)))
            for place, name in enumerate(names):
                column = zip(table.iterations, rows[place :: len(names)], strict=True)
                steps = numbers[name]
                if share == 1.0:
                    steps.update(column)
                else:
                    for iteration, value in column:
                        steps[iteration] = steps.get(iteration, 0.0) + share * value
    return numbers


def _reduced(pending: Pending) -> tuple[Iterator[float], Iterator[float]]:
    """All numbers in their order, reduced over the ranks: those of the device, and those of the host."""
    tensors = list(chain.from_iterable(table.values for table in pending.on_device.values()))
    host = list(chain.from_iterable(table.values for table in pending.on_host.values()))
    if not tensors and not host:
        return iter(()), iter(())
    device = torch.cat(tensors) if tensors else torch.empty(0, device=_collective_device())
    if get_world_size() == 1:
        return iter(device.tolist()), iter(host)
    numbers = torch.cat([device.float(), torch.tensor(host, dtype=torch.float32).to(device.device, non_blocking=True)])
    gathered = numbers.new_empty(get_world_size() * len(numbers))
    with peer_errors():
        dist.all_gather_into_tensor(gathered, numbers)
    by_rank = gathered.view(get_world_size(), len(numbers))
    tables = (*pending.on_device.items(), *pending.on_host.items())
    told = [name for (names, _), table in tables for name in names * len(table.iterations)]
    slowest = torch.tensor([name in MAX_OVER_RANKS for name in told], device=device.device)
    reduced = torch.where(slowest, by_rank.amax(dim=0), by_rank.mean(dim=0)).tolist()
    return iter(reduced[: len(device)]), iter(reduced[len(device) :])


def _collective_device() -> torch.device:
    return torch.device("cuda") if dist.is_initialized() and dist.get_backend() == "nccl" else torch.device("cpu")
