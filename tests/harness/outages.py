"""An API server that is away for two minutes beside a training on a cluster, and all that must hold then."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from testbed.operator import Operator
from testbed.process_node import ProcessNodes
from testbed.processes import Server
from testbed.waiting import wait_for

from harness.cluster import SECONDS, Jobs, Requests
from harness.cluster_training import NAME, ClusterTraining
from harness.interruptions import check_end
from harness.training import Training

KINDS = ("killed", "frozen")
AWAY_SECONDS = 120.0
_STEP_SECONDS = 4.0  # the training outlasts it


@dataclass(frozen=True)
class Outage:
    """It begins once step `step` is done. A killed API server refuses connections, a frozen one answers nothing."""

    kind: str
    step: int

    def __str__(self) -> str:
        return f"{self.kind}-after-step-{self.step}"


def outages(seed: int, number: int) -> list[Outage]:
    """Each kind as often as the other, at random steps."""
    dice = random.Random(seed)
    return [Outage(KINDS[place % len(KINDS)], dice.randrange(1, 10)) for place in range(number)]


def check(
    outage: Outage,
    folder: Path,
    data: Path,
    jobs: Jobs,
    nodes: ProcessNodes,
    operator: Operator,
    server: Server,
    expected: Training,
) -> None:
    """Not one step and not one pod is lost, and the status knows again how far the training is. The cluster may take
    nodes for lost before it has heard of them again; here it always does."""
    training = ClusterTraining(folder, data, ranks=2, pods=2, jobs=jobs, nodes=nodes)
    training.hooks = [{"type": "harness.gates:Paced", "args": {"folder": str(folder), "seconds": _STEP_SECONDS}}]
    requests = Requests(jobs.plane)
    jobs.apply(training.manifest())
    jobs.reaches(NAME, "Running")
    wait_for(f"step {outage.step}", lambda: len(training.steps_done) >= outage.step, SECONDS)
    pods = _uids(jobs)
    before = len(training.steps_done)
    starts = _live_through(outage, server, operator)
    done = len(training.steps_done)
    assert done > before, "it trains on"
    server.wait_until(jobs.plane.is_ready)
    began = time.monotonic()
    for node in nodes.nodes:
        nodes.doubt(node.name)
    jobs.wait(NAME, "told of anew", lambda status: (status.get("progress") or {}).get("iteration", 0) >= done)
    known = time.monotonic() - began
    print(f"{starts} starts of the operator, {done - before} steps while it was away; known {known:.1f} s after that")
    for node in nodes.nodes:
        nodes.wait_until_ready(node.name)
    assert _uids(jobs) == pods
    (folder / "hurry").touch()
    status = jobs.reaches(NAME, "Succeeded")
    assert (status["attempt"], status["restarts"]) == (1, 0), status["attempts"]
    assert training.steps_done == list(range(1, training.steps + 1))
    assert requests.writes(jobs.namespace.name)["create pods"] == 2
    check_end(training, expected)


def _live_through(outage: Outage, server: Server, operator: Operator) -> int:
    """The two minutes. An operator that cannot renew its Lease ends, and a Deployment begins anew; returns how often it
    did."""
    if outage.kind == "killed":
        server.kill()
    else:
        server.send(signal.SIGSTOP)
    limit, starts = time.monotonic() + AWAY_SECONDS, 0
    while time.monotonic() < limit:
        if not operator.server.running:
            operator.server.start()
            starts += 1
        time.sleep(1)
    if outage.kind == "killed":
        server.start()
    else:
        server.send(signal.SIGCONT)
    return starts


def _uids(jobs: Jobs) -> list[str]:
    return [pod["metadata"]["uid"] for pod in jobs.pods(NAME)]
