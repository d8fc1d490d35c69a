"""SIGTERM and SIGINT in a rank: remember that a stop was asked for, and do nothing else.

Imported and called by a training script before torch is: until then a signal would end the process by its default
action. The loop looks at the flag between steps, where all ranks can agree on one step to save and leave at.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

_requested: list[tuple[str, float]] = []


def catch_stop_signals() -> None:
    """Install the handlers. Later signals change nothing."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _remember)


def stop_requested() -> str | None:
    """The name of the first stop signal that arrived, or None."""
    return _requested[0][0] if _requested else None


def stopping_seconds() -> float:
    """Since the first stop signal arrived; 0 where none did, for another rank was asked."""
    return time.monotonic() - _requested[0][1] if _requested else 0.0


def _remember(number: int, _frame: FrameType | None) -> None:
    _requested.append((signal.Signals(number).name, time.monotonic()))
