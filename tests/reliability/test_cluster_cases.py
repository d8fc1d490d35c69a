"""What befalls real trainings on a cluster beside the loss of pods: another job in their folder, a deletion in the
middle of a save, kubelets that all lose the API server."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.cluster import Jobs
from harness.cluster_training import NAME, ClusterTraining
from harness.interruptions import check_end
from harness.training import Training
from testbed.process_node import ProcessNodes
from testbed.waiting import wait_for

from pet.store.folder import Folder
from pet_operator.domain.policy.lost import LOST_SECONDS

# Ranks that are held are no hang.
PATIENT = {"stallSeconds": 3600}


@pytest.fixture
def training(tmp_path: Path, fashion_mnist: Path, jobs: Jobs, nodes: ProcessNodes) -> ClusterTraining:
    """Two ranks in two pods."""
    return ClusterTraining(tmp_path / "training", fashion_mnist, ranks=2, pods=2, jobs=jobs, nodes=nodes)


@pytest.fixture
def all_cut_off(nodes: ProcessNodes, training: ClusterTraining) -> Iterator[Callable[[], None]]:
    """Cuts all nodes off; however the test ends, they are there again, before its jobs go."""

    def cut() -> None:
        for node in nodes.nodes:
            nodes.cut_off(node.name)

    yield cut
    for node in nodes.nodes:
        nodes.rejoin(node.name)


def hashes(folder: Path) -> dict[str, str]:
    """Every file below a folder, by what is in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def held(kind: str, training: ClusterTraining, **args: Any) -> list[dict[str, Any]]:
    return [{"type": f"harness.gates:{kind}", "args": {"folder": str(training.folder), **args}}]


def same_volume(jobs: Jobs, claim: str, name: str) -> None:
    """Another claim on the folder behind a claim: nobody in the cluster sees that they are one."""
    plane, found = jobs.plane, jobs.namespace.get("persistentvolumeclaims", claim)
    assert found is not None
    volume = plane.request("GET", f"/api/v1/persistentvolumes/{found['spec']['volumeName']}")["spec"]
    volume_name = f"{jobs.namespace.name}-{name}"
    shared = {name: volume[name] for name in ("capacity", "hostPath")} | {"accessModes": ["ReadWriteMany"]}
    plane.request("POST", "/api/v1/persistentvolumes", {"metadata": {"name": volume_name}, "spec": shared})
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": volume["capacity"]["storage"]}}}
    spec |= {"volumeName": volume_name, "storageClassName": ""}
    jobs.namespace.create("persistentvolumeclaims", {"metadata": {"name": name}, "spec": spec})


def test_a_live_job_s_folder_is_left_as_it_is_by_another(
    training: ClusterTraining, jobs: Jobs, uninterrupted: dict[int, Training]
) -> None:
    training.hooks = held("Gate", training, before=12)
    jobs.apply(training.manifest(deadlines=PATIENT))
    training.wait_for("reached-before-12")
    before = hashes(training.checkpoints)
    assert "OWNER" in before
    assert "model_iter10.pth" in before

    same_volume(jobs, f"{NAME}-checkpoints", "alias")
    other = training.manifest(checkpoint={"volume": {"claimName": "alias"}, "path": NAME})
    other["metadata"]["name"] = "other"
    jobs.apply(other)
    status = jobs.reaches("other", "Failed")
    print(status["message"])
    assert (status["reason"], status["attempt"], status["failure"]["exitCode"]) == ("InvalidConfig", 1, 78)
    assert hashes(training.checkpoints) == before

    (training.folder / "open-before-12").touch()
    assert jobs.reaches(NAME, "Succeeded")["attempt"] == 1
    check_end(training, uninterrupted[2])


def test_a_job_that_is_deleted_in_the_middle_of_a_save_leaves_a_checkpoint_that_verifies_and_nothing_else(
    training: ClusterTraining, jobs: Jobs
) -> None:
    training.hooks = held("SaveHeld", training, step=10)
    jobs.apply(training.manifest(deadlines=PATIENT))
    training.wait_for("saving")
    folder = Folder(str(training.checkpoints))
    assert folder.entries()[0].order[0] < 10, "what is being saved is not committed"
    jobs.delete(NAME)
    kept = {"pods": [], "services": [], "configmaps": [], "persistentvolumeclaims": [f"{NAME}-checkpoints"]}
    wait_for("its end", lambda: jobs.objects() == kept, 180.0)
    newest, *_ = [folder.verify(entry) for entry in folder.entries()]
    assert newest.iteration == training.steps_done[-1] >= 10
    assert not [name for name in folder.names() if name.startswith((".tmp-", ".bad-"))]


def test_kubelets_that_all_lose_the_api_server_cost_no_step_and_no_pod(
    training: ClusterTraining,
    jobs: Jobs,
    nodes: ProcessNodes,
    all_cut_off: Callable[[], None],
    uninterrupted: dict[int, Training],
) -> None:
    training.hooks = held("Gate", training, before=12)
    jobs.apply(training.manifest(deadlines=PATIENT))
    jobs.reaches(NAME, "Running")
    pods = [pod["metadata"]["uid"] for pod in jobs.pods(NAME)]
    all_cut_off()
    words = "most nodes of the cluster are not ready"
    jobs.wait(NAME, "told of that", lambda status: words in status["message"])
    until = time.monotonic() + 2 * LOST_SECONDS  # as the operator counts
    wait_for("what is not to happen", lambda: time.monotonic() > until, 10 * LOST_SECONDS)
    for node in nodes.nodes:
        nodes.rejoin(node.name)
    jobs.wait(NAME, "told of no more", lambda status: words not in status["message"])
    assert [pod["metadata"]["uid"] for pod in jobs.pods(NAME)] == pods
    (training.folder / "open-before-12").touch()
    status = jobs.reaches(NAME, "Succeeded")
    assert (status["attempt"], status["restarts"]) == (1, 0)
    check_end(training, uninterrupted[2])
