"""A process node misbehaves on command, as nodes do by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from testbed.pods import Pods, alive, pid, pod, state
from testbed.process_node.images import ABSENT
from testbed.waiting import wait_for

NODE = "cpu-0"
GONE = f"{ABSENT}trainer:1"
HELD = {"finalizers": ["test/held"]}
WAIT = "echo ready; until [ -e $HOME/go ]; do sleep 0.02; done"
TRAP = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"


def ready(pods: Pods) -> str:
    conditions = pods.nodes.plane.request("GET", f"/api/v1/nodes/{NODE}")["status"]["conditions"]
    return next(str(entry["status"]) for entry in conditions if entry["type"] == "Ready")


def test_what_runs_on_a_node_that_is_cut_off_lives_on_and_nobody_hears_of_it(pods: Pods) -> None:
    zombie = pods.start(pod("zombie", WAIT, nodeName=NODE), says="ready")
    done = pods.start(pod("done", WAIT, nodeName=NODE), says="ready")
    pods.nodes.cut_off(NODE)
    try:
        assert ready(pods) == "Unknown"
        pods.delete("zombie", grace=0)
        pods.gone("zombie")
        (pods.folder(done) / "home" / "go").touch()
        wait_for("the end of a process", lambda: not alive(pid(done)))
        pods.namespace.create("pods", pod("late", "true", nodeName=NODE))
        elsewhere = pods.run(pod("elsewhere", "true", nodeName="gpu-0"))
        assert elsewhere["status"]["phase"] == "Succeeded", "other nodes are as ever"
        assert alive(pid(zombie))
        untold = [pods.namespace.get("pods", name) for name in ("done", "late")]
        assert [each and each["status"]["phase"] for each in untold] == ["Running", "Pending"]
    finally:
        pods.nodes.rejoin(NODE)
    assert ready(pods) == "True"
    wait_for("the end of the zombie", lambda: not alive(pid(zombie)))
    assert [pods.over(name)["status"]["phase"] for name in ("done", "late")] == ["Succeeded", "Succeeded"]


def test_a_node_that_is_taken_for_lost_says_that_it_is_there(pods: Pods) -> None:
    pods.nodes.doubt(NODE)
    pods.nodes.wait_until_ready(NODE)
    assert ready(pods) == "True"


@pytest.mark.parametrize(
    ("image", "reason", "message"),
    [
        (
            f"{ABSENT}trainer:1",
            "ErrImagePull",
            f'failed to pull image "{ABSENT}trainer:1": {ABSENT}trainer:1: not found',
        ),
        ("Trainer:1", "InvalidImageName", 'couldn\'t parse image name "Trainer:1": invalid reference format'),
    ],
)
def test_an_image_that_cannot_be_had_is_waited_for(pods: Pods, image: str, reason: str, message: str) -> None:
    pods.namespace.create("pods", pod("p", "true", container={"image": image}))

    def waits(found: dict[str, Any]) -> bool:
        waiting = state(found).get("waiting") or {} if "containerStatuses" in found["status"] else {}
        return (waiting.get("reason"), waiting.get("message")) == (reason, message)

    found = pods.namespace.wait_for("pods", "p", "waiting", waits)
    assert found["status"]["phase"] == "Pending"
    pods.delete("p")
    pods.gone("p")


def test_a_container_whose_memory_is_over_is_killed_and_says_so(pods: Pods) -> None:
    running = pods.start(pod("p", TRAP), says="ready")
    pods.nodes.run_out_of_memory(running)
    ended = state(pods.over("p"))["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_a_deaf_pod_goes_on_until_its_grace_is_over(pods: Pods) -> None:
    manifest = pod("p", TRAP, terminationGracePeriodSeconds=1)
    running = pods.start({**manifest, "metadata": {**manifest["metadata"], **HELD}}, says="ready")
    pods.nodes.deafen(running)
    pods.delete("p")
    assert state(pods.over("p"))["terminated"]["exitCode"] == 137
    pods.namespace.release("pods", "p")
