"""Pods on several nodes: where they are put, and how they meet."""

from __future__ import annotations

from typing import Any

from testbed.kubectl import Kubectl
from testbed.pods import Pods, pod

GPUS = {"resources": {"limits": {"nvidia.com/gpu": "8"}}}

# The master listens on all addresses, as torch's store does; the other one calls it by what it was told.
MEET = """
import os, socket
address, port = os.environ["PET_MASTER_ADDR"], int(os.environ["PET_MASTER_PORT"])
if os.environ["PET_NODE_RANK"] == "0":
    with socket.create_server(("", port)) as server:
        print("listening", flush=True)
        connection, _ = server.accept()
        print(connection.recv(100).decode(), flush=True)
else:
    while True:
        try:
            own = (os.environ["PETJOB_BIND_ADDRESS"], 0)
            connection = socket.create_connection((address, port), source_address=own)
            break
        except ConnectionRefusedError:
            continue
    connection.sendall(b"hello")
"""


def member(job: str, rank: int) -> dict[str, Any]:
    env = {
        "PET_MASTER_ADDR": f"{job}-0.{job}",
        "PET_MASTER_PORT": "29500",
        "PET_NODE_RANK": str(rank),
        "PETJOB_BIND_ADDRESS": "",
    }
    container = {
        "command": ["python", "-c", MEET],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        **GPUS,
    }
    manifest = pod(f"{job}-{rank}", "", container=container, hostname=f"{job}-{rank}", subdomain=job)
    manifest["metadata"]["labels"] = {"job": job}
    return manifest


def service(job: str) -> dict[str, Any]:
    spec = {"clusterIP": "None", "selector": {"job": job}, "publishNotReadyAddresses": True}
    return {"metadata": {"name": job}, "spec": spec}


def test_two_pods_on_two_nodes_meet_by_host_name(pods: Pods) -> None:
    pods.namespace.create("services", service("a"))
    for rank in (1, 0):
        pods.namespace.create("pods", member("a", rank))
    over = [pods.over(f"a-{rank}") for rank in (0, 1)]
    assert [found["status"]["phase"] for found in over] == ["Succeeded", "Succeeded"]
    assert {found["spec"]["nodeName"] for found in over} == {"gpu-0", "gpu-1"}
    assert len({found["status"]["podIP"] for found in over}) == 2
    assert pods.nodes.log(over[0]) == "listening\nhello\n"


def test_nobody_meets_without_the_service_that_gives_the_name(pods: Pods) -> None:
    pods.namespace.create("pods", member("a", 0))
    waiting = pods.namespace.wait_for("pods", "a-0", "waiting", lambda found: "no address" in waiting_message(found))
    assert waiting["status"]["podIP"]
    pods.namespace.create("services", service("a"))
    pods.namespace.wait_for("pods", "a-0", "running", lambda found: found["status"]["phase"] == "Running")


def test_each_job_has_a_port_of_its_own(pods: Pods) -> None:
    script = {"command": ["sh", "-c", "echo $PET_MASTER_PORT"]}
    ports = []
    for job in ("a", "b"):
        pods.namespace.create("services", service(job))
        manifest = member(job, 0)
        manifest["spec"]["containers"][0] |= script
        ports.append(pods.output(manifest))
    assert ports[0] != ports[1]


def test_gpus_are_counted(pods: Pods) -> None:
    for number in range(3):
        pods.namespace.create("pods", pod(f"p{number}", "sleep 1000", container=GPUS, terminationGracePeriodSeconds=1))
    found = pods.namespace.wait_for("pods", "p2", "refused", unschedulable)
    assert "Insufficient nvidia.com/gpu" in unschedulable(found)
    pods.delete("p0")
    pods.namespace.wait_for("pods", "p2", "running", lambda found: found["status"]["phase"] == "Running")


def test_kubectl_shows_what_a_container_says(pods: Pods, kubectl: Kubectl) -> None:
    script = "echo one; echo two >&2; until [ -e $HOME/go ]; do sleep 0.02; done; echo three"
    running = pods.start(pod("p", script), says="two")
    logs = ("logs", "-n", pods.namespace.name, "p")
    assert kubectl(*logs).stdout == "one\ntwo\n"
    assert kubectl(*logs, "--tail=1").stdout == "two\n"
    assert kubectl(*logs, "--limit-bytes=3").stdout == "one"
    refused = kubectl(*logs, "--timestamps")
    assert (refused.returncode, "know no timestamps" in refused.stderr) == (1, True)

    with kubectl.started(*logs, "-f") as following:
        assert following.stdout is not None
        assert [following.stdout.readline() for _ in range(2)] == ["one\n", "two\n"]
        (pods.folder(running) / "home" / "go").touch()
        assert following.stdout.read() == "three\n"
        assert following.wait() == 0


def waiting_message(found: dict[str, Any]) -> str:
    statuses = found["status"].get("containerStatuses") or [{"state": {}}]
    return str((statuses[0]["state"].get("waiting") or {}).get("message", ""))


def unschedulable(found: dict[str, Any]) -> str:
    conditions = found["status"].get("conditions") or ()
    return next((entry["message"] for entry in conditions if entry.get("reason") == "Unschedulable"), "")
