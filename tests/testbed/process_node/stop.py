"""A wish that a pod's processes end, and until when they may do so by themselves."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress


class Stop:
    """Wished at most once; the time may be shortened later, never extended."""

    def __init__(self) -> None:
        self._deadline = math.inf
        self._wished = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def wished(self) -> bool:
        """Whether anybody wants it."""
        return self._wished.is_set()

    def wish(self, seconds: float) -> None:
        """The processes shall be gone after so many seconds."""
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + seconds)
        self._wished.set()
        self._changed.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is wished, or so long; whether it is."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wished.wait(), seconds)
        return self.wished

    async def over(self) -> None:
        """Wait until the time is over."""
        await self._wished.wait()
        while (left := self._deadline - asyncio.get_running_loop().time()) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
