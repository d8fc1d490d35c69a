"""What a person or a clock asks of a job that is well: suspension, restart, deadlines, the end of its time to live."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cluster import Jobs, job
from harness.cluster_training import NAME, ClusterTraining
from harness.interruptions import check_end
from harness.stage import Stage
from harness.training import CFG, ROOT, Training
from testbed.operator import Operator
from testbed.process_node import ProcessNodes
from testbed.waiting import wait_for

CONFIG = (ROOT / CFG).read_text()
VOLUME = {"volume": {"size": "1Gi"}}


def edit(jobs: Jobs, name: str, **spec: Any) -> None:
    """`kubectl patch` of some fields of the spec."""
    jobs.kubectl("patch", "ptj", name, "--type", "merge", "-p", json.dumps({"spec": spec}))


def request_restart(jobs: Jobs, name: str) -> None:
    """As the guide has it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    jobs.kubectl("annotate", "ptj", name, f"pet.dev/restart-requested={now}", "--overwrite")


def test_a_training_that_is_suspended_and_restarted_loses_no_step_and_no_bit(
    tmp_path: Path, fashion_mnist: Path, jobs: Jobs, nodes: ProcessNodes, uninterrupted: dict[int, Training]
) -> None:
    training = ClusterTraining(tmp_path / "t", fashion_mnist, jobs=jobs, nodes=nodes)
    where = {"folder": str(training.folder), "node_index": 0}
    training.hooks = [
        {"type": "harness.gates:Held", "name": f"held-{step}", "args": {**where, "step": step}} for step in (12, 22)
    ]
    jobs.apply(training.manifest(config=CONFIG))
    training.wait_for("held")
    edit(jobs, NAME, suspend=True)
    status = jobs.reaches(NAME, "Suspended")
    saved = status["checkpoint"]["iteration"]
    assert status["message"] == f"spec.suspend is true; the newest checkpoint is of iteration {saved}"
    wait_for("the end of the pods", lambda: not jobs.pods(NAME))
    assert jobs.condition(NAME, "Suspended")["status"] == "True"

    (training.folder / "held").unlink()
    edit(jobs, NAME, suspend=False)
    training.wait_for("held")
    request_restart(jobs, NAME)
    status = jobs.reaches(NAME, "Succeeded")
    assert [record["reason"] for record in status["attempts"]] == ["Suspended", "RestartRequested", "Succeeded"]
    assert status["attempts"][1]["fromIteration"] == saved
    assert training.steps_done == list(range(1, training.steps + 1))
    check_end(training, uninterrupted[1])


def test_a_failed_job_is_restarted_on_request(stage: Stage, played: Jobs) -> None:
    with Operator(stage.plane):
        played.apply(job(config=CONFIG, checkpoint=VOLUME))
        played.reaches("job", "Running")
        stage.end(played, "job", 78)
        status = played.reaches("job", "Failed")
        assert status["reason"] == "InvalidConfig"
        stage.forget(played, "job")
        request_restart(played, "job")
        wait_for("running again", lambda: played.status("job")["phase"] == "Running")
        status = played.status("job")
        assert (status["attempt"], "failure" in status) == (2, False)


def test_a_job_that_is_edited_while_it_is_suspended_goes_on_as_it_is_now(stage: Stage, played: Jobs) -> None:
    with Operator(stage.plane):
        shared = {"volume": {"size": "1Gi", "accessModes": ["ReadWriteMany"]}}
        played.apply(job(config=CONFIG, checkpoint=shared))
        played.reaches("job", "Running")
        for _ in range(3):  # quickly, before the pods have gone
            for wanted in (True, False):
                edit(played, "job", suspend=wanted)
        edit(played, "job", suspend=True)
        played.reaches("job", "Suspended")
        edit(played, "job", suspend=False, nodes=2)
        status = played.wait("job", "running on two", lambda status: status["nodes"] == {"desired": 2, "ready": 2})
        assert status["worldSize"] == 2


def test_deadlines_are_kept_although_nothing_happens(stage: Stage, played: Jobs) -> None:
    with Operator(stage.plane):
        played.apply(job(config=CONFIG, checkpoint=VOLUME, deadlines={"activeSeconds": 15}, ttlSecondsAfterFinished=5))
        played.reaches("job", "Running")
        status = played.reaches("job", "Failed")
        assert status["reason"] == "DeadlineExceeded"
        wait_for("the end of its time to live", lambda: "/job\n" not in played.kubectl("get", "ptj", "-o", "name"))
