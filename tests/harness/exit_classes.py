"""Every row of the table of exit classes, as the end of one rank of a job: how often the ranks start, and how it ends.

Without torch: what is tried is what the launchers decide. With three restarts, and no checkpoint that advances.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.launcher import Bench
from harness.supervisors import Job
from pet.runfiles.exits import ExitCode

RESTARTS = 3

# The other ranks do as ranks do that lose a peer, or that leave together with it.
SCRIPT = """
from pet.runfiles.failure import WORKER_KILLED
heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=START, rank=RANK, local_rank=LOCAL_RANK)
how, rank = "{how}", {rank}
if not how.startswith("early"):
    heartbeat.enter(Section.STEP)
    heartbeat.step(7 if how == "same" else 7 + START, 0.1, 0.0)
if how in ("0", "143"):
    heartbeat.enter(Section.DONE)
    sys.exit(int(how))
if RANK != rank:
    wait_for(f"ended{{START}}")
    sys.exit(75)

def report(error):
    write_failure(RUN_DIR.failure(LOCAL_RANK), Failure.of(
        error, exit_code=ExitCode.APP_ERROR, attempt=1, restart=START, rank=RANK, iteration=None))

(FOLDER / f"ended{{START}}").touch()
if how in ("same", "other", "early error"):
    try:
        raise ValueError("no such thing")
    except ValueError as error:
        report(error)
    sys.exit(1)
if how.endswith("oom"):
    (FOLDER / "cgroup/memory.events").write_text(f"low 0\\noom 1\\noom_kill {{START + 1}}\\n")
if how.startswith("worker"):
    report(type(WORKER_KILLED, (Exception,), {{}})("a worker was killed by SIGKILL"))
    sys.exit(1)
if how in ("oom", "-6", "-9", "-11"):
    os.kill(os.getpid(), 9 if how == "oom" else -int(how))
sys.exit(1 if how.startswith("early") else int(how))
"""


@dataclass(frozen=True)
class Row:
    """`how` the rank ends; then starts of each rank, the launcher's class, the type that is told."""

    how: str
    starts: int
    code: ExitCode
    type: str
    names_rank: bool = True
    spent: str = ""  # why no other launcher is to try it again

    def __str__(self) -> str:
        return self.how


ROWS = (
    Row("75", 1 + RESTARTS, ExitCode.PEER_LOST, "PeerLost", names_rank=False),
    Row("0", 1, ExitCode.SUCCEEDED, "Succeeded", names_rank=False),
    Row("76", 1 + RESTARTS, ExitCode.HANG, "Exit"),
    Row("77", 3, ExitCode.NUMERIC_GUARD, "Exit", spent="NumericGuard"),
    Row("78", 1, ExitCode.CONFIG_ERROR, "Exit"),
    Row("79", 1, ExitCode.STORAGE_FULL, "Exit"),
    Row("80", 1, ExitCode.CHECKPOINT_UNUSABLE, "Exit"),
    Row("93", 1, ExitCode.NO_RESTART, "Exit"),
    Row("143", 1, ExitCode.PREEMPTED, "Preempted", names_rank=False),
    Row("oom", 2, ExitCode.OOM, "SIGKILL", spent="OOM"),
    Row("worker oom", 2, ExitCode.OOM, "WorkerKilled", spent="OOM"),
    Row("worker", 1 + RESTARTS, ExitCode.APP_ERROR, "WorkerKilled"),
    Row("other", 1 + RESTARTS, ExitCode.APP_ERROR, "ValueError"),
    Row("same", 2, ExitCode.APP_ERROR, "ValueError", spent="Deterministic"),
    Row("early error", 2, ExitCode.APP_ERROR, "ValueError", spent="Deterministic"),
    Row("early", 2, ExitCode.APP_ERROR, "Exit", spent="AppError"),
    Row("5", 1 + RESTARTS, ExitCode.APP_ERROR, "Exit"),
    Row("134", 1 + RESTARTS, ExitCode.CRASH, "SIGABRT"),
    Row("139", 1 + RESTARTS, ExitCode.CRASH, "SIGSEGV"),
    Row("-9", 1 + RESTARTS, ExitCode.CRASH, "SIGKILL"),
    Row("-11", 1 + RESTARTS, ExitCode.CRASH, "SIGSEGV"),
)


def check(row: Row, rank: int, nodes: int, bench: Bench) -> None:
    """Two ranks, on one node or on two."""
    bench.write(SCRIPT.format(how=row.how, rank=rank))
    (bench.folder / "cgroup").mkdir()
    for name, text in {"memory.events": "oom_kill 0\n", "memory.max": "1073741824\n"}.items():
        (bench.folder / "cgroup" / name).write_text(text)
    verdicts = Job(bench, nodes, 2 // nodes, PETJOB_RESTARTS_LEFT=str(RESTARTS)).start().verdicts()
    assert len(bench.journal("start")) == 2 * row.starts
    own, *others = verdicts if nodes == 1 or rank == 0 else reversed(verdicts)
    assert (own.code, own.type, own.rank) == (row.code, row.type, rank if row.names_rank else None)
    if row.names_rank:
        # A crash of a peer may look like anything; these say themselves that they only lost one.
        assert [other.code for other in others] == [ExitCode.PEER_LOST] * len(others)
        assert all(f"rank {rank} on node {rank}: {row.code.exit_class}" in other.message for other in others)
        assert own.iteration == (None if row.how.startswith("early") else 7 if row.how == "same" else 6 + row.starts)
    assert own.spent is None or own.spent[0] == row.spent
    assert (own.spent is None) == (not row.spent)
    if row.how == "oom":
        assert "killed for want of memory; it used" in own.message
        assert "the limit is 1 GiB" in own.message
    if row.how == "worker oom":
        assert (
            own.message
            == "a worker was killed by SIGKILL; the container used an unknown amount at most, the limit is 1 GiB"
        )
    if row.how in ("134", "139", "-9", "-11"):
        assert own.message == f"killed by {row.type}"
    assert bench.journal("signal") == []
