"""How often the ranks may be started again in place."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pet.launch.verdict import Verdict
from pet.runfiles.exits import ExitCode
from pet.runfiles.traces import last_line

# Restarts that these classes get, whatever else was used up; they count against nothing else. Memory may have been a
# neighbour's doing once; numbers that are not finite are tried from an older checkpoint.
_OWN = {ExitCode.OOM: 1, ExitCode.NUMERIC_GUARD: 2}
_BEFORE_THE_FIRST_STEP = 1
DETERMINISTIC = "Deterministic"
# A loop that makes progress and still fails over and over is stopped too.
_FAST_LOOP_FACTOR = 10


@dataclass(frozen=True)
class Refusal:
    """Why the ranks are not started again. `reason`: no other launcher is to try it either, as the operator names that;
    empty if only this one's restarts are used up."""

    message: str
    reason: str = ""

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class _Spent:
    """A restart of a class with its own budget: when, and the newest checkpoint then."""

    kind: str
    time: float
    checkpoint: int


class RestartBudget:
    """Counts restarts since the newest checkpoint last advanced, within a window; a new checkpoint refills it."""

    def __init__(self, limit: int, window_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._window = window_seconds
        self._clock = clock
        self._since_progress: list[float] = []
        self._all: list[float] = []
        self._own: list[_Spent] = []
        self._checkpoint = -1
        self._last_error: tuple[object, ...] | None = None

    @property
    def left(self) -> int:
        """Restarts that are still granted if no checkpoint is committed before them."""
        return max(0, self.limit - len(self._since_progress))

    def left_after(self, checkpoint: int | None) -> int:
        """What is left where this is the newest checkpoint by now."""
        return self.limit if self._advances(checkpoint) else self.left

    def _advances(self, checkpoint: int | None) -> bool:
        return checkpoint is not None and checkpoint > self._checkpoint

    def refuse(self, verdict: Verdict, checkpoint: int | None) -> Refusal | None:
        """Take one restart for this failure. Returns why there is none, or None if it is granted.

        `checkpoint` is the iteration of the newest checkpoint; None (not known) is neither progress nor the lack of it.
        """
        if not verdict.code.restarts_in_place:
            return Refusal(f"{verdict.code.exit_class} is not restarted")
        if self._same_error_again(verdict):
            where = "before the first step" if verdict.iteration is None else f"at iteration {verdict.iteration}"
            words = f"the same {verdict.type} {where} twice: another start would end the same way"
            return Refusal(words, DETERMINISTIC)
        now = self._clock()
        if checkpoint is not None and self._advances(checkpoint):
            self._checkpoint = checkpoint
            self._since_progress.clear()
        self._since_progress = [time for time in self._since_progress if now - time < self._window]
        self._all = [time for time in self._all if now - time < self._window]
        if refusal := self._refused_by_own(verdict, now):
            return refusal
        if verdict.code in _OWN:
            return None
        if self.left == 0:
            return Refusal(f"no restart is left ({self.limit} without a new checkpoint)")
        if len(self._all) >= _FAST_LOOP_FACTOR * self.limit:
            return Refusal(f"{len(self._all)} restarts within {self._window:g} s, although checkpoints advance")
        self._since_progress.append(now)
        self._all.append(now)
        return None

    def _refused_by_own(self, verdict: Verdict, now: float) -> Refusal | None:
        """Take one of a budget of its own, where this end has one."""
        name, granted = verdict.code.exit_class, _OWN.get(verdict.code)
        if granted is None and _before_the_first_step(verdict):
            name, granted = f"{name} before the first step", _BEFORE_THE_FIRST_STEP
        if granted is None:
            return None
        # Forgiven are those after which a checkpoint has come, a window ago: memory that leaks allows some steps too.
        self._own = [
            spent for spent in self._own if now - spent.time < self._window or spent.checkpoint >= self._checkpoint
        ]
        before = sum(spent.kind == name for spent in self._own)
        if before >= granted:
            return Refusal(f"{name} {before + 1} times", verdict.code.exit_class)
        if before >= self.limit:
            return Refusal(f"no restart is left for {name}")
        self._own.append(_Spent(name, now, self._checkpoint))
        return None

    def _same_error_again(self, verdict: Verdict) -> bool:
        previous, self._last_error = self._last_error, _error(verdict)
        return previous is not None and previous == self._last_error


def _before_the_first_step(verdict: Verdict) -> bool:
    """Of a rank of another node it is not known."""
    return verdict.code is ExitCode.APP_ERROR and verdict.rank is not None and verdict.iteration is None


def _error(verdict: Verdict) -> tuple[object, ...] | None:
    """What makes two ends the same: of exceptions type, line and iteration, of numbers that are not finite the
    iteration. None for ends that tell too little."""
    if verdict.code is ExitCode.NUMERIC_GUARD and verdict.iteration is not None:
        return verdict.code, verdict.iteration
    line = last_line(verdict.traceback)
    if verdict.code is not ExitCode.APP_ERROR or line is None:
        return None
    return verdict.type, line, verdict.iteration
