"""The processes that load batches for a rank: what they do not hear, how they are ended, and how one was lost."""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from pet.runfiles.failure import came_from_worker, text_of

# Whose connection is gone is about to end. The kernel takes back its memory first.
_DYING_SECONDS = 5.0
# What the loss of one surfaces as: torch's words, or what its connection says if it has not ended by then.
_TORCH_SAYS = ("DataLoader worker (pid", "Pin memory thread exited")
_CONNECTION_SAYS = (ConnectionError, EOFError, FileNotFoundError)
_MOSTLY = {
    signal.SIGKILL: "the kernel does that for want of memory: lower DATA.LOADER_THREADS or DATA.PREFETCH",
    signal.SIGBUS: "mostly for want of room in /dev/shm: lower DATA.PREFETCH, or raise spec.sharedMemory",
}

_started: set[BaseProcess] = set()


class WorkerLost(Exception):
    """A worker of a loader ended in the middle of its work; the message says how."""


class WorkerKilled(WorkerLost):
    """It was killed. Whether that was for want of memory the launcher finds out."""


@contextmanager
def watched() -> Iterator[None]:
    """Around the start of workers: from then on their loss can be explained."""
    before = multiprocessing.active_children()
    yield
    _started.difference_update([worker for worker in _started if worker.exitcode == 0])
    _started.update(set(multiprocessing.active_children()).difference(before))


def init_worker(_worker_id: int) -> None:
    """A worker leaves stopping to its rank: it must live until the state of the last step is saved, even where a stop
    signal goes to all processes of a job. Its garbage it collects itself: that of an evaluation inherits a collector
    that the training loop has switched off."""
    gc.enable()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_workers() -> None:
    """End every worker of this process. They do not listen to SIGTERM, which Python would wait for at its end."""
    _silence_torch()
    for worker in multiprocessing.active_children():
        worker.kill()


def explain_lost_worker(error: BaseException) -> WorkerLost | None:
    """For what the end of a worker surfaces as, an error that says how it ended; None for others."""
    if came_from_worker(error):
        return None  # which lives, and tells of its own error
    if not isinstance(error, _CONNECTION_SAYS) and not any(words in text_of(error) for words in _TORCH_SAYS):
        return None
    _silence_torch()
    lost = next((worker for worker in _started if worker.exitcode), None) or _dying()
    if lost is None or not lost.exitcode:
        return None
    who = f"a worker of the data loader (process {lost.pid})"
    if lost.exitcode > 0:
        return WorkerLost(f"{who} ended with code {lost.exitcode}")
    number = signal.Signals(-lost.exitcode)
    why = f"; {_MOSTLY[number]}" if number in _MOSTLY else ""
    kind = WorkerKilled if number is signal.SIGKILL else WorkerLost
    return kind(f"{who} was killed by {number.name}{why}")


def _silence_torch() -> None:
    """From here on the end of a worker is no news. torch's handler raises in whatever line the process is at, once for
    a loader: in place of what is being told, or of the end of the rank."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    except RuntimeError:  # of a worker that has just ended: a signal that waits is handled first
        _silence_torch()


def _dying() -> BaseProcess | None:
    """The first worker that ends within a while."""
    workers = {worker.sentinel: worker for worker in _started if worker.exitcode is None}
    for sentinel in wait(list(workers), _DYING_SECONDS):
        worker = workers[sentinel]  # type: ignore[index]
        worker.join()
        return worker
    return None
