"""What jobs need of the cluster's storage: what is missing is waited for, and goes on by itself once it is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness.cluster import Jobs, job
from harness.stage import Stage
from testbed.namespace import Manifest
from testbed.operator import Operator

CKPTS = {"volume": {"claimName": "ckpts"}}
NOTHING: dict[str, list[str]] = {"pods": [], "services": [], "configmaps": [], "persistentvolumeclaims": []}


@pytest.fixture(scope="module", autouse=True)
def operator(stage: Stage) -> Iterator[Operator]:
    """One for all of these."""
    with Operator(stage.plane) as running:
        yield running


def claim(jobs: Jobs, name: str, mode: str = "ReadWriteMany") -> None:
    """What a user makes."""
    spec = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}}
    jobs.namespace.create("persistentvolumeclaims", {"metadata": {"name": name}, "spec": spec})


def waits(jobs: Jobs, name: str, reason: str) -> Manifest:
    """The status of a job that is not accepted yet for this reason."""
    status = jobs.wait(name, reason, lambda status: status.get("reason") == reason)
    accepted = jobs.condition(name, "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == ("False", reason, status["message"])
    assert (status["phase"], status["attempt"]) == ("Pending", 0)
    return status


def taken_over(jobs: Jobs, name: str) -> list[Any]:
    """The uids that a job's pods are told."""
    entries = [entry for pod in jobs.pods(name) for entry in pod["spec"]["containers"][0]["env"]]
    return [entry.get("value") for entry in entries if entry["name"] == "PETJOB_TAKEOVER_UID"]


def test_claims_that_are_not_there_are_waited_for(played: Jobs) -> None:
    played.apply(job(checkpoint=CKPTS, data={"claimName": "coco"}))
    status = waits(played, "job", "ClaimNotFound")
    assert [line.split(":")[0] for line in status["message"].splitlines()] == [
        "spec.checkpoint.volume.claimName",
        "spec.data.claimName",
    ]
    assert played.objects() == NOTHING
    claim(played, "ckpts")
    played.wait("job", "waiting for one", lambda status: "ckpts" not in status["message"])
    assert played.condition("job", "Accepted")["reason"] == "ClaimNotFound"
    claim(played, "coco", "ReadWriteOnce")
    assert played.reaches("job", "Running")["attempt"] == 1


def test_a_claim_that_two_nodes_cannot_share_is_refused_before_any_pod(played: Jobs) -> None:
    claim(played, "ckpts", "ReadWriteOnce")
    played.apply(job(nodes=2, checkpoint=CKPTS))
    status = waits(played, "job", "CheckpointVolumeNotShareable")
    assert "ckpts is ReadWriteOnce, which cannot be mounted on 2 nodes" in status["message"]
    assert played.objects() == NOTHING
    played.namespace.delete("persistentvolumeclaims", "ckpts")
    waits(played, "job", "ClaimNotFound")
    claim(played, "ckpts")
    assert played.reaches("job", "Running")["nodes"] == {"desired": 2, "ready": 2}


def test_of_two_jobs_on_one_path_the_second_waits_until_the_first_is_deleted(stage: Stage, played: Jobs) -> None:
    claim(played, "ckpts")
    played.apply(job("first", checkpoint=CKPTS | {"path": "x/y"}))
    played.reaches("first", "Running")
    played.apply(job("second", checkpoint=CKPTS | {"path": "x//./y/"}), job("inside", checkpoint=CKPTS | {"path": "x"}))
    status = waits(played, "second", "CheckpointPathInUse")
    assert "x/y in the claim ckpts is the folder of the job first" in status["message"]
    played.reaches("inside", "Running")
    stage.end(played, "first")
    played.reaches("first", "Succeeded")
    waits(played, "second", "CheckpointPathInUse")  # what is in the folder is the first one's, though it is over
    played.delete("first")
    assert played.reaches("second", "Running")["attempt"] == 1


def test_a_folder_is_taken_over_once_its_job_is_gone_and_not_before(played: Jobs) -> None:
    claim(played, "ckpts")
    played.apply(job("first", checkpoint=CKPTS))
    played.reaches("first", "Running")
    uid = played.get("first")["metadata"]["uid"]
    second = job("second", checkpoint=CKPTS)
    played.apply(second | {"metadata": {"name": "second", "annotations": {"pet.dev/take-over": uid}}})
    status = waits(played, "second", "TakeOverRefused")
    assert f"the job {played.namespace.name}/first is there" in status["message"]
    played.delete("first")
    played.reaches("second", "Running")
    assert taken_over(played, "second") == [uid]


def test_a_claim_that_was_made_for_the_job_and_is_deleted_before_its_pods_have_nodes_is_made_again(
    played: Jobs,
) -> None:
    """No pod that waits for a node keeps a claim from going, and none would ever get one."""
    nowhere = {"spec": {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}}
    played.apply(job(checkpoint={"volume": {"size": "1Gi"}}, template=nowhere))
    played.wait("job", "unschedulable", lambda status: status.get("reason") == "Unschedulable")
    name = "job-checkpoints"
    first = played.namespace.wait_for("persistentvolumeclaims", name, "there", bool)["metadata"]["uid"]
    played.namespace.delete("persistentvolumeclaims", name)
    played.namespace.wait_for("persistentvolumeclaims", name, "another", lambda each: each["metadata"]["uid"] != first)
    assert played.status("job")["attempt"] == 1


def test_whether_checkpoints_are_safe_is_said(played: Jobs) -> None:
    played.apply(job("kept", checkpoint={"volume": {"size": "1Gi"}}), job("lost"))
    played.reaches("kept", "Running")
    played.reaches("lost", "Running")
    kept, lost = (played.condition(name, "CheckpointHealthy") for name in ("kept", "lost"))
    assert (kept["status"], kept["reason"]) == ("True", "Verified")
    assert (lost["status"], lost["reason"]) == ("False", "NotPersistent")
