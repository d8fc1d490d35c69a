"""Event loops whose clock jumps to the next timer: hours of waiting take no time, and their order is exact."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Timeless(asyncio.SelectorEventLoop):
    """Begins at 0 s. Where nothing is left that could ever happen it raises RuntimeError instead of waiting for it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.seconds


class LoopClock:
    """A `pet_operator.runtime.ports.Clock` that goes with the running loop; at 0 s it is noon."""

    def now(self) -> datetime:
        """The time of day, to the second, as the operator's own clock has it."""
        return self.precise_now().replace(microsecond=0)

    def precise_now(self) -> datetime:
        """The same to the microsecond."""
        return NOON + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in a loop of its own."""
    with asyncio.Runner(loop_factory=Timeless) as runner:
        return runner.run(coroutine)


async def settle() -> None:
    """Let everything run that is ready now, without any time going by."""
    for _ in range(50):
        await asyncio.sleep(0)


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: Timeless) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing is left that could happen")
        self._loop.seconds += max(0.0, timeout)
        return super().select(0)
