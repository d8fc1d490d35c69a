"""Work to be done, by key: many reasons to look at a job are one, and nobody looks at a job twice at the same time."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from pet_operator.runtime.ports import Key

_FIRST_DELAY, _LONGEST_DELAY = 0.2, 60.0


class KeyedQueue:
    """A key that is added while it is worked on comes again after that. For one event loop only."""

    def __init__(self, waited: Callable[[float], None] = lambda seconds: None) -> None:
        """`waited` is told for how many seconds each key was ready before somebody took it."""
        self._waited = waited
        self._ready: deque[Key] = deque()
        self._queued: dict[Key, float] = {}  # since when
        self._busy: dict[Key, float] = {}  # since when
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._delays: dict[Key, float] = {}
        self._waiting = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: Key) -> None:
        """As soon as possible."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._queued:
            self._queued[key] = asyncio.get_running_loop().time()
            self._ready.append(key)
            self._waiting.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Later, unless it is due before that anyway."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def retry(self, key: Key, at_least: float = 0.0) -> None:
        """After a failure: 0.2 s later the first time, then twice as late each time, at most a minute."""
        delay = self._delays.get(key, _FIRST_DELAY)
        self._delays[key] = min(_LONGEST_DELAY, 2 * delay)
        self.add_after(key, max(at_least, delay * random.uniform(0.75, 1.25)))

    def forget(self, key: Key) -> None:
        """After a success: the next failure is a first one."""
        self._delays.pop(key, None)

    async def get(self) -> Key:
        """The next key; whoever takes it must call `done`."""
        while not self._ready:
            self._waiting.clear()
            await self._waiting.wait()
        key = self._ready.popleft()
        now = asyncio.get_running_loop().time()
        self._waited(now - self._queued.pop(key))
        self._busy[key] = now
        return key

    def done(self, key: Key) -> None:
        """The work is finished, well or badly."""
        self._busy.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def oldest(self) -> float:
        """For how many seconds the longest work has been going on."""
        now = asyncio.get_running_loop().time()
        return max((now - since for since in self._busy.values()), default=0.0)

    def _due(self, key: Key) -> None:
        del self._timers[key]
        self.add(key)
