"""A job finds its checkpoint folder in the hands of a launcher that should be gone."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.launcher import Bench, Launched, bench, eventually

from pet.store.lock import FolderLock
from pet.store.owner import Owner, encode_owner

WAITING = "the checkpoint folder is in use by process"
GOING_ON = "going on without its lock"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, "") as opened:
        yield opened


def launch(made: Bench, *, grace: int, uid: str = "uid-of-the-job") -> Launched:
    job = {"PETJOB_UID": uid, "PETJOB_ATTEMPT": "2", "PETJOB_GRACE_SECONDS": str(grace)}
    return made.launch(**job, PETJOB_CHECKPOINT_DIR=str(made.folder / "taken"))


@pytest.mark.parametrize("uid", ["uid-of-the-job", "local-uid"])
def test_it_waits_for_the_other_to_end(made: Bench, uid: str) -> None:
    with FolderLock(made.folder / "taken"):
        launched = launch(made, grace=600, uid=uid)
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


def test_on_this_machine_one_that_does_not_end_is_not_passed_over(made: Bench) -> None:
    with FolderLock(made.folder / "taken"):
        launched = launch(made, grace=1, uid="local-uid")
        assert launched.wait() == 78
    assert WAITING in launched.err
    assert "wait for it to end or give another folder" in launched.termination["message"]
    assert made.journal() == []


@pytest.mark.parametrize("uid", ["uid-of-the-job", "local-uid"])
def test_a_stop_ends_the_wait(made: Bench, uid: str) -> None:
    with FolderLock(made.folder / "taken"):
        launched = launch(made, grace=600, uid=uid)
        eventually(lambda: WAITING in launched.err, "waiting was said")
        launched.process.send_signal(signal.SIGTERM)
        assert launched.wait() == 143
    assert launched.termination["class"] == "Preempted"
    assert made.journal() == []


@pytest.mark.parametrize(
    ("owner", "code", "message"),
    [
        (Owner("", "", "other", "uid-of-another", 1, 0), 78, "the checkpoint folder belongs to job other"),
        (Owner("", "", "job", "uid-of-the-job", 3, 0), 93, "attempt 2 came too late"),
    ],
)
def test_a_folder_that_will_not_be_its_own_is_not_waited_for(
    made: Bench, owner: Owner, code: int, message: str
) -> None:
    with FolderLock(made.folder / "taken"):
        (made.folder / "taken" / "OWNER").write_bytes(encode_owner(owner))
        launched = launch(made, grace=600)
        assert launched.wait() == code
    assert WAITING not in launched.err
    assert message in launched.termination["message"]
    assert made.journal() == []
