"""Pet's event storage: what hooks and writers say to one another, a bounded history of numbers per name.

Nothing here grows with the iteration: a history keeps a ring of its newest values and running sums.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import add
from statistics import median
from typing import Any

import torch

RING = 128  # values kept per name: more than any log period averages over
WINDOW = 20  # of them that a shown median is taken over, and that are in a checkpoint
CLOCKS = frozenset({"time", "data_time", "hook_time"})  # names whose past says nothing about another machine or start

_stack: list[EventStorage] = []


def get_event_storage() -> EventStorage:
    """The storage of the innermost `with EventStorage(…)`. Raises LookupError outside of one."""
    if not _stack:
        raise LookupError("no EventStorage is active: use it inside `with EventStorage(...)`")
    return _stack[-1]


class History:
    """The newest values of one name, with the mean over all it has ever seen."""

    __slots__ = ("_count", "_ring", "_total")

    def __init__(self) -> None:
        self._ring: deque[float] = deque(maxlen=RING)
        self._total = 0.0
        self._count = 0

    def put(self, value: float) -> None:
        """Append one value."""
        self._ring.append(value)
        self._total += value
        self._count += 1

    def extend(self, values: Sequence[float]) -> None:
        """Append several, oldest first."""
        self._ring.extend(values)
        self._total = reduce(add, values, self._total)  # one after the other, as `put` would: the sum is the same
        self._count += len(values)

    @property
    def latest(self) -> float:
        """The newest value."""
        return self._ring[-1]

    def median(self, window: int) -> float:
        """The median of the newest `window` values."""
        return median(self._newest(window))

    def avg(self, window: int) -> float:
        """The mean of the newest `window` values."""
        values = self._newest(window)
        return sum(values) / len(values)

    @property
    def total(self) -> float:
        """The sum of every value since the start."""
        return self._total

    @property
    def global_avg(self) -> float:
        """The mean of every value since the start."""
        return self._total / self._count

    def state_dict(self) -> dict[str, Any]:
        """What shows the same numbers after a restart."""
        return {"newest": self._newest(WINDOW), "total": self._total, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._ring.extend(state["newest"])
        self._total, self._count = state["total"], state["count"]

    def _newest(self, window: int) -> list[float]:
        values = list(self._ring)
        return values[-window:]


# What numbers that came together are: of which step, their names, the part of the step's samples they are of, below 1
# for one batch of several, and whether the device has them.
Row = tuple[int, tuple[str, ...], float, bool]


class Pending:
    """Numbers that were not read yet, in the order in which they came: for each row of the device one tensor of shape
    [names], for each of the host its numbers."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.on_device: list[torch.Tensor] = []
        self.on_host: list[float] = []


class EventStorage:
    """The running step's number and the histories; a context manager, so that hooks find it by `get_event_storage`.

    `iter` is the 1-based number of the running step, and `closes_window` says whether it is one that logs: each
    `log_period`-th does, and the last one. A scalar with `smoothing_hint` is shown as a median, one
    without (a learning rate) as it is.
    """

    def __init__(
        self, start_iter: int = 0, log_period: int = 20, iter_per_epoch: int = -1, last_iter: int = -1
    ) -> None:
        self.iter = start_iter - 1
        self.log_period = log_period
        self.iter_per_epoch = iter_per_epoch
        self.last_iter = last_iter
        self.step()  # to `start_iter`
        self._histories: dict[str, History] = {}
        self._hints: dict[str, bool] = {}
        self._restored: set[str] = set()  # names whose hint is a checkpoint's: a hook may have been changed since
        self._prefix = ""
        self.pending = Pending()  # of the window under way, see pet.engine.metrics
        self.samples = 0  # trained on by all ranks since this process began
        self.overflows = 0  # steps that were left out because float16 gradients overflowed
        self.nonfinite = 0  # losses that were NaN or infinite when they were read

    def put_scalar(self, name: str, value: float, smoothing_hint: bool = True) -> None:
        """Add a number under `name`. Raises ValueError when the hint of that name changes."""
        self._history(name, smoothing_hint).put(float(value))

    def put_window(self, name: str, values: Sequence[float]) -> None:
        """Add the numbers of several steps, oldest first, to be smoothed. Raises ValueError as `put_scalar` does."""
        self._history(name, smoothing_hint=True).extend(values)

    def put_scalars(self, *, smoothing_hint: bool = True, **scalars: float) -> None:
        """Add several numbers with one hint."""
        for name, value in scalars.items():
            self.put_scalar(name, value, smoothing_hint)

    def history(self, name: str) -> History:
        """The history of `name`. Raises KeyError if nothing was put there."""
        return self._histories[name]

    def histories(self) -> dict[str, History]:
        """All histories by name."""
        return self._histories

    def latest(self) -> dict[str, float]:
        """The newest value of every name."""
        return {name: history.latest for name, history in self._histories.items()}

    def latest_with_smoothing_hint(self, window: int = 20) -> dict[str, float]:
        """The newest values; names with the hint give the median of the last `window` values instead."""
        return {
            name: history.median(window) if self._hints[name] else history.latest
            for name, history in self._histories.items()
        }

    def smoothing_hints(self) -> dict[str, bool]:
        """Whether each name is to be smoothed."""
        return self._hints

    def state_dict(self) -> dict[str, Any]:
        """The newest values of every name but the clocks': a few KB, however long the run."""
        return {
            name: {"hint": self._hints[name], **history.state_dict()}
            for name, history in self._histories.items()
            if name not in CLOCKS
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Show what an uninterrupted run would show."""
        for name, entry in state.items():
            self._hints[name] = entry["hint"]
            self._restored.add(name)
            self._histories[name] = history = History()
            history.load_state_dict(entry)

    def step(self) -> None:
        """Go on to the next step."""
        self.iter += 1
        self.closes_window = self.iter % self.log_period == 0 or self.iter == self.last_iter

    @contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Put scalars as `name/…` inside the block."""
        outer = self._prefix
        self._prefix = f"{outer}{name.rstrip('/')}/"
        try:
            yield
        finally:
            self._prefix = outer

    def _history(self, name: str, smoothing_hint: bool) -> History:
        if self._prefix:
            name = self._prefix + name
        hint = self._hints.get(name)
        if hint != smoothing_hint:
            if hint is not None and name not in self._restored:
                raise ValueError(f"scalar {name!r} was put with smoothing_hint={hint} before")
            self._restored.discard(name)
            self._hints[name] = smoothing_hint
            self._histories.setdefault(name, History())
        return self._histories[name]

    def __enter__(self) -> EventStorage:
        _stack.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        if _stack.pop() is not self:
            raise RuntimeError("EventStorage blocks were left in the wrong order")
