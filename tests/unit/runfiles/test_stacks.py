"""The stacks that a rank writes when it is asked: of all threads, whatever they are at, as its launcher reads them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pet.runfiles.stacks import ASK, Stacks
from pet.runfiles.traces import last_line

TIMEOUT = 60.0  # seconds; a bound against hanging, not an expectation

PROGRAM = """
import ctypes, threading, time
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

threading.Thread(target=waits, daemon=True).start()
offer_stacks(Path({path!r}))
{function}()
"""


def written(path: Path, function: str, asks: int = 1) -> str:
    """What the launcher reads after so many requests, from a process that is in that function."""
    program = PROGRAM.format(path=str(path), function=function)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", program], env=environ)
    try:
        deadline = time.monotonic() + TIMEOUT
        for _ in range(asks):
            text = ""
            while not text.rstrip().endswith(f", in {function}"):  # it may be on its way there
                assert process.poll() is None
                assert time.monotonic() < deadline, f"no stacks but {text!r}"
                stacks = Stacks(path)
                if stacks.offered:
                    process.send_signal(ASK)
                time.sleep(0.05)
                text = stacks.text()
        return text
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("function", ["waits", "computes", "holds_the_interpreter"])
def test_all_threads_are_there_as_in_a_traceback_with_the_main_one_last(tmp_path: Path, function: str) -> None:
    text = written(tmp_path / "stacks", function)
    first, _, main = text.partition("Main thread (most recent call last):\n")
    assert first.startswith("Thread 0x")
    assert ", in waits\n" in first
    assert main.splitlines()[0].endswith(", in <module>")
    assert main.splitlines()[-1].endswith(f", in {function}")
    assert last_line(text) is not None


def test_only_what_was_written_since_is_read(tmp_path: Path) -> None:
    text = written(tmp_path / "stacks", "waits", asks=3)
    assert text.count("Main thread") == 1


def test_who_has_offered_none_may_not_be_asked(tmp_path: Path) -> None:
    stacks = Stacks(tmp_path / "stacks")
    assert (stacks.offered, stacks.text()) == (False, "")
