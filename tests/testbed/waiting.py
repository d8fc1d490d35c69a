"""Waits for what will be so soon, and says what was not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T], seconds: float = 60.0, *, every: float = 0.05) -> T:
    """The first result of `look` that counts as true; between two calls of it lie `every` seconds. Raises TimeoutError;
    the time is a bound, not an expectation."""
    limit = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > limit:
            raise TimeoutError(f"{what}: not after {seconds:g} s")
        time.sleep(every)
    return found
