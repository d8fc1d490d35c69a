"""What many jobs cost an operator that has nothing to do, what its restart and one change cost, and how soon it reacts.

On a real API server, without nodes and scheduler: the pods of all jobs exist and wait. Latencies are those between two
requests in the audit log of the API server: from one that was answered to one that was answered.

    python tests/bench/operator_scale.py [--jobs N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cluster import what
from harness.observing import running
from harness.timeless import NOON
from operator_load import NODES, POLL_SECONDS, cpu_seconds, pods_made, resident, submit, written
from testbed.control_plane import ControlPlane
from testbed.namespace import Namespace
from testbed.operator import USER, Operator, install
from testbed.waiting import wait_for

from pet_operator.domain.codec import write_time
from pet_operator.domain.constants import JOB, LABEL_ATTEMPT, LABEL_JOB
from pet_operator.domain.decide import decide

QUIET_SECONDS = 15.0
IDLE_SECONDS = 30.0
DECISIONS = 2000
SAMPLES = 50
MANY_PODS = 256


def settled(plane: ControlPlane, namespace: str) -> None:
    """Wait until the operator writes nothing any more."""
    while written(plane, USER, namespace, lambda: time.sleep(QUIET_SECONDS)):
        pass


def idle_and_restart(plane: ControlPlane, number: int) -> None:
    """One operator, and its successor, on jobs whose pods are all there; what a change costs while they become more."""
    with Namespace(plane) as namespace, Operator(plane, namespace=namespace.name, poll_seconds=POLL_SECONDS) as process:
        base, present = resident(process.server.pid), 0
        print("\nmilliseconds of CPU for a change of a pod and the status that is written after it")
        for total in (1, number // 10, number):
            submit(plane, namespace.name, total - present, nodes=NODES, name=f"job-{total}")
            present = total
            pods_made(namespace, total * NODES)
            settled(plane, namespace.name)
            print(f"{total:5} jobs {change(plane, namespace, process, 'job-1'):7.1f}")
        before = cpu_seconds(process.server.pid)
        time.sleep(IDLE_SECONDS)
        idle = (cpu_seconds(process.server.pid) - before) * 60 / IDLE_SECONDS
        memory = resident(process.server.pid)
        process.stop()

        def again() -> None:
            process.start()
            wait_for("a look at each", lambda: process.metric("pet_operator_reconcile_total") >= number, 300.0)

        writes = written(plane, USER, namespace.name, again)
        print(f"\n{number} jobs x {NODES} pods, settled")
        print(f"memory of the operator {memory:.0f} MB ({base:.0f} MB without jobs)")
        print(f"CPU while nothing happens {idle:.2f} s a minute")
        print(
            f"restart: {cpu_seconds(process.server.pid):.1f} s CPU until all jobs are looked at, {len(writes)} writes"
        )


def change(plane: ControlPlane, namespace: Namespace, process: Operator, name: str) -> float:
    """Milliseconds of the operator's CPU for one change of a job that waits for its nodes."""
    jobs = f"/apis/{JOB.api_version}/namespaces/{namespace.name}/{JOB.plural}"

    def once(index: int) -> None:
        words = f"so many nodes are full: {index}"
        state = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
        path = f"/api/v1/namespaces/{namespace.name}/pods/{name}-1-0/status"
        plane.request("PATCH", path, {"status": {"conditions": [state]}})
        wait_for(words, lambda: words in plane.request("GET", f"{jobs}/{name}")["status"]["message"])

    before = cpu_seconds(process.server.pid)
    for index in range(SAMPLES):
        once(index)
    return (cpu_seconds(process.server.pid) - before) * 1000 / SAMPLES


def latencies(plane: ControlPlane) -> None:
    """An idle operator, one job after the other."""
    with Namespace(plane) as namespace, Operator(plane, namespace=namespace.name, poll_seconds=POLL_SECONDS):
        begins, failures = [], []
        for index in range(SAMPLES):
            name = f"job-{index}"
            begins.append(_until(plane, namespace, name, NODES))
            failures.append(_until_next(plane, namespace, name))
        wide = _until(plane, namespace, "wide", MANY_PODS)
    print("\nmilliseconds                                median       p99   highest")
    print(f"job made -> its pod {NODES} made                 {_row(begins)}")
    print(f"job made -> its pod {MANY_PODS} made               {_row([wide])}")
    print(f"pod failed -> first pod of attempt 2 made  {_row(failures)}  (a second of it waits on purpose)")


def _until(plane: ControlPlane, namespace: Namespace, name: str, nodes: int) -> float:
    """Milliseconds from the making of a job to its last pod."""

    def work() -> None:
        submit(plane, namespace.name, 1, nodes=nodes, name=name)
        wait_for("its pods", lambda: len(_pods(namespace, name, 1)) == nodes)

    events = _events(plane, work)
    made = [event for event in events if what(event) == "create pods"]
    return _milliseconds(next(event for event in events if what(event) == "create pettrainingjobs"), made)


def _until_next(plane: ControlPlane, namespace: Namespace, name: str) -> float:
    """Milliseconds from the failure of a pod to the first pod of the next attempt."""

    def work() -> None:
        state = {"terminated": {"exitCode": 139, "finishedAt": write_time(datetime.now(UTC))}}
        plain = {"image": "i", "imageID": "", "ready": False, "restartCount": 0}
        status = {"phase": "Failed", "containerStatuses": [{"name": "trainer", **plain, "state": state}]}
        path = f"/api/v1/namespaces/{namespace.name}/pods/{name}-1-0/status"
        plane.request("PATCH", path, {"status": status})
        wait_for("the next attempt", lambda: _pods(namespace, name, 2))

    events = _events(plane, work)
    failed = [event for event in events if what(event) == "patch pods/status"][-1]
    return _milliseconds(failed, [next(event for event in events if what(event) == "create pods")])


def _events(plane: ControlPlane, work: Any) -> list[dict[str, Any]]:
    before = sum(1 for _ in plane.audit())
    work()
    return list(plane.audit())[before:]


def _pods(namespace: Namespace, name: str, attempt: int) -> list[dict[str, Any]]:
    return namespace.all("pods", f"{LABEL_JOB}={name},{LABEL_ATTEMPT}={attempt}")


def _milliseconds(first: dict[str, Any], others: Iterable[dict[str, Any]]) -> float:
    began, ended = _answered(first), max(map(_answered, others))
    return (ended - began).total_seconds() * 1000


def _answered(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["stageTimestamp"])


def _row(values: list[float]) -> str:
    p99 = statistics.quantiles(values, n=100, method="inclusive")[-1] if len(values) > 1 else values[0]
    return f"{statistics.median(values):7.0f}{p99:10.0f}{max(values):10.0f}"


def decisions() -> None:
    """The pure part alone."""
    print("\nmicroseconds of one decision on a job that runs")
    for nodes in (1, 8, 64, 256):
        view = running(nodes=nodes)
        began = time.perf_counter()
        for _ in range(DECISIONS // nodes + 10):
            decide(view, NOON)
        spent = (time.perf_counter() - began) / (DECISIONS // nodes + 10)
        print(f"{nodes:4} pods {spent * 1e6:8.0f}")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000, help="(%(default)s)")
    number = parser.parse_args().jobs
    decisions()
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder)) as plane:
        install(plane)
        plane.servers["kube-scheduler"].stop()
        latencies(plane)
        idle_and_restart(plane, number)


if __name__ == "__main__":
    main()
