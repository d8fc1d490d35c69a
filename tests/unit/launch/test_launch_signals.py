"""No stop signal is lost, whichever thread of the launcher it comes to."""

from __future__ import annotations

import signal
import subprocess
import sys

from harness.launcher import ROOT

# The kernel gives a signal for a process to any of its threads; another one than the main one, which waits, is chosen
# here.
WAITING = """
import signal, threading, time
from pet.launch.signals import AGENT_DONE, inbox, install_handlers

def other():
    while not main_waits():
        time.sleep(0.01)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        signal.pthread_kill(threading.get_ident(), number)
    inbox.put(AGENT_DONE)

def main_waits():
    with open("/proc/self/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"

assert inbox.empty()
install_handlers()
threading.Thread(target=other).start()
print(*[inbox.get() for _ in range(4)], inbox.empty())
"""


def test_a_signal_that_another_thread_gets_wakes_the_one_that_waits() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITING],
        env={"PYTHONPATH": str(ROOT / "trainer")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [*map(str, map(int, (signal.SIGTERM, signal.SIGTERM, signal.SIGINT))), "0", "True"]
