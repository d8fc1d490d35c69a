"""What real launchers tell, kept in `tests/recorded` for the operator's tests: `make record` after a change of it.

The ranks are small scripts without torch. What differs from run to run (paths, ages) is made the same.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from harness.launcher import Launched, bench, eventually

RECORDED = Path(__file__).resolve().parents[1] / "recorded"

# Rank 3 hangs in its fourth step, where the others wait for it. Started again they load until they may end.
_HANG = """
from pet.runfiles.stacks import offer_stacks

heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=START, rank=RANK, local_rank=LOCAL_RANK)
offer_stacks(RUN_DIR.stacks(LOCAL_RANK))
heartbeat.identify(attempt=1, restart=START, iteration=908)
if RANK == 0:
    write_metrics_file(RUN_DIR.metrics(LOCAL_RANK), JobMetrics(
        attempt=1, restart=START, world_size=WORLD_SIZE, iteration=908, max_iterations=2000, losses={"total": 0.5},
        learning_rate=0.1, step_seconds=0.2))
if START == 1:
    wait_for("end")
    sys.exit(78)

def wait_for_data():
    time.sleep(600)

def wait_for_others():
    time.sleep(600)

for number in range(909, 914):
    heartbeat.enter(Section.DATA)
    if number == 913 and RANK == 3:
        wait_for_data()
    heartbeat.enter(Section.STEP)
    heartbeat.begin_collective()
    if number == 913:
        wait_for_others()
    heartbeat.step(number, 0.2, 0.01)
"""
# Rank 1 ends so after its seventh step; rank 0 as ranks do that lose a peer, or that leave together with it.
_END = """
heartbeat = HeartbeatWriter(RUN_DIR.heartbeat(LOCAL_RANK), attempt=1, restart=START, rank=RANK, local_rank=LOCAL_RANK)
heartbeat.enter(Section.STEP)
heartbeat.step(7, 0.2, 0.01)
code = int(os.environ["FAKE_END"])
if code in (0, 143):
    heartbeat.enter(Section.DONE)
    sys.exit(code)
if RANK == 0:
    time.sleep(0.3)
    sys.exit(75)
if code < 0:
    os.kill(os.getpid(), -code)
if code != 75:
    try:
        raise ValueError("words")
    except ValueError as error:
        write_failure(RUN_DIR.failure(LOCAL_RANK), Failure.of(
            error, exit_code=ExitCode(code), attempt=1, restart=START, rank=RANK, iteration=7))
sys.exit(code)
"""
_ENDS = (0, 1, 75, 76, 77, 78, 79, 80, 93, 143, -9)
_JOB = {"PETJOB_UID": "uid-of-job", "PETJOB_NAME": "job", "PETJOB_ATTEMPT": "1", "PETJOB_CHECKPOINT_DIR": ""}
_HANG_SECONDS = 3.0
_AGE_SECONDS = 40.0


def recorded(name: str) -> dict[str, Any]:
    """A reply or a termination message."""
    content: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return content


def main() -> None:
    """Record all of it anew."""
    RECORDED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder), _HANG) as made:
        launchers = made.launch_nodes(2, "--nproc", "2", **_JOB, PETJOB_STALL_SECONDS=f"{_HANG_SECONDS:g}")
        for index, launched in enumerate(launchers):
            _keep(f"status-hang-{index}", eventually(lambda it=launched: _hanging(it), "the ranks hang"), folder)
        for index, launched in enumerate(launchers):
            _keep(f"status-hung-{index}", eventually(lambda it=launched: _cured(it), "they start again"), folder)
        made.touch("end")
    for code in _ENDS:
        with tempfile.TemporaryDirectory() as folder, bench(Path(folder), _END) as made:
            launched = made.launch("--nproc", "2", **_JOB, FAKE_END=str(code), PETJOB_RESTARTS_LEFT="0")
            launched.wait()
            _keep(f"termination-{launched.termination['class']}", launched.termination, folder)


def _hanging(launched: Launched) -> dict[str, Any] | None:
    document = launched.status()
    ranks = document["ranks"]
    silent = len(ranks) == 2 and all(rank["silentSeconds"] > _HANG_SECONDS / 2 for rank in ranks)
    return document if silent and document["state"] == "training" and ranks[0]["iteration"] == 912 else None


def _cured(launched: Launched) -> dict[str, Any] | None:
    document = launched.status()
    return document if document["restarts"] == 1 and len(document["ranks"]) == 2 else None


def _keep(name: str, content: dict[str, Any], folder: str) -> None:
    for rank in content.get("ranks", ()):
        stepped = rank["lastStepAgeSeconds"] is not None
        rank["silentSeconds"] = _AGE_SECONDS if stepped else 0.1
        rank["lastStepAgeSeconds"] = _AGE_SECONDS if stepped else None
    text = json.dumps(content, indent=2).replace(folder, "/workspace")
    (RECORDED / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
