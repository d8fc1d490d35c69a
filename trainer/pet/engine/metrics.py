"""Numbers of a step, kept on the device until the log window ends and then read once.

`write_metrics` only remembers tensors. `flush_metrics` brings what the window holds together over the ranks in one
collective, copies the result to the host once, and puts every step's value into the storage: medians over steps are
exact, and the first number that is not finite is known by step and name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter, methodcaller

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
_OVERFLOWS_OF = methodcaller("get", OVERFLOWS)
_TENSORS = frozenset({torch.Tensor})


def write_metrics(metrics: Mapping[str, torch.Tensor | float], storage: EventStorage, share: float = 1.0) -> None:
    """Remember this step's numbers without reading the device.

    `metrics` holds scalar tensors of one device, or plain numbers; every rank must give the same names.
    Values appear in the storage when the window ends. Names that contain "loss" are checked for being finite.
    With a `share` below 1 they belong to one batch of several: what appears is the mean over the step's samples.
    """
    known: dict[str, float] = {}
    if not _TENSORS.issuperset(map(type, metrics.values())):  # no more is to be asked of most
        known = {name: float(value) for name, value in metrics.items() if not isinstance(value, torch.Tensor)}
        metrics = {name: value for name, value in metrics.items() if name not in known}
    if metrics:
        # One operation for all terms, and one that lets go of their graph: detaching each would cost one per term.
        storage.pending.on_device.append(torch.stack(tuple(metrics.values())).detach())  # type: ignore[arg-type]
        storage.pending.rows.append((storage.iter, tuple(metrics), share, True))
    if known:
        write_host_metrics(known, storage, share)


def write_host_metrics(metrics: dict[str, float], storage: EventStorage, share: float = 1.0) -> None:
    """The same for numbers that the host knows already: there are some in each step."""
    storage.pending.on_host.extend(metrics.values())
    storage.pending.rows.append((storage.iter, tuple(metrics), share, False))


def flush_metrics(storage: EventStorage, *, guard: bool = True) -> None:
    """Read what the window holds into the storage. Collective over the ranks; no window, no cost.

    Raises on every rank NonFiniteLoss if `guard` is set and a loss of any rank is not finite, and GradientOverflow
    where too many steps in a row were left out.
    """
    window, storage.pending = storage.pending, Pending()
    if not window.rows:
        return
    steps = _read(window)
    for names, alike in groupby(steps.values(), key=tuple):  # one group, but where names come and go
        for name, values in zip(names, zip(*map(dict.values, alike), strict=True), strict=True):
            if name != UNLOGGED_LOSS:
                storage.put_window(name, values)
    broken = _broken(steps, storage)
    if broken and guard:
        raise broken[0]


def _broken(steps: dict[int, dict[str, float]], storage: EventStorage) -> list[NonFiniteLoss]:
    """The losses that are not finite and ought to be; counts all that are not, and steps left out."""
    # True of nearly all windows, and much faster than to look at each number.
    if not any(map(_OVERFLOWS_OF, steps.values())) and math.isfinite(sum(map(sum, map(dict.values, steps.values())))):
        return []
    broken: list[NonFiniteLoss] = []
    for iteration, numbers in steps.items():
        overflows = int(numbers.get(OVERFLOWS, 0))
        storage.overflows += overflows > 0
        if overflows >= MOST_OVERFLOWS:
            raise GradientOverflow(iteration - overflows + 1, overflows)
        losses = [NonFiniteLoss(iteration, name, value) for name, value in numbers.items()
                  if "loss" in name and not math.isfinite(value)]  # fmt: skip
        storage.nonfinite += len(losses)
        if not overflows:
            broken += losses
    return broken


def _read(window: Pending) -> dict[int, dict[str, float]]:
    """By step its numbers, reduced over the ranks; what its batches gave as their mean over its samples."""
    on_device, on_host = _reduced(window)
    steps: dict[int, dict[str, float]] = {}
    for iteration, names, share, of_device in window.rows:
        # Each zip takes what is the row's, since the names are the first to end.
        named = zip(names, on_device if of_device else on_host, strict=False)
        numbers = steps.setdefault(iteration, {})
        if share == 1.0:
            numbers.update(named)
        else:
            for name, value in named:
                numbers[name] = numbers.get(name, 0.0) + share * value
    return steps


def _reduced(window: Pending) -> tuple[Iterator[float], Iterator[float]]:
    """All numbers in their order, reduced over the ranks: those of the device, and those of the host."""
    device = torch.cat(window.on_device) if window.on_device else torch.empty(0, device=_collective_device())
    host = window.on_host
    if get_world_size() == 1:
        return iter(device.tolist()), iter(host)
    numbers = torch.cat([device.float(), torch.tensor(host, dtype=torch.float32).to(device.device, non_blocking=True)])
    gathered = numbers.new_empty(get_world_size() * len(numbers))
    with peer_errors():
        dist.all_gather_into_tensor(gathered, numbers)
    by_rank = gathered.view(get_world_size(), len(numbers))
    rows = sorted(window.rows, key=itemgetter(-1), reverse=True)  # those of the device first, as in `numbers`
    told = [name in MAX_OVER_RANKS for _, names, _, _ in rows for name in names]
    slowest = torch.tensor(told, device=device.device)
    reduced = torch.where(slowest, by_rank.amax(dim=0), by_rank.mean(dim=0)).tolist()
    return iter(reduced[: len(device)]), iter(reduced[len(device) :])


def _collective_device() -> torch.device:
    return torch.device("cuda") if dist.is_initialized() and dist.get_backend() == "nccl" else torch.device("cpu")
