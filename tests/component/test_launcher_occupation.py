"""A job in a cluster finds its checkpoint folder in the hands of a launcher that should be gone."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.launcher import Bench, Launched, bench, eventually

from pet.store.lock import FolderLock

WAITING = "the checkpoint folder is in use by process"
GOING_ON = "going on without its lock"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, "") as opened:
        yield opened


def launch(made: Bench, *, grace: int) -> Launched:
    job = {"PETJOB_UID": "uid-of-the-job", "PETJOB_ATTEMPT": "2", "PETJOB_GRACE_SECONDS": str(grace)}
    return made.launch(**job, PETJOB_CHECKPOINT_DIR=str(made.folder / "taken"))


def test_it_waits_for_the_other_to_end(made: Bench) -> None:
    with FolderLock(made.folder / "taken"):
        launched = launch(made, grace=600)
        eventually(lambda: WAITING in launched.err, "waiting was said")
        assert made.journal() == []
    assert launched.wait() == 0
    assert GOING_ON not in launched.err
    assert len(made.journal("start")) == 1


def test_one_that_does_not_end_is_passed_over_after_the_grace_period(made: Bench) -> None:
    with FolderLock(made.folder / "taken"):
        launched = launch(made, grace=1)
        assert launched.wait() == 0
    assert launched.err.index(WAITING) < launched.err.index(GOING_ON)


def test_a_stop_ends_the_wait(made: Bench) -> None:
    with FolderLock(made.folder / "taken"):
        launched = launch(made, grace=600)
        eventually(lambda: WAITING in launched.err, "waiting was said")
        launched.process.send_signal(signal.SIGTERM)
        assert launched.wait() == 143
    assert launched.termination["class"] == "Preempted"
    assert made.journal() == []
