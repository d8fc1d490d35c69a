"""The ranks' output in the launcher's, line by line: rank 0's as it is, the lines of all others with a prefix."""

from __future__ import annotations

import os
import select
import threading
from typing import BinaryIO

_LONGEST_LINE = 1 << 16


class RankOutput(threading.Thread):
    """Copies one stream of one rank, line by line, to a file descriptor of the launcher until the stream ends."""

    def __init__(self, source: BinaryIO, sink: int, rank: int) -> None:
        super().__init__(name=f"output-of-rank-{rank}", daemon=True)
        self.rank = rank
        self._source = source
        self._sink = sink
        self._prefix = f"[rank {rank}] ".encode() if rank else b""
        self.start()

    def run(self) -> None:
        """Copy. Each line is one write, so that lines of several ranks do not mix.

        A rank itself may write a line in parts: `print` without a buffer does.
        """
        with self._source:
            while line := self._source.readline(_LONGEST_LINE):
                self._write(self._prefix + line if line.endswith(b"\n") else self._prefix + line + b"\n")

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._sink, data) :]
            except BlockingIOError:
                # Whoever shares our output has switched it to non-blocking; its reader is only slow.
                select.select([], [self._sink], [])
            except OSError:
                # Nobody reads our output any more, or its disk is full for now. Go on emptying the pipe, or the rank
                # would block in a print.
                return
