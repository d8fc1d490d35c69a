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
from pet.engine.events import EventStorage, Pending, Row

# Over ranks the slowest counts for these; the rest is averaged, as Pet does.
MAX_OVER_RANKS = frozenset({"data_time", "best_acc1"})
# Checked like every loss, and put into no history: what is left to guard where TRAIN.METRICS_ON is off.
UNLOGGED_LOSS = "total_loss (not logged)"
# How many steps in a row, up to this one, were left out because float16 gradients overflowed. That is how a scale is
# found, and no error, nor are the losses of such a step; so many in a row are one.
OVERFLOWS = "amp_overflows"
MOST_OVERFLOWS = 50
# Numbers of one name from one table: their share of a step's samples, the rows they came in, and themselves.
Column = tuple[float, list[Row], list[float]]


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
        write_metrics({name: value for name, value in metrics.items() if name not in numbers}, storage, share)
        write_host_metrics(numbers, storage, share)
        return
    pending = storage.pending
    pending.on_device[tuple(metrics), share].append((next(pending.turns), storage.iter, values))


def write_host_metrics(metrics: dict[str, float], storage: EventStorage, share: float = 1.0) -> None:
    """The same for numbers that the host knows already: there are some in each step."""
    pending = storage.pending
    pending.on_host[tuple(metrics), share].append((next(pending.turns), storage.iter, tuple(metrics.values())))


def flush_metrics(storage: EventStorage, *, guard: bool = True) -> None:
    """Read what the window holds into the storage. Collective over the ranks; no window, no cost.

    Raises on every rank NonFiniteLoss if `guard` is set and a loss of any rank is not finite, and GradientOverflow
    where too many steps in a row were left out.
    """
    pending, storage.pending = storage.pending, Pending()
    numbers = _read(pending)
    for name, steps in numbers.items():
        if name != UNLOGGED_LOSS:
            storage.put_window(name, list(steps.values()))
    broken = _broken(numbers, pending, storage)
    if broken and guard:
        raise broken[0]


def _broken(numbers: dict[str, dict[int, float]], pending: Pending, storage: EventStorage) -> list[NonFiniteLoss]:
    """The losses that are not finite and ought to be; counts all that are not, and steps left out."""
    left_out = numbers.get(OVERFLOWS, {})
    # True of nearly all windows, and much faster than to look at each number.
    if not any(left_out.values()) and math.isfinite(sum(chain.from_iterable(map(dict.values, numbers.values())))):
        return []
    broken: list[NonFiniteLoss] = []
    for iteration, names in _names_by_step(pending).items():
        overflows = int(left_out.get(iteration, 0))
        storage.overflows += overflows > 0
        if overflows >= MOST_OVERFLOWS:
            raise GradientOverflow(iteration - overflows + 1, overflows)
        losses = [NonFiniteLoss(iteration, name, numbers[name][iteration]) for name in names
                  if "loss" in name and not math.isfinite(numbers[name][iteration])]  # fmt: skip
        storage.nonfinite += len(losses)
        if not overflows:
            broken += losses
    return broken


def _names_by_step(pending: Pending) -> dict[int, dict[str, None]]:
    """The names of each step in the order in which they came: a sum comes after the term that spoils it."""
    tables = chain(pending.on_device.items(), pending.on_host.items())
    told = sorted((turn, iteration, names) for (names, _), rows in tables for turn, iteration, _ in rows)
    steps: dict[int, dict[str, None]] = defaultdict(dict)
    for _, iteration, names in told:
        steps[iteration].update(dict.fromkeys(names))
    return steps


def _read(pending: Pending) -> dict[str, dict[int, float]]:
    """Each number by name and step, reduced over the ranks; of a step's batches it is the mean over their samples."""
    columns: dict[str, list[Column]] = defaultdict(list)
    for tables, values in zip((pending.on_device, pending.on_host), _reduced(pending), strict=True):
        for (names, share), rows in tables.items():
            numbers = list(islice(values, len(names) * len(rows)))
            for place, name in enumerate(names):
                columns[name].append((share, rows, numbers[place :: len(names)]))
    return {name: _by_step(of_name) for name, of_name in columns.items()}


def _by_step(columns: list[Column]) -> dict[int, float]:
    """One name's numbers: one of a whole step takes the place of what came before, those of its batches add up."""
    (share, rows, numbers), *others = columns
    if share == 1.0 and not others:  # true of nearly all
        return dict(zip([iteration for _, iteration, _ in rows], numbers, strict=True))
    told = sorted((turn, iteration, share, value) for share, rows, numbers in columns
                  for (turn, iteration, _), value in zip(rows, numbers, strict=True))  # fmt: skip
    steps: dict[int, float] = {}
    for _, iteration, share, value in told:
        steps[iteration] = value if share == 1.0 else steps.get(iteration, 0.0) + share * value
    return steps


def _reduced(pending: Pending) -> tuple[Iterator[float], Iterator[float]]:
    """All numbers in their order, reduced over the ranks: those of the device, and those of the host."""
    tensors = [numbers for rows in pending.on_device.values() for _, _, numbers in rows]
    host = [number for rows in pending.on_host.values() for _, _, numbers in rows for number in numbers]
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
    told = [name for (names, _), rows in tables for name in names * len(rows)]
    slowest = torch.tensor([name in MAX_OVER_RANKS for name in told], device=device.device)
    reduced = torch.where(slowest, by_rank.amax(dim=0), by_rank.mean(dim=0)).tolist()
    return iter(reduced[: len(device)]), iter(reduced[len(device) :])


def _collective_device() -> torch.device:
    return torch.device("cuda") if dist.is_initialized() and dist.get_backend() == "nccl" else torch.device("cpu")
