"""What jobs cost an operator while they run: it asks every launcher, and each answer tells something new.

On a real API server, without nodes: pods are written to run, at addresses of the loopback interface, and one process
answers there for all of their launchers.

    python tests/bench/operator_running.py [--jobs N]
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operator_load import NODES, POLL_SECONDS, cpu_seconds, pods_made, resident, submit, written
from testbed.control_plane import ControlPlane
from testbed.namespace import Namespace
from testbed.operator import USER, Operator, install
from testbed.processes import free_ports
from testbed.waiting import wait_for

from pet_operator.domain.constants import JOB

_FIRST_ADDRESS = ipaddress.IPv4Address("127.16.0.1")
_MEASURED_SECONDS = 60.0
_STEP_SECONDS = 0.2
_RANKS = 2
_AT_ONCE = 8


@dataclass(frozen=True)
class Launcher:
    """Of whom an address answers."""

    uid: str
    name: str
    node: int

    def document(self, seconds: float) -> dict[str, Any]:
        """What it tells when it has trained for so long."""
        iteration = int(seconds / _STEP_SECONDS)
        first = self.node == 0
        numbers = {
            "iteration": iteration, "maxIterations": 1_000_000, "epoch": 1 + iteration // 500,
            "losses": {"loss_cls": 1 / (1 + iteration)}, "learningRate": 0.1, "samplesPerSecond": 1234.5,
            "etaSeconds": (1_000_000 - iteration) * _STEP_SECONDS, "stepSeconds": _STEP_SECONDS, "resumedFrom": None,
        }  # fmt: skip
        return {
            "schema": 1, "uid": self.uid, "name": self.name, "nodeIndex": self.node, "attempt": 1, "restarts": 0,
            "state": "training", "script": "tools/tasks/cls/train_net.py", "worldSize": NODES * _RANKS,
            **(numbers if first else dict.fromkeys(numbers)),
            "metrics": {}, "checkpoint": None, "accounting": {"productiveSeconds": seconds} if first else None,
            "ranks": [
                {"rank": self.node * _RANKS + local, "localRank": local, "iteration": iteration, "section": "step",
                 "collective": 0, "lastStepAgeSeconds": 0.1, "dataSeconds": 0.01}
                for local in range(_RANKS)
            ],
            "failures": [],
        }  # fmt: skip


def answer(port: int, launchers: dict[str, Launcher]) -> None:
    """Be all launchers, for ever."""
    began = time.monotonic()

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        launcher = launchers[writer.get_extra_info("sockname")[0]]
        body = json.dumps(launcher.document(time.monotonic() - began)).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(told, "0.0.0.0", port, backlog=4096)
        await server.serve_forever()

    asyncio.run(serve())


def run_pods(plane: ControlPlane, namespace: Namespace) -> dict[str, Launcher]:
    """Write all pods to run. Returns the launchers in them by their addresses."""
    pods = namespace.all("pods")
    addresses = [str(_FIRST_ADDRESS + index) for index in range(len(pods))]

    def run(pod: dict[str, Any], address: str) -> None:
        true = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "Ready")]
        state = {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}}
        container = {"name": "trainer", "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": state}
        status = {"phase": "Running", "podIP": address, "conditions": true, "containerStatuses": [container]}
        path = f"/api/v1/namespaces/{namespace.name}/pods/{pod['metadata']['name']}/status"
        plane.request("PATCH", path, {"status": status})

    with ThreadPoolExecutor(_AT_ONCE) as workers:
        list(workers.map(run, pods, addresses))
    return {address: _launcher(pod) for pod, address in zip(pods, addresses, strict=True)}


def _launcher(pod: dict[str, Any]) -> Launcher:
    labels, (owner,) = pod["metadata"]["labels"], pod["metadata"]["ownerReferences"]
    return Launcher(owner["uid"], owner["name"], int(labels["pet.dev/node-index"]))


def measure(plane: ControlPlane, number: int) -> None:
    """Print what a minute costs."""
    (port,) = free_ports(1)
    with Namespace(plane) as namespace, Operator(plane, namespace=namespace.name, poll_seconds=POLL_SECONDS) as process:
        submit(plane, namespace.name, number, nodes=NODES, metrics={"port": port})
        pods_made(namespace, number * NODES)
        launchers = run_pods(plane, namespace)
        answering = multiprocessing.get_context("fork").Process(target=answer, args=(port, launchers))
        answering.start()
        try:
            wait_for("all jobs to run", lambda: _running(plane, namespace.name) == number, 300.0)
            time.sleep(2 * POLL_SECONDS)
            before, asked = cpu_seconds(process.server.pid), cpu_seconds(answering.pid or 0)
            writes = written(plane, USER, namespace.name, lambda: time.sleep(_MEASURED_SECONDS))
            spent = (cpu_seconds(process.server.pid) - before) * 60 / _MEASURED_SECONDS
            theirs = (cpu_seconds(answering.pid or 0) - asked) * 60 / _MEASURED_SECONDS
            print(f"\n{number} jobs x {NODES} pods, all running, each with news in every round of {POLL_SECONDS:g} s")
            print(f"CPU of the operator {spent:.1f} s a minute ({theirs:.1f} s of whoever answers it)")
            print(f"writes {len(writes) * 60 / _MEASURED_SECONDS / number:.1f} a minute and job")
            print(f"memory of the operator {resident(process.server.pid):.0f} MB")
            print(f"its event loop was late by {process.metric('pet_operator_event_loop_lag_seconds') * 1000:.0f} ms")
        finally:
            answering.kill()
            answering.join()


def _running(plane: ControlPlane, namespace: str) -> int:
    jobs = plane.request("GET", f"/apis/{JOB.api_version}/namespaces/{namespace}/{JOB.plural}")["items"]
    return sum((job.get("status") or {}).get("phase") == "Running" for job in jobs)


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000, help="(%(default)s)")
    number = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder)) as plane:
        install(plane)
        plane.servers["kube-scheduler"].stop()
        measure(plane, number)


if __name__ == "__main__":
    main()
