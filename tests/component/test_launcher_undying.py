"""Ranks that were killed and do not end: nothing is started beside them, and nobody waits for them for ever.

What waits for a disk that is away cannot be had in a test. Another process that traces the rank does the same to its
launcher: until that one has seen the rank's end, the kernel keeps it from the parent.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.launcher import Bench, eventually
from harness.supervisors import Job

from pet.launch import patience
from pet.runfiles.exits import ExitCode

SCRIPT = """
import ctypes

def keep_my_end_secret():
    PR_SET_PTRACER, ANYBODY, PTRACE_SEIZE = 0x59616D61, -1, 0x4206
    libc, me = ctypes.CDLL(None, use_errno=True), os.getpid()
    libc.prctl(PR_SET_PTRACER, ctypes.c_long(ANYBODY), 0, 0, 0)
    seized = os.pipe()
    if os.fork() == 0:
        os.setsid()  # the launcher ends all of the rank's own session
        failed = libc.ptrace(PTRACE_SEIZE, me, None, None)
        os.write(seized[1], os.strerror(ctypes.get_errno()).encode() if failed else b"yes")
        wait_for("let go")
        os._exit(0)
    answer = os.read(seized[0], 100)
    assert answer == b"yes", answer

heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=START, rank=RANK, local_rank=LOCAL_RANK)
for number in range(1, 4):
    heartbeat.enter(Section.STEP)
    heartbeat.step(number, 0.1, 0.0)
if RANK == 1:
    keep_my_end_secret()
    note("kept")
    time.sleep(600)
wait_for("go on")
"""


@pytest.fixture
def undying(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Scripts of two ranks, of which the second one does not end."""
    monkeypatch.setattr(patience, "_DEATH_SECONDS", 0.5)
    yield bench
    bench.touch("let go")


def test_the_cause_is_who_ended_first_and_the_node_is_given_up(undying: Bench) -> None:
    undying.write(SCRIPT + "sys.exit(1)")
    job = Job(undying, 1, 2, PETJOB_RESTARTS_LEFT="3").start()
    undying.touch("go on")
    (verdict,) = job.verdicts()
    assert (verdict.code, verdict.rank) == (ExitCode.APP_ERROR, 0)
    assert len(undying.journal("start")) == 2
    error, undead = job.supervisors[0].record.snapshot().failures
    assert (error.rank, error.exit_class) == (0, "AppError")
    (kept,) = undying.journal("kept")
    assert (undead.rank, undead.exit_class, undead.iteration) == (1, "Hang", 3)
    assert undead.message == f"rank 1 (process {kept['pid']}) does not end"


def test_a_rank_that_hangs_and_does_not_end_is_the_cause(undying: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    undying.write(SCRIPT)
    job = Job(undying, 1, 2, PETJOB_RESTARTS_LEFT="3", PETJOB_STALL_SECONDS="1").start()
    (verdict,) = job.verdicts()
    assert (verdict.code, len(undying.journal("start"))) == (ExitCode.HANG, 2)
    assert "no restart: rank 1 (process " in capfd.readouterr().err
    assert [failure.exit_class for failure in job.supervisors[0].record.snapshot().failures] == ["Hang", "Hang"]


def test_a_stop_does_not_wait_for_it(undying: Bench) -> None:
    undying.write(SCRIPT + "wait_for('never')")
    job = Job(undying, 1, 2, PETJOB_GRACE_SECONDS="2").start()
    eventually(lambda: undying.journal("kept"), "a rank whose end is kept secret")
    job.supervisors[0].request_stop()
    (verdict,) = job.verdicts()
    assert (verdict.code, verdict.signalled) == (ExitCode.PREEMPTED, (0, 1))
