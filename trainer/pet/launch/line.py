"""A line to what may swallow a call. The rendezvous' store: where packets vanish, torch waits for an answer as long as
the kernel repeats them, a quarter of an hour and more. Our own output: where nobody reads it, a write waits for ever.

So a call is made in a thread of its own, one after another, and nobody waits for it longer than he says. It still
arrives, in its turn, if the other side comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


class Line:
    """One to each, per launcher. Nothing ends the thread of a call that does not return but the process's end."""

    def __init__(self, name: str = "store") -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._newest: Future[Any] | None = None

    @property
    def blocked(self) -> bool:
        """Whether a call has not come back."""
        return self._newest is not None and not self._newest.done()

    def call(self, seconds: float, function: Callable[..., _T], *arguments: object) -> _T:
        """What it returns or raises. Raises TimeoutError if that is not known within `seconds`."""
        asked = self._thread.submit(function, *arguments)
        self._newest = asked
        return asked.result(seconds)
