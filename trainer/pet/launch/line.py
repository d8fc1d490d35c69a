"""The line to the rendezvous' store, which may swallow a call: where packets vanish, torch waits for an answer as long
as the kernel repeats them, a quarter of an hour and more.

So a call is made in a thread of its own, one after another, and nobody waits for it longer than he says. It still
arrives, in its turn, if the network comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


class Line:
    """One per launcher. Nothing ends the thread of a call that does not return but the end of the process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "store")
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
