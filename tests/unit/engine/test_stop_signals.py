from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.ranks import run_ranks
from harness.toy import short_toy

from pet.engine.distributed import get_rank
from pet.engine.errors import EvaluationStopped, StopRequested
from pet.engine.evaluation import until_stopped
from pet.engine.events import EventStorage
from pet.engine.signals import catch_stop_signals, stop_requested
from pet.engine.stop import StopAgreement

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


def _boundaries_until_the_stop(step_seconds: float | None) -> int:
    """At how many boundaries a rank asks until it knows of the stop that rank 1 is asked for before the first."""
    catch_stop_signals()
    agreement = StopAgreement()
    if step_seconds is not None:
        agreement.pace(step_seconds)
    if get_rank() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    boundary = 1
    while not agreement.reached(boundary):
        boundary += 1
    return boundary


@pytest.mark.parametrize(("step_seconds", "boundaries"), [(20.0, 1), (None, 1), (0.4, 2)])
def test_where_steps_are_long_no_step_is_made_after_a_stop_signal(step_seconds: float | None, boundaries: int) -> None:
    assert run_ranks(_boundaries_until_the_stop, 2, step_seconds) == [boundaries, boundaries]


def _left() -> tuple[int, bool]:
    """How many batches a rank of two was given, of which rank 1 is asked to stop within the second."""
    catch_stop_signals()
    given = 0
    try:
        for batch in until_stopped(range(5)):
            given += 1
            if (get_rank(), batch) == (1, 1):
                signal.raise_signal(signal.SIGTERM)
    except EvaluationStopped:
        return given, stop_requested() is not None
    raise AssertionError("its numbers were taken")


def test_an_evaluation_of_which_one_rank_is_asked_to_stop_is_left_by_all() -> None:
    assert run_ranks(_left, 2) == [(5, False), (2, True)]


class Uploading:
    """What a user does on rank 0 alone once all is saved."""

    priority = 99

    def __init__(self, done: Path) -> None:
        self.done = done

    def before_step(self, storage: EventStorage) -> None:
        signal.raise_signal(signal.SIGTERM)

    def on_stop(self, reason: str) -> None:
        if get_rank() == 0:
            time.sleep(1.0)
            self.done.touch()


def _stopped(folder: str) -> bool:
    """Whether rank 0 was done when a rank left."""
    catch_stop_signals()
    done = Path(folder, "done")
    with pytest.raises(StopRequested):
        short_toy(Path(folder), 9, "TRAIN.BATCH_SIZE", 4, hooks=[Uploading(done)]).run()
    return done.exists()


def test_no_rank_leaves_before_rank_0_is_done(tmp_path: Path) -> None:
    assert run_ranks(_stopped, 2, str(tmp_path)) == [True, True]
