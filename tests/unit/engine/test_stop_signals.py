from __future__ import annotations

import os
import signal
import subprocess
import sys

PROGRAM = """
import os, signal, sys, threading
from pet.engine.signals import catch_stop_signals, stop_requested
assert "torch" not in sys.modules
catch_stop_signals()
assert stop_requested() is None
for number in {numbers}:
    os.kill(os.getpid(), number)
print(stop_requested(), threading.active_count())
"""


def run(*numbers: int) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(numbers=list(map(int, numbers)))],
        env=environ, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip


def test_a_stop_signal_sets_a_flag_and_nothing_else() -> None:
    assert run(signal.SIGTERM).stdout.split() == ["SIGTERM", "1"]


def test_later_signals_change_nothing() -> None:
    assert run(signal.SIGINT, signal.SIGTERM, signal.SIGTERM).stdout.split() == ["SIGINT", "1"]
