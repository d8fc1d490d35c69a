"""How an API server misbehaves: refusals, delays, lost answers, broken watches; each by hand, or many by a seed."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Stream = Callable[[AsyncIterator[Event]], AsyncIterator[Event]]

READS = ("list", "watch", "get")
WRITES = ("create", "apply", "delete")
EVERYTHING = ("discover", *READS, *WRITES, "replace")
_LATE_SECONDS = 0.3
_SHARE, _STORM = 0.3, 10  # of all requests while it storms, until so many have suffered


class Cut(Exception):
    """The connection breaks in the middle of a line."""


@dataclass(frozen=True)
class Asked:
    """What a request asks for: discover, list, watch, get, create, replace, delete or apply; of which kind."""

    verb: str
    plural: str


async def whole(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """A watch as it should be."""
    async for event in events:
        yield event


@dataclass(frozen=True)
class Fault:
    """What becomes of a request. `plural` is the kind's; empty: of any but Leases, without which an operator ends; `*`:
    of these, too."""

    name: str
    verbs: tuple[str, ...] = (*READS, *WRITES)
    plural: str = ""
    status: int = 0  # of the refusal, 0 for none
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds before anything is answered
    loses_answer: bool = False  # what was asked for is done
    stream: Stream = whole  # of a watch

    def meets(self, asked: Asked) -> bool:
        """Whether this request suffers it."""
        leases = asked.plural == "leases"
        return asked.verb in self.verbs and self.plural in ("*", asked.plural, *([] if leases else [""]))


class Faults:
    """The fault that is there now. `met` counts the requests that suffered one."""

    def __init__(self) -> None:
        self.met = 0
        self._fault: Fault | None = None
        self._left = self._until = 0.0

    def strike(self, fault: Fault, *, times: float = math.inf, seconds: float = math.inf) -> None:
        """From now on, so many times and for so long at most."""
        self._fault, self._left, self._until = fault, times, time.monotonic() + seconds

    def lift(self) -> None:
        """All is well again."""
        self._left = 0

    def meets(self, asked: Asked) -> Fault | None:
        """The fault that this request suffers."""
        if self._left <= 0 or time.monotonic() > self._until or self._fault is None or not self._fault.meets(asked):
            return None
        self._left -= 1
        self.met += 1
        return self._fault


class Storm(Faults):
    """Of a kind's requests some suffer: which, and what, follows from the seed and their number. It passes."""

    def __init__(self, seed: int, faults: Sequence[Fault]) -> None:
        super().__init__()
        self._seed = seed
        self._faults = faults
        self._numbers: Counter[Asked] = Counter()

    def rise(self) -> None:
        """Some of the next requests will suffer."""
        self._left = _STORM

    def meets(self, asked: Asked) -> Fault | None:
        """As by hand."""
        self._numbers[asked] += 1
        dice = random.Random(f"{self._seed} {asked.verb} {asked.plural} {self._numbers[asked]}")
        fitting = [fault for fault in self._faults if fault.meets(asked)]
        if self._left <= 0 or not fitting or dice.random() > _SHARE:
            return None
        self._left -= 1
        self.met += 1
        return dice.choice(fitting)


def gone_event() -> Event:
    """What a watch says when it cannot go on from there."""
    status = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
    return {"type": "ERROR", "object": status}


async def _first(number: int, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """So many; fewer if the server closes before."""
    while number and (event := await anext(events, None)) is not None:
        yield event
        number -= 1


def gone_after(number: int) -> Stream:
    """So many events, then 410."""

    async def stream(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        async for event in _first(number, events):
            yield event
        yield gone_event()

    return stream


def cut_after(number: int) -> Stream:
    """So many events, then half a one."""

    async def stream(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        async for event in _first(number, events):
            yield event
        raise Cut

    return stream


def silent_after(number: int) -> Stream:
    """So many events, then nothing, not even a bookmark, and no end."""

    async def stream(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        async for event in _first(number, events):
            yield event
        await asyncio.Event().wait()

    return stream


async def doubled(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """Everything twice."""
    async for event in events:
        yield event
        yield event


async def late(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """Long after it happened."""
    async for event in events:
        await asyncio.sleep(_LATE_SECONDS)
        yield event


async def reordered(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """Of two changes the second first."""
    held: list[Event] = []
    async for event in events:
        held.append(event)
        if event["type"] == "BOOKMARK":
            for each in held:
                yield each
            held.clear()
        elif len(held) == 2:
            for each in reversed(held):
                yield each
            held.clear()
