"""SIGINT, SIGTERM and SIGHUP in the launcher. Installed in its first lines, before anything heavy is imported.

As the first process of a container the launcher would otherwise ignore SIGTERM until it is ready. A handler only notes
the signal; the main thread reads the inbox.
"""

from __future__ import annotations

import signal
from queue import SimpleQueue
from types import FrameType

# Signal numbers, and AGENT_DONE from the thread of the agent. SimpleQueue.put may be called from a handler.
inbox: SimpleQueue[int] = SimpleQueue()
AGENT_DONE = 0

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def install_handlers() -> None:
    """Catch the stop signals. A hangup that is ignored (nohup) stays ignored."""
    for number in _STOP_SIGNALS:
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        signal.signal(number, _note)


def _note(number: int, _frame: FrameType | None) -> None:
    inbox.put(number)
