"""When the launchers of a local run are asked to stop, by what, and when they are not waited for any longer."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from enum import Enum

# After one node has failed the others notice by themselves; this is for those that do not.
ORPHAN_SECONDS = 30.0
# Beyond the grace period, for launchers to read one another's reports, to write their own and to end.
MARGIN_SECONDS = 30.0


_HURRIED = "killed by another Ctrl-C"


class Cause(Enum):
    """What made a run stop before its end."""

    USER = "as asked"
    DEADLINE = "spec.deadlines.activeSeconds is over"
    LOST_NODE = "a node has failed"


class Order(Enum):
    """What is to be done with the launchers now."""

    STOP = "ask them to save and stop"
    KILL = "end them at once"


class Stop:
    """Decides; sends no signal itself. Times are seconds of `clock`."""

    def __init__(
        self, *, grace: float, active: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`grace`: the launchers' time to save and leave; `active`: that of the whole attempt, which begins now."""
        self.cause: Cause | None = None  # set once they were asked
        self.killed: str | None = None  # why, once they were not waited for
        self._clock = clock
        self._limit = grace + MARGIN_SECONDS
        self._deadline = None if active is None else clock() + active
        self._failed_at: float | None = None
        self._asked_at = 0.0
        self._wanted = False
        self._hurried = False

    @property
    def cut_short(self) -> bool:
        """Whether the user asked for a stop and then did not wait for its save."""
        return self.cause is Cause.USER and self.killed == _HURRIED

    def interrupt(self, number: int) -> None:
        """A signal came. Once the launchers were asked, another Ctrl-C ends them; other signals only ask again."""
        self._hurried |= self.cause is not None and number == signal.SIGINT
        self._wanted = True

    def decide(self, codes: Sequence[int | None]) -> Order | None:
        """To be called again and again with the launchers' exit codes, None for those that run; each order once."""
        now = self._clock()
        if self._failed_at is None and any(codes):
            self._failed_at = now
        if self.cause is None:
            self.cause = self._cause(now)
            self._asked_at = now
            return Order.STOP if self.cause else None
        if self.killed is None:
            self.killed = self._impatience(now)
            return Order.KILL if self.killed else None
        return None

    def _cause(self, now: float) -> Cause | None:
        if self._wanted:
            return Cause.USER
        if self._deadline is not None and now >= self._deadline:
            return Cause.DEADLINE
        if self._failed_at is not None and now - self._failed_at > ORPHAN_SECONDS:
            return Cause.LOST_NODE
        return None

    def _impatience(self, now: float) -> str | None:
        if self._hurried:
            return _HURRIED
        if now - self._asked_at > self._limit:
            return f"killed, for it had not ended {self._limit:g} s after it was asked to stop"
        return None
