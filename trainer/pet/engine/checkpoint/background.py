"""One write at a time in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from pet.runfiles.checkpoint_info import CheckpointInfo


class BackgroundWrite:
    """The write under way, if any. Its outcome is kept until it is taken, once."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._write: Future[CheckpointInfo] | None = None

    def begin(self, write: Callable[[], CheckpointInfo]) -> None:
        """Start it. Raises RuntimeError if the outcome of the one before was not taken."""
        if self._write is not None:
            raise RuntimeError("the outcome of the write before was not taken")
        self._write = self._thread.submit(write)

    @property
    def under_way(self) -> bool:
        """Whether something is written, or its outcome not taken."""
        return self._write is not None

    def join(self, seconds: float | None = None) -> bool:
        """Wait until nothing is written, at most so long. Whether that is so."""
        return self._write is None or bool(wait([self._write], seconds).done)

    def outcome(self) -> CheckpointInfo | None:
        """What was committed, once; None while it is written, and if there is none. Raises what the write raised."""
        if self._write is None or not self._write.done():
            return None
        written, self._write = self._write, None
        return written.result()
