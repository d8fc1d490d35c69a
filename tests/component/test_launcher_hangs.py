"""Ranks that hang, without torch: found, named with their stacks, ended, and started again. With real trainings these
and more are in `tests/reliability`."""

from __future__ import annotations

import time

import pytest
from harness.launcher import Bench, alive
from harness.supervisors import Job, run

from pet.launch import hang
from pet.launch.peers import Claim, Peers
from pet.launch.record import RankFailure
from pet.runfiles.exits import ExitCode

# The rank that hangs does so in its fourth step, the others wait for it in a collective of that step.
SCRIPT = """
import ctypes
from pet.runfiles.stacks import offer_stacks

heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=START, rank=RANK, local_rank=LOCAL_RANK)
offer_stacks(RUN_DIR.stacks(LOCAL_RANK))

def stopped():
    os.kill(os.getpid(), signal.SIGSTOP)

def looping():
    while True:
        pass

def locked():
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)

def uninterruptible():
    # The kernel has the parent of such a child wait, as it has whoever waits for a disk. No function of libc does it.
    clone, until_it_ends = {{"x86_64": 56, "aarch64": 220}}[os.uname().machine], 0x4000
    if ctypes.CDLL(None).syscall(clone, until_it_ends | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        waiting()

def waiting():
    time.sleep(600)

for number in range(1, 7):
    heartbeat.enter(Section.DATA)
    heartbeat.enter(Section.STEP)
    if START == 0 and number == 4 and RANK == {rank}:
        {how}()
    heartbeat.begin_collective()
    if START == 0 and number == 4:
        waiting()
    heartbeat.step(number, 0.1, 0.0)
heartbeat.enter(Section.DONE)
"""
# As a collective does; rank 0 waits for rank 1.
WAITS_FOR_THE_OTHER = """
    (FOLDER / f"waits{{RANK}}").write_text(str(os.getpid()))
    while not (FOLDER / "waits1").exists():
        time.sleep(0.01)
    while os.path.exists("/proc/" + (FOLDER / "waits1").read_text()):
        time.sleep(0.01)
    heartbeat.enter(Section.DONE)
    sys.exit(75)
"""
STALL = {"PETJOB_STALL_SECONDS": "1"}


def hung(job: Job, node: int) -> RankFailure:
    """The one failure that this node's launcher tells of."""
    (failure,) = job.supervisors[node].record.snapshot().failures
    assert (failure.exit_class, failure.exit_code, failure.type) == ("Hang", 76, "Hang")
    return failure


@pytest.mark.parametrize(("how", "rank"), [("stopped", 0), ("locked", 1)])
def test_a_rank_that_hangs_is_named_with_its_stacks_and_all_start_again(bench: Bench, how: str, rank: int) -> None:
    bench.write(SCRIPT.format(how=how, rank=rank))
    job = Job(bench, 1, 2, **STALL).start()
    (verdict,) = job.verdicts()
    assert (verdict.code, len(bench.journal("start"))) == (ExitCode.SUCCEEDED, 4)
    failure = hung(job, 0)
    assert (failure.restart, failure.rank, failure.iteration) == (0, rank, 3)
    assert failure.message.startswith("silent for 1 s, the limit is 1 s, in step after iteration 3")
    assert ("it was stopped by a signal" in failure.message) == (how == "stopped")
    assert failure.traceback.splitlines()[-1].endswith(f"in {how}")
    assert bench.journal("signal") == [], "a hang is no request to save and leave"


def test_a_rank_that_waits_in_the_kernel_is_named_as_such(bench: Bench) -> None:
    bench.write(SCRIPT.format(how="uninterruptible", rank=1))
    job = Job(bench, 1, 2, **STALL).start()
    (verdict,) = job.verdicts()
    assert (verdict.code, len(bench.journal("start"))) == (ExitCode.SUCCEEDED, 4)
    failure = hung(job, 0)
    assert failure.rank == 1
    assert failure.message.endswith("; it waits in the kernel, for storage or a device; it wrote no stacks")


def test_of_two_nodes_that_both_hear_nothing_the_one_that_is_waited_for_is_the_cause(bench: Bench) -> None:
    bench.write(SCRIPT.format(how="looping", rank=3))
    job = Job(bench, 2, 2, PETJOB_RESTARTS_LEFT="0", **STALL).start()
    first, second = job.verdicts()
    assert (first.code, first.rank, first.signalled) == (ExitCode.PEER_LOST, None, (0, 1))
    assert "rank 3 on node 1: Hang: silent for" in first.message
    assert (second.code, second.rank, second.iteration, second.signalled) == (ExitCode.HANG, 3, 3, (2,))
    assert second.traceback == hung(job, 1).traceback
    assert second.traceback.splitlines()[-1].endswith("in looping")
    assert not any(alive(entry["pid"]) for entry in bench.journal("start"))


# Rank 1 tells of an error and does not end. It is as far as rank 0: its hooks may run collectives on their way out.
TOLD = """
    heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=0, rank=RANK, local_rank=LOCAL_RANK)
    heartbeat.enter(Section.STEP)
    for number in range(1, 4):
        heartbeat.step(number, 0.1, 0.0)
    heartbeat.begin_collective()
    if RANK == 1:
        write_failure(RUN_DIR.failure(LOCAL_RANK), Failure.of(
            ValueError("oh"), exit_code=ExitCode.{code}, attempt=1, restart=0, rank=1, iteration=3))
        (FOLDER / "told").touch()
    {rank_0}
    time.sleep(600)
"""


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_rank_that_fails_and_does_not_end_is_the_cause_by_its_own_error(bench: Bench, nodes: int) -> None:
    bench.write(TOLD.format(code="APP_ERROR", rank_0=""))
    job = Job(bench, nodes, 2 // nodes, PETJOB_RESTARTS_LEFT="0", **STALL).start()
    verdict = job.verdicts()[nodes - 1]
    assert (verdict.code, verdict.rank, verdict.type, verdict.message) == (ExitCode.APP_ERROR, 1, "ValueError", "oh")
    if nodes == 2:
        assert job.verdicts()[0].code is ExitCode.PEER_LOST


def test_so_it_is_where_a_rank_that_lost_it_ends_first(bench: Bench) -> None:
    script = TOLD.format(code="APP_ERROR", rank_0="if RANK == 0: wait_for('told'), sys.exit(75)")
    (verdict,) = run(bench, script, PETJOB_RESTARTS_LEFT="0")
    assert (verdict.code, verdict.rank, verdict.type) == (ExitCode.APP_ERROR, 1, "ValueError")


def test_a_rank_that_has_only_lost_a_peer_and_does_not_end_hangs(bench: Bench) -> None:
    bench.write(TOLD.format(code="PEER_LOST", rank_0=""))
    (verdict,) = Job(bench, 1, 2, PETJOB_RESTARTS_LEFT="0", **STALL).start().verdicts()
    assert verdict.code is ExitCode.HANG


def test_ranks_that_stand_still_together_are_all_named(bench: Bench) -> None:
    """Of a collective that one of two ranks has skipped nobody can tell whose mistake it is."""
    bench.write(SCRIPT.format(how="never", rank=7))
    job = Job(bench, 1, 2, PETJOB_RESTARTS_LEFT="0", **STALL).start()
    (verdict,) = job.verdicts()
    # Of two that are killed together the one that ends first speaks for both.
    assert (verdict.code, verdict.rank in (0, 1), verdict.signalled) == (ExitCode.HANG, True, ())
    assert verdict.message.endswith("in step after iteration 3; ranks 0, 1 are at the same place")
    failures = job.supervisors[0].record.snapshot().failures
    assert [failure.rank for failure in failures] == [0, 1]


@pytest.mark.parametrize(("nodes", "ranks"), [(1, 2), (2, 1)])
def test_of_ranks_at_the_same_place_the_one_that_was_stopped_is_the_cause(bench: Bench, nodes: int, ranks: int) -> None:
    """It may be stopped in the very collective in which the others wait for it."""
    script = SCRIPT.format(how="never", rank=7)
    in_it = "    heartbeat.begin_collective()\n"
    bench.write(script.replace(in_it, f"{in_it}    if START == 0 and number == 4 and RANK == 1:\n        stopped()\n"))
    job = Job(bench, nodes, ranks, PETJOB_RESTARTS_LEFT="0", **STALL).start()
    verdict = job.verdicts()[-1]
    assert (verdict.code, verdict.rank) == (ExitCode.HANG, 1)
    assert "in step after iteration 3; it was stopped by a signal" in verdict.message
    assert "same place" not in verdict.message
    failures = [failure for supervisor in job.supervisors for failure in supervisor.record.snapshot().failures]
    assert [failure.rank for failure in failures if failure.exit_class == "Hang"] == [1]


def test_of_two_nodes_that_stand_still_together_none_has_only_lost_a_peer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rank of the node whose launcher is the slower one dies of the end of the other."""
    wait = hang._wait

    def wait_longer_on_node_0(peers: Peers, claim: Claim) -> dict[int, Claim]:
        places = wait(peers, claim)
        time.sleep(0 if peers.others == [0] else 0.5)
        return places

    monkeypatch.setattr(hang, "_wait", wait_longer_on_node_0)
    bench.write(SCRIPT.replace("    time.sleep(600)", WAITS_FOR_THE_OTHER).format(how="never", rank=7))
    job = Job(bench, 2, 1, PETJOB_RESTARTS_LEFT="0", **STALL).start()
    assert [(verdict.code, verdict.rank) for verdict in job.verdicts()] == [(ExitCode.HANG, 0), (ExitCode.HANG, 1)]


def test_a_rank_that_goes_on_meanwhile_did_not_hang(bench: Bench) -> None:
    """It may have been in a long step of its own, and its end be seen while its stacks are written."""
    script = """
    from pet.runfiles.stacks import ASK
    heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=0, rank=RANK, local_rank=LOCAL_RANK)
    asked = []
    signal.signal(ASK, lambda number, frame: asked.append(number))
    RUN_DIR.stacks(LOCAL_RANK).touch()
    heartbeat.enter(Section.STEP)
    for number in range(1, 4):
        heartbeat.step(number, 0.1, 0.0)
    while not asked:
        time.sleep(0.02)
    heartbeat.step(4, 0.1, 0.0)
    heartbeat.enter(Section.DONE)
    """
    (verdict,) = run(bench, script, ranks=1, PETJOB_RESTARTS_LEFT="0", **STALL)
    assert (verdict.code, len(bench.journal("start"))) == (ExitCode.SUCCEEDED, 1)
