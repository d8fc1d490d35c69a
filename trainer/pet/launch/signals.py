"""SIGINT, SIGTERM and SIGHUP in the launcher. Installed in its first lines, before anything heavy is imported.

As the first process of a container the launcher would otherwise ignore SIGTERM until it is ready. A handler written in
Python runs once the main thread runs Python again. A signal that comes just before that thread begins to wait for one,
or that the kernel gives to another thread, would wait with it; so the interpreter writes the number of each signal into
a pipe as it comes, and the main thread reads that.
"""

from __future__ import annotations

import os
import select
import signal

AGENT_DONE = 0  # from the thread of the agent
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Inbox:
    """Numbers of signals, and AGENT_DONE, in the order in which they came."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self.write_end, False)  # as the interpreter wants it; what is full holds a signal already

    def get(self) -> int:
        """Wait for the next one."""
        return os.read(self._read_end, 1)[0]

    def put(self, number: int) -> None:
        """From any thread."""
        os.write(self.write_end, bytes([number]))

    def empty(self) -> bool:
        """Whether none is there to be got."""
        return not select.select([self._read_end], [], [], 0)[0]


inbox = Inbox()


def install_handlers() -> None:
    """Catch the stop signals, in the main thread. A hangup that is ignored (nohup) stays ignored."""
    signal.set_wakeup_fd(inbox.write_end, warn_on_full_buffer=False)
    for number in _STOP_SIGNALS:
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        signal.signal(number, lambda number, frame: None)  # only what has a handler is written into the pipe
