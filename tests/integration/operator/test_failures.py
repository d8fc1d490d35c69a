"""What befalls a job from outside: a node that is lost, an image that cannot be had, memory that is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness.cluster import Jobs, Requests, job
from harness.stage import Stage
from harness.training import CFG, ROOT
from testbed.operator import Operator
from testbed.pods import alive, pid
from testbed.process_node.images import ABSENT
from testbed.process_node.status import timestamp
from testbed.waiting import wait_for

CONFIG = (ROOT / CFG).read_text()
VOLUME = {"volume": {"size": "1Gi"}}
MEMORY = {"name": "trainer", "resources": {"limits": {"memory": "2Gi"}}}


def runs(status: dict[str, Any], attempt: int) -> bool:
    """Whether it is this attempt that runs."""
    return (status.get("phase"), status.get("attempt")) == ("Running", attempt)


@pytest.fixture
def rejoining(stage: Stage, played: Jobs) -> Iterator[None]:
    """However the test ends, its namespace and other tests find all nodes there."""
    yield
    for node in stage.nodes.nodes:
        stage.nodes.rejoin(node.name)


@pytest.mark.usefixtures("rejoining")
def test_a_lost_node_is_named_and_the_job_goes_on_elsewhere(stage: Stage, played: Jobs) -> None:
    with Operator(stage.plane):
        played.apply(job(config=CONFIG, checkpoint=VOLUME))
        played.reaches("job", "Running")
        (zombie,) = played.pods("job")
        lost = zombie["spec"]["nodeName"]
        stage.nodes.cut_off(lost)
        status = played.wait("job", "running again", lambda status: runs(status, 2))
        record, failure = status["attempts"][0], status["failure"]
        assert (record["reason"], record["node"]) == ("NodeLost", lost)
        assert (failure["type"], failure["class"]) == ("NodeLost", "Disrupted")
        assert (failure["pod"], failure["node"]) == ("job-1-0", lost)
        assert failure["message"].startswith("the node has not been ready for 30 s (Kubelet stopped posting")
        assert "recentRestarts" not in status
        (successor,) = played.pods("job")
        assert successor["metadata"]["name"] == "job-2-0"
        assert successor["spec"]["nodeName"] != lost
        assert alive(pid(zombie)), "the node is only cut off"
        wait_for("the event", lambda: any(f"avoiding node {lost}" in note for _, note in played.events("job")))
        stage.nodes.rejoin(lost)
        wait_for("the end of the zombie", lambda: not alive(pid(zombie)))
        assert played.status("job")["attempt"] == 2


@pytest.mark.usefixtures("rejoining")
def test_a_pod_whose_kubelet_does_not_confirm_its_end_is_lost_also_where_nodes_are_not_watched(
    stage: Stage, played: Jobs
) -> None:
    requests = Requests(stage.plane)
    with Operator(stage.plane, options=("--no-watch-nodes",)):
        played.apply(job(config=CONFIG, checkpoint=VOLUME | {"gracePeriodSeconds": 1}))
        played.reaches("job", "Running")
        (zombie,) = played.pods("job")
        stage.nodes.cut_off(zombie["spec"]["nodeName"])
        played.namespace.delete("pods", "job-1-0")
        status = played.wait("job", "running again", lambda status: runs(status, 2))
        assert status["attempts"][0]["reason"] == "NodeLost"
        assert status["failure"]["message"] == "the node has not ended the pod 30 s after its grace of 1 s"
    assert not any(event["objectRef"]["resource"] == "nodes" for event in requests.all())


def test_an_image_that_cannot_be_pulled_is_told_at_once_and_ends_the_job_in_time(stage: Stage, played: Jobs) -> None:
    def told(status: dict[str, Any]) -> bool:
        return status.get("reason") == "ErrImagePull"

    image = f"{ABSENT}trainer:1"
    with Operator(stage.plane):
        played.apply(job(config=CONFIG, checkpoint=VOLUME, image=image, deadlines={"startupSeconds": 5}))
        status = played.wait("job", "waiting for its image", told)
        words = f'job-1-0: failed to pull image "{image}": {image}: not found'
        assert (status["phase"], status["message"]) == ("Starting", words)
        status = played.reaches("job", "Failed")
        assert status["reason"] == "StartupDeadlineExceeded"
        assert image in status["message"]
        assert (status["attempt"], status.get("restarts", 0)) == (1, 0)


def test_volumes_that_cannot_be_mounted_are_told_at_once_also_those_of_a_lost_node(played: Jobs, stage: Stage) -> None:
    """The node's word is real; that a volume is still attached elsewhere is said here as the attach controller does."""
    secret = {"name": "token", "secret": {"secretName": "token"}}
    trainer = {"name": "trainer", "volumeMounts": [{"name": "token", "mountPath": "/token"}]}
    attached = 'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node'
    with Operator(stage.plane):
        played.apply(job(template={"spec": {"volumes": [secret], "containers": [trainer]}}))
        status = played.wait("job", "waiting", lambda status: status.get("reason") == "FailedMount")
        assert (status["phase"], status["message"]) == ("Starting", 'job-1-0: secret "token" not found')

        (pod,) = played.pods("job")
        about = {name: pod["metadata"][name] for name in ("namespace", "name", "uid")}
        warning = {"metadata": {"name": "attach"}, "type": "Warning", "reason": "FailedAttachVolume"}
        warning |= {"involvedObject": {"apiVersion": "v1", "kind": "Pod", **about}, "message": attached}
        warning["lastTimestamp"] = timestamp()
        played.namespace.create("events", warning)
        status = played.wait("job", "waiting", lambda status: status.get("reason") == "WaitingForVolumeDetach")
        assert status["message"].startswith(f"job-1-0: waiting for volume detach: {attached}; from a lost node")

        played.namespace.create("secrets", {"metadata": {"name": "token"}})
        played.reaches("job", "Running")


def test_memory_that_is_over_is_tried_once_more(stage: Stage, played: Jobs) -> None:
    with Operator(stage.plane):
        template = {"spec": {"containers": [MEMORY]}}
        played.apply(job(config=CONFIG, checkpoint=VOLUME, template=template))
        for attempt in (1, 2):
            status = played.wait(
                "job",
                "running",
                lambda status, n=attempt: (status.get("phase"), status.get("attempt")) == ("Running", n),
            )
            (pod,) = (pod for pod in played.pods("job") if pod["metadata"]["name"] == f"job-{attempt}-0")
            stage.nodes.run_out_of_memory(pod)
        status = played.reaches("job", "Failed")
        assert (status["reason"], status["attempt"]) == ("OOM", 2)
        assert [record["reason"] for record in status["attempts"]] == ["OOM", "OOM"]
        assert "its limit is 2Gi" in status["message"]
