"""The stacks that a rank writes when it is asked: of all threads, whatever they are at, as its launcher reads them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from testbed.waiting import wait_for

from pet.launch.process_state import STOPPED, state_of
from pet.runfiles.stacks import Stacks, ask_stacks
from pet.runfiles.traces import last_line

TIMEOUT = 60.0  # seconds; a bound against hanging, not an expectation

PROGRAM = """
import ctypes, os, signal, threading, time
from pathlib import Path
from pet.runfiles.stacks import offer_stacks

def waits():
    time.sleep(600)

def computes():
    while True:
        pass

def holds_the_interpreter():
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)

def stops():
    os.kill(os.getpid(), signal.SIGSTOP)
    computes()

for _ in range({threads}):
    threading.Thread(target=waits, daemon=True).start()
offer_stacks(Path({path!r}))
{function}()
"""


@contextmanager
def running(path: Path, function: str, threads: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is in that function, and waits in so many other threads."""
    program = PROGRAM.format(path=str(path), function=function, threads=threads)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", program], env=environ)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def written(path: Path, function: str, asks: int = 1) -> str:
    """What the launcher reads after so many requests, from a process that is in that function."""
    with running(path, function) as process:
        deadline = time.monotonic() + TIMEOUT
        for _ in range(asks):
            text = ""
            while not text.rstrip().endswith(f", in {function}"):  # it may be on its way there
                assert process.poll() is None
                assert time.monotonic() < deadline, f"no stacks but {text!r}"
                stacks = Stacks(path)
                if stacks.offered:
                    ask_stacks(process.pid)
                time.sleep(0.05)
                text = stacks.text()
        return text


@pytest.mark.parametrize("function", ["waits", "computes", "holds_the_interpreter"])
def test_all_threads_are_there_as_in_a_traceback_with_the_main_one_last(tmp_path: Path, function: str) -> None:
    text = written(tmp_path / "stacks", function)
    first, _, main = text.partition("Main thread (most recent call last):\n")
    assert first.startswith("Thread 0x")
    assert ", in waits\n" in first
    assert main.splitlines()[0].endswith(", in <module>")
    assert main.splitlines()[-1].endswith(f", in {function}")
    assert last_line(text) is not None


@pytest.mark.parametrize("again", range(5))
def test_a_stopped_process_writes_where_it_was_stopped_and_not_where_it_went_on_to(tmp_path: Path, again: int) -> None:
    path = tmp_path / "stacks"
    with running(path, "stops", threads=16) as process:
        wait_for("the stop", lambda: state_of(process.pid) == STOPPED, TIMEOUT)
        stacks = Stacks(path)
        ask_stacks(process.pid)
        process.send_signal(signal.SIGCONT)
        wait_for("the stacks", lambda: "in <module>" in stacks.text(), TIMEOUT)
        assert stacks.text().rstrip().endswith(", in stops")


def test_who_has_ended_is_asked_in_vain() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    ask_stacks(process.pid)


def test_only_what_was_written_since_is_read(tmp_path: Path) -> None:
    text = written(tmp_path / "stacks", "waits", asks=3)
    assert text.count("Main thread") == 1


def test_who_has_offered_none_may_not_be_asked(tmp_path: Path) -> None:
    stacks = Stacks(tmp_path / "stacks")
    assert (stacks.offered, stacks.text()) == (False, "")
