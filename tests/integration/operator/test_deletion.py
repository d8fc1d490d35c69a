"""`kubectl delete`, and the same file applied again."""

from __future__ import annotations

import uuid
from pathlib import Path

from harness.cluster import Jobs, job
from harness.cluster_training import NAME, ClusterTraining
from harness.interruptions import check_end
from harness.stage import Stage
from harness.training import CFG, ROOT, Training
from testbed.operator import Operator
from testbed.process_node import ProcessNodes
from testbed.waiting import wait_for

CONFIG = (ROOT / CFG).read_text()


def left(*claims: str) -> dict[str, list[str]]:
    return {"pods": [], "services": [], "configmaps": [], "persistentvolumeclaims": list(claims)}


def wait_for_the_garbage_collector(jobs: Jobs) -> None:
    """It looks for new kinds of owners each half minute; only then do a deleted job's pods go. Here it is asked whether
    it knows of jobs by something that belongs to one that never was."""
    owner = {"apiVersion": "pet.dev/v1", "kind": "PetTrainingJob", "name": "never", "uid": str(uuid.uuid4())}
    orphan = {"metadata": {"name": "orphan", "ownerReferences": [owner]}}
    jobs.namespace.create("configmaps", orphan)
    wait_for("the garbage collector", lambda: jobs.namespace.get("configmaps", "orphan") is None, 120.0)


def test_the_same_file_applied_at_once_waits_for_the_last_save_and_goes_on_from_it(
    tmp_path: Path, fashion_mnist: Path, jobs: Jobs, nodes: ProcessNodes, uninterrupted: dict[int, Training]
) -> None:
    training = ClusterTraining(tmp_path / "t", fashion_mnist, jobs=jobs, nodes=nodes)
    held = {"folder": str(training.folder), "step": 22, "node_index": 0}  # until it is asked to stop
    gate = {"folder": str(training.folder), "after": 22}  # and then until the test lets it save
    training.hooks = [
        {"type": "harness.gates:Held", "args": held},
        {"type": "harness.gates:Gate", "args": gate, "priority": 95},
    ]
    file = training.manifest(config=CONFIG)
    wait_for_the_garbage_collector(jobs)  # in a rank that is held for longer than it takes, the watchdog sees a hang
    jobs.apply(file)
    training.wait_for("held")
    first = jobs.pods(NAME)

    jobs.delete(NAME)
    jobs.apply(file)
    status = jobs.wait(NAME, "waiting", lambda status: status.get("reason") == "WaitingForPredecessor")
    assert f"{NAME}-1-0 of the deleted job of this name are still saving" in status["message"]
    assert [pod["metadata"]["uid"] for pod in jobs.pods(NAME)] == [first[0]["metadata"]["uid"]]

    (training.folder / "open-after-22").touch()
    status = jobs.reaches(NAME, "Succeeded")
    assert status["attempts"][0]["fromIteration"] >= 22  # it may take the ranks a step to agree
    assert training.steps_done == list(range(1, training.steps + 1))
    check_end(training, uninterrupted[1])
    assert "CreateRefused" not in [reason for reason, _ in jobs.events(NAME)]

    jobs.delete(NAME)
    wait_for("the end of all but the claim", lambda: jobs.objects() == left(f"{NAME}-checkpoints"))
    assert training.final_state()


def test_a_claim_goes_with_its_job_if_the_job_says_so(stage: Stage, played: Jobs) -> None:
    with Operator(stage.plane):
        played.apply(job(config=CONFIG, checkpoint={"volume": {"size": "1Gi"}, "onDelete": "Delete"}))
        played.reaches("job", "Running")
        assert played.objects()["persistentvolumeclaims"] == ["job-checkpoints"]
        played.delete("job")
        wait_for("the end of everything", lambda: played.objects() == left())
