"""How often the ranks may be started again in place."""

from __future__ import annotations

import time
from collections.abc import Callable

from pet.launch.verdict import Verdict
from pet.runfiles.exits import ExitCode
from pet.runfiles.traces import last_line

# A loop that makes progress and still fails over and over is stopped too.
_FAST_LOOP_FACTOR = 10


class RestartBudget:
    """Counts restarts since the newest checkpoint last advanced, within a window; a new checkpoint refills it."""

    def __init__(self, limit: int, window_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._window = window_seconds
        self._clock = clock
        self._since_progress: list[float] = []
        self._all: list[float] = []
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

    def refuse(self, verdict: Verdict, checkpoint: int | None) -> str | None:
        """Take one restart for this failure. Returns why there is none, or None if it is granted.

        `checkpoint` is the iteration of the newest checkpoint; None (not known) is neither progress nor the lack of it.
        """
        if not verdict.code.restarts_in_place:
            return f"{verdict.code.exit_class} is not restarted"
        if self._same_error_again(verdict):
            where = "before the first step" if verdict.iteration is None else f"at iteration {verdict.iteration}"
            return f"the same {verdict.type} {where} twice: another start would end the same way"
        now = self._clock()
        if checkpoint is not None and self._advances(checkpoint):
            self._checkpoint = checkpoint
            self._since_progress.clear()
        self._since_progress = [time for time in self._since_progress if now - time < self._window]
        self._all = [time for time in self._all if now - time < self._window]
        if self.left == 0:
            return f"no restart is left ({self.limit} without a new checkpoint)"
        if len(self._all) >= _FAST_LOOP_FACTOR * self.limit:
            return f"{len(self._all)} restarts within {self._window:g} s, although checkpoints advance"
        self._since_progress.append(now)
        self._all.append(now)
        return None

    def _same_error_again(self, verdict: Verdict) -> bool:
        previous, self._last_error = self._last_error, _error(verdict)
        return previous is not None and previous == self._last_error


def _error(verdict: Verdict) -> tuple[object, ...] | None:
    """What makes two exceptions the same: type, line and iteration. None for ends that left no traceback."""
    line = last_line(verdict.traceback)
    if verdict.code is not ExitCode.APP_ERROR or line is None:
        return None
    return verdict.type, line, verdict.iteration
