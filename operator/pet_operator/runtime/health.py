"""Whether this process does its work. Never tied to the API server: an outage of that must be no restart of ours."""

from __future__ import annotations

from collections.abc import Iterable

from pet_operator.runtime.ports import Clock
from pet_operator.runtime.reflector import Reflector

LOOP_SECONDS = 10.0
WORK_SECONDS = 300.0
SILENCE_SECONDS = 180.0


class Health:
    """`beat` comes from the event loop each second; `fault` is asked from outside."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_beat = clock.monotonic()

    def beat(self) -> None:
        """The event loop turns."""
        self._last_beat = self._clock.monotonic()

    def fault(self, reflectors: Iterable[Reflector], longest_work: float) -> str:
        """What is wrong, empty if nothing is. `longest_work`: seconds that one look at a job has been going on."""
        now = self._clock.monotonic()
        if now - self._last_beat > LOOP_SECONDS:
            return f"the event loop has stood still for {now - self._last_beat:.0f} s"
        if longest_work > WORK_SECONDS:
            return f"one job has been worked on for {longest_work:.0f} s"
        for reflector in reflectors:
            # One that fails says so and tries again: that is the API server's fault, not ours.
            if not reflector.failing and now - reflector.last_contact > SILENCE_SECONDS:
                return f"nothing was heard of {reflector.kind.plural} for {now - reflector.last_contact:.0f} s"
        return ""
