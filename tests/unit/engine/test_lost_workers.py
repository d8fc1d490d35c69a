"""What the loss of a loader's worker surfaces as, and what is made of it."""

from __future__ import annotations

import errno
import faulthandler
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from torch._utils import ExceptionWrapper

from pet.engine import workers
from pet.engine.workers import WorkerKilled, WorkerLost, explain_lost_worker
from pet.runfiles.failure import WORKER_KILLED

RESET = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
KILLED = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
EXITED = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
PINNED = RuntimeError("Pin memory thread exited unexpectedly")


@contextmanager
def worker(target: Callable[..., object], *arguments: object) -> Iterator[BaseProcess]:
    """A process that counts as one."""
    with workers.watched():
        process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
        process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()
        workers._started.discard(process)


def _die(number: int) -> None:
    faulthandler.disable()  # pytest's would tell of it as of a crash of the tests
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("error", [RESET, EOFError(), FileNotFoundError(), KILLED, EXITED, PINNED], ids=repr)
@pytest.mark.parametrize(
    ("end", "kind", "text"),
    [
        (partial(_die, signal.SIGKILL), WorkerKilled, "was killed by SIGKILL; the kernel does that"),
        (partial(_die, signal.SIGBUS), WorkerLost, "was killed by SIGBUS; mostly for want of room in /dev/shm"),
        (partial(_die, signal.SIGSEGV), WorkerLost, "was killed by SIGSEGV"),
        (lambda: os._exit(3), WorkerLost, "ended with code 3"),
    ],
    ids=["SIGKILL", "SIGBUS", "SIGSEGV", "code 3"],
)
def test_how_it_ended_is_said(error: Exception, end: Callable[[], object], kind: type[WorkerLost], text: str) -> None:
    with worker(end) as lost:
        lost.join()
        told = explain_lost_worker(error)
    assert type(told) is kind
    assert str(told).startswith(f"a worker of the data loader (process {lost.pid}) {text}")


@pytest.fixture
def torch_raises(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A handler like torch's, which raises once in whatever line the process is at: at the latest that hears of the end
    of a worker."""

    def handler(*_: object) -> None:
        set_signal(signal.SIGCHLD, heard_again)
        raise KILLED

    def heard_again(*_: object) -> None:
        raise AssertionError("heard after it was silenced")

    def hear_what_waits(number: int, new: Any) -> Any:
        if signal.getsignal(number) is handler:
            signal.raise_signal(number)
        return set_signal(number, new)

    set_signal = signal.signal
    before = set_signal(signal.SIGCHLD, handler)
    monkeypatch.setattr(signal, "signal", hear_what_waits)
    yield
    set_signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("torch_raises")
def test_one_whose_connection_went_before_it_has_ended_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = workers.wait

    with worker(signal.pause) as dying:

        def kill_and_wait(sentinels: Any, timeout: float) -> Any:
            dying.kill()
            return wait(sentinels)

        monkeypatch.setattr(workers, "wait", kill_and_wait)
        told = explain_lost_worker(RESET)
    assert isinstance(told, WorkerKilled)


def test_without_a_lost_worker_an_error_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_DYING_SECONDS", 0.0)
    with worker(os._exit, 0) as finished, worker(signal.pause):
        finished.join()
        for error in (RESET, KILLED, ValueError("oh")):
            assert explain_lost_worker(error) is None


def test_an_error_that_a_living_worker_tells_of_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_dying", lambda: pytest.fail("nobody is waited for"))
    try:
        raise ConnectionResetError("by the store of images")
    except ConnectionResetError:
        brought = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(ConnectionResetError) as raised:
        brought.reraise()
    assert explain_lost_worker(raised.value) is None


def test_its_type_is_the_one_that_the_launcher_looks_for() -> None:
    assert WorkerKilled.__name__ == WORKER_KILLED
